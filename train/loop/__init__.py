# SPDX-License-Identifier: Apache-2.0
"""The training loop: steps, optimiser, phases, checkpoints, metrics."""
