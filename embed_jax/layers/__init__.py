# SPDX-License-Identifier: Apache-2.0
"""Which layers are wanted, and how layers and pieces become one vector."""
