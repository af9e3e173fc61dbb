# SPDX-License-Identifier: Apache-2.0
"""What the checksums of stores and of prepared text cost, in one sitting.

    python -m benchmarks.checksums

Vectors of random sentences are computed by a BERT of the shape of MiniLM, written to a
store and read again, with the checksums and without them, in turn. What the checksums
add is also given as a share of the whole, computing included. Then a store of encoded
text is opened with and without, and that is held against an epoch of training on it.
Last, the checksums of a checkpoint of that BERT, with Adam's moments: training waits
for them, and they are a hundredth of the time that is printed.
"""

import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
import tyro

import bert_jax
from embed_jax.files.leaf_checksum import describe_leaves
from embed_jax.store import StoreWriter, VectorStore, build, writer
from train.data import store as encoded

CONFIG = bert_jax.BertConfig(
    vocab_size=1005,
    num_blocks=6,
    num_heads=12,
    layer_dim=384,
    mlp_dim=1536,
    max_positions=512,
)
COMPRESSIONS = (None, "lzf", "gzip")


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure what the checksums cost."""

    sentences: int = 2000
    """Of 5 to 45 words."""
    tokens: int = 200_000_000
    """Of the store of encoded text."""
    training_speed: float = 1e6
    """Tokens a second of a training, that the opening is held against."""
    rounds: int = 5
    """With and without, in turn; the median counts."""


def main() -> None:
    """Print seconds with and without, and their ratios."""
    command = tyro.cli(Command, description=__doc__)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        _measure_vectors(command, rng, Path(folder))
        _measure_encoded(command, rng, Path(folder))
    _measure_checkpoint(command)


def _measure_vectors(command: Command, rng: np.random.Generator, folder: Path) -> None:
    words = [f"w{number}" for number in range(1000)]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    )
    sentences = [
        [words[index] for index in rng.integers(1000, size=rng.integers(5, 46))]
        for _ in range(command.sentences)
    ]
    params = bert_jax.init_params(jax.random.key(0), CONFIG)
    bert_jax.embed_words(params, tokenizer, sentences, "last")  # compiled now
    began = time.perf_counter()
    vectors = bert_jax.embed_words(params, tokenizer, sentences, "last")
    computing = time.perf_counter() - began
    print(f"computing {sum(map(len, sentences)):,} words: {computing:.2f} s")
    for compression in COMPRESSIONS:
        paths = [folder / f"{compression}-{which}.h5" for which in ("with", "without")]
        write = partial(_write, compression, vectors, sentences)
        _report(
            command,
            f"writing, {compression}",
            [partial(write, path) for path in paths],
            [contextlib.nullcontext, _store_without],
            computing,
        )
        _report(
            command,
            f"reading, {compression}",
            [partial(_read, path) for path in paths],
            [contextlib.nullcontext] * 2,
            computing,
        )


def _write(
    compression: Any, vectors: Sequence, sentences: Sequence, path: Path
) -> None:
    with StoreWriter(path, dim=384, overwrite=True, compression=compression) as store:
        for rows, texts in zip(vectors, sentences, strict=True):
            store.append(rows, texts)


def _read(path: Path) -> None:
    with VectorStore(path) as store:
        for _ in store:
            pass


def _measure_encoded(command: Command, rng: np.random.Generator, folder: Path) -> None:
    path = folder / "encoded"
    step = 1_000_000
    with encoded.written_store(path, 30_000) as store:
        for _ in range(0, command.tokens, step):
            ids = rng.integers(30_000, size=step)
            store.extend(ids, np.full(step // 25, 25), np.full(step // 500, 20))
    epoch = command.tokens / command.training_speed
    print(f"an epoch of {command.tokens:,} tokens: {epoch:.0f} s")
    _report(
        command,
        "opening",
        [partial(encoded.TokenStore.open, path)] * 2,
        [contextlib.nullcontext, _opening_without],
        epoch,
    )


def _measure_checkpoint(command: Command) -> None:
    params = bert_jax.init_params(jax.random.key(0), CONFIG)
    leaves = {
        f"{which}/{number}": leaf
        for which in ("params", "mu", "nu")
        for number, leaf in enumerate(jax.tree.leaves(params))
    }
    rounds = []
    for _ in range(command.rounds):
        began = time.perf_counter()
        describe_leaves(leaves)
        rounds.append(time.perf_counter() - began)
    seconds = statistics.median(rounds)
    size = sum(leaf.nbytes for leaf in leaves.values())
    print(
        f"a checkpoint of {size / 1e6:.0f} MB: {seconds:.3f} s, "
        f"1% of {100 * seconds:.0f} s between two"
    )


def _report(
    command: Command,
    name: str,
    actions: Sequence[Callable[[], Any]],
    settings: Sequence[Callable[[], contextlib.AbstractContextManager]],
    whole: float,
) -> None:
    """Time two actions in turn; print both medians, and what the first adds."""
    seconds: list[list[float]] = [[], []]
    for _ in range(command.rounds):
        for kept, action, setting in zip(seconds, actions, settings, strict=True):
            with setting():
                began = time.perf_counter()
                action()
                kept.append(time.perf_counter() - began)
    first, second = map(statistics.median, seconds)
    share = (first - second) / (whole + second)
    print(
        f"{name:14} with {first:8.4f} s, without {second:8.4f} s, ratio "
        f"{first / second:6.2f}; of the whole {share:6.2%}"
    )


@contextlib.contextmanager
def _store_without() -> Iterator[None]:
    """Write stores as before there were checksums."""
    options = build.filter_options

    def without(shape: Any, dtype: Any, compression: Any) -> dict[str, Any]:
        if compression is None:
            return {}
        return options(shape, dtype, compression) | {"fletcher32": False}

    free = mock.Mock(crc32=mock.Mock(return_value=0))
    with (
        mock.patch.object(build, "filter_options", without),
        mock.patch.object(build, "zlib", free),
        mock.patch.object(writer, "zlib", free),
    ):
        yield


def _opening_without() -> contextlib.AbstractContextManager:
    return mock.patch.object(encoded, "check_files", return_value=True)


if __name__ == "__main__":
    main()
