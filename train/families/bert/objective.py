# SPDX-License-Identifier: Apache-2.0
"""BERT's pretraining objective: masked language modelling, and pair classification.

Devlin et al. 2019, section 3.1. The vocabulary is scored at masked tokens only.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from bert_jax.config import BertConfig
from bert_jax.encoder import Encoder, Remat
from bert_jax.heads import MlmHead, NspHead, Pooler
from bert_jax.params import BertParams
from train.families.bert.batches import MaskedLmBatch, MaskedLmBatches, MaskedLmConfig
from train.families.bert.held_out import HeldOutRows
from train.loop.placement import place_batch
from train.loop.sharding import gather_rows, gather_weights
from train.loop.sparse_rows import Rows
from train.objectives.cross_entropy import cross_entropy
from train.objectives.objective import Mean, Means, Watch, perplexity_of

# As published, so that a batch without a hidden token has a loss.
_AT_LEAST = 1e-5


@dataclasses.dataclass(frozen=True)
class MaskedLmObjective:
    """The training loss and the evaluation of a BERT encoder.

    Attributes:
      config: of the model.
      data: the settings of batches.
      batches: of the training text; None for abstract steps.
      held_out: the rows of the held-out text; None for no evaluation.
      batch_size: rows of a batch, over all devices.
      dtype: of the computation.
      remat: values to recompute in the backward pass.
      mesh: the devices that a batch and the weights are sharded over, see
        `train.loop.sharding`; None for one device.
    """

    config: BertConfig
    data: MaskedLmConfig
    batches: MaskedLmBatches | None
    held_out: HeldOutRows | None
    batch_size: int
    dtype: jnp.dtype
    remat: Remat = "none"
    mesh: Mesh | None = None

    @property
    def epoch_steps(self) -> int:
        """Number of batches of the first epoch."""
        return 0 if self.batches is None else self.batches.epoch_end(0)

    @property
    def tokens_per_batch(self) -> float:
        """Tokens of a batch, specials included, without padding."""
        if self.batches is None:
            return 0.0
        # The first that is made in any case; of this host's rows.
        sequences = self.batches[self.batches.epochs.start].rows.sequences
        return np.count_nonzero(sequences) * self.batch_size / len(sequences)

    def init_carry(self) -> tuple[()]:
        """Return an empty carry: rows are independent."""
        return ()

    def weights_of(self, batch: MaskedLmBatch) -> Mapping[str, Array]:
        """Return the numbers of predicted tokens and of predicted pairs."""
        rows = batch.rows
        return {
            "tokens": jnp.sum(rows.weights) + _AT_LEAST,
            "pairs": jnp.sum(rows.label_weights) + _AT_LEAST,
        }

    def rows_read(self, batch: MaskedLmBatch) -> tuple[MaskedLmBatch, Rows]:
        """Return the batch and no rows: the head scores the whole vocabulary."""
        return batch, {}

    def loss(
        self,
        params: BertParams,
        carry: tuple[()],
        batch: MaskedLmBatch,
        weights: Mapping[str, Array],
        key: jax.Array,
    ) -> tuple[Float[Array, ""], tuple[tuple[()], Means]]:
        """Return the mean loss of masked tokens plus that of pairs, in nats."""
        sums = self._sums(params, batch, key)
        loss = sums.token_loss.total / weights["tokens"]
        means = {
            "masked_loss": sums.token_loss,
            "masked_accuracy": sums.token_accuracy,
        }
        if self.data.pairs != "none":
            loss = loss + sums.pair_loss.total / weights["pairs"]
            means["pair_loss"] = sums.pair_loss
            means["pair_accuracy"] = sums.pair_accuracy
        return loss, (carry, means)

    def _sums(
        self,
        params: BertParams,
        batch: MaskedLmBatch,
        key: jax.Array | None = None,
        axis: int | None = None,
    ) -> "_Sums":
        """Return sums over an axis of rows and predictions, by default over both."""
        rows = batch.rows
        last = cast(
            tuple[Array, ...],
            Encoder(self.config, self.dtype, self.remat).apply(
                {"params": params.encoder},
                rows.ids,
                rows.segment_ids,
                rows.sequences > 0,
                rows.positions if self.data.packed else None,
                deterministic=key is None,
                sequences=rows.sequences if self.data.packed else None,
                rngs=None if key is None else {"dropout": key},
            ),
        )[-1]
        table = params.encoder["embeddings"]["token"]["embedding"]
        hidden = jnp.take_along_axis(last, rows.predicted[..., None], axis=1)
        mlm = MlmHead(self.config, self.dtype)
        logits = mlm.apply({"params": params.heads["mlm"]}, hidden, table)
        tokens = _sums_of(cast(Array, logits), rows.targets, rows.weights, axis)
        if self.data.pairs == "none":
            return _Sums(*tokens, *tokens)
        first = jnp.take_along_axis(last, rows.heads[..., None], axis=1)
        first = first.reshape(-1, 1, first.shape[-1])
        pooler = Pooler(self.config, self.dtype)
        pooled = pooler.apply({"params": params.heads["pooler"]}, first)
        nsp = NspHead(self.config, self.dtype)
        logits = nsp.apply({"params": params.heads["nsp"]}, pooled)
        logits = cast(Array, logits).reshape(*rows.labels.shape, 2)
        pairs = _sums_of(logits, rows.labels, rows.label_weights, axis)
        return _Sums(*tokens, *pairs)

    def measure(self, params: BertParams, watch: Watch = iter) -> dict[str, float]:
        """Return losses and accuracies on held-out text, 15 % of it masked."""
        if self.held_out is None:
            return {}
        # Without its texts, which a compiled program would keep in memory; and another
        # one of the same settings has the same program.
        program = dataclasses.replace(self, batches=None, held_out=None)
        totals = np.zeros((4, 2))
        for index in watch(range(len(self.held_out))):
            batch = place_batch(self.held_out[index], self.mesh)
            # In double precision, or figures would depend on what is summed in a batch.
            totals += np.asarray(measure_batch(program, params, batch)).sum(
                axis=0, dtype=np.float64
            )
        token_loss, token_accuracy, pair_loss, pair_accuracy = (
            float(total / max(weight, _AT_LEAST)) for total, weight in totals
        )
        num_pairs = totals[2, 1]
        metrics = {
            "loss": token_loss,
            "masked_loss": token_loss,
            "masked_perplexity": perplexity_of(token_loss),
            "masked_accuracy": token_accuracy,
            "held_out_predictions": float(totals[0, 1]),
        }
        if self.data.pairs != "none" and num_pairs:  # none in a text of short documents
            metrics["loss"] = token_loss + pair_loss
            metrics |= {"pair_loss": pair_loss, "pair_accuracy": pair_accuracy}
        return metrics

    @property
    def encoder_flops_per_batch(self) -> float:
        """Operations of the blocks' matrix products, in forward and backward pass."""
        config, length = self.config, self.data.length
        width = config.layer_dim
        block = 4 * width**2 + 2 * width * config.mlp_dim + 2 * length * width
        return float(3 * 2 * length * config.num_blocks * block * self.batch_size)

    @property
    def flops_per_batch(self) -> float:
        """Operations of a step: blocks at all tokens, the vocabulary at masked ones."""
        config = self.config
        head = config.layer_dim**2 + config.layer_dim * config.vocab_size
        of_heads = 3 * 2 * self.data.max_predictions * head * self.batch_size
        return self.encoder_flops_per_batch + of_heads


