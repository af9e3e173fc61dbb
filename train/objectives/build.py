# SPDX-License-Identifier: Apache-2.0
"""An objective from a configuration, with text or, for a step of shapes, without."""

import dataclasses

import jax.numpy as jnp
from jax.sharding import Mesh

from bert_jax.config import BertConfig
from train.config import BilmPretraining, MaskedLmPretraining
from train.families.bert.batches import MaskedLmBatches
from train.families.bert.objective import MaskedLmObjective
from train.families.elmo.batches import BilmBatches
from train.families.elmo.objective import BilmObjective

HEADS = ("pooler", "mlm", "nsp")


def bilm_objective(
    experiment: BilmPretraining,
    dtype: jnp.dtype,
    num_words: int,
    *,
    mesh: Mesh | None = None,
    batches: BilmBatches | None = None,
    held_out: BilmBatches | None = None,
) -> BilmObjective:
    """Build a biLM's.

    Args:
      experiment: the configuration.
      dtype: of products.
      num_words: of the vocabulary that the text has.
      mesh: of the devices, where there are several.
      batches: of the training text.
      held_out: of the text that is measured.
    """
    return BilmObjective(
        config=experiment.model,
        batches=batches,
        held_out=held_out,
        num_words=num_words,
        batch_size=experiment.batch_size,
        window=experiment.window,
        restarts=experiment.restarts,
        dtype=dtype,
        remat=experiment.remat != "none",
        held_out_batches=experiment.eval_batches,
        num_negatives=experiment.num_negatives,
        mesh=mesh,
    )


def masked_lm_objective(
    experiment: MaskedLmPretraining,
    dtype: jnp.dtype,
    config: BertConfig,
    *,
    mesh: Mesh | None = None,
    batches: MaskedLmBatches | None = None,
    held_out: MaskedLmBatches | None = None,
) -> MaskedLmObjective:
    """Build a BERT's.

    Args:
      experiment: the configuration of one phase.
      dtype: of products.
      config: the experiment's, with the vocabulary that the text has.
      mesh: of the devices, where there are several.
      batches: of the training text.
      held_out: of the text that is measured.
    """
    return MaskedLmObjective(
        config=config,
        data=experiment.objective,
        batches=batches,
        held_out=held_out,
        batch_size=experiment.batch_size,
        dtype=dtype,
        remat=experiment.remat,
        held_out_batches=experiment.eval_batches,
        mesh=mesh,
    )


def heads_of(experiment: MaskedLmPretraining) -> tuple[str, ...]:
    """Return the heads that a BERT is trained through."""
    return ("mlm",) if experiment.objective.pairs == "none" else HEADS


def with_vocabulary(config: BertConfig, size: int, pad_id: int) -> BertConfig:
    """Let the text decide; a small corpus gives fewer pieces than were asked for."""
    return dataclasses.replace(config, vocab_size=size, pad_id=pad_id)
