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

import tyro
from tyro.conf import arg

from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from train.families.evaluation import Evaluation
from train.families.registry import family_of_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(Evaluation):
    """Measure a model or a run on held-out text."""

    model: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN_OR_MODEL")]
    """A run, or anything that load reads."""
    data: Annotated[Path, arg(metavar="DIRECTORY")]
    """What train.prepare made, with the vocabulary of the model."""


def evaluate(command: Command) -> dict[str, float]:
    """Measure a model.

    Raises:
      ValueError: model and data do not belong together.
    """
    path = command.data / command.part
    if not path.is_dir():
        raise ValueError(f"{path}: no such data; python -m train.prepare makes it")
    family = family_of_model(str(command.model))
    return dict(family.evaluate(command.model, command.data, command))


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
