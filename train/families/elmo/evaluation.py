# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a biLM: held-out perplexity over the whole vocabulary."""

from pathlib import Path

import jax.numpy as jnp

import elmo_jax
from elmo_jax.run import load_run
from embed_jax.files.run_directory import is_run
from train.families.elmo.batches import BilmBatches
from train.families.elmo.config import BilmPretraining
from train.families.elmo.objective import BilmObjective
from train.families.elmo.words import WordStore
from train.families.evaluation import Evaluation, settings_of, shown

WINDOW = 20


def evaluate(model: Path, data: Path, asked: Evaluation) -> dict[str, float]:
    """Compute the perplexity of each direction over the whole vocabulary.

    Raises:
      ValueError: model and text do not match.
    """
    if is_run(model):
        params, tokenizer = load_run(model, encoder_only=False, step=asked.step)
    else:
        params, tokenizer = elmo_jax.load(model)
    store = WordStore.open(data / asked.part)
    words = tokenizer.vocabulary
    if "softmax" not in params.heads:
        raise ValueError(f"{model} has no softmax, so it predicts no words")
    if words is None:
        raise ValueError(
            f"{model} has a softmax but no vocab.txt, so nothing tells which words it "
            "predicts; put the vocabulary that it was trained with beside it"
        )
    if words.words != store.vocabulary.words:
        raise ValueError(
            f"{data} was prepared with another vocabulary than that of "
            f"{model}; prepare it with --data.vocabulary set to the model's"
        )
    config = params.config
    width = store.characters.shape[1]
    if config.char_cnn and width != config.char_cnn.max_characters:
        raise ValueError(
            f"{data} was prepared with words of {width} characters, and {model} reads "
            f"{config.char_cnn.max_characters}; prepare it with --data.max-characters "
            f"{config.char_cnn.max_characters}"
        )
    batches = BilmBatches(
        store,
        batch_size=asked.batch_size,
        unroll_steps=WINDOW,
        shuffled=False,
        widest_filter=config.char_cnn.max_width if config.char_cnn else None,
    )
    as_trained = settings_of(model, BilmPretraining.former_names)
    objective = BilmObjective(
        config=config,
        batches=batches,
        held_out=batches,
        num_words=len(words),
        batch_size=asked.batch_size,
        unroll_steps=WINDOW,
        reset_state=as_trained.get("reset_state", asked.reset_state),
        dtype=jnp.dtype(jnp.float32),
        eval_batches=asked.batches,
    )
    return objective.measure(params, shown)
