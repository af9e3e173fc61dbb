# SPDX-License-Identifier: Apache-2.0
"""Reading and checking of text files with one sentence a line."""

import functools
import gzip
import hashlib
import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

from embed_jax.corpus.conll_u import SAMPLE, is_conll_u, is_tagged, read_conll_u
from embed_jax.corpus.marks import MarkCounter
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.text_shards import LineMarks
from embed_jax.files.mistaken import HEAD_BYTES, mistaken_for

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LONGEST_LINE = 1 << 26
"""Bytes that a line may have, its end included. A book has a million; a compressed file
of some megabytes may hold a line that no memory does."""


class Survey(NamedTuple):
    """The size and checksum of a corpus, from one pass over it.

    Attributes:
      num_lines: lines, blank ones included; of CoNLL-U, sentences.
      num_bytes: bytes of text, line ends included, uncompressed.
      digest: SHA-256 of the text.
      marks: positions of lines, to divide the text into shares.
      held: a line on the sentences with a token of the model's own; None if none has.
      state: size and time of the file, by which a change is seen.
    """

    num_lines: int
    num_bytes: int
    digest: str
    marks: LineMarks
    held: str | None = None
    state: tuple[int, int] = (0, 0)


def survey(path: Path, own_tokens: Sequence[str] = ()) -> Survey:
    """Read a corpus once, to measure it and to check its encoding.

    Args:
      path: of the corpus.
      own_tokens: tokens that the model adds itself; sentences with them are counted.

    Raises:
      ValueError: a line is not UTF-8, or too long; the message names file, line and
        byte. Or the file is none that can be read twice.
      OSError: the file cannot be read.
    """
    check_rereadable(path)
    state = _state(path)
    digest = hashlib.sha256()
    marks = LineMarks()
    counter = MarkCounter(own_tokens)
    num_lines = num_bytes = counted = 0

    def measure(line: bytes) -> None:
        nonlocal num_bytes
        digest.update(line)
        num_bytes += len(line)

    for sentence in _sentences(path, measure):
        num_lines += 1
        marks.add(num_bytes - counted)
        counted = num_bytes
        counter.note(sentence)
    held = counter.describe()
    return Survey(num_lines, num_bytes, digest.hexdigest(), marks, held, state)


def check_unchanged(path: Path, surveyed: Survey) -> None:
    """Refuse what was made of a text that has changed since its survey.

    Raises:
      ValueError: it has another size or time.
    """
    if _state(path) != surveyed.state:
        raise ValueError(
            f"{path} was changed while it was read; begin again when it is written"
        )


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def check_rereadable(path: Path) -> None:
    """Refuse a pipe, for commands that read their text twice.

    Raises:
      ValueError: there is something, but neither a file nor a directory.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(
            f"{path} can be read only once, and this command reads its text twice; "
            "write the text to a file first"
        )


def read_sentences(path: Path) -> Iterator[Sentence]:
    """Yield the sentences of a file: its lines, or the words of each in CoNLL-U.

    Raises:
      ValueError: as `read_lines`; or the file has a word and its tags a line.
      OSError: the file cannot be read.
    """
    return _sentences(path, None)


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, without their ends.

    Only a line feed (and a carriage return before it) ends a line; the other
    separators of Unicode are text. A file that ends in `.gz` is decompressed.

    Raises:
      ValueError: a line is not UTF-8, or longer than `LONGEST_LINE`; or the file is
        something else than text.
      OSError: the file cannot be read.
    """
    return _lines(path, None)


def decode_text(content: bytes, source: str) -> str:
    """Decode the whole of a small text file, without its byte order mark.

    Raises:
      ValueError: it is not text in UTF-8; names the source, the cause and the remedy.
    """
    _check_head(content[:HEAD_BYTES], source)
    lines = content.split(b"\n")
    decoded = [_decode(line, source, number) for number, line in enumerate(lines, 1)]
    return "\n".join(decoded)


def _sentences(path: Path, watch: Callable[[bytes], None] | None) -> Iterator[Sentence]:
    sample = list(itertools.islice(read_lines(path), SAMPLE))
    if is_tagged(sample):
        raise ValueError(
            f"{path} is CoNLL, a word and its tags a line, not text; take out the "
            """words, awk 'NF {printf "%s ", $1} !NF {print ""} END {print ""}', """
            "and split them at spaces"
        )
    lines = _lines(path, watch)
    if is_conll_u(sample):
        yield from read_conll_u(lines, path)
    else:
        yield from lines


def _lines(path: Path, watch: Callable[[bytes], None] | None) -> Iterator[str]:
    for number, line in enumerate(_raw_lines(path), start=1):
        text = _decode(line, str(path), number)
        if watch:
            watch(line)
        yield text.removesuffix("\n").removesuffix("\r")


def _raw_lines(path: Path) -> Iterator[bytes]:
    opener = gzip.open if path.suffix == ".gz" else open
    with cast(IO[bytes], opener(path, "rb")) as file:
        try:
            _check_head(file.peek(HEAD_BYTES)[:HEAD_BYTES], str(path))  # pyright: ignore
            # Not as the file iterates: it would read a line of any length.
            read = functools.partial(file.readline, LONGEST_LINE + 1)
            for number, line in enumerate(iter(read, b""), start=1):
                if len(line) > LONGEST_LINE:
                    raise ValueError(
                        f"{path}, line {number} is longer than {LONGEST_LINE:,} bytes; "
                        "write a sentence a line"
                    )
                yield line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(_bad_gzip(path, error)) from error


def _bad_gzip(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1f\x8b"):
        return f"{path} is damaged or cut short: {error}"
    cause = mistaken_for(head, text=True)
    if cause:
        return f"{path} is not gzip but {cause}"
    return f"{path} is damaged, or not gzip: if it is text, leave .gz out of its name"


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
