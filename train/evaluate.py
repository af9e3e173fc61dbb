# SPDX-License-Identifier: Apache-2.0
"""Evaluates a model or a run on held-out text, with the whole vocabulary.

    python -m train.evaluate runs/elmo_tiny --data data/docstrings_words
    python -m train.evaluate models/bert_tiny --data data/docstrings_pieces

For an ELMo: the perplexity of each direction over all words and sentence ends, with
unknown words as `<UNK>`. For a BERT: loss and accuracy at masked tokens, 15 % of the
text whatever the masking rate in training, and on its pairs.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from embed_jax.commands.parsing import parse_command
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.files.bucket import RUN_PATH
from embed_jax.files.json_file import json_text
from embed_jax.files.local_path import with_local_paths
from train.called import called
from train.families.evaluation import Evaluation
from train.families.registry import family_of_model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(Evaluation):
    """Evaluate a model or a run on held-out text."""

    model: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN_OR_MODEL")] = (
        dataclasses.field(metadata=RUN_PATH)
    )
    """Directory of a run, or a model in any form that load reads; it may be in a
    bucket."""
    data: Annotated[Path, arg(metavar="DIRECTORY")]
    """Text prepared by train.prepare, with the vocabulary of the model."""


def evaluate(command: Command) -> dict[str, float]:
    """Evaluate a model and return its metrics.

    Raises:
      ValueError: model and data do not match.
    """
    command = with_local_paths(command)
    path = command.data / command.part
    if not path.is_dir():
        raise ValueError(f"{path}: no such data; {called('prepare')} makes it")
    family = family_of_model(str(command.model))
    return dict(family.evaluate(command.model, command.data, command))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = called("evaluate")
        command = parse_command(Command, arguments, prog=prog, description=__doc__)
        keep_compilations()
        sys.stdout.write(json_text(evaluate(command), indent=2) + "\n")

    return exit_status("train.evaluate", action, "nothing was written")


if __name__ == "__main__":
    sys.exit(main())
