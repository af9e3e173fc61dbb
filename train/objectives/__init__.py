# SPDX-License-Identifier: Apache-2.0
"""The interface of pretraining objectives, and loss functions."""
