# SPDX-License-Identifier: Apache-2.0
"""Damages files of every kind that the library reads, and sees what comes of it."""
