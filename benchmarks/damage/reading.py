# SPDX-License-Identifier: Apache-2.0
"""Reads an artefact whole, as a user would, and returns a digest of what it says."""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bert_jax.tokenizer import SentencePieceTokenizer, WordPieceTokenizer
from embed_jax.encoder import find_encoder
from embed_jax.explore.word_types import read_word_types
from embed_jax.files.run_directory import read_weights
from embed_jax.store import StoreWriter, VectorStore
from tests.train.experiments import losses, make_experiment, one_device
from train.config import Pretraining
from train.data.sources import Documents
from train.families.bert.pieces import PieceStore
from train.families.elmo.words import WordStore
from train.pretrain import pretrain

SENTENCES = [
    "The old bank sees the river.",
    "My sister forgets some money today, naïve café!",
    "No walrus has never seen bread again .",
]
NUM_SENTENCES, DIM = 240, 24
RESUMED_STEPS = 8


class Digest:
    """A running digest of arrays, texts and what is made of them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._hash = hashlib.sha256()

    def add(self, *values: Any) -> None:
        """Add arrays by dtype, shape and bytes, and anything else by its text."""
        for value in values:
            if isinstance(value, np.ndarray | jax.Array):
                array = np.ascontiguousarray(value)
                self._hash.update(f"{array.dtype}{array.shape}".encode())
                self._hash.update(array.tobytes())
            else:
                self._hash.update(repr(value).encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def read_model(path: Path) -> str:
    """Structure and values of a model, the digest of each, joined by a colon.

    The structure is the configuration, names, shapes and types of all weights, the
    vocabulary, and the tokens of a few sentences.
    """
    params, tokenizer = find_encoder(str(path)).load(str(path))
    structure, values = Digest(), Digest()
    structure.add(params.config, _vocabulary(tokenizer))
    for name, leaf in jax.tree_util.tree_leaves_with_path(params):
        structure.add(jax.tree_util.keystr(name), leaf.shape, str(leaf.dtype))
        values.add(np.asarray(leaf))
    for leaf in jax.tree.leaves(tokenizer(SENTENCES)):
        structure.add(np.asarray(leaf))
    return f"{structure}:{values}"


def _vocabulary(tokenizer: Any) -> Any:
    """Return every piece or word of a tokeniser, in order; None for characters."""
    if isinstance(tokenizer, WordPieceTokenizer):
        pieces = tokenizer.backend.get_vocab(with_added_tokens=True)
        return sorted(pieces.items(), key=lambda item: item[1])
    if isinstance(tokenizer, SentencePieceTokenizer):
        return [tokenizer.model.id_to_piece(i) for i in range(tokenizer.vocab_size)]
    vocabulary = getattr(tokenizer, "vocabulary", None)
    return None if vocabulary is None else vocabulary.words


def run_experiment(kind: str, data: Path) -> Pretraining:
    """Return the configuration of the runs, which stop before their last step."""
    return make_experiment(
        kind, data, num_steps=RESUMED_STEPS, save_every=3, eval_every=3
    )


def resume_run(path: Path, kind: str, data: Path) -> str:
    """Go on with a run; its figures, and its weights at the end."""
    pretrain(run_experiment(kind, data), path, mesh=one_device())
    digest = Digest()
    digest.add(losses(path))
    weights, step = read_weights(path)
    digest.add(step)
    for name, leaf in jax.tree_util.tree_leaves_with_path(weights):
        digest.add(jax.tree_util.keystr(name), leaf)
    return str(digest)


def read_store(path: Path) -> str:
    """Every vector and word of a store, and its description."""
    digest = Digest()
    with VectorStore(path / "vectors.h5") as store:
        digest.add(store.metadata, len(store), store.dim, str(store.dtype))
        for index, vectors in enumerate(store):
            digest.add(vectors, store.words(index))
    return str(digest)


def finish_store(path: Path) -> str:
    """Go on with an unfinished store to its end, and read it."""
    with StoreWriter(path / "vectors.h5", **STORE, resume=True) as writer:
        append_sentences(writer, range(writer.num_sentences, NUM_SENTENCES))
    return read_store(path)


STORE: dict[str, Any] = {"dim": DIM, "metadata": {"model": "m", "layers": "last"}}


def append_sentences(writer: StoreWriter, numbers: range) -> None:
    """Append the sentences of these numbers, the same at every time."""
    for number in numbers:
        length = number % 7
        vectors = np.random.default_rng(number).standard_normal((length, DIM))
        words = [f"wörd{number}_{place}" for place in range(length)]
        writer.append(vectors.astype(np.float32), words)


def read_pieces(path: Path) -> str:
    """Arrays and tokeniser of text that was prepared for a BERT."""
    digest = Digest()
    for part in ("train", "held_out"):
        store = PieceStore.open(path / part)
        digest.add(store.tokens, store.sentence_starts, store.document_starts)
        digest.add(store.continues, store.cls_id, store.sep_id, store.mask_id)
        digest.add([p.ids.tolist() for p in store.tokenizer.encode(SENTENCES)])
    return str(digest)


def read_words(path: Path) -> str:
    """Arrays and vocabulary of text that was prepared for a biLM."""
    digest = Digest()
    for part in ("train", "held_out"):
        store = WordStore.open(path / part)
        digest.add(store.tokens, store.sentence_starts, store.document_starts)
        digest.add(store.targets, store.characters, store.types)
        digest.add(store.vocabulary.words, store.vocabulary.counts)
    return str(digest)


def read_documents(path: Path) -> str:
    """Every document of a data set of text."""
    directory = next(p.parent for p in sorted(path.rglob("*array_record*")))
    documents = Documents(directory, "train", "text", "documents")
    digest = Digest()
    digest.add(list(documents.read(range(len(documents)))))
    return str(digest)


def read_exported(path: Path) -> str:
    """Vectors of an exported embedder, by the serve.py that lies in it."""
    name = "served_artefact"
    spec = importlib.util.spec_from_file_location(name, path / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    digest = Digest()
    for vectors in module.Served(path).embed([text.split() for text in SENTENCES]):
        digest.add(vectors)
    return str(digest)


def read_types(path: Path) -> str:
    """Every word and vector of a table of word types."""
    table = read_word_types(path / "types.h5")
    digest = Digest()
    digest.add(table.words, table.counts, table.mean, table.sum)
    digest.add(table.metadata, table.num_unread, table.num_rare)
    return str(digest)


def reader_of(kind: str, data: Path) -> Callable[[Path], str]:
    """Return the function that reads an artefact of a kind.

    Args:
      kind: a name of `benchmarks.damage.artefacts.KINDS`.
      data: where the text of the runs lies.
    """
    form = kind.split(":")[0]
    if form == "resume":
        family = kind.split(":")[1]
        return lambda path: resume_run(path, family, data)
    return {
        "model": read_model,
        "store": read_store,
        "unfinished": finish_store,
        "pieces": read_pieces,
        "words": read_words,
        "documents": read_documents,
        "exported": read_exported,
        "types": read_types,
    }[form]
