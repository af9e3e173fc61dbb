# SPDX-License-Identifier: Apache-2.0
"""Reading and checking of text files with one sentence a line."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from embed_jax.corpus.text_shards import LineMarks

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Survey(NamedTuple):
    """The size and checksum of a corpus, from one pass over it.

    Attributes:
      num_lines: lines, blank ones included.
      num_bytes: bytes of text, line ends included, uncompressed.
      digest: SHA-256 of the text.
      marks: positions of lines, to divide the text into shares.
    """

    num_lines: int
    num_bytes: int
    digest: str
    marks: LineMarks


def survey(path: Path) -> Survey:
    """Read a corpus once, to measure it and to check its encoding.

    Raises:
      ValueError: a line is not UTF-8; the message names file, line and byte.
      OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    marks = LineMarks()
    num_lines = num_bytes = 0
    for num_lines, line in enumerate(_raw_lines(path), start=1):
        _decode(line, path, num_lines)
        digest.update(line)
        marks.add(len(line))
        num_bytes += len(line)
    return Survey(num_lines, num_bytes, digest.hexdigest(), marks)


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, without their ends.

    Only a line feed (and a carriage return before it) ends a line; the other
    separators of Unicode are text. A file that ends in `.gz` is decompressed.

    Raises:
      ValueError: a line is not UTF-8.
      OSError: the file cannot be read.
    """
    for number, line in enumerate(_raw_lines(path), start=1):
        yield _decode(line, path, number)


def _raw_lines(path: Path) -> Iterator[bytes]:
    opener = gzip.open if path.suffix == ".gz" else open
    with cast(IO[bytes], opener(path, "rb")) as file:
        try:
            yield from file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is damaged or cut short: {error}") from error


def _decode(line: bytes, path: Path, number: int) -> str:
    if number == 1:
        line = line.removeprefix(BYTE_ORDER_MARK)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, line {number}: byte {error.start + 1} "
            f"(0x{line[error.start]:02x}) is not UTF-8; convert the file, for example "
            f"with iconv -f latin1 -t utf-8"
        ) from error
