# SPDX-License-Identifier: Apache-2.0
"""A file of text to a file of vectors, and back.

    python examples/embed_file.py corpus.txt vectors.h5

In bounded memory, whatever the length of the text. The command
`python -m embed_jax MODEL corpus.txt vectors.h5` does the same and can resume; this is
how to do it where you want a hand in it, for instance to leave words out.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

import elmo_jax
from embed_jax import VectorStore
from embed_jax.store import StoreWriter

TEXT = "The boat lay at the bank.\nThe bank was closed.\n\nIt rained.\n"
SPEC = "concat(last,embeddings)"


def read_sentences(path: Path) -> Iterator[str]:
    """Yield the lines of a file, one at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


def main(corpus: Path, output: Path) -> None:
    """Embed every word of the corpus, then look one up."""
    # Or params, tokenizer = elmo_jax.load(MODEL), or the same of bert_jax.
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
    tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)

    width = elmo_jax.vector_width(params, SPEC, "first")
    metadata = {"corpus": corpus.name, "layers": SPEC}
    with StoreWriter(output, dim=width, dtype="float16", metadata=metadata) as writer:
        sentences = read_sentences(corpus)
        for embedded in elmo_jax.stream_words(params, tokenizer, sentences, SPEC):
            writer.append(embedded.vectors, embedded.words)

    with VectorStore(output) as store:
        print(f"{len(store)} sentences, {store.dim} numbers a word, {store.metadata}")
        for index in range(len(store)):
            words, vectors = store.words(index), store[index]  # [words, D]
            if "bank" in words:
                vector = vectors[words.index("bank")].astype(np.float32)
                print(f"sentence {index}: {' '.join(words)}; {vector[:3].round(3)}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(*map(Path, sys.argv[1:]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "corpus.txt"
            text.write_text(TEXT, encoding="utf-8")
            main(text, Path(folder) / "vectors.h5")
