# SPDX-License-Identifier: Apache-2.0
"""The biLM's pretraining objective: each direction predicts its next word.

Both directions share the softmax (Peters et al. 2018, section 3.1).
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from elmo_jax.bilm import Carry, zero_carry
from elmo_jax.config import ElmoConfig
from elmo_jax.params import ElmoParams
from elmo_jax.softmax import log_normaliser, scores_of
from elmo_jax.streams import StreamedBiLm
from train.families.elmo.batches import BilmBatch, BilmBatches, BilmRows
from train.families.elmo.held_out import HeldOutWindows
from train.loop.placement import place_batch
from train.loop.sharding import (
    gather,
    gather_rows,
    gather_weights,
    shardings_of_batch,
)
from train.loop.sparse_rows import Rows, unique_rows
from train.objectives.objective import Mean, Means, Watch, perplexity_of
from train.objectives.sampled_softmax import sampled_softmax_losses

DIRECTIONS = ("forward", "backward")
SOFTMAX_TABLES = ("heads.softmax.weights", "heads.softmax.bias")


@dataclasses.dataclass(frozen=True)
class BilmObjective:
    """The training loss and the evaluation of a biLM.

    Attributes:
      config: of the model.
      batches: of the training text; None for abstract steps.
      held_out: the windows of the held-out text; None for no evaluation.
      num_words: of the vocabulary.
      batch_size: rows of a batch, over all devices.
      unroll_steps: positions of a row.
      reset_state: whether sentences start from the initial state, zero unless the
        weights have one, see `elmo_jax.streams`.
      dtype: of the products.
      remat: whether to recompute the gates in the backward pass.
      num_negatives: negative samples of each direction; 0 for the full softmax.
      tied: whether the softmax's weights are the word table.
      mesh: the devices that a batch and the weights are sharded over, see
        `train.loop.sharding`; None for one device.
    """

    config: ElmoConfig
    batches: BilmBatches | None
    held_out: HeldOutWindows | None
    num_words: int
    batch_size: int
    unroll_steps: int
    reset_state: bool
    dtype: jnp.dtype
    remat: bool = False
    num_negatives: int = 0
    tied: bool = False
    mesh: Mesh | None = None

    @property
    def epoch_steps(self) -> int:
        """Number of batches of the first epoch."""
        return 0 if self.batches is None else self.batches.epoch_end(0)

    @property
    def tokens_per_batch(self) -> float:
        """Positions of a batch; each is read once in each direction."""
        if self.batches is None:
            return 0.0
        return self.batches.num_targets / self.epoch_steps

    def init_carry(self) -> Carry:
        """Return zero states."""
        return zero_carry(self.config, self.batch_size)

    def weights_of(self, batch: BilmBatch) -> Mapping[str, Array]:
        """Return the number of positions of a direction, padding included.

        Without the padding, the last windows of an epoch, where most rows have run out,
        would change the weights as much as a full batch.
        """
        return {"positions": jnp.float32(batch.rows.weights[:, 0].size)}

    def rows_read(self, batch: BilmBatch) -> tuple[BilmBatch, Rows]:
        """Return the softmax rows that a batch needs, and the batch for these rows."""
        if batch.negatives is None or self.tied:
            # Of a table that is read as input too, more rows than these have gradients.
            return batch, {}
        ids = jnp.concatenate(
            [batch.rows.targets.reshape(-1), batch.negatives.ids.reshape(-1)]
        )
        if len(ids) >= self.num_words:
            return batch, {}
        rows = unique_rows(ids, self.num_words)
        weights, bias = SOFTMAX_TABLES
        return batch._replace(softmax_rows=rows), {weights: rows, bias: rows}

    def loss(
        self,
        params: ElmoParams,
        carry: Carry,
        batch: BilmBatch,
        weights: Mapping[str, Array],
        key: jax.Array,
    ) -> tuple[Float[Array, ""], tuple[Carry, Means]]:
        """Return half the sum of both directions' mean losses, in nats a word."""
        losses, carry = self.losses(params, carry, batch, key)
        real = batch.rows.weights
        name = "loss" if batch.negatives is None else "sampled_loss"
        means = {
            f"{direction}_{name}": Mean(
                jnp.sum(losses[:, index] * real[:, index]), jnp.sum(real[:, index])
            )
            for index, direction in enumerate(DIRECTIONS)
        }
        total = sum(mean.total for mean in means.values())
        return 0.5 * total / weights["positions"], (carry, means)

    def losses(
        self,
        params: ElmoParams,
        carry: Carry,
        batch: BilmBatch,
        key: jax.Array | None = None,
    ) -> tuple[Float[Array, "B 2 T"], Carry]:
        """Return the loss of each position, and the states after the window."""
        carry = _start_anew(carry, batch.rows, params.start)
        model = StreamedBiLm(
            self.config,
            self.dtype,
            self.reset_state,
            self.remat,
            gather=self._gather_vectors(batch),
        )
        tops, carry = cast(
            tuple[Array, Carry],
            model.apply(
                {"params": params.encoder},
                batch.types,
                batch.rows.words,
                carry,
                deterministic=key is None,
                start=params.start,
                rngs=None if key is None else {"dropout": key},
            ),
        )
        with jax.named_scope("softmax"):
            return self._predict(params, tops.astype(self.dtype), batch), carry

    def _predict(
        self, params: ElmoParams, tops: Float[Array, "B 2 T P"], batch: BilmBatch
    ) -> Float[Array, "B 2 T"]:
        """Return the loss of predicting each position's next word."""
        arrays = params.softmax
        losses = []
        for direction in range(len(DIRECTIONS)):
            contexts = tops[:, direction]
            targets = batch.rows.targets[:, direction]
            if batch.negatives is None:
                flat = contexts.reshape(-1, contexts.shape[-1]).astype(jnp.float32)
                scores = scores_of(*arrays, flat, targets.reshape(-1))
                nll = log_normaliser(*arrays, flat) - scores
                losses.append(nll.reshape(targets.shape))
            else:
                losses.append(
                    sampled_softmax_losses(
                        *arrays,
                        contexts,
                        targets,
                        batch.negatives.ids[direction],
                        batch.negatives.num_tries[direction],
                        self.num_words,
                        batch.softmax_rows,
                    )
                )
        return jnp.stack(losses, axis=1)

    def _gather_vectors(self, batch: BilmBatch) -> Callable[[Array], Array] | None:
        """Return a function that gathers word vectors computed in shares by devices."""
        if self.mesh is None:
            return None
        place = shardings_of_batch(batch, self.mesh).types
        return None if place.is_fully_replicated else partial(gather, place)

    def measure(self, params: ElmoParams, watch: Watch = iter) -> dict[str, float]:
        """Return the held-out perplexity of each direction, over the whole vocabulary.

        All words and sentence ends count, unknown words as `<UNK>`.
        """
        if self.held_out is None:
            return {}
        carry = None
        totals = np.zeros((2, 2))
        # Without its texts, which a compiled program would keep in memory; and another
        # one of the same settings has the same program.
        program = dataclasses.replace(self, batches=None, held_out=None)
        for index in watch(range(len(self.held_out))):
            batch = place_batch(self.held_out[index], self.mesh)
            sums, carry = measure_batch(program, params, carry, batch)
            # In double precision, or figures would depend on what is summed in a batch.
            totals += np.asarray(sums).sum(axis=0, dtype=np.float64)
        forward, backward = (totals[0] / totals[1]).tolist()
        return {
            "loss": (forward + backward) / 2,
            "forward_perplexity": perplexity_of(forward),
            "backward_perplexity": perplexity_of(backward),
            "held_out_words": float(totals[1, 0]),
        }

    @property
    def encoder_flops_per_batch(self) -> float:
        """Operations of the LSTMs; the character CNN, once a type, is left out."""
        config = self.config
        lstm = 2 * config.projection_dim * 4 * config.cell_dim
        if config.has_projection:
            lstm += config.cell_dim * config.projection_dim
        return self._flops(config.num_blocks * lstm)

    @property
    def flops_per_batch(self) -> float:
        """Operations of a step: the LSTMs, and the scored words."""
        scored = self.num_negatives or self.num_words
        return self.encoder_flops_per_batch + self._flops(
            scored * self.config.projection_dim
        )

    def _flops(self, a_position: int) -> float:
        """Return the operations of a step from the multiply-adds of a position."""
        return float(3 * 2 * 2 * a_position * self.batch_size * self.unroll_steps)


