# SPDX-License-Identifier: Apache-2.0
"""Several processes: joining them, agreeing, and noticing that one is lost."""
