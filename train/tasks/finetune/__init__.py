# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of encoders on a task."""
