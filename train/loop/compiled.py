# SPDX-License-Identifier: Apache-2.0
"""A step's programs, one for each shape of batch."""

from collections.abc import Callable
from typing import Any

import jax
from jax.stages import Compiled

from train.loop.memory import describe_memory
from train.loop.step import TrainState
from train.objectives.objective import Batch, Means


class CompiledStep:
    """The step, compiled once for each shape of batch; the state is given up to it."""

    def __init__(self, step: Callable, state: TrainState) -> None:
        """Prepare to compile; states keep the placement of the one given."""
        leaves, self._tree = jax.tree.flatten(state)
        shardings = [leaf.sharding for leaf in leaves]

        def flat(state: TrainState, batch: Batch) -> tuple[list, Means]:
            # A tree of shardings would be a state that its own annotations refuse.
            state, means = step(state, batch)
            return jax.tree.leaves(state), means

        self._step = jax.jit(flat, donate_argnums=0, out_shardings=(shardings, None))
        self._programs: dict[Any, Callable] = {}

    def compile(self, state: TrainState, batch: Batch) -> Compiled:
        """Compile for the shapes of a batch, which need not be more than shapes."""
        return self._step.lower(state, batch).compile()

    def __call__(
        self, state: TrainState, batch: Batch, say: Callable[[str], None]
    ) -> tuple[TrainState, Means]:
        """Make a step; before the first one, say what memory it needs."""
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        if shapes not in self._programs:
            program = self.compile(state, batch)
            if not self._programs:
                say(describe_memory(program, state))
            self._programs[shapes] = program
        leaves, means = self._programs[shapes](state, batch)
        return jax.tree.unflatten(self._tree, leaves), means
