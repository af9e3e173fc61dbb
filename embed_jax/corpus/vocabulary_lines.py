# SPDX-License-Identifier: Apache-2.0
"""Lines of vocabulary files, read alike for words and for word pieces."""

import logging
import re
from collections.abc import Collection, Iterable

from embed_jax.files.mistaken import HEAD_BYTES, mistaken_for

_LOG = logging.getLogger(__name__)

_COUNT = re.compile(r"\S+[ \t]+\d+\s*")


def vocabulary_lines(content: bytes, source: str) -> list[str]:
    r"""Decode the lines of a vocabulary; blanks at their ends stay.

    Only a line feed (and a carriage return before it) ends a line: words may hold the
    other separators of Unicode.

    Args:
      content: the file, in UTF-8 with or without a byte order mark.
      source: the file, for messages.

    Raises:
      ValueError: a line is not UTF-8 or holds a NUL; names the file, and the line or
        what the file is.

    Example:
      >>> vocabulary_lines(b"the\r\nbank\n", "vocab.txt")
      ['the', 'bank']
    """
    lines = []
    raw = content.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.removesuffix(b"\r").decode("utf-8"))
            fault = "holds a NUL, as no vocabulary does" if b"\0" in line else None
        except UnicodeDecodeError:
            fault = "is not UTF-8"
        if fault is not None:
            cause = mistaken_for(content[:HEAD_BYTES], text=True)
            raise ValueError(
                f"{source} is no text but {cause}"
                if cause
                else f"{source}, line {number} {fault}; fetch it again"
            )
    if content and not content.endswith(b"\n"):
        _LOG.warning(
            "%s ends within a line, %.40r: unless it was written so, it is cut short",
            source,
            lines[-1],
        )
    return lines


def without_blanks(line: str) -> str:
    """Strip white space at both ends, as the published programs do.

    A line of nothing but white space stays as it is: a few vocabularies have a
    separator of Unicode as an entry, and each line is an index.

    Example:
      >>> without_blanks("the "), without_blanks(" ")
      ('the', ' ')
    """
    return line.strip() or line


def refuse_counts(lines: Iterable[str], specials: Collection[str], source: str) -> None:
    """Refuse lines that hold an entry and a count where an entry alone is read.

    Read as they stand, no word of any text would be found.

    Args:
      lines: without those that have a count in a place where one is read.
      specials: entries that may stand without a count.
      source: the file, for the message.

    Raises:
      ValueError: every line but those of the specials ends in a number.

    Example:
      >>> refuse_counts(["<S>", "the 22", "bank 7"], ["<S>"], "vocab.txt")
      Traceback (most recent call last):
      ValueError: vocab.txt holds words with counts ('the 22'), and would be read as \
if those were one word; leave the counts out, or put a tab between if the file may \
have them
    """
    ordinary = [line for line in lines if line.strip() not in specials]
    if len(ordinary) > 1 and all(map(_COUNT.fullmatch, ordinary)):
        raise ValueError(
            f"{source} holds words with counts ({ordinary[0]!r}), and would be read as "
            "if those were one word; leave the counts out, or put a tab between if the "
            "file may have them"
        )
