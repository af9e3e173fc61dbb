# SPDX-License-Identifier: Apache-2.0
"""Exploration of vectors: nearest neighbours, word types, contexts of a word."""
