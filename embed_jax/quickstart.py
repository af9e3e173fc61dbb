# SPDX-License-Identifier: Apache-2.0
"""From nothing to contextual vectors: fetch a model, embed a text, look at a word.

python -m embed_jax.quickstart
"""

import dataclasses
import sys
from pathlib import Path

import tyro

from embed_jax import __main__ as embed_command
from embed_jax import pretrained
from embed_jax.corpus.docstrings import read_paragraphs
from embed_jax.explore import nearest
from embed_jax.files.output_file import open_output

MODEL = "all-MiniLM-L6-v2"


@dataclasses.dataclass(frozen=True)
class Command:
    """Embed the docstrings of Python's standard library with all-MiniLM-L6-v2."""

    directory: Path = Path("quickstart")
    """Where model, text and vectors go."""
    word: str = "window"
    """The word whose contexts are printed."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(Command, args=arguments, prog="python -m embed_jax.quickstart")
    model, corpus, vectors = (
        command.directory / name for name in (MODEL, "corpus.txt", "vectors.h5")
    )
    if pretrained.main([MODEL, str(model)]):
        return 2
    if not corpus.exists():
        with open_output(corpus) as file:
            file.write(("\n".join(read_paragraphs()) + "\n").encode())
    if not vectors.exists():
        status = embed_command.main([str(model), str(corpus), str(vectors), "--resume"])
        if status:
            return status
    return nearest.main([str(vectors), command.word])


if __name__ == "__main__":
    sys.exit(main())
