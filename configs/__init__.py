# SPDX-License-Identifier: Apache-2.0
"""Experiments: one file each, whose docstring is its record."""
