# SPDX-License-Identifier: Apache-2.0
"""Encoding of documents to ids by several processes, in shards written atomically.

A shard is a range of documents. The ranges depend neither on the number of processes
nor on where an earlier run stopped, and so the result does not either.
"""

import concurrent.futures
import dataclasses
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from embed_jax.corpus.marks import MarkCounter, describe_marked
from embed_jax.files.checked_files import write_checksums
from embed_jax.files.directory import written_whole
from embed_jax.files.json_file import json_text, read_json
from train.data.sources import Documents
from train.data.store import TOKENS, TokenStore
from train.processes import Spawning, submit_each

TRAIN, HELD_OUT = "train", "held_out"
PARTS = (TRAIN, HELD_OUT)

_MARKER = f"{TRAIN}/{TOKENS}.npy"
# Of a shard: how many of its sentences hold a token of the model's own, and which.
_HELD = "held.json"

# Enough shards for an even load, and none so large that its types fill the memory.
_NUM_SHARDS, _LARGEST = 256, 1 << 16


class Tally(NamedTuple):
    """Counts of what has been encoded."""

    documents: int = 0
    sentences: int = 0
    tokens: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Return the sum of both."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


@runtime_checkable
class ShardEncoder(Protocol):
    """Encodes documents into the files of a shard; picklable for other processes."""

    def encode(self, documents: Iterable[list[str]], path: Path) -> None:
        """Write documents, given as their sentences, into an empty directory."""
        ...


def is_held_out(number: int, held_out_every: int) -> bool:
    """Return whether a document is held out."""
    return held_out_every > 0 and number % held_out_every == held_out_every - 1


def shard_ranges(num_documents: int) -> list[range]:
    """Divide documents into shards.

    Example:
      >>> shard_ranges(600)[:2]
      [range(0, 3), range(3, 6)]
    """
    size = min(_LARGEST, max(-(-num_documents // _NUM_SHARDS), 1))
    return [
        range(begin, min(begin + size, num_documents))
        for begin in range(0, num_documents, size)
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shards:
    """The shards of a text, written or not.

    Attributes:
      path: their directory.
      documents: the text.
      held_out_every: the last of every so many documents is held out.
      encoder: writes a shard.
      own_tokens: tokens of the model's own; sentences that hold one are counted.
    """

    path: Path
    documents: Documents
    held_out_every: int
    encoder: ShardEncoder
    own_tokens: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of shards."""
        return len(shard_ranges(len(self.documents)))

    def of(self, part: str) -> list[Path]:
        """List the directories of a part, such as "train", in the order of the text."""
        return [self._shard(index) / part for index in range(len(self))]

    def kept(self) -> list[Tally]:
        """Return the counts of each shard that is already written.

        Raises:
          ValueError: a damaged shard.
        """
        return [self._tally(i) for i in range(len(self)) if self._shard(i).exists()]

    def write(self, num_workers: int) -> Iterator[Tally]:
        """Write the missing shards; yield the counts of each when it is finished.

        Args:
          num_workers: processes; 0 for the number of cores.

        Raises:
          ValueError: bad text, or a damaged shard.
          OSError: the disk is full or fails.
        """
        missing = [i for i in range(len(self)) if not self._shard(i).exists()]
        num_workers = min(num_workers or _num_cores(), len(missing))
        if num_workers < 2:
            for index in missing:
                yield self.write_one(index)
            return
        processes = Spawning()
        workers = concurrent.futures.ProcessPoolExecutor(
            num_workers,
            processes,
            initializer=_begin_worker,
            initargs=(dataclasses.replace(self, documents=self.documents.unopened()),),
        )
        try:
            running = submit_each(workers, _write_one, [(each,) for each in missing])
            for done in concurrent.futures.as_completed(running):
                yield done.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            processes.end()
            raise OSError(
                "a process that encodes text was killed, perhaps for want of memory; "
                "lower num_workers and run this again"
            ) from error
        finally:
            # Shards that are being written are finished, and kept.
            workers.shutdown(cancel_futures=True)

    def write_one(self, index: int) -> Tally:
        """Write a shard, atomically."""
        numbers = shard_ranges(len(self.documents))[index]
        path = self._shard(index)
        counter = MarkCounter(self.own_tokens)
        # Hundreds of them: what a loss of power leaves damaged is named, and made anew.
        with written_whole(path, marker=_MARKER, overwrite=True, synced=False) as fresh:
            for part in PARTS:
                (fresh / part).mkdir()
                chosen = [
                    number
                    for number in numbers
                    if is_held_out(number, self.held_out_every) == (part == HELD_OUT)
                ]
                documents = map(counter.watch_document, self.documents.read(chosen))
                self.encoder.encode(documents, fresh / part)
                write_checksums(fresh / part)
            held = {"count": counter.count, "tokens": sorted(counter.held)}
            (fresh / _HELD).write_text(json_text(held), encoding="utf-8")
        return self._tally(index)

    def describe_held(self) -> str | None:
        """Return a line on the sentences that hold a token of the model's own, or None.

        Raises:
          ValueError: a damaged shard.
        """
        count, tokens = 0, set()
        for index in range(len(self)):
            file = self._shard(index) / _HELD
            # What an earlier version has written has none.
            held = read_json(file) if file.exists() else {}
            count += held.get("count", 0)
            tokens.update(held.get("tokens", []))
        return describe_marked(count, [t for t in self.own_tokens if t in tokens])

    def _tally(self, index: int) -> Tally:
        tally = Tally()
        for part in PARTS:
            store = TokenStore.open(self._shard(index) / part)
            tally = tally.plus(
                Tally(store.num_documents, store.num_sentences, store.num_tokens)
            )
        return tally

    def _shard(self, index: int) -> Path:
        return self.path / f"{index:05d}"


_shards: Shards | None = None


def _begin_worker(shards: Shards) -> None:
    global _shards
    _shards = shards
    # The process that started it is told, and waits for the shard.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # There are as many of these processes as are wanted already.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _write_one(index: int) -> Tally:
    assert _shards is not None  # _begin_worker set it
    return _shards.write_one(index)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
