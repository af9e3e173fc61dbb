# SPDX-License-Identifier: Apache-2.0
"""From a configuration to what the loop runs: objective, first weights, tokeniser."""

import filecmp
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

import bert_jax
import elmo_jax
from bert_jax.config import BertConfig
from bert_jax.huggingface import write_config
from elmo_jax.options import format_options
from elmo_jax.vocabulary import write_vocabulary
from embed_jax.files.directory import written_whole
from train.config import BilmPretraining, Experiment, MaskedLmPretraining
from train.continuation import continue_bert, continue_elmo
from train.data.encoding import HELD_OUT, TRAIN
from train.data.prepared import check_prepared
from train.families.bert.batches import EVALUATION_RATE, MaskedLmBatches
from train.families.bert.objective import MaskedLmObjective
from train.families.bert.pieces import PieceStore
from train.families.elmo.batches import BilmBatches
from train.families.elmo.words import WordStore
from train.loop.phases import phases_of
from train.loop.placement import share_of_host
from train.objectives.build import (
    bilm_objective,
    heads_of,
    masked_lm_objective,
    with_vocabulary,
)
from train.objectives.objective import Objective, Params

HELD_OUT_SEED = 0
CONFIG = "config.json"


class Setup(NamedTuple):
    """What a configuration means.

    Attributes:
      objectives: what the loop trains and measures, of each phase.
      params: the first weights.
      tokenizer: that belongs to them.
    """

    objectives: tuple[Objective, ...]
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
    return _set_up_masked_lm(experiment, mesh)


def compute_dtype(name: str) -> jnp.dtype:
    """Return the type of products: "auto" is bfloat16 on accelerators."""
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def write_model(directory: Path, params: Params, tokenizer: Any) -> None:
    """Write a model's configuration and tokeniser, in the published form.

    The directory appears whole or not at all; one that holds the same stays.

    Raises:
      FileExistsError: it is there and holds something else.
    """
    if directory.is_dir() and any(directory.iterdir()):
        with tempfile.TemporaryDirectory() as temporary:
            _write_files(Path(temporary), params, tokenizer)
            is_same = _hold_the_same(Path(temporary), directory)
        if not is_same:
            raise FileExistsError(
                f"{directory} is there already, and is not what this run would write; "
                "move it, or give another directory"
            )
        return
    with written_whole(directory, marker=CONFIG, overwrite=directory.is_dir()) as fresh:
        _write_files(fresh, params, tokenizer)


def _hold_the_same(one: Path, other: Path) -> bool:
    names = sorted(entry.name for entry in one.iterdir())
    if names != sorted(entry.name for entry in other.iterdir()):
        return False
    _, *different = filecmp.cmpfiles(one, other, names, shallow=False)
    return not any(different)


def _write_files(directory: Path, params: Params, tokenizer: Any) -> None:
    if isinstance(params, bert_jax.BertParams):
        settings, name = write_config(params), CONFIG
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
    objective = bilm_objective(
        experiment,
        compute_dtype(experiment.dtype),
        len(words),
        mesh=mesh,
        batches=batches,
        held_out=held_out,
    )
    key = jax.random.key(experiment.seed)
    params = elmo_jax.init_params(key, config, len(words))
    if experiment.init_from:
        params = continue_elmo(experiment.init_from, params, words)
    return Setup((objective,), params, elmo_jax.ElmoTokenizer(config, words))


def _set_up_masked_lm(experiment: MaskedLmPretraining, mesh: Mesh | None) -> Setup:
    data = experiment.data
    train = PieceStore.open(data.directory / TRAIN)
    held_out = None
    if data.held_out_every and experiment.eval_every:
        held_out = PieceStore.open(data.directory / HELD_OUT)
    config = with_vocabulary(experiment.model, len(train.continues), train.pad_id)
    objectives = tuple(
        _masked_lm_of(
            cast(MaskedLmPretraining, phase.experiment), config, mesh, train, held_out
        )
        for phase in phases_of(experiment)
    )
    key = jax.random.key(experiment.seed)
    params = bert_jax.init_params(key, config, heads_of(experiment))
    if experiment.init_from:
        params = continue_bert(experiment.init_from, params, train.tokenizer)
    return Setup(objectives, params, train.tokenizer)


def _masked_lm_of(
    experiment: MaskedLmPretraining,
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
        share=share_of_host(),
    )
    measured = held_out and MaskedLmBatches(
        held_out,
        experiment.objective,
        batch_size=experiment.batch_size,
        seed=HELD_OUT_SEED,
        shuffled=False,
        masking_rate=EVALUATION_RATE,
        share=share_of_host(),
    )
    return masked_lm_objective(
        experiment,
        compute_dtype(experiment.dtype),
        config,
        mesh=mesh,
        batches=batches,
        held_out=measured,
    )
