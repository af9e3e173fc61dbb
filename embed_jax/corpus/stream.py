# SPDX-License-Identifier: Apache-2.0
"""Streaming of sentences through a model, in order and in bounded memory.

Sentences are read in chunks. A thread reads and tokenises the next chunk while the
device computes the current one. The rows of a chunk are sorted by length into batches,
and the results are put back into the order of the text.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np

from embed_jax.equality import equal_by_value

T = TypeVar("T")
RowT = TypeVar("RowT", bound=Sized)


@runtime_checkable
class PlannedBatch(Protocol):
    """Rows that are computed together, such as `embed_jax.corpus.batching.Batch`."""

    @property
    def indices(self) -> list[int]:
        """Indices of the rows."""
        ...

    def split(self, values: np.ndarray) -> Iterable[np.ndarray]:
        """Split the result of the batch into one a row, in the order of `indices`."""
        ...


BatchT = TypeVar("BatchT", bound=PlannedBatch)

# Batches handed to the device before the first result is asked for: enough to never
# let it wait for the host, few enough to bound what their results occupy.
IN_FLIGHT = 3


@dataclass(frozen=True, slots=True)
class Item(Generic[RowT]):
    """One tokenised sentence.

    Attributes:
      rows: the rows it is computed from; a long sentence has several.
      words: its words.
      unread: indices of the words that are in no row; their vectors will be zero.
      unknown: indices of the words that the vocabulary lacks, wholly or in part.
    """

    rows: list[RowT]
    words: list[str]
    unread: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()


@equal_by_value
class Embedded(NamedTuple):
    """The vectors of one sentence.

    Attributes:
      words: its words.
      vectors: one a word `[words, D]`, or one for the sentence `[1, D]`.
      unread: indices of the words that the model did not read; their vectors are zero.
    """

    words: list[str]
    vectors: np.ndarray
    unread: tuple[int, ...]


@dataclass
class _Chunk(Generic[RowT]):
    """Sentences read together, their batches, and the results received so far."""

    items: list[Item[RowT]]
    rows: list[RowT] = field(init=False)
    results: list[np.ndarray | None] = field(init=False)
    num_missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [row for item in self.items for row in item.rows]
        self.results = [None] * len(self.rows)
        self.num_missing = len(self.rows)


def stream_vectors(
    items: Iterable[Item[RowT]],
    run: Callable[[Sequence[RowT], BatchT], jax.Array],
    assemble: Callable[[Item[RowT], list[np.ndarray]], np.ndarray],
    plan: Callable[[list[int]], Sequence[BatchT]],
    *,
    chunk_tokens: int,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[Embedded]:
    """Compute the vectors of sentences, in order.

    Args:
      items: the sentences; read ahead in a thread of their own.
      run: computes a batch, without waiting for it; the batch can split the result.
      assemble: combines the results of a sentence's rows.
      plan: divides rows of given lengths into batches, each row into one.
      chunk_tokens: tokens of a chunk, whose rows are sorted together; more of them mean
        less padding and more memory.
      on_batch: called with the number of rows when a batch has been computed, which is
        before its sentences are yielded.

    Yields:
      The sentences with their vectors, in order.

    Raises:
      Exception: whatever reading the items or computing raises.
    """
    in_flight: deque[tuple[_Chunk[RowT], BatchT, jax.Array]] = deque()
    waiting: deque[_Chunk[RowT]] = deque()

    def collect() -> None:
        chunk, batch, result = in_flight.popleft()
        _collect(chunk, batch, result)
        if on_batch:
            on_batch(len(batch.indices))

    def finished() -> Iterator[Embedded]:
        while waiting and not waiting[0].num_missing:
            yield from _finish(waiting.popleft(), assemble)

    for chunk in read_ahead(_chunks(items, chunk_tokens)):
        waiting.append(chunk)
        for batch in plan([len(row) for row in chunk.rows]):
            rows = [chunk.rows[index] for index in batch.indices]
            in_flight.append((chunk, batch, run(rows, batch)))
            if len(in_flight) > IN_FLIGHT:
                collect()
                yield from finished()
    while in_flight:
        collect()
        yield from finished()
    yield from finished()


def read_ahead(source: Iterable[T], depth: int = 1) -> Iterator[T]:
    """Iterate over a source in a thread of its own, up to `depth` elements ahead.

    An exception of the source is raised here, after the elements before it. Closing the
    generator ends the thread.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def put(element: T | None, error: BaseException | None) -> None:
        while not closed.is_set():
            try:
                ready.put((element, error), timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for element in source:
                put(element, None)
                if closed.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            element, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield element  # pyright: ignore[reportReturnType]
    finally:
        closed.set()
        thread.join()


def _chunks(items: Iterable[Item[RowT]], chunk_tokens: int) -> Iterator[_Chunk[RowT]]:
    held: list[Item[RowT]] = []
    tokens = 0
    for item in items:
        held.append(item)
        # A blank line costs memory too.
        tokens += 1 + sum(map(len, item.rows))
        if tokens >= chunk_tokens:
            yield _Chunk(held)
            held, tokens = [], 0
    if held:
        yield _Chunk(held)


def _collect(chunk: _Chunk, batch: PlannedBatch, result: Any) -> None:
    """Wait for the result of a batch and store it in its chunk."""
    parts = batch.split(np.asarray(result))
    for row, index in zip(parts, batch.indices, strict=True):
        chunk.results[index] = row
    chunk.num_missing -= len(batch.indices)


def _finish(
    chunk: _Chunk[RowT],
    assemble: Callable[[Item[RowT], list[np.ndarray]], np.ndarray],
) -> Iterator[Embedded]:
    start = 0
    for item in chunk.items:
        end = start + len(item.rows)
        parts = [part for part in chunk.results[start:end] if part is not None]
        # Let go of what is done: the caller may take its time with each sentence.
        chunk.results[start:end] = [None] * len(item.rows)
        yield Embedded(item.words, assemble(item, parts), item.unread)
        start = end
