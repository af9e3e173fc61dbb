# SPDX-License-Identifier: Apache-2.0
"""Text of any size to vectors, in order and in bounded memory."""
