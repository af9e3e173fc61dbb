# SPDX-License-Identifier: Apache-2.0
"""Text that arrives while it is embedded: from a queue, a socket, the standard input.

A source of that kind may keep whoever asks it waiting for ever. So a thread of its own
asks it, and nobody waits for the end of that thread; and what has arrived is handed on
once the source has been waited for so long, if nothing else is being computed. A source
that has a length is there, and is read without that thread; so is `AtHand`.
"""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 0.25
"""Seconds that a source is waited for, since the last texts were handed on, before
those that have arrived are computed without the others of their chunk."""

# Between two looks at whether they are wanted, or all is closed.
_LOOK_SECONDS = 0.05
# Elements that have arrived and nobody has taken.
_AHEAD = 64


class AtHand(Generic[T]):
    """An iterable that keeps nobody waiting, such as the lines of a file."""

    def __init__(self, elements: Iterable[T]) -> None:
        """Iterate over elements."""
        self._elements = elements

    def __iter__(self) -> Iterator[T]:
        """Iterate over them."""
        return iter(self._elements)


class Arrivals(Generic[T]):
    """Iterates over a source, which a thread of its own reads a little ahead.

    Raises whatever reading the source raises, after the elements before it.
    """

    def __init__(self, source: Iterable[T]) -> None:
        """Read nothing yet."""
        self._source = source
        self._arrived: queue.Queue[tuple[T | None, BaseException | None]]
        self._arrived = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._has_begun, self._end = False, None
        self._waited = 0.0
        self._is_wanted: Callable[[], bool] = lambda: False
        self._hand_on: Callable[[], None] = lambda: None

    def hand_on_by(
        self, hand_on: Callable[[], None], is_wanted: Callable[[], bool]
    ) -> None:
        """Set how what was taken so far is handed on, and whether anybody waits for it.

        Args:
          hand_on: called by whoever iterates, when the source has been waited for.
          is_wanted: asked meanwhile.
        """
        self._hand_on, self._is_wanted = hand_on, is_wanted

    def was_handed_on(self) -> None:
        """Begin to count anew for how long the source is waited for."""
        self._waited = 0.0

    def close(self) -> None:
        """End the iteration; the thread ends when the source lets go of it."""
        self._closed.set()

    def __iter__(self) -> Iterator[T]:
        """Return the iterator itself."""
        return self

    def __next__(self) -> T:
        """Wait for the next element."""
        found = self._take(holds=False)
        if not found:
            raise StopIteration
        return found[0]

    def block(self, most: int) -> list[T]:
        """Return the next elements, so many if the source does not keep one waiting.

        Else fewer, at least one; none at the end.
        """
        block: list[T] = []
        while len(block) < most and (found := self._take(holds=bool(block))):
            block += found
        return block

    def _take(self, *, holds: bool) -> list[T]:
        """Return the next element; none at the end, or where what one holds is wanted.

        Raises:
          BaseException: that of the source.
        """
        self._begin()
        while not self._closed.is_set():
            if self._end is not None:
                if isinstance(self._end, StopIteration) or holds:
                    return []
                raise self._end
            began = time.monotonic()
            try:
                element, self._end = self._next(holds=holds)
            except queue.Empty:
                self._waited += time.monotonic() - began
                if holds and self._is_late():
                    return []
            else:
                if self._end is None:
                    return [element]  # pyright: ignore[reportReturnType]
        return []

    def _next(self, *, holds: bool) -> tuple[T | None, BaseException | None]:
        """Return what has arrived, or arrives soon.

        Raises:
          queue.Empty: nothing has.
        """
        try:
            return self._arrived.get_nowait()
        except queue.Empty:
            if not holds and self._is_late():
                self._hand_on()
        began = time.monotonic()
        found = self._arrived.get(timeout=_LOOK_SECONDS)
        self._waited += time.monotonic() - began
        return found

    def _is_late(self) -> bool:
        return self._waited >= PATIENCE and self._is_wanted()

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            # No end of the process waits for it either.
            threading.Thread(target=self._read, name="arrivals", daemon=True).start()

    def _read(self) -> None:
        try:
            for element in self._source:
                if not self._put(element, None):
                    return
            self._put(None, StopIteration())
        except BaseException as error:
            self._put(None, error)

    def _put(self, element: T | None, error: BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._arrived.put((element, error), timeout=_LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        return False


def arriving(source: Iterable[T], elements: Iterable[T]) -> "Arrivals[T] | Iterable[T]":
    """Return the elements, read by a thread of their own if their source may wait.

    Args:
      source: what the elements are made of.
      elements: an iterable over the source.
    """
    is_there = isinstance(source, Sized | AtHand)
    return elements if is_there else Arrivals(elements)


def blocks(elements: Iterable[T], most: int) -> Iterator[list[T]]:
    """Yield lists of elements, in order, of so many each.

    Fewer at the end, and where `Arrivals` have to be waited for.
    """
    if isinstance(elements, Arrivals):
        take = elements.block
    else:
        iterator = iter(elements)

        def take(most: int) -> list[T]:
            return list(itertools.islice(iterator, most))

    while block := take(most):
        yield block
