# SPDX-License-Identifier: Apache-2.0
"""Reading of the lines of text files in UTF-8, which may be compressed."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from embed_jax.corpus.compressed import open_decompressed
from embed_jax.files.mistaken import HEAD_BYTES, mistaken_for

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LONGEST_LINE = 1 << 26
"""Bytes that a line may have, its end included. A book has a million; a compressed file
of some megabytes may hold a line that no memory does."""

_REMEDY_FOR_CR = "; if its lines end with carriage returns: tr '\\r' '\\n'"


def read_lines(
    path: Path, watch: Callable[[bytes], None] | None = None
) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, without their ends.

    Only a line feed (and a carriage return before it) ends a line; the other
    separators of Unicode are text. A file that ends in `.gz` or `.zst` is decompressed.

    Args:
      path: of the file.
      watch: takes every line as it stands in the file, once it is known to be text.

    Raises:
      ValueError: a line is not UTF-8, or longer than `LONGEST_LINE`; or the file is
        something else than text, or ends its lines with carriage returns alone.
      OSError: the file cannot be read.
    """
    for number, line in enumerate(_raw_lines(path), start=1):
        text = _decode(line, str(path), number)
        if watch:
            watch(line)
        yield text.removesuffix("\n").removesuffix("\r")


def decode_text(content: bytes, source: str) -> str:
    """Decode the whole of a small text file, without its byte order mark.

    Raises:
      ValueError: it is not text in UTF-8; names the source, the cause and the remedy.
    """
    _check_head(content[:HEAD_BYTES], source)
    lines = content.split(b"\n")
    decoded = [_decode(line, source, number) for number, line in enumerate(lines, 1)]
    return "\n".join(decoded)


def _raw_lines(path: Path) -> Iterator[bytes]:
    with open_decompressed(path) as file:
        _check_head(file.peek(HEAD_BYTES)[:HEAD_BYTES], str(path))
        # Not as the file iterates: it would read a line of any length.
        read = functools.partial(file.readline, LONGEST_LINE + 1)
        for number, line in enumerate(iter(read, b""), start=1):
            if len(line) > LONGEST_LINE:
                also = _REMEDY_FOR_CR if b"\r" in line else ""
                raise ValueError(
                    f"{path}, line {number} is longer than {LONGEST_LINE:,} bytes; "
                    f"write a sentence a line{also}"
                )
            if number == 1:
                _check_line_end(line, path)
            yield line


def _check_line_end(line: bytes, path: Path) -> None:
    """Refuse a file whose first line is all of it, though others follow there.

    Elsewhere in a text a carriage return is some program's progress, and stays.
    """
    if not line.endswith(b"\n") and b"\r" in line.rstrip(b"\r"):
        raise ValueError(
            f"{path} has carriage returns and no line feed, so it would be one line"
            f"{_REMEDY_FOR_CR}"
        )


def _check_head(head: bytes, source: str) -> None:
    cause = mistaken_for(head, text=True)
    if cause:
        raise ValueError(f"{source} is not text in UTF-8 but {cause}")


def _decode(line: bytes, source: str, number: int) -> str:
    if number == 1:
        line = line.removeprefix(BYTE_ORDER_MARK)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = error.reason == "unexpected end of data"
        cause = "the file is cut short there, or of another encoding: " * is_cut
        raise ValueError(
            f"{source}, line {number}: byte {error.start + 1} "
            f"(0x{line[error.start]:02x}) is not UTF-8; {cause}convert the file from "
            "the encoding that it has, for example with iconv -f latin1 -t utf-8"
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{source}, line {number}: character {text.index(chr(0)) + 1} is a NUL, "
            "which no text has; if the rest is text, take them out: tr -d '\\000'"
        )
    return text
