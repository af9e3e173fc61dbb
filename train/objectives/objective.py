# SPDX-License-Identifier: Apache-2.0
"""What the loop asks of a model: three functions of arrays, and how to measure it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from train.loop.sparse_rows import Rows

Params = Any
"""A pytree whose leaves are the weights."""

Carry = Any
"""What a batch's rows hand on to the next batch's: LSTM states, or nothing."""

Batch = Any
"""A named tuple with `rows`, whose arrays begin with the batch axis. `types`, where
there are any, may be spread over devices too; other fields are the same on each."""


class Mean(NamedTuple):
    """A sum and what to divide it by, so that means of parts can be added up."""

    total: Float[Any, ""]
    weight: Float[Any, ""]


Means = dict[str, Mean]


def perplexity_of(loss: float) -> float:
    """Return exp(loss); infinity where that is no number, as for a run gone wrong.

    Example:
      >>> perplexity_of(0.0), perplexity_of(1000.0)
      (1.0, inf)
    """
    return math.exp(loss) if loss < 700 else math.inf


@runtime_checkable
class Objective(Protocol):
    """A way to train and to measure one kind of model."""

    @property
    def batches(self) -> Any:
        """Return what gives a step's batch, on the host, as `batches[number]`."""
        ...

    @property
    def epoch_steps(self) -> int:
        """Return the batches of the first epoch."""
        ...

    @property
    def tokens_per_batch(self) -> float:
        """Return the real tokens or words that a step trains on, about."""
        ...

    @property
    def flops_per_batch(self) -> float:
        """Return the operations of a step's products: forward once, backward twice."""
        ...

    @property
    def encoder_flops_per_batch(self) -> float:
        """Return those of the encoder alone, without what is predicted from it."""
        ...

    def init_carry(self) -> Carry:
        """Return what the first batch's rows start from."""
        ...

    def weights_of(self, batch: Batch) -> Mapping[str, Array]:
        """Return what the whole batch's losses are divided by."""
        ...

    def rows_read(self, batch: Batch) -> tuple[Batch, Rows]:
        """Return the rows of tables that a batch reads, where these are few.

        And the batch as `loss` takes it together with weights that are cut to them.
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
        """Return a batch's share of the loss; shares of a batch's parts add up."""
        ...

    def measure(self, params: Params) -> dict[str, float]:
        """Return metrics of the held-out text; "loss" is what the best run has least.

        The names say what they are: a sampled loss is no perplexity.
        """
        ...
