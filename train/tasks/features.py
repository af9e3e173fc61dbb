# SPDX-License-Identifier: Apache-2.0
"""Cached features: every layer of every word, computed once by a frozen model.

A model on top of frozen features is cheap to train; the encoder's pass over the text is
not. It is made once for all layers, and every `layer_spec`, task and seed reads the
same file.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from embed_jax.corpus.progress import Progress
from embed_jax.encoder import find_encoder
from embed_jax.files.json_file import json_text
from embed_jax.model_identity import identify_model
from embed_jax.store import StoreWriter, VectorStore
from embed_jax.store.layout import IDENTITY

# Rows that are read at once.
BLOCK = 4096


class Features:
    """The layers of some sentences' words, in a file.

    Attributes:
      path: the file.
      offsets: int64, the first row of each sentence, and the number of rows.
      num_layers: layers of a word, the context-free one included.
      layer_dim: width of a layer.
    """

    def __init__(self, path: Path, blanks: Sequence[bool]) -> None:
        """Open a file of `cached_features`; `blanks` marks lines that end documents."""
        self.path = path
        with VectorStore(path) as store:
            self.num_layers: int = store.metadata["num_layers"]
            self.layer_dim = store.dim // self.num_layers
            starts = store.offsets[:-1][~np.array(blanks, bool)]
            self.offsets: Int[np.ndarray, " boundaries"] = np.append(
                starts, store.offsets[-1]
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_blocks(self) -> int:
        """L of a `layer_spec`: the layers are 0 to L."""
        return self.num_layers - 1

    def read(
        self, layers: Sequence[int], dtype: str = "float32"
    ) -> Float[np.ndarray, "rows layers D"]:
        """Read some layers of all rows into memory.

        Args:
          layers: indices of the layers, in the order of the result.
          dtype: of the result.

        Raises:
          ValueError: there is no such layer, or a vector of it is not finite.
        """
        absent = [layer for layer in layers if not 0 <= layer < self.num_layers]
        if absent:
            raise ValueError(
                f"{self.path} has the layers 0 to {self.num_blocks}, not {absent}"
            )
        with VectorStore(self.path) as store:
            total = int(store.offsets[-1])
            result = np.empty((total, len(layers), self.layer_dim), np.dtype(dtype))
            for start in range(0, total, BLOCK):
                stop = min(start + BLOCK, total)
                rows = store.read_rows(start, stop)
                stacked = rows.reshape(-1, self.num_layers, self.layer_dim)
                result[start:stop] = stacked[:, list(layers)]
                check_vectors(result[start:stop], str(self.path))
        return result


def check_vectors(vectors: Float[np.ndarray, "..."], source: str) -> None:
    """Refuse vectors that hold NaN or infinity, which a score would not show.

    Args:
      vectors: any number of them.
      source: what has them, for the message.

    Raises:
      ValueError: one does; names the source.
    """
    if not np.isfinite(vectors).all():
        raise ValueError(
            f"{source} has vectors that are not finite; the training of the model has "
            "failed, or its weights are too large to compute with"
        )


def cached_features(
    model: str,
    sentences: Sequence[Sequence[str]],
    directory: Path,
    *,
    name: str,
    documents: Sequence[int] | None = None,
    context: int | str = 0,
    pool: str = "first",
    dtype: str = "float16",
    keep: Sequence[Int[np.ndarray, " _"]] | None = None,
) -> Features:
    """Compute all layers of all words, or open them if they are cached.

    After an interruption, the next call continues.

    Args:
      model: directory of a model, of a run, or a hub id.
      sentences: the words of each; no sentence is empty.
      directory: of the cache; made if it is missing.
      name: prefix of the file's name; the rest is a digest of everything that the
        vectors depend on.
      documents: the document of each sentence, for `context`; by default all are one.
      context: pieces of neighbouring sentences to add to each sentence, or "document".
      pool: the pooling of a word's pieces.
      dtype: of the file; float16 has three digits, and half the size.
      keep: for each sentence the words whose vectors are kept; by default all.

    Raises:
      ValueError: no known model, an empty sentence, an option that is invalid for the
        model, or a value that overflows the dtype.
    """
    for index, words in enumerate(sentences):
        if not words:
            raise ValueError(f"sentence {index} of {name} has no words")
    encoder = find_encoder(model)
    params, tokenizer = encoder.load(model)
    width = encoder.vector_width(params, "all", pool)
    lines = _lines(sentences, documents if context else None)
    kept = _kept_of_lines(lines, keep)
    description = {
        IDENTITY: identify_model(params, tokenizer),
        "words": _digest([lines, kept and [words.tolist() for words in kept]]),
        "context": context,
        "pool": pool,
        "dtype": dtype,
        "num_layers": width // encoder.vector_width(params, "embeddings", pool),
    }
    path = directory / f"{name}-{_digest(description)[:16]}.h5"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        writer = StoreWriter(
            path,
            dim=width,
            dtype=dtype,
            metadata=description,
            resume=True,
            compression=None,
        )
        done = writer.num_sentences
        # As far back as a sentence can see: each one before it has a piece at least.
        first = max(done - tokenizer.max_length, 0) if context else done
        with writer, Progress(name, len(lines), done) as progress:
            vectors = encoder.stream_words(
                params,
                tokenizer,
                lines[first:],
                "all",
                pool=pool,
                context=context,
                on_batch=progress.computed,
                unknown="warn" if first else "error",
            )
            for index, embedded in enumerate(vectors, start=first):
                if index < done:
                    continue
                chosen = slice(None) if kept is None else kept[index]
                words = np.array(embedded.words, object)[chosen]
                writer.append(embedded.vectors[chosen], words.tolist())
                progress.written(len(words))
    return Features(path, [not line for line in lines])


def _lines(
    sentences: Sequence[Sequence[str]], documents: Sequence[int] | None
) -> list[list[str]]:
    """Return the sentences, with a blank line between two documents."""
    lines: list[list[str]] = []
    for index, words in enumerate(sentences):
        if documents is not None and index and documents[index] != documents[index - 1]:
            lines.append([])
        lines.append(list(words))
    return lines


def _kept_of_lines(
    lines: list[list[str]], keep: Sequence[Int[np.ndarray, " _"]] | None
) -> list[Int[np.ndarray, " _"]] | None:
    """Return `keep` with an empty entry for each blank line."""
    if keep is None:
        return None
    remaining = iter(keep)
    nothing = np.zeros(0, np.int64)
    return [np.asarray(next(remaining)) if line else nothing for line in lines]


def _digest(value: Any) -> str:
    return hashlib.sha256(json_text(value).encode()).hexdigest()
