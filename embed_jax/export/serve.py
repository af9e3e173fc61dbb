# SPDX-License-Identifier: Apache-2.0
"""Runs a program of `embed_jax.export`; a copy of this file is put beside the program.

The copy needs no other file of this project but `text_reader.py`, also put there, which
makes inputs of text for the model's family.

    python ARTEFACT/serve.py < sentences.txt > vectors.jsonl

Each line of text, words between spaces, gives a line of JSON: the words and a vector
for each. Vectors need jax and NumPy alone (and `flatbuffers`, which jax reads programs
with); the text of a BERT needs `tokenizers`, or `sentencepiece`, besides.

    sys.path.insert(0, "ARTEFACT")
    from serve import Served
    served = Served("ARTEFACT")
    served.run(ids=…, segment_ids=…, mask=…)              # [B T width], of arrays
    served.embed([["The", "bank", "of", "the", "river"]])  # a list of [words, width]
"""

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

# Sentences that are run at once.
BATCH = 32


class Served:
    """An exported embedder.

    Attributes:
      manifest: the content of `manifest.json`.
    """

    def __init__(
        self, directory: str | Path, reader: Callable[..., Any] | None = None
    ) -> None:
        """Read the program and the weights.

        Args:
          directory: written by `embed_jax.export`.
          reader: the `Reader` of its text_reader.py; by default of the text_reader.py
            beside this file.

        Raises:
          ValueError: a file is missing or invalid.
        """
        self._directory = Path(directory)
        try:
            text = (self._directory / "manifest.json").read_text(encoding="utf-8")
            self.manifest: dict[str, Any] = json.loads(text)
            program = (self._directory / "program.bin").read_bytes()
            with np.load(self._directory / "weights.npz", allow_pickle=False) as file:
                weights = [file[name] for name in self.manifest["weights"]]
            call = export.deserialize(bytearray(program)).call
        except Exception as error:
            raise ValueError(
                f"{directory} is no exported embedder, or damaged, or of a version of "
                f"jax that {jax.__version__} does not read: {error}"
            ) from error
        self._weights = jax.device_put(weights)
        self._call = jax.jit(call)
        self._reader, self._read = reader, None

    def run(self, **inputs: Any) -> jax.Array:
        """Compute vectors `[B T width]`; the inputs are listed in the manifest."""
        return self._call(self._weights, inputs)

    def embed(
        self, sentences: Sequence[Sequence[str]], *, first: int = 0
    ) -> list[np.ndarray]:
        """Embed sentences, each a list of words; return `[words, width]` for each.

        For a BERT, the vector of a word is that of its first piece, zero for a word
        without pieces. Error messages number the sentences from `first`.

        Raises:
          ValueError: a sentence is longer than the model's maximal length.
        """
        if self._read is None:
            make = self._reader or _reader_beside()
            self._read = make(self._directory, self.manifest["text"], _shape_for)
        inputs, places = self._read(sentences, first)
        vectors = np.asarray(self.run(**inputs), np.float32)
        found = []
        for row, place in enumerate(places):
            words = vectors[row, np.maximum(place, 0)]
            words[place < 0] = 0
            found.append(words)
        return found


def _reader_beside() -> Callable[..., Any]:
    """Return the `Reader` of the text_reader.py beside this file."""
    path = Path(__file__).with_name("text_reader.py")
    spec = importlib.util.spec_from_file_location("text_reader", path)
    if spec is None or spec.loader is None or not path.exists():
        raise ValueError(
            f"{path} is missing; use the serve.py of an artefact, or pass reader="
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Reader


def _shape_for(rows: Sequence[Sequence[Any]], most: int | None = None) -> tuple:
    """Return a batch shape that holds the rows, one of few, to limit compilations."""
    length = _power_of_two(max(map(len, rows), default=1))
    return _power_of_two(len(rows)), min(length, most or length)


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()


def _batches(lines: Iterable[str]) -> Iterator[list[list[str]]]:
    sentences = (line.split() for line in lines)
    while batch := list(islice(sentences, BATCH)):
        yield batch


def main() -> int:
    """Embed the lines of the standard input; return the exit status."""
    try:
        served = Served(Path(__file__).parent)
        first = 0
        for batch in _batches(sys.stdin):
            embedded = served.embed(batch, first=first)
            first += len(batch)
            for words, vectors in zip(batch, embedded, strict=True):
                line = {"words": words, "vectors": vectors.round(7).tolist()}
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    except ValueError as error:
        sys.stderr.write(f"serve: {' '.join(str(error).split())}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
