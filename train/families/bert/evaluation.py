# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a BERT: held-out loss and accuracy at masked tokens, 15 % of them."""

from pathlib import Path

import jax.numpy as jnp

import bert_jax
from bert_jax.run import load_run
from embed_jax.files.run_directory import is_run
from train.families.bert.batches import (
    EVALUATION_RATE,
    MaskedLmBatches,
    MaskedLmConfig,
)
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.continuation import piece_ids
from train.families.bert.objective import MaskedLmObjective
from train.families.bert.pieces import PieceStore
from train.families.evaluation import Evaluation, settings_of, shown


def evaluate(model: Path, data: Path, asked: Evaluation) -> dict[str, float]:
    """Compute losses and accuracies at masked tokens, and of pairs.

    Raises:
      ValueError: model and text do not match.
    """
    if is_run(model):
        params, tokenizer = load_run(model, encoder_only=False, step=asked.step)
    else:
        params, tokenizer = bert_jax.load(model)
    store = PieceStore.open(data / asked.part)
    if "mlm" not in params.heads:
        raise ValueError(f"{model} has no MLM head, so it predicts no tokens")
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
    settings = settings_of(model, MaskedLmPretraining.former_names)
    as_trained = settings.get("objective", {})
    config = MaskedLmConfig(
        pairs=as_trained.get("pairs", asked.pairs),
        length=as_trained.get("length", min(asked.length, params.config.max_positions)),
        packed=as_trained.get("packed", asked.packed),
        whole_words=as_trained.get("whole_words", False),
    )
    if config.pairs != "none" and "nsp" not in params.heads:
        raise ValueError(f"{model} has no NSP head; measure --pairs none")
    batches = MaskedLmBatches(
        store,
        config,
        batch_size=asked.batch_size,
        shuffled=False,
        masking_rate=EVALUATION_RATE,
    )
    objective = MaskedLmObjective(
        config=params.config,
        data=config,
        batches=batches,
        held_out=batches,
        batch_size=asked.batch_size,
        dtype=jnp.dtype(jnp.float32),
        eval_batches=asked.batches,
    )
    return objective.measure(params, shown)
