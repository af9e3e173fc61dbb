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

from embed_jax.files.output_file import check_output, open_output

# The white space that every reader takes for an end. Wider spaces are words' own: the
# usual readers, gensim's among them, split bytes.
_ENDS_A_WORD = re.compile(r"[ \t\n\v\f\r]")


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
      overwrite: replace what is at `path`.

    Returns:
      The number of words that were left out.

    Raises:
      ValueError: not as many words as vectors, or the directory is missing.
      FileExistsError: `path` is there and may not be replaced.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "vectors.txt"
      >>> write_word2vec(path, ["bank", "New York"], np.eye(2, dtype=np.float32))
      1
      >>> path.read_text()
      '1 2\nbank 1 0\n'
    """
    path = Path(path)
    if len(words) != len(vectors):
        raise ValueError(f"{len(words)} words cannot have {len(vectors)} vectors")
    check_output(path, replace=overwrite)
    rows = [row for row, word in enumerate(words) if _fits(word)]
    width = vectors.shape[1]
    numbers = " %.9g" * width
    with open_output(path) as file:
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
