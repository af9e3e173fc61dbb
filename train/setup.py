# SPDX-License-Identifier: Apache-2.0
"""From a configuration to what the loop runs: objective, first weights, tokeniser."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

import bert_jax
import elmo_jax
from bert_jax.huggingface import write_config
from elmo_jax.options import format_options
from elmo_jax.vocabulary import write_vocabulary
from train.config import BilmPretraining, Experiment, MaskedLmPretraining
from train.continuation import continue_bert, continue_elmo
from train.data.bilm_batches import BilmBatches
from train.data.encoding import HELD_OUT, TRAIN
from train.data.masked_lm_batches import EVALUATION_RATE, MaskedLmBatches
from train.data.pieces import PieceStore
from train.data.prepared import check_prepared
from train.data.words import WordStore
from train.objectives.bilm import BilmObjective
from train.objectives.masked_lm import MaskedLmObjective
from train.objectives.objective import Objective, Params
from train.placement import share_of_host

HELD_OUT_SEED = 0
HEADS = ("pooler", "mlm", "nsp")


class Setup(NamedTuple):
    """What a configuration means.

    Attributes:
      objective: what the loop trains and measures.
      params: the first weights.
      tokenizer: that belongs to them.
    """

    objective: Objective
    params: Params
    tokenizer: Any


def set_up(experiment: Experiment, mesh: Mesh | None = None) -> Setup:
    """Open the data and draw or load the first weights.

    Args:
      experiment: the configuration.
      mesh: the devices of all hosts; by default one is enough.

    Raises:
      ValueError: the data is not prepared, or the weights do not fit.
    """
    check_prepared(experiment.data)
    if isinstance(experiment, BilmPretraining):
        return _set_up_bilm(experiment, mesh)
    return _set_up_masked_lm(experiment)


def compute_dtype(name: str) -> jnp.dtype:
    """Return the type of products: "auto" is bfloat16 on accelerators."""
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def write_model(directory: Path, params: Params, tokenizer: Any) -> None:
    """Write a model's configuration and tokeniser, in the published form."""
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(params, bert_jax.BertParams):
        settings, name = write_config(params), "config.json"
        tokenizer.save(directory)
    else:
        words = tokenizer.vocabulary
        settings, name = format_options(params.config, len(words)), "options.json"
        write_vocabulary(directory / "vocab.txt", words)
    text = json.dumps(settings, indent=2) + "\n"
    (directory / name).write_text(text, encoding="utf-8")


def _set_up_bilm(experiment: BilmPretraining, mesh: Mesh | None) -> Setup:
    config, data = experiment.model, experiment.data
    train = WordStore.open(data.directory / TRAIN)
    words = train.vocabulary
    if not words.counts and experiment.num_negatives:
        # Negatives are drawn by rank; the counts have proven that ranks mean frequency.
        raise ValueError(
            f"{data.directory}: the vocabulary has no counts, so nothing tells that it "
            "is sorted by falling frequency; prepare the data again"
        )
    widest_filter = config.char_cnn.max_width if config.char_cnn else None
    batches = BilmBatches(
        train,
        batch_size=experiment.batch_size,
        window=experiment.window,
        seed=experiment.seed,
        num_negatives=experiment.num_negatives,
        widest_filter=widest_filter,
        share=share_of_host(),
    )
    held_out = None
    if data.held_out_every and experiment.eval_every:
        held_out = BilmBatches(
            WordStore.open(data.directory / HELD_OUT),
            batch_size=experiment.batch_size,
            window=experiment.window,
            shuffled=False,
            widest_filter=widest_filter,
            share=share_of_host(),
        )
    objective = BilmObjective(
        config=config,
        batches=batches,
        held_out=held_out,
        num_words=len(words),
        batch_size=experiment.batch_size,
        window=experiment.window,
        restarts=experiment.restarts,
        dtype=compute_dtype(experiment.dtype),
        remat=experiment.remat != "none",
        held_out_batches=experiment.eval_batches,
        num_negatives=experiment.num_negatives,
        mesh=mesh,
    )
    key = jax.random.key(experiment.seed)
    params = elmo_jax.init_params(key, config, len(words))
    if experiment.init_from:
        params = continue_elmo(experiment.init_from, params, words)
    return Setup(objective, params, elmo_jax.ElmoTokenizer(config, words))


def _set_up_masked_lm(experiment: MaskedLmPretraining) -> Setup:
    config, data = experiment.model, experiment.data
    train = PieceStore.open(data.directory / TRAIN)
    tokenizer = train.tokenizer
    # The vocabulary decides; a small corpus gives a smaller one than was asked for.
    config = dataclasses.replace(
        config, vocab_size=len(train.continues), pad_id=train.pad_id
    )
    batches = MaskedLmBatches(
        train,
        experiment.objective,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        share=share_of_host(),
    )
    held_out = None
    if data.held_out_every and experiment.eval_every:
        held_out = MaskedLmBatches(
            PieceStore.open(data.directory / HELD_OUT),
            experiment.objective,
            batch_size=experiment.batch_size,
            seed=HELD_OUT_SEED,
            shuffled=False,
            masking_rate=EVALUATION_RATE,
            share=share_of_host(),
        )
    objective = MaskedLmObjective(
        config=config,
        data=experiment.objective,
        batches=batches,
        held_out=held_out,
        batch_size=experiment.batch_size,
        dtype=compute_dtype(experiment.dtype),
        remat=experiment.remat,
        held_out_batches=experiment.eval_batches,
    )
    key = jax.random.key(experiment.seed)
    heads = ("mlm",) if experiment.objective.pairs == "none" else HEADS
    params = bert_jax.init_params(key, config, heads)
    if experiment.init_from:
        params = continue_bert(experiment.init_from, params, tokenizer)
    return Setup(objective, params, tokenizer)
