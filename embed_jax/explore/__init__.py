# SPDX-License-Identifier: Apache-2.0
"""Looking at vectors: neighbours, word types, the contexts of a word."""
