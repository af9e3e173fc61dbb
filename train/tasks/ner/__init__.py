# SPDX-License-Identifier: Apache-2.0
"""Named entity recognition: a tagger on frozen features."""
