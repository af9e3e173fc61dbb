# SPDX-License-Identifier: Apache-2.0
"""ELMo biLMs as training sees them."""
