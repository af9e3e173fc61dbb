# SPDX-License-Identifier: Apache-2.0
"""Construction of a BERT's objectives and initial weights from its configuration."""

import dataclasses
from typing import cast

import jax.numpy as jnp
from jax.sharding import Mesh

import bert_jax
from bert_jax.config import BertConfig
from embed_jax.devices.random_keys import random_key
from train.data.encoding import HELD_OUT, TRAIN
from train.data.store import TokenStore, open_arrays
from train.families.bert.batches import MaskedLmBatches
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.continuation import continue_bert
from train.families.bert.held_out import HeldOutRows
from train.families.bert.instances import has_pairs
from train.families.bert.objective import MaskedLmObjective
from train.families.bert.pieces import PieceStore
from train.families.family import Setup
from train.loop.placement import host_slice

HEADS = ("pooler", "mlm", "nsp")
_DEFAULT = BertConfig()


def set_up(
    experiment: MaskedLmPretraining, dtype: jnp.dtype, mesh: Mesh | None
) -> Setup:
    """Open the text, and initialise the weights or load those of a model.

    Raises:
      ValueError: the text is damaged, or the weights to load do not fit.
    """
    data = experiment.data
    train = PieceStore.open(data.directory / TRAIN)
    held_out = None
    if data.held_out_every and experiment.eval_every:
        held_out = PieceStore.open(data.directory / HELD_OUT)
    _check_text(experiment.model, train)
    config = with_vocabulary(experiment.model, len(train.continues), train.pad_id)
    objectives = tuple(
        _objective_of(
            cast(MaskedLmPretraining, phase.experiment),
            dtype,
            config,
            mesh,
            train,
            held_out,
        )
        for phase in experiment.phases()
    )
    key = random_key(experiment.seed, "weights")
    params = bert_jax.init_params(key, config, heads_of(experiment))
    if experiment.init_from:
        params = continue_bert(experiment.init_from, params, train.tokenizer)
    lacking = _lacking(experiment, train)
    return Setup(objectives, params, train.tokenizer, lacking=lacking)


def lacking(experiment: MaskedLmPretraining) -> str | None:
    """Return what is to be said of prepared text in which no passage follows another.

    Raises:
      ValueError: the text is damaged.
    """
    path = experiment.data.directory / TRAIN
    # Unchecked but for its ends: its tokens, which are many, are not looked at.
    return _lacking(experiment, TokenStore(path, *open_arrays(path)))


def _lacking(experiment: MaskedLmPretraining, store: TokenStore) -> str | None:
    objectives = [
        cast(MaskedLmPretraining, phase.experiment).objective
        for phase in experiment.phases()
    ]
    with_pairs = [each for each in objectives if each.pairs != "none"]
    if all(has_pairs(store, each.length) for each in with_pairs):
        return None
    pairs, data = experiment.objective.pairs, experiment.data
    effect = (
        "every second passage would be a random one"
        if pairs == "nsp"
        else "no pair would have a label"
    )
    why = "a document of it is one sentence, or has only sentences that fill a row"
    if getattr(data.source, "form", None) == "sentences":
        why = "the form sentences makes a document of each line, whatever is between"
    return (
        f"the text in {data.directory} has no two passages that follow each other "
        f"({why}), so {effect}: give objective.pairs none, or prepare text of the form "
        "documents (a sentence a line, blank lines between documents) or prose"
    )


def _check_text(model: BertConfig, store: PieceStore) -> None:
    """Refuse a size that was asked for and that the text overrules.

    Raises:
      ValueError: names the field.
    """
    of_text = {"vocab_size": len(store.continues), "pad_id": store.pad_id}
    for name, ours in of_text.items():
        asked = getattr(model, name)
        if asked not in (ours, getattr(_DEFAULT, name)):
            raise ValueError(
                f"model.{name} is {asked}, and {ours} in the prepared text, which "
                f"decides; leave model.{name} out, or prepare the text with other "
                "pieces"
            )


def _objective_of(
    experiment: MaskedLmPretraining,
    dtype: jnp.dtype,
    config: BertConfig,
    mesh: Mesh | None,
    train: PieceStore,
    held_out: PieceStore | None,
) -> MaskedLmObjective:
    batches = MaskedLmBatches(
        train,
        experiment.objective,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        share=host_slice(),
    )
    return masked_lm_objective(
        experiment,
        dtype,
        config,
        mesh=mesh,
        batches=batches,
        held_out=held_out and held_out_rows(experiment, held_out),
    )


def held_out_rows(
    experiment: MaskedLmPretraining, store: PieceStore, *, batch_size: int | None = None
) -> HeldOutRows:
    """Return the rows of a text that an experiment is measured on.

    Args:
      experiment: the configuration of one phase. Its `eval_batches` are of its own
        `batch_size`, and so a number of rows.
      store: the text.
      batch_size: rows of a batch; by default the experiment's.
    """
    limit = experiment.eval_batches
    return HeldOutRows(
        store,
        experiment.objective,
        batch_size=batch_size or experiment.batch_size,
        max_rows=None if limit is None else limit * experiment.batch_size,
        share=host_slice(),
    )


def masked_lm_objective(
    experiment: MaskedLmPretraining,
    dtype: jnp.dtype,
    config: BertConfig,
    *,
    mesh: Mesh | None = None,
    batches: MaskedLmBatches | None = None,
    held_out: HeldOutRows | None = None,
) -> MaskedLmObjective:
    """Build the objective of a BERT.

    Args:
      experiment: the configuration of one phase.
      dtype: of products.
      config: the model's, with the vocabulary size of the text.
      mesh: of the devices, if there are several.
      batches: of the training text.
      held_out: the rows of the held-out text.
    """
    return MaskedLmObjective(
        config=config,
        data=experiment.objective,
        batches=batches,
        held_out=held_out,
        batch_size=experiment.batch_size,
        dtype=dtype,
        remat=experiment.remat,
        mesh=mesh,
    )


def heads_of(experiment: MaskedLmPretraining) -> tuple[str, ...]:
    """Return the heads that pretraining needs."""
    return ("mlm",) if experiment.objective.pairs == "none" else HEADS


def with_vocabulary(config: BertConfig, size: int, pad_id: int) -> BertConfig:
    """Return the configuration with the vocabulary size and pad id of the text."""
    return dataclasses.replace(config, vocab_size=size, pad_id=pad_id)
