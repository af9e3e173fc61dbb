# SPDX-License-Identifier: Apache-2.0
"""The compiled training step, one program for each batch shape."""

import time
from collections.abc import Callable
from typing import Any

import jax
from jax.stages import Compiled

from train.loop.memory import describe_memory
from train.loop.step import TrainState
from train.objectives.objective import Batch, Means


class CompiledStep:
    """The training step, compiled once for each batch shape; it donates the state.

    Attributes:
      num_compiled: programs so far.
    """

    num_compiled = 0

    def __init__(self, step: Callable, state: TrainState) -> None:
        """Compile nothing yet; states will keep the shardings of the one given."""
        leaves, self._tree = jax.tree.flatten(state)
        shardings = [leaf.sharding for leaf in leaves]

        def flat(state: TrainState, batch: Batch) -> tuple[list, Means]:
            # A tree of shardings would be a state that its own annotations refuse.
            state, means = step(state, batch)
            return jax.tree.leaves(state), means

        self._step = jax.jit(flat, donate_argnums=0, out_shardings=(shardings, None))
        self._programs: dict[Any, Callable] = {}

    def compile(self, state: TrainState, batch: Batch) -> Compiled:
        """Compile for the shapes of a batch, which may be `jax.ShapeDtypeStruct`s."""
        return self._step.lower(state, batch).compile()

    def __call__(
        self, state: TrainState, batch: Batch, say: Callable[[str], None]
    ) -> tuple[TrainState, Means]:
        """Make a step; say when it is compiled, and what memory the first one needs."""
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        if shapes not in self._programs:
            another = " once more, for batches of another shape" * bool(self._programs)
            say(f"compiling the training step{another} …")
            began = time.perf_counter()
            program = self.compile(state, batch)
            say(f"compiled in {time.perf_counter() - began:.1f} s")
            if not self._programs:
                say(describe_memory(program, state))
            self._programs[shapes] = program
            self.num_compiled += 1
        leaves, means = self._programs[shapes](state, batch)
        return jax.tree.unflatten(self._tree, leaves), means
