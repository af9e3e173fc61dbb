# SPDX-License-Identifier: Apache-2.0
"""Pretraining: text is prepared once, then read by a loop that learns from it."""
