# SPDX-License-Identifier: Apache-2.0
"""Reading of vocab.txt, one word piece a line, and what it says about case."""

import logging
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from embed_jax.corpus.vocabulary_lines import (
    refuse_counts,
    vocabulary_lines,
    without_blanks,
)

_LOG = logging.getLogger(__name__)
PREFIX = "##"


def read_pieces(path: Path, specials: Iterable[str] = ()) -> list[str]:
    """Read a vocabulary; the index of a piece is its line.

    White space at the ends of lines is stripped, as in Google's program: text is split
    at white space, so a piece that holds some would never be found.

    Args:
      path: of the file; blank lines at its end are no pieces.
      specials: entries that may stand without a count, where a file has counts.

    Raises:
      ValueError: the file cannot be read, is not UTF-8, or holds counts.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    raw = vocabulary_lines(content, str(path))
    while raw and not raw[-1].rstrip("\r"):
        raw.pop()
    refuse_counts(raw, set(specials), str(path))
    pieces = [without_blanks(line) for line in raw]
    blanks = [line for line, piece in zip(raw, pieces, strict=True) if line != piece]
    if blanks:
        _LOG.warning(
            "%s: %d of its %d lines begin or end with white space (%r), which is "
            "left out, as in Google's program; transformers keeps it and finds no such "
            "piece",
            path,
            len(blanks),
            len(raw),
            blanks[0],
        )
    return pieces


def guess_cased(pieces: Iterable[str], source: str) -> bool:
    """Decide by its pieces whether a vocabulary is cased, and say so in the log.

    What decides are ordinary pieces. Marks such as `[CLS]`, `<S>` or `@USER` are none:
    they hold punctuation and more, and text is split at punctuation, so no word is ever
    made of them.

    Args:
      pieces: the vocabulary.
      source: where it is from, for the log; nothing is logged if it is empty.

    Example:
      >>> guess_cased(["[CLS]", "<S>", "bank", "##s"], "")
      False
    """
    capitals = [p for p in pieces if p != p.lower() and not _is_mark(p)]
    if source:
        _LOG.warning(
            "%s: nothing says whether capitals are kept; %s, so it is taken for %s "
            "(do_lower_case in tokenizer_config.json, or cased=, would say it)",
            source,
            f"{len(capitals)} ordinary pieces hold some ({capitals[0]!r})"
            if capitals
            else "no ordinary piece holds one",
            "cased" if capitals else "uncased",
        )
    return bool(capitals)


def _is_mark(piece: str) -> bool:
    text = piece.removeprefix(PREFIX)
    return len(text) > 1 and any(map(_is_punctuation, text))


def _is_punctuation(character: str) -> bool:
    is_sign = "!" <= character <= "~" and not character.isalnum()
    return is_sign or unicodedata.category(character).startswith("P")
