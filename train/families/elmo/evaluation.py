# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a biLM: held-out perplexity over the whole vocabulary."""

import dataclasses
from pathlib import Path

import elmo_jax
from elmo_jax.config import ElmoConfig
from elmo_jax.run import load_run
from train.data.sources import TextSource
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.families.elmo.setup import bilm_objective, held_out_windows
from train.families.elmo.words import WordStore
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


def evaluate(model: Path, data: Path, asked: Evaluation) -> dict[str, float]:
    """Compute the perplexity of each direction over the whole vocabulary.

    A model with an initial state (`elmo_jax.warm_start`) is measured as it is served:
    its sentences start from that state. A run is measured as it measured itself.

    Raises:
      ValueError: model and text do not match, or an option is not of an ELMo.
    """
    asked.refuse("length", "pairs", "packed", of="a BERT")
    params, tokenizer, experiment = load_subject(
        model, asked.step, BilmPretraining, elmo_jax.load, load_run
    )
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
    if experiment is not None:
        # It is trained, and measures itself, from zeros.
        params = params.replace(start=None)
    experiment = experiment or _of_model(config, data)
    experiment = with_batches(experiment, asked)
    experiment = dataclasses.replace(
        experiment, model=config, **asked.changed("reset_state")
    )
    batch_size = asked.batch_size or experiment.batch_size
    mesh = evaluation_mesh(batch_size)
    objective = bilm_objective(
        with_batch_size(experiment, batch_size),
        compute_dtype(experiment.dtype),
        len(words),
        mesh=mesh,
        held_out=held_out_windows(experiment, store, batch_size=batch_size),
    )
    return objective.measure(place_weights(params, mesh), shown)


def _of_model(config: ElmoConfig, data: Path) -> BilmPretraining:
    """Describe how a model is measured of whose training nothing is known."""
    return BilmPretraining(
        model=config,
        data=WordData(source=TextSource(patterns=()), directory=data),
        reset_state=True,
        batch_size=BATCH_SIZE,
        dtype="float32",
    )
