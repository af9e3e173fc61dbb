# SPDX-License-Identifier: Apache-2.0
"""Embedding of text of any size, in order and in bounded memory."""
