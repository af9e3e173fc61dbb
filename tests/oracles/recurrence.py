# SPDX-License-Identifier: Apache-2.0
"""An LSTM's loop over time in its plainest form, whose gradient jax derives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Loop(NamedTuple):
    """What an LSTM reads, time first, and how; the gates are in TensorFlow's order."""

    vectors: jax.Array  # [T B D]
    kernel: jax.Array  # [D + P, 4H]
    bias: jax.Array  # [4H]
    projection: jax.Array | None  # [H P]
    cell: jax.Array  # [B H]
    hidden: jax.Array  # [B P]
    restart: jax.Array | None = None  # [T B]
    restart_cell: jax.Array | None = None  # [1 H]
    restart_hidden: jax.Array | None = None  # [1 P]
    real: jax.Array | None = None  # [T B]
    cell_clip: float | None = None
    projection_clip: float | None = None
    reverse: bool = False


def read(loop: Loop) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the outputs, the last memory and the last output."""
    T, B, _ = loop.vectors.shape
    restart = jnp.zeros((T, B), bool) if loop.restart is None else loop.restart
    real = jnp.ones((T, B), bool) if loop.real is None else loop.real
    fresh = loop.restart_cell, loop.restart_hidden
    if loop.restart_cell is None:
        fresh = jnp.zeros_like(loop.cell[:1]), jnp.zeros_like(loop.hidden[:1])

    def bound(values, clip):
        return values if clip is None else jnp.clip(values, -clip, clip)

    def step(state, now):
        vectors, restart, real = now
        cell, hidden = (
            jnp.where(restart[:, None], new, old)
            for new, old in zip(fresh, state, strict=True)
        )
        both = jnp.concatenate([vectors, hidden], axis=-1)
        gates = jnp.dot(both, loop.kernel) + loop.bias[None]
        enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
        kept = jax.nn.sigmoid(forget + 1.0) * cell
        memory = kept + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
        memory = bound(memory, loop.cell_clip)
        output = jax.nn.sigmoid(leave) * jnp.tanh(memory)
        if loop.projection is not None:
            output = jnp.dot(output, loop.projection)
            output = bound(output, loop.projection_clip)
        cell = jnp.where(real[:, None], memory, cell)
        hidden = jnp.where(real[:, None], output, hidden)
        return (cell, hidden), hidden

    (cell, hidden), outputs = jax.lax.scan(
        step,
        (loop.cell, loop.hidden),
        (loop.vectors, restart, real),
        reverse=loop.reverse,
    )
    return outputs, cell, hidden
