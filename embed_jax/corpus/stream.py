# SPDX-License-Identifier: Apache-2.0
"""Streaming of sentences through a model, in order and in bounded memory.

Sentences are read in chunks. A thread reads and tokenises the next chunk while the
device computes the current one. The rows of a chunk are sorted by length into batches,
and the results are put back into the order of the text. Where the source keeps
everybody waiting (`embed_jax.corpus.arrivals`), the sentences that have arrived are a
chunk.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np

from embed_jax.corpus.arrivals import Arrivals
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
    arrivals: Any = None,
) -> Generator[Embedded, None, None]:
    """Compute the vectors of sentences, in order.

    Closing the generator ends the reading at once.

    Args:
      items: the sentences; read ahead in a thread of their own.
      run: computes a batch, without waiting for it; the batch can split the result.
      assemble: combines the results of a sentence's rows.
      plan: divides rows of given lengths into batches, each row into one.
      chunk_tokens: tokens of a chunk, whose rows are sorted together; more of them mean
        less padding and more memory.
      on_batch: called with the number of rows when a batch has been computed, which is
        before its sentences are yielded.
      arrivals: what the items are made of; if it is `Arrivals`, its elements are waited
        for a bounded time only.

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

    source = arrivals if isinstance(arrivals, Arrivals) else None
    reader = _Reader(partial(_put_chunks, items, chunk_tokens, source))
    try:
        # While results are outstanding nobody waits for text that has not come yet.
        while (chunk := reader.take(wait=not in_flight)) is not _END:
            if chunk is _NONE_YET:
                collect()
                yield from finished()
                continue
            waiting.append(chunk)
            for batch in plan([len(row) for row in chunk.rows]):
                rows = [chunk.rows[index] for index in batch.indices]
                in_flight.append((chunk, batch, run(rows, batch)))
                if len(in_flight) > IN_FLIGHT:
                    collect()
                    yield from finished()
            yield from finished()
        while in_flight:
            collect()
            yield from finished()
    finally:
        if source is not None:
            source.close()
        reader.close()


_END, _NONE_YET = object(), object()


class _Closed(Exception):  # noqa: N818  # Nothing has failed.
    """Nobody takes any more what is put."""


class _Reader(Generic[T]):
    """Runs a function in a thread of its own; what it puts is taken in order.

    Attributes:
      is_awaited: whether somebody waits for what is to be put, with nothing else to do.
    """

    def __init__(self, work: Callable[["_Reader[T]"], None], depth: int = 1) -> None:
        """Start the thread, which puts up to `depth` elements ahead."""
        self._ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
        self._closed = threading.Event()
        self.is_awaited = False
        self._thread = threading.Thread(
            target=self._run, args=(work,), name="read-ahead", daemon=True
        )
        self._thread.start()

    def put(self, element: T) -> None:
        """Have an element taken; the thread's function calls it.

        Raises:
          _Closed: nobody takes it.
        """
        self._put(element, None)

    def take(self, *, wait: bool) -> Any:
        """Return the next element, `_END` after the last, or `_NONE_YET`.

        Raises:
          BaseException: that of the thread's function, after the elements before it.
        """
        try:
            element, error = self._ready.get_nowait()
        except queue.Empty:
            if not wait:
                return _NONE_YET
            self.is_awaited = True
            element, error = self._ready.get()
            self.is_awaited = False
        if error is not None:
            raise error
        return element

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self, work: Callable[["_Reader[T]"], None]) -> None:
        try:
            work(self)
            self._put(_END, None)
        except _Closed:
            return
        except BaseException as error:
            with suppress(_Closed):
                self._put(None, error)

    def _put(self, element: Any, error: BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._ready.put((element, error), timeout=0.1)
                return
            except queue.Full:
                continue
        raise _Closed


def read_ahead(source: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Iterate over a source in a thread of its own, up to `depth` elements ahead.

    An exception of the source is raised here, after the elements before it. Closing the
    generator ends the thread.
    """

    def put_each(reader: _Reader[T]) -> None:
        for element in source:
            reader.put(element)

    reader = _Reader(put_each, depth)
    try:
        while (element := reader.take(wait=True)) is not _END:
            yield element
    finally:
        reader.close()


def _put_chunks(
    items: Iterable[Item[RowT]],
    chunk_tokens: int,
    arrivals: Arrivals | None,
    reader: _Reader[_Chunk[RowT]],
) -> None:
    """Put chunks of items; the last, and those that were waited for, may be small."""
    held: list[Item[RowT]] = []

    def hand_on() -> None:
        nonlocal held
        if held:
            chunk, held = _Chunk(held), []
            reader.put(chunk)
        if arrivals is not None:
            arrivals.was_handed_on()

    if arrivals is not None:
        arrivals.hand_on_by(hand_on, lambda: reader.is_awaited)
    tokens = 0
    for item in items:
        if not held:
            tokens = 0
        held.append(item)
        # A blank line costs memory too.
        tokens += 1 + sum(map(len, item.rows))
        if tokens >= chunk_tokens:
            hand_on()
    hand_on()


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
