# SPDX-License-Identifier: Apache-2.0
"""The device memory that a training step needs."""

import math
from typing import Any

import jax

from train.loop.step import TrainState


def describe_memory(program: Any, state: TrainState) -> str:
    """Describe the memory of a compiled step on each device.

    Args:
      program: the compiled step.
      state: the training state.
    """
    parts = [
        f"{name} {_mb(_bytes_a_device(getattr(state, field)))}"
        for name, field in (("weights", "params"), ("optimiser", "opt_state"))
    ]
    analysis = program.memory_analysis()
    if analysis is not None:
        parts.append(f"activations and gradients {_mb(analysis.temp_size_in_bytes)}")
    return f"memory a device: {', '.join(parts)}"


def _bytes_a_device(tree: Any) -> int:
    return sum(
        leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(tree)
    )


def _mb(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
