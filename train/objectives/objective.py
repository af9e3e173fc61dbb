# SPDX-License-Identifier: Apache-2.0
"""The interface of a pretraining objective: loss, carry and evaluation of a model."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from train.loop.sparse_rows import Rows

Params = Any
"""A pytree whose leaves are the weights."""

Carry = Any
"""State carried from a batch's rows to those of the next batch: LSTM states, or ()."""

Batch = Any
"""A named tuple with `rows`, whose arrays begin with the batch axis. `types`, if there
are any, may be sharded over devices too; other fields are replicated."""


Watch = Callable[[range], Iterable[int]]
"""Takes the numbers of the batches of an evaluation and yields them, one when the one
before it is done."""


class Mean(NamedTuple):
    """A mean as a sum and its divisor, so that means of parts can be added."""

    total: Float[Any, ""]
    weight: Float[Any, ""]


Means = dict[str, Mean]


def perplexity_of(loss: float) -> float:
    """Return exp(loss); infinity on overflow or NaN, as for a diverged run.

    Example:
      >>> perplexity_of(0.0), perplexity_of(1000.0)
      (1.0, inf)
    """
    return math.exp(loss) if loss < 700 else math.inf


@runtime_checkable
class Objective(Protocol):
    """The training loss and the evaluation of one kind of model."""

    @property
    def batches(self) -> Any:
        """Return the batches: `batches[number]` is that of a step, on the host."""
        ...

    @property
    def epoch_steps(self) -> int:
        """Return the number of batches of the first epoch."""
        ...

    @property
    def tokens_per_batch(self) -> float:
        """Return the approximate number of tokens or words of a step, unpadded."""
        ...

    @property
    def flops_per_batch(self) -> float:
        """Return the operations of a step's matrix products, forward and backward."""
        ...

    @property
    def encoder_flops_per_batch(self) -> float:
        """Return the operations of the encoder only, without the heads."""
        ...

    def init_carry(self) -> Carry:
        """Return the carry before the first batch."""
        ...

    def weights_of(self, batch: Batch) -> Mapping[str, Array]:
        """Return the divisors of the whole batch's losses, by name."""
        ...

    def rows_read(self, batch: Batch) -> tuple[Batch, Rows]:
        """Return a batch for sparse updates, and the rows of tables that it reads.

        `loss` takes this batch together with weights reduced to these rows. Without
        sparse tables, the batch is unchanged and there are no rows.
        """
        ...

    def loss(
        self,
        params: Params,
        carry: Carry,
        batch: Batch,
        weights: Mapping[str, Array],
        key: jax.Array,
    ) -> tuple[Float[Array, ""], tuple[Carry, Means]]:
        """Return the loss, and carry and metrics; losses of a batch's parts add up."""
        ...

    def measure(self, params: Params) -> dict[str, float]:
        """Return held-out metrics by name; "loss" selects the best checkpoint.

        A loss of a sampled softmax must not be called a perplexity. A family that wants
        its evaluations to be watched takes a `Watch` besides.
        """
        ...
