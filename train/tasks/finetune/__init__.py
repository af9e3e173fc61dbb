# SPDX-License-Identifier: Apache-2.0
"""Encoders that are trained on a task."""
