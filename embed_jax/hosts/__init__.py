# SPDX-License-Identifier: Apache-2.0
"""Several processes, one on each host: joining, agreement and failure detection."""
