# SPDX-License-Identifier: Apache-2.0
"""Measures a model or a run on held-out text, with the whole vocabulary.

    python -m train.evaluate runs/elmo_tiny --data data/docstrings_words
    python -m train.evaluate models/bert_tiny --data data/docstrings_pieces

An ELMo: the perplexity of each direction over every word and sentence end, unknown
words as `<UNK>`, nothing dropped. A BERT: loss and accuracy at masked tokens, 15 % of
the text whatever it was trained with, and of its pairs.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import tyro
from tyro.conf import arg

import bert_jax
import elmo_jax
from bert_jax.run import load_run as load_bert_run
from elmo_jax.run import load_run as load_elmo_run
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.files.run_directory import EXPERIMENT, is_run
from train.families.bert.batches import (
    EVALUATION_RATE,
    MaskedLmBatches,
    MaskedLmConfig,
)
from train.families.bert.instances import Pairs
from train.families.bert.objective import MaskedLmObjective
from train.families.bert.pieces import PieceStore
from train.families.elmo.batches import BilmBatches
from train.families.elmo.objective import BilmObjective
from train.families.elmo.words import WordStore

WINDOW = 20


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure a model or a run on held-out text."""

    model: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN_OR_MODEL")]
    """A run, or anything that load reads."""
    data: Annotated[Path, arg(metavar="DIRECTORY")]
    """What train.prepare made, with the vocabulary of the model."""
    part: str = "held_out"
    """held_out or train."""
    step: int | None = None
    """Of a run, whose checkpoint; by default the latest."""
    batch_size: int = 64
    """Rows at a time. An ELMo that carries its state has other figures with another."""
    batches: int | None = None
    """At most so many batches; by default all of them."""
    restarts: bool = True
    """ELMo: whether sentences start from zeros, as they are served, or from the state
    that the one before left. Of a run, what it was trained with."""
    length: int = 128
    """BERT: tokens of a row. Of a run, what it was trained with."""
    pairs: Pairs = "none"
    """BERT: whether pairs are measured, and which. Of a run, as trained."""
    packed: bool = False
    """BERT: whether rows hold several texts. Of a run, as trained."""


def evaluate(command: Command) -> dict[str, float]:
    """Measure a model.

    Raises:
      ValueError: model and data do not belong together.
    """
    path = command.data / command.part
    if not path.is_dir():
        raise ValueError(f"{path}: no such data; python -m train.prepare makes it")
    trained = {}
    if is_run(command.model):
        trained = json.loads((command.model / EXPERIMENT).read_text(encoding="utf-8"))
    if (path / "targets.npy").is_file():
        return _evaluate_bilm(command, path, trained)
    return _evaluate_masked_lm(command, path, trained)


def _evaluate_bilm(command: Command, path: Path, trained: dict) -> dict[str, float]:
    if is_run(command.model):
        params, tokenizer = load_elmo_run(
            command.model, encoder_only=False, step=command.step
        )
    else:
        params, tokenizer = elmo_jax.load(command.model)
    store = WordStore.open(path)
    words = tokenizer.vocabulary
    if "softmax" not in params.heads or words is None:
        raise ValueError(f"{command.model} has no softmax, so it predicts no words")
    if words.words != store.vocabulary.words:
        raise ValueError(
            f"{command.data} was prepared with another vocabulary than that of "
            f"{command.model}; prepare it with --data.vocabulary set to the model's"
        )
    config = params.config
    batches = BilmBatches(
        store,
        batch_size=command.batch_size,
        window=WINDOW,
        shuffled=False,
        widest_filter=config.char_cnn.max_width if config.char_cnn else None,
    )
    objective = BilmObjective(
        config=config,
        batches=batches,
        held_out=batches,
        num_words=len(words),
        batch_size=command.batch_size,
        window=WINDOW,
        restarts=trained.get("restarts", command.restarts),
        dtype=jnp.dtype(jnp.float32),
        held_out_batches=command.batches,
    )
    return objective.measure(params)


def _evaluate_masked_lm(
    command: Command, path: Path, trained: dict
) -> dict[str, float]:
    if is_run(command.model):
        params, _ = load_bert_run(command.model, encoder_only=False, step=command.step)
    else:
        params, _ = bert_jax.load(command.model)
    store = PieceStore.open(path)
    if "mlm" not in params.heads:
        raise ValueError(f"{command.model} has no MLM head, so it predicts no tokens")
    if params.config.vocab_size != len(store.continues):
        raise ValueError(
            f"{command.data} was prepared with {len(store.continues)} pieces, and "
            f"{command.model} has {params.config.vocab_size}; prepare it with "
            "--data.tokenizer set to the model's"
        )
    asked = trained.get("objective", {})
    config = MaskedLmConfig(
        pairs=asked.get("pairs", command.pairs),
        length=asked.get("length", min(command.length, params.config.max_positions)),
        packed=asked.get("packed", command.packed),
        whole_words=asked.get("whole_words", False),
    )
    if config.pairs != "none" and "nsp" not in params.heads:
        raise ValueError(f"{command.model} has no NSP head; measure --pairs none")
    batches = MaskedLmBatches(
        store,
        config,
        batch_size=command.batch_size,
        shuffled=False,
        masking_rate=EVALUATION_RATE,
    )
    objective = MaskedLmObjective(
        config=params.config,
        data=config,
        batches=batches,
        held_out=batches,
        batch_size=command.batch_size,
        dtype=jnp.dtype(jnp.float32),
        held_out_batches=command.batches,
    )
    return objective.measure(params)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(
        Command, args=arguments, prog="python -m train.evaluate", description=__doc__
    )
    keep_compilations()

    def action() -> None:
        sys.stdout.write(json.dumps(evaluate(command), indent=2) + "\n")

    return exit_status("train.evaluate", action, "nothing was written")


if __name__ == "__main__":
    sys.exit(main())
