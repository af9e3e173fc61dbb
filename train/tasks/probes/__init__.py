# SPDX-License-Identifier: Apache-2.0
"""Probes of layers: parts of speech, senses, similarity."""
