# SPDX-License-Identifier: Apache-2.0
"""The sentences of a file, whatever its format, and a survey of them."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from embed_jax.corpus.conll import SAMPLE, read_conll, read_conll_u
from embed_jax.corpus.layout import Found, Layout
from embed_jax.corpus.lines import read_lines
from embed_jax.corpus.marks import MarkCounter
from embed_jax.corpus.records import read_texts
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.text_shards import LineMarks


class Survey(NamedTuple):
    """The size and checksum of a corpus, from one pass over it.

    Attributes:
      num_lines: lines, blank ones included; of CoNLL, sentences; of records, texts.
      num_bytes: bytes of text, line ends included, uncompressed; of records, of their
        texts, each with a line end.
      digest: SHA-256 of these bytes.
      marks: positions of lines, to divide the text into shares.
      held: a line on the sentences with a token of the model's own; None if none has.
      state: size and time of the file; a change that leaves them is not looked for.
      read_as: a line on what the file is read as; None for text.
    """

    num_lines: int
    num_bytes: int
    digest: str
    marks: LineMarks
    held: str | None = None
    state: tuple[int, int] = (0, 0)
    read_as: str | None = None

    @property
    def remarks(self) -> list[str]:
        """What a command says of the corpus."""
        return [remark for remark in (self.read_as, self.held) if remark]


def survey(
    path: Path, own_tokens: Sequence[str] = (), layout: Layout | None = None
) -> Survey:
    """Read a corpus once, to measure it and to check its encoding.

    Args:
      path: of the corpus.
      own_tokens: tokens that the model adds itself; sentences with them are counted.
      layout: where its words are; by default as recognised.

    Raises:
      ValueError: a line is not UTF-8, or too long; the message names file, line and
        byte. Or the file is none that can be read twice, or not as `layout` says.
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

    for sentence in _sentences(path, layout, measure):
        num_lines += 1
        marks.add(num_bytes - counted)
        counted = num_bytes
        counter.note(sentence)
    held = counter.describe()
    return Survey(
        num_lines,
        num_bytes,
        digest.hexdigest(),
        marks,
        held,
        state,
        describe_reading(path, layout),
    )


@contextmanager
def unchanged(
    path: Path, surveyed: Survey | None = None, layout: Layout | None = None
) -> Iterator[None]:
    """Refuse what is made within the block of a text that changes meanwhile.

    Args:
      path: of the text, which must be one that can be read again.
      surveyed: what it was when it was first read; it may have been copied or touched
        since. By default what it is now, and no later time of the file is taken.
      layout: as it was surveyed.

    Raises:
      ValueError: it holds something else at the end, or after an error, whose cause
        that may be; or it can be read only once.
    """
    check_rereadable(path)
    before = _state(path) if surveyed is None else surveyed.state

    def is_the_same() -> bool:
        now = _state(path)
        if now == before:
            return True
        if surveyed is None or now[0] != before[0]:
            return False
        return _digest(path, layout) == surveyed.digest

    try:
        yield
    except (ValueError, OSError) as error:
        if not is_the_same():
            raise _changed(path) from error
        raise
    if not is_the_same():
        raise _changed(path)


def _digest(path: Path, layout: Layout | None) -> str | None:
    """Return the digest of a survey; None for what cannot be read any more."""
    digest = hashlib.sha256()
    try:
        for _ in _sentences(path, layout, digest.update):
            pass
    except (ValueError, OSError):
        return None
    return digest.hexdigest()


def _changed(path: Path) -> ValueError:
    return ValueError(
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


def read_sentences(path: Path, layout: Layout | None = None) -> Iterator[Sentence]:
    """Yield the sentences of a file.

    They are its lines, the words of each in CoNLL, or the texts of records.

    Args:
      path: UTF-8, or Parquet; a file that ends in `.gz` or `.zst` is decompressed.
      layout: where its words are; by default as recognised.

    Raises:
      ValueError: as `read_lines` and `read_texts`; or the file is not as `layout` says.
      OSError: the file cannot be read.
    """
    return _sentences(path, layout, None)


def describe_reading(path: Path, layout: Layout | None = None) -> str | None:
    """Return a line on what a file is read as, to be said; None for text.

    Raises:
      ValueError: as `read_sentences`.
      OSError: the file cannot be read.
    """
    return _found(path, layout or Layout()).describe()


def _sentences(
    path: Path, layout: Layout | None, watch: Callable[[bytes], None] | None
) -> Iterator[Sentence]:
    layout = layout or Layout()
    found = _found(path, layout)
    match found.format:
        case "text":
            yield from read_lines(path, watch)
        case "conllu":
            yield from read_conll_u(read_lines(path, watch), path, found.where)
        case "conll":
            yield from read_conll(read_lines(path, watch), path, layout.column)
        case "records":
            for text in read_texts(path, found.where):
                if watch:
                    watch(f"{text}\n".encode())
                yield text


def _found(path: Path, layout: Layout) -> Found:
    return layout.find(path, lambda: list(itertools.islice(read_lines(path), SAMPLE)))
