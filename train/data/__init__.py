# SPDX-License-Identifier: Apache-2.0
"""Text for pretraining: read, encoded once, kept on disk, and cut into batches."""
