# SPDX-License-Identifier: Apache-2.0
"""How long the rows are that a tokeniser makes: what callers ask for, checked."""

import dataclasses
import numbers
from typing import Any, Literal

from embed_jax.checks import at_least
from embed_jax.corpus.batching import bucket_length

OfLong = Literal["error", "truncate"]
"""What a tokeniser does with a row that is too long."""
PadTo = int | Literal["bucket"] | None
"""The length of all rows of a batch, "bucket" for one of few lengths (`bucket_length`),
None for that of the longest."""


@dataclasses.dataclass(frozen=True)
class RowLength:
    """The lengths that rows may have, and are padded to.

    Attributes:
      longest: that a row may have; None for any.
      long: what becomes of a longer one.
      pad_to: the length that all rows have in the end.
    """

    longest: int | None
    long: OfLong
    pad_to: PadTo

    @classmethod
    def asked(
        cls, max_length: Any, long: Any, pad_to: Any, *, least: int
    ) -> "RowLength":
        """Check what a caller asks for. A row is as long as both lengths allow.

        Args:
          max_length: longest row; None for any.
          long: "error" or "truncate".
          pad_to: length of all rows.
          least: the shortest row that holds anything.

        Raises:
          ValueError: names the argument.
        """
        if long not in ("error", "truncate"):
            raise ValueError(f'long is "error" or "truncate" here, not {long!r}')
        _check_number("max_length", max_length, least, "a number or None")
        longest = max_length
        if pad_to != "bucket":
            _check_number("pad_to", pad_to, least, 'a number, "bucket" or None')
            longest = min(filter(None, (max_length, pad_to)), default=None)
        return cls(longest, long, pad_to)

    def cut(self, index: int, length: int, what: str) -> int:
        """Return how much of a row is kept.

        Args:
          index: of its sentence, for the message.
          length: of the whole.
          what: it is counted in, for the message.

        Raises:
          ValueError: it is too long, and `long` is "error".
        """
        if self.longest is None or length <= self.longest:
            return length
        if self.long == "error":
            raise ValueError(
                f"sentence {index} has {length} {what}, more than {self.longest}; pass "
                'long="truncate", or use embed_words or embed_sentences, whose '
                'long="window" keeps everything'
            )
        return self.longest

    def padded(self, longest: int) -> int:
        """Return the length of all rows, the longest of which has `longest`."""
        if self.pad_to == "bucket":
            return bucket_length(longest, self.longest)
        return longest if self.pad_to is None else self.pad_to


def _check_number(name: str, value: Any, least: int, choices: str) -> None:
    if value is None:
        return
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{name} is {choices}, not {value!r}")
    at_least(name, int(value), least)
