# SPDX-License-Identifier: Apache-2.0
"""Serves what `embed_jax.export` wrote. This file stands alone; a copy lies beside it.

    python ARTEFACT/serve.py < sentences.txt > vectors.jsonl

Each line of text, words between spaces, gives a line of JSON: the words and a vector
for each. Vectors need jax and NumPy alone (and `flatbuffers`, which jax reads programs
with); the text of a BERT needs `tokenizers`, or `sentencepiece`, besides.

    served = Served("ARTEFACT")
    served.run(ids=…, segment_ids=…, mask=…)              # [B T width], of arrays
    served.embed([["The", "bank", "of", "the", "river"]])  # a list of [words, width]
"""

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
BEGIN_WORD, END_WORD, NO_CHARACTER = 259, 260, 261
BOUNDARIES = {"<S>": 257, "</S>": 258}


class Served:
    """An exported embedder.

    Attributes:
      manifest: what `manifest.json` says.
    """

    def __init__(self, directory: str | Path) -> None:
        """Read program and weights.

        Raises:
          ValueError: a file is missing or is not what it should be.
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
        kind = self.manifest["text"]["kind"]
        self._read = {"bert": self._read_pieces, "elmo": self._read_words}[kind]
        self._split: Callable[[Sequence[str]], list[list[int]]] | None = None

    def run(self, **inputs: Any) -> jax.Array:
        """Compute vectors `[B T width]` of the arrays that the manifest names."""
        return self._call(self._weights, inputs)

    def embed(
        self, sentences: Sequence[Sequence[str]], *, first: int = 0
    ) -> list[np.ndarray]:
        """Embed sentences, each a list of words: for each `[words, width]`.

        The vector of a BERT's word is its first piece's; one without a piece has zeros.
        Messages count the sentences from `first`.

        Raises:
          ValueError: a sentence is longer than the model reads.
        """
        inputs, places = self._read(sentences, first)
        vectors = np.asarray(self.run(**inputs), np.float32)
        found = []
        for row, place in enumerate(places):
            words = vectors[row, np.maximum(place, 0)]
            words[place < 0] = 0
            found.append(words)
        return found

    def _read_pieces(
        self, sentences: Sequence[Sequence[str]], first: int
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Lay word pieces in rows; tell where the first piece of each word lies."""
        text = self.manifest["text"]
        if self._split is None:
            self._split = _piece_splitter(self._directory)
        rows, places = [], []
        for index, words in enumerate(sentences, start=first):
            pieces = self._split(words)
            row = [text["cls_id"], *(piece for word in pieces for piece in word)]
            row.append(text["sep_id"])
            if len(row) > text["max_length"]:
                raise ValueError(
                    f"sentence {index} has {len(row)} tokens with specials, more than "
                    f"{text['max_length']}; divide it"
                )
            counts = np.array([len(word) for word in pieces], np.int64)
            starts = 1 + np.cumsum(counts) - counts
            rows.append(row)
            places.append(np.where(counts > 0, starts, -1))
        shape = _shape_for(rows, text["max_length"])
        ids = np.full(shape, text["pad_id"], np.int32)
        mask = np.zeros(shape, bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = True
        return {"ids": ids, "segment_ids": np.zeros_like(ids), "mask": mask}, places

    def _read_words(
        self, sentences: Sequence[Sequence[str]], first: int
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Lay words in rows, and spell each distinct one once."""
        del first  # A row may be of any length, so there is nothing to refuse.
        types = {"<S>": 0, "</S>": 1}
        rows = [
            [types.setdefault(word, len(types)) for word in words]
            for words in sentences
        ]
        shape = _shape_for(rows)
        words = np.zeros(shape, np.int32)
        for number, row in enumerate(rows):
            words[number, : len(row)] = row
        lengths = np.zeros((shape[0], 1), np.int64)
        lengths[: len(rows), 0] = [len(row) for row in rows]
        positions = np.arange(shape[1])[None]
        inputs = {
            "types": self._spell(list(types)),
            "words": words,
            "mask": positions < lengths,
            "starts": (positions == 0) & (lengths > 0),
            "ends": positions == lengths - 1,
        }
        return inputs, [np.arange(len(row)) for row in rows]

    def _spell(self, words: list[str]) -> np.ndarray:
        number = _power_of_two(len(words))
        text = self.manifest["text"]
        if "max_characters" not in text:
            vocabulary = _vocabulary(self._directory)
            unknown = vocabulary["<UNK>"]
            ids = [vocabulary.get(word, unknown) for word in words]
            return np.array(ids + [0] * (number - len(words)), np.int32)
        longest = text["max_characters"]
        rows = np.zeros((number, longest), np.int32)
        rows[: len(words)] = NO_CHARACTER
        for row, word in zip(rows, words, strict=False):
            spelled = [byte + 1 for byte in word.encode("utf-8", "ignore")]
            if word in BOUNDARIES:
                spelled = [BOUNDARIES[word]]
            spelled = [BEGIN_WORD, *spelled[: longest - 2], END_WORD]
            row[: len(spelled)] = spelled
        return rows


def _piece_splitter(directory: Path) -> Callable[[Sequence[str]], list[list[int]]]:
    """Return what gives the pieces of each word of a sentence."""
    if (directory / "tokenizer.json").exists():
        import tokenizers

        backend = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        backend.no_truncation()
        backend.no_padding()

        def split(words: Sequence[str]) -> list[list[int]]:
            encoding = backend.encode(
                list(words), is_pretokenized=True, add_special_tokens=False
            )
            pieces: list[list[int]] = [[] for _ in words]
            for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
                if word is not None:  # as specials have none
                    pieces[word].append(piece)
            return pieces

        return split
    import sentencepiece

    (path,) = directory.glob("*.model")
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return lambda words: [model.encode(word) for word in words]


def _vocabulary(directory: Path) -> dict[str, int]:
    lines = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {line.split("\t")[0]: index for index, line in enumerate(lines) if line}


def _shape_for(rows: Sequence[Sequence[int]], most: int | None = None) -> tuple:
    """Return a shape that holds the rows; few differ, so that few are compiled."""
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
