# SPDX-License-Identifier: Apache-2.0
"""Writing of word vectors in the text format of word2vec, which most tools read.

The first line has the number of words and the width, every other line a word and its
numbers, separated by single spaces.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embed_jax.files.kinds import FileKind, head_of
from embed_jax.files.local_path import local_path
from embed_jax.files.output_file import open_output
from embed_jax.files.outputs import output_file

# The white space that every reader takes for an end. Wider spaces are words' own: the
# usual readers, gensim's among them, split bytes.
_ENDS_A_WORD = re.compile(r"[ \t\n\v\f\r]")


def _is_word2vec(path: Path) -> bool:
    """Return whether a file has the form: two numbers, then a word and as many."""
    first, _, rest = head_of(path).partition(b"\n")
    match = re.fullmatch(rb"(\d+) (\d+)", first)
    if match is None or (match[1] != b"0" and not rest):
        return False
    row, whole, _ = rest.partition(b"\n")
    return not whole or len(row.split(b" ")) == 1 + int(match[2])


WORD2VEC = FileKind("a file of vectors in word2vec's format", _is_word2vec)


def write_word2vec(
    path: str | os.PathLike[str],
    words: Sequence[str],
    vectors: Float[np.ndarray, "U D"],
    *,
    overwrite: bool = False,
) -> int:
    r"""Write words and their vectors, as gensim's `load_word2vec_format` reads them.

    Words that the format cannot hold are left out: the empty word, those with a space,
    tab or line end in them, and those with a lone surrogate, which is not UTF-8. Other
    white space, such as U+00A0 or U+3000, is written unchanged. The words must be
    distinct, because readers keep only the first of equal ones.

    Args:
      path: the file; it appears when it is complete.
      words: of `vectors`, in the order to write; gensim expects descending frequency.
      vectors: any float dtype; written with the nine digits that float32 needs to be
        read back bit for bit.
      overwrite: replace a file of this format.

    Returns:
      The number of words that were left out.

    Raises:
      ValueError: not as many words as vectors, or the directory is missing.
      FileExistsError: `path` is there and may not be replaced, or is of another kind.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "vectors.txt"
      >>> write_word2vec(path, ["bank", "New York"], np.eye(2, dtype=np.float32))
      1
      >>> path.read_text()
      '1 2\nbank 1 0\n'
    """
    path = local_path(path)
    if len(words) != len(vectors):
        raise ValueError(f"{len(words)} words cannot have {len(vectors)} vectors")
    rows = [row for row, word in enumerate(words) if _fits(word)]
    width = vectors.shape[1]
    numbers = " %.9g" * width
    with (
        output_file(path, WORD2VEC, replace=overwrite),
        open_output(path, replace=overwrite) as file,
    ):
        file.write(f"{len(rows)} {width}\n".encode())
        for row in rows:
            values = numbers % tuple(vectors[row].astype(np.float32).tolist())
            file.write(f"{words[row]}{values}\n".encode())
    return len(words) - len(rows)


def _fits(word: str) -> bool:
    """Return whether readers of this format take the text as one word."""
    if not word or _ENDS_A_WORD.search(word):
        return False
    return not any("\ud800" <= character <= "\udfff" for character in word)
