# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a BERT: held-out loss and accuracy at masked tokens, 15 % of them."""

import dataclasses
from pathlib import Path

import bert_jax
from bert_jax.run import load_run
from train.data.sources import TextSource
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.continuation import piece_ids
from train.families.bert.data import PieceData
from train.families.bert.pieces import PieceStore
from train.families.bert.setup import held_out_rows, masked_lm_objective
from train.families.evaluation import (
    BATCH_SIZE,
    Evaluation,
    evaluation_mesh,
    load_subject,
    shown,
    with_batch_size,
    with_batches,
)
from train.loop.placement import place_weights
from train.loop.setup import compute_dtype

# Of a model; no longer than it takes.
_LENGTH = 128


def evaluate(model: Path, data: Path, asked: Evaluation) -> dict[str, float]:
    """Compute losses and accuracies at masked tokens, and of pairs.

    Raises:
      ValueError: model and text do not match, or an option is not of a BERT.
    """
    asked.refuse("reset_state", of="an ELMo")
    params, tokenizer, experiment = load_subject(
        model, asked.step, MaskedLmPretraining, bert_jax.load, load_run
    )
    store = PieceStore.open(data / asked.part)
    if "mlm" not in params.heads:
        raise ValueError(f"{model} has no MLM head, so it predicts no tokens")
    _check_pieces(model, params, tokenizer, data, store)
    experiment = experiment or _of_model(params.config, data)
    experiment = with_batches(experiment, asked)
    changed = asked.changed("length", "pairs", "packed")
    rows = dataclasses.replace(experiment.objective, **changed)
    experiment = dataclasses.replace(experiment, objective=rows)
    if rows.pairs != "none" and "nsp" not in params.heads:
        raise ValueError(f"{model} has no NSP head; measure --pairs none")
    batch_size = asked.batch_size or experiment.batch_size
    mesh = evaluation_mesh(batch_size)
    objective = masked_lm_objective(
        with_batch_size(experiment, batch_size),
        compute_dtype(experiment.dtype),
        params.config,
        mesh=mesh,
        held_out=held_out_rows(experiment, store, batch_size=batch_size),
    )
    return objective.measure(place_weights(params, mesh), shown)


def _check_pieces(
    model: Path,
    params: bert_jax.BertParams,
    tokenizer: bert_jax.Tokenizer,
    data: Path,
    store: PieceStore,
) -> None:
    if params.config.vocab_size != len(store.continues):
        raise ValueError(
            f"{data} was prepared with {len(store.continues)} pieces, and "
            f"{model} has {params.config.vocab_size}; prepare it with "
            "--data.tokenizer set to the model's"
        )
    if piece_ids(tokenizer) != piece_ids(store.tokenizer):
        raise ValueError(
            f"{data} was prepared with other pieces than {model} has, or in another "
            "order; prepare it with --data.tokenizer set to the model's"
        )


def _of_model(config: bert_jax.BertConfig, data: Path) -> MaskedLmPretraining:
    """Describe how a model is measured of whose training nothing is known."""
    return MaskedLmPretraining(
        model=config,
        data=PieceData(source=TextSource(patterns=()), directory=data),
        objective=MaskedLmConfig(
            pairs="none", length=min(_LENGTH, config.max_positions)
        ),
        batch_size=BATCH_SIZE,
        dtype="float32",
    )