@partial(jax.jit, static_argnums=0)
def measure_batch(
    objective: BilmObjective,
    params: ElmoParams,
    carry: Carry | None,
    batch: BilmBatch,
) -> tuple[Float[Array, "B 2 2"], Carry]:
    """Return each row's sums and numbers of the losses of each direction.

    Without a carry rows start from zero states, which are made on all hosts' devices.
    """
    if carry is None:
        carry = objective.init_carry()
    # Not the softmax: of it the compiler gathers a block at a time, where it is read.
    whole = gather_weights(params.replace(heads={}), objective.mesh)
    params = whole.replace(heads=params.heads)
    losses, carry = objective.losses(params, carry, batch)
    real = batch.rows.weights
    each = jnp.stack([jnp.sum(losses * real, axis=2), jnp.sum(real, axis=2)], axis=1)
    return gather_rows(each, objective.mesh), carry


def _start_anew(carry: Carry, rows: BilmRows, start: Carry | None) -> Carry:
    """Set the state of fresh rows to the initial one, by default zero."""
    kept = (~rows.fresh)[:, None].astype(jnp.float32)
    carry = jax.tree.map(lambda state: state * kept, carry)
    if start is None:
        return carry
    return jax.tree.map(lambda state, at: state + (1 - kept) * at, carry, start)
