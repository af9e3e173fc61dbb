# SPDX-License-Identifier: Apache-2.0
"""Sound artefacts of every kind that the library reads, small and made anew."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import safetensors.numpy

import bert_jax
import elmo_jax
from benchmarks.damage.reading import (
    NUM_SENTENCES,
    STORE,
    append_sentences,
    run_experiment,
)
from bert_jax.tokenizer import SentencePieceTokenizer, WordPieceTokenizer
from embed_jax.explore.word_types import main as word_types
from embed_jax.export.__main__ import Command as Export
from embed_jax.export.__main__ import export_model
from embed_jax.files.run_directory import CHECKPOINTS, saved_steps
from embed_jax.store import StoreWriter
from tests.train.experiments import (
    one_device,
    prepare_data,
    stop_after,
    write_corpus,
)
from train.data.sources import TextSource, open_documents
from train.families.bert.pieces import train_sentencepiece
from train.pretrain import pretrain

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
PRETRAINED_STEPS = 6


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of artefact.

    Attributes:
      name: how it is read, and what it is: see `reading.reader_of`.
      ours: whether we wrote it, so that all of it is under checksums.
      make: writes it into a directory that does not exist.
      spared: files that are not damaged.
    """

    name: str
    ours: bool
    make: Callable[[Path], None]
    spared: tuple[str, ...] = ()


def kinds(data: Path) -> list[Kind]:
    """Return every kind.

    Args:
      data: a directory for text that is prepared once, and for models.
    """
    return [
        Kind("model:bert tokenizer.json", False, lambda p: _published(_bert, p)),
        Kind("model:bert vocab.txt", False, lambda p: _published(_bert_vocab, p)),
        Kind("model:bert torch", False, lambda p: _published(_bert_torch, p)),
        Kind("model:bert sentencepiece", False, lambda p: _published(_spiece, p)),
        Kind("model:bert Google", False, lambda p: _fixture("google_bert_tiny", p)),
        Kind("model:elmo HDF5", False, lambda p: _published(_elmo, p)),
        Kind("model:elmo bilm-tf", False, lambda p: _fixture("bilm_tf_tiny", p)),
        Kind("model:bert saved", True, _bert),
        Kind("model:bert sentencepiece saved", True, _spiece),
        Kind("model:elmo saved", True, _elmo),
        Kind("model:run bert", True, lambda p: _run("bert", data, p)),
        Kind("model:run elmo", True, lambda p: _run("elmo", data, p)),
        Kind("resume:bert", True, lambda p: _run("bert", data, p)),
        Kind("resume:elmo", True, lambda p: _run("elmo", data, p)),
        Kind("store:plain", True, lambda p: _store(p, None)),
        Kind("store:gzip", True, lambda p: _store(p, "gzip")),
        Kind("store:lzf", True, lambda p: _store(p, "lzf")),
        Kind("unfinished", True, _unfinished),
        Kind("types", True, _types),
        Kind("pieces", True, lambda p: _prepared(data / "pieces", p)),
        Kind("words", True, lambda p: _prepared(data / "words", p)),
        Kind("documents", True, _documents),
        Kind("exported:bert", True, lambda p: _exported(_bert, p), ("serve.py",)),
        Kind("exported:elmo", True, lambda p: _exported(_elmo, p), ("serve.py",)),
    ]


def prepare_text(data: Path) -> None:
    """Write and prepare the text of the runs, unless that is done."""
    if not (data / "corpus.txt").exists():
        data.mkdir(parents=True, exist_ok=True)
        prepare_data(data)


def _published(make: Callable[[Path], None], path: Path) -> None:
    """Write a model without the checksums that nobody else's files have."""
    make(path)
    (path / "checksums.json").unlink(missing_ok=True)
    weights = path / "model.safetensors"
    if weights.exists():
        tensors = safetensors.numpy.load_file(weights)
        safetensors.numpy.save_file(tensors, weights, metadata={"format": "pt"})


