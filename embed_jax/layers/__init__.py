# SPDX-License-Identifier: Apache-2.0
"""Layer specs, combination of layers, and pooling of pieces into one vector."""
