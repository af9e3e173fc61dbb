# SPDX-License-Identifier: Apache-2.0
"""Division of a text into shares of lines with about equal bytes."""

# How finely a long text is divided: so many marks at least, and at most twice as many.
NUM_MARKS = 1 << 15


class LineMarks:
    """Approximate positions of the lines of a text, for dividing it into shares.

    Mark k is the first line that begins at byte `k * grain` or later. When there are
    too many marks every other one is dropped and the grain doubles, so a text of any
    size is marked in one pass and bounded memory, to one part in 32,768.

    Attributes:
      marks: numbers of the marked lines.

    Example:
      >>> marks = LineMarks()
      >>> for length in (10, 2, 8, 4, 6):
      ...     marks.add(length)
      >>> marks.share(0, 2), marks.share(1, 2)
      (range(0, 3), range(3, 5))
    """

    def __init__(self) -> None:
        self._grain = 1
        self.marks: list[int] = []
        self._num_lines = 0
        self._num_bytes = 0

    def add(self, length: int) -> None:
        """Add the next line, of `length` bytes including its line end.

        A sentence of a file that is read ahead has bytes of others too, or none.
        """
        while len(self.marks) * self._grain <= self._num_bytes:
            self.marks.append(self._num_lines)
            if len(self.marks) > 2 * NUM_MARKS:
                self.marks = self.marks[::2]
                self._grain *= 2
        self._num_lines += 1
        self._num_bytes += length

    def share(self, index: int, count: int) -> range:
        """Return the lines of share `index` of `count`, a contiguous range.

        The shares depend on the text and on `count` only. Together they are all lines,
        in order, each once. A share exceeds an equal one by at most its last line and
        one grain; where lines are few, some shares are empty.

        Raises:
          ValueError: there is no such share.
        """
        if not 0 <= index < count:
            raise ValueError(f"share {index} is not one of 0 to {count - 1}")
        return range(self._boundary(index, count), self._boundary(index + 1, count))

    def _boundary(self, index: int, count: int) -> int:
        """The first line that begins at `index / count` of the bytes or later."""
        if index == count:  # The last lines may have no bytes.
            return self._num_lines
        mark = -(-self._num_bytes * index // (count * self._grain))
        return self.marks[mark] if mark < len(self.marks) else self._num_lines