def _fixture(name: str, path: Path) -> None:
    goldens = shutil.ignore_patterns("*.npz", "*.md", "*.py")
    shutil.copytree(FIXTURES / name, path, ignore=goldens)


def _pieces() -> list[str]:
    fixture = FIXTURES / "bert_tokenization_golden"
    published = next(fixture.glob("vocab*.txt")).read_text(encoding="utf-8")
    words = [p for p in published.split("\n") if p and not p.startswith("[")]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words[900:1500]]


def _bert_params(vocab_size: int) -> bert_jax.BertParams:
    config = dataclasses.replace(bert_jax.TINY, vocab_size=vocab_size)
    return bert_jax.init_params(jax.random.key(0), config, ("pooler", "mlm", "nsp"))


def _bert(path: Path) -> None:
    pieces = _pieces()
    length = bert_jax.TINY.max_positions
    tokenizer = WordPieceTokenizer.from_vocab(pieces, max_length=length)
    bert_jax.save(path, _bert_params(len(pieces)), tokenizer)


def _bert_vocab(path: Path) -> None:
    _bert(path)
    (path / "tokenizer.json").unlink()


def _bert_torch(path: Path) -> None:
    import torch

    _bert_vocab(path)
    weights = path / "model.safetensors"
    tensors = safetensors.numpy.load_file(weights)
    named = {name: torch.from_numpy(np.array(t)) for name, t in tensors.items()}
    torch.save(named, path / "pytorch_model.bin")
    weights.unlink()


def _spiece(path: Path) -> None:
    corpus = write_corpus(path.with_name(path.name + ".txt"), 200)
    texts = corpus.read_text(encoding="utf-8").split("\n")
    model = path.with_name(path.name + ".model")
    length = bert_jax.TINY.max_positions
    train_sentencepiece([t for t in texts if t], 80, cased=True, path=model)
    tokenizer = SentencePieceTokenizer(model, max_length=length)
    bert_jax.save(path, _bert_params(tokenizer.vocab_size), tokenizer)
    corpus.unlink()
    model.unlink()


def _elmo(path: Path) -> None:
    elmo_jax.save(path, *elmo_jax.load(FIXTURES / "bilm_tf_tiny"))


def _run(family: str, data: Path, path: Path) -> None:
    whole = data / f"run_{family}"
    if not whole.exists():
        stop = stop_after(PRETRAINED_STEPS)
        pretrain(run_experiment(family, data), whole, mesh=one_device(), stop=stop)
        # What nobody reads while there is a later one only thins the damage out.
        shutil.rmtree(whole / "tensorboard", ignore_errors=True)
        for step in saved_steps(whole)[:-1]:
            shutil.rmtree(whole / CHECKPOINTS / str(step))
    shutil.copytree(whole, path)


def _store(path: Path, compression: str | None) -> None:
    path.mkdir()
    writer = StoreWriter(path / "vectors.h5", **STORE, compression=compression)  # pyright: ignore[reportArgumentType]
    with writer:
        append_sentences(writer, range(NUM_SENTENCES))


def _unfinished(path: Path) -> None:
    path.mkdir()
    writer = StoreWriter(path / "vectors.h5", **STORE)
    append_sentences(writer, range(NUM_SENTENCES * 2 // 3))
    writer.close()


def _types(path: Path) -> None:
    _store(path, "gzip")
    status = word_types([str(path / "vectors.h5"), str(path / "types.h5")])
    assert status == 0, "word_types failed"
    (path / "vectors.h5").unlink()


def _prepared(prepared: Path, path: Path) -> None:
    shutil.copytree(prepared, path)


def _documents(path: Path) -> None:
    corpus = write_corpus(path.with_name(path.name + ".txt"), 60)
    open_documents(TextSource(patterns=(str(corpus),), form="documents"), path)
    corpus.unlink()


def _exported(make: Callable[[Path], None], path: Path) -> None:
    model = path.with_name(path.name + ".model")
    make(model)
    export_model(Export(str(model), path))
    shutil.rmtree(model)
