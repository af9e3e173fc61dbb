# SPDX-License-Identifier: Apache-2.0
"""Slips made on purpose, one at a time, to see whether the tests notice them."""
