# SPDX-License-Identifier: Apache-2.0
"""Pretraining of encoders, and the downstream tasks that measure them."""