class _Sums(NamedTuple):
    """Of the whole batch, or of each row."""

    token_loss: Mean
    token_accuracy: Mean
    pair_loss: Mean
    pair_accuracy: Mean


@partial(jax.jit, static_argnums=0)
def measure_batch(
    objective: MaskedLmObjective, params: BertParams, batch: MaskedLmBatch
) -> Float[Array, "B 4 2"]:
    """Return each row's sums and weights of losses and accuracies, as in `_Sums`."""
    whole = gather_weights(params, objective.mesh)
    sums = objective._sums(whole, batch, axis=1)
    each = jnp.stack([jnp.stack(mean, axis=-1) for mean in sums], axis=1)
    return gather_rows(each, objective.mesh)


def _sums_of(
    logits: Float[Array, "B M Y"],
    targets: Array,
    weights: Float[Array, "B M"],
    axis: int | None,
) -> tuple[Mean, Mean]:
    """Return loss and accuracy as sums with their weights."""
    with jax.named_scope("cross_entropy"):
        choice = cross_entropy(logits, targets)
    weight = jnp.sum(weights, axis)
    return (
        Mean(jnp.sum(choice.losses * weights, axis), weight),
        Mean(jnp.sum(choice.hits.astype(jnp.float32) * weights, axis), weight),
    )
