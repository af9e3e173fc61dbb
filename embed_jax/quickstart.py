# SPDX-License-Identifier: Apache-2.0
"""A quickstart: fetches a model, embeds a text, and shows the contexts of a word.

python -m embed_jax.quickstart
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import sys
from pathlib import Path

from embed_jax import __main__ as embed_command
from embed_jax.checks import check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.corpus.docstrings import read_paragraphs
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.explore import nearest
from embed_jax.files.claim import claim_directory
from embed_jax.files.hub import fetch_snapshot
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import open_output
from embed_jax.store import VectorStore

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
"""The files of that model to fetch."""
CORPUS, VECTORS = "corpus.txt", "vectors.h5"


@dataclasses.dataclass(frozen=True)
class Command:
    """Embed the docstrings of Python's standard library, and show a word's contexts."""

    model: str = MODEL
    """Directory of a model, or an id on the Hugging Face hub."""
    directory: Path = Path("quickstart")
    """Directory to write text and vectors to."""
    word: str = "window"
    """The word whose contexts are printed."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = "python -m embed_jax.quickstart"
        command = parse_command(Command, arguments, prog=prog)
        keep_compilations()
        quickstart(command)

    return exit_status(
        "embed_jax.quickstart", action, "the same command goes on where it was"
    )


def quickstart(command: Command) -> None:
    """Run all steps whose outputs do not exist yet.

    Raises:
      ValueError: no such model, text, or word; or there are vectors of another model.
      OSError: a file cannot be read or written.
    """
    command = with_local_paths(command)
    vectors = command.directory / VECTORS
    if vectors.exists():
        with VectorStore(vectors) as store:
            held = store.metadata.get("model")
        if held != command.model:
            raise ValueError(
                f"{vectors} holds vectors of {held}; give another --directory"
            )
    else:
        with claim_directory(command.directory):
            _embed(command, command.directory / CORPUS, vectors)
    nearest.print_nearest(nearest.Command(vectors, command.word))


def _embed(command: Command, corpus: Path, vectors: Path) -> None:
    """Write the text, unless it is there, and its vectors."""
    if command.model == MODEL:
        _fetch_model()
    if not corpus.exists():
        with open_output(corpus) as file:
            file.write(("\n".join(read_paragraphs()) + "\n").encode())
    embed_command.embed_corpus(
        embed_command.Command(command.model, corpus, vectors, resume=True)
    )


def _fetch_model() -> None:
    """Fetch the default model, or raise an error that says how to do it by hand."""
    try:
        fetch_snapshot(MODEL, FILES)
    except ValueError as error:
        raise ValueError(
            f"the hub cannot be reached; download {', '.join(FILES)} from "
            f"https://huggingface.co/{MODEL}/tree/main into a directory and give it as "
            f"--model DIRECTORY ({error})"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
