# SPDX-License-Identifier: Apache-2.0
"""Downstream tasks on top of an encoder, frozen or fine-tuned."""
