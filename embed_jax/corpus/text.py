# SPDX-License-Identifier: Apache-2.0
"""Reading and checking of text files with one sentence a line."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from embed_jax.corpus.conll_u import SAMPLE, is_conll_u, is_tagged, read_conll_u
from embed_jax.corpus.lines import read_lines
from embed_jax.corpus.marks import MarkCounter
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.text_shards import LineMarks


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


def _sentences(path: Path, watch: Callable[[bytes], None] | None) -> Iterator[Sentence]:
    sample = list(itertools.islice(read_lines(path), SAMPLE))
    if is_tagged(sample):
        raise ValueError(
            f"{path} is CoNLL, a word and its tags a line, not text; take out the "
            """words, awk 'NF {printf "%s ", $1} !NF {print ""} END {print ""}', """
            "and split them at spaces"
        )
    lines = read_lines(path, watch)
    if is_conll_u(sample):
        yield from read_conll_u(lines, path)
    else:
        yield from lines
