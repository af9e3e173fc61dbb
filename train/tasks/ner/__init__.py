# SPDX-License-Identifier: Apache-2.0
"""A tagger on frozen vectors."""
