# SPDX-License-Identifier: Apache-2.0
"""The training step, which maps a state and a batch to the next state and metrics."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from embed_jax.devices.random_keys import random_key
from train.loop.sharding import gather_weights
from train.loop.sparse_rows import put_rows, take_rows
from train.objectives.objective import Batch, Carry, Mean, Means, Objective, Params


class TrainState(flax.struct.PyTreeNode):
    """The training state, all of which is saved in a checkpoint.

    Attributes:
      step: number of steps made, int32.
      params: the weights.
      opt_state: the state of the optimiser.
      carry: the initial states of the next batch's rows.
    """

    step: Int[Any, ""]
    params: Params
    opt_state: Any
    carry: Carry


StepFunction = Callable[[TrainState, Batch], tuple[TrainState, Means]]


def init_state(
    objective: Objective, params: Params, optimizer: optax.GradientTransformation
) -> TrainState:
    """Return the state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        carry=objective.init_carry(),
    )


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    grad_accum_steps: int = 1,
    mesh: Mesh | None = None,
    sparse_update: bool = False,
) -> StepFunction:
    """Make the training step, a function to be jitted.

    Args:
      objective: the loss to minimise.
      optimizer: an optax transformation.
      seed: of dropout, which depends on the seed and the step.
      grad_accum_steps: parts of a batch, run one after the other to save memory; the
        step is that of the whole batch, but each part has coins of its own for dropout.
      mesh: the devices that the weights are sharded over; None for one device.
      sparse_update: whether to update only the rows of tables that a batch reads;
        equivalent if the optimiser does not change rows without gradient.
    """

    def loss(params: Params, *operands: Any) -> Any:
        return objective.loss(gather_weights(params, mesh), *operands)

    def gradient_of(
        state: TrainState, carry: Carry, batch: Batch, weights: Any, key: Array
    ) -> tuple[Params, Carry, Means]:
        (_, (carry, means)), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params, carry, batch, weights, key
        )
        return gradient, carry, means

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Means]:
        key = jax.random.fold_in(random_key(seed), state.step)
        weights = objective.weights_of(batch)
        whole, rows = state, {}
        if sparse_update:
            with jax.named_scope("rows_read"):
                batch, rows = objective.rows_read(batch)
                state = state.replace(
                    params=take_rows(state.params, rows),
                    opt_state=take_rows(state.opt_state, rows),
                )
        if grad_accum_steps == 1:
            gradient, carry, means = gradient_of(
                state, state.carry, batch, weights, key
            )
        else:
            gradient, carry, means = _in_parts(
                gradient_of, state, batch, weights, key, grad_accum_steps
            )
        # Named for whoever reads the compiled program, such as `train.plan`.
        with jax.named_scope("optimiser"):
            update, opt_state = optimizer.update(
                gradient, state.opt_state, state.params
            )
            params = optax.apply_updates(state.params, update)
            norm = optax.tree.norm(gradient)
        means = {**means, "gradient_norm": Mean(norm, jnp.ones_like(norm))}
        with jax.named_scope("rows_read"):
            params = put_rows(whole.params, rows, params)
            opt_state = put_rows(whole.opt_state, rows, opt_state)
        return TrainState(state.step + 1, params, opt_state, carry), means

    return step


def _in_parts(
    gradient_of: Callable,
    state: TrainState,
    batch: Batch,
    weights: Any,
    key: Array,
    grad_accum_steps: int,
) -> tuple[Params, Carry, Means]:
    """Sum the gradients over parts of the batch's rows (gradient accumulation)."""

    def split(leaf: Array) -> Array:
        # Every part has rows of every device, so that none of them moves.
        parts = leaf.reshape(-1, grad_accum_steps, *leaf.shape[1:])
        return parts.swapaxes(0, 1)

    def join(leaf: Array) -> Array:
        return leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:])

    rows = jax.tree.map(split, batch.rows)
    carries = jax.tree.map(split, state.carry)

    def add(total: Params, part: tuple) -> tuple[Params, tuple[Carry, Means]]:
        rows, carry, number = part
        gradient, carry, means = gradient_of(
            state,
            carry,
            batch._replace(rows=rows),
            weights,
            jax.random.fold_in(key, number),
        )
        return jax.tree.map(jnp.add, total, gradient), (carry, means)

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    gradient, (carries, means) = jax.lax.scan(
        add, zeros, (rows, carries, jnp.arange(grad_accum_steps))
    )
    means = jax.tree.map(lambda leaf: leaf.sum(axis=0), means)
    return gradient, jax.tree.map(join, carries), means
