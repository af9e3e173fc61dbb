# SPDX-License-Identifier: Apache-2.0
"""Data for pretraining: reading, encoding, storage on disk, and batches."""
