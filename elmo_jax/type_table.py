# SPDX-License-Identifier: Apache-2.0
"""A cache of context-free word vectors, computed once for each distinct word.

For every word the character CNN is a quarter of the published model's work, and the
words of a text repeat. The cache is on the device, where the LSTMs read it.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from elmo_jax.bilm import word_vectors
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer, pad_types
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.mesh import replicate_beside

# Words at a time in the CNN: its widest intermediate, [256, 44, 1024], is 46 MB.
PORTION = 256

# Rows grow to a multiple of it, so that few shapes are compiled.
_LENGTH_STEP = 8


class TypeTable:
    """Word vectors in an array on the device, filled as words occur.

    Attributes:
      vectors: `[capacity P]`; unused rows are zero.
    """

    vectors: Float[Array, "capacity P"]

    def __init__(
        self,
        params: ElmoParams,
        tokenizer: ElmoTokenizer,
        *,
        dtype: jnp.dtype,
        capacity: int,
    ) -> None:
        """Make an empty table.

        Args:
          params: on the device or devices of the table.
          tokenizer: of the model.
          dtype: of the CNN's products.
          capacity: maximal number of words; a full table is emptied.
        """
        self._params = params
        self._tokenizer = tokenizer
        self._dtype = dtype
        self._capacity = capacity
        self._rows: dict[str, int] = {}
        shape = capacity + 1, params.config.projection_dim
        # The last row takes the vectors of rows that only fill a portion up.
        self.vectors = replicate_beside(jnp.zeros(shape, jnp.float32), params)

    def find(self, words: Sequence[str]) -> Int[np.ndarray, " U"]:
        """Return the row of each word; compute the vectors that are missing.

        Args:
          words: distinct words, boundaries included.

        Raises:
          ValueError: more words at once than the table holds.
        """
        missing = [word for word in words if word not in self._rows]
        if len(self._rows) + len(missing) > self._capacity:
            self._rows.clear()
            missing = list(words)
            if len(missing) > self._capacity:
                raise ValueError(
                    f"{len(missing)} distinct words in a batch, but the table holds "
                    f"{self._capacity}; lower max_length, so that long sentences are "
                    "read in parts"
                )
        # By length, so that short words are not convolved as long ones.
        missing.sort(key=len)
        for start in range(0, len(missing), PORTION):
            portion = missing[start : start + PORTION]
            first = len(self._rows)
            rows = np.full(PORTION, self._capacity, np.int32)
            rows[: len(portion)] = np.arange(first, first + len(portion))
            self._rows.update(zip(portion, rows.tolist(), strict=False))
            types = _fill_up(self._tokenizer.encode_types(portion), self._longest())
            self.vectors = _compute(
                self._params, self.vectors, types, rows, dtype=self._dtype
            )
        return np.array([self._rows[word] for word in words], np.int32)

    def _longest(self) -> int:
        char_cnn = self._params.config.char_cnn
        return char_cnn.max_characters if char_cnn else 0


@partial(jax.jit, static_argnames="dtype", donate_argnums=1)
@on_any_mesh("capacity P")
def _compute(
    params: ElmoParams,
    vectors: Float[Array, "capacity P"],
    types: Int[Array, "portion ..."],
    rows: Int[Array, " portion"],
    *,
    dtype: jnp.dtype,
) -> Float[Array, "capacity P"]:
    new = word_vectors(params.config, params.encoder, types, dtype)
    return vectors.at[rows].set(new)


def _fill_up(types: Int[np.ndarray, "U ..."], longest: int) -> np.ndarray:
    """Pad words and their characters to one of few shapes."""
    length = 0
    if types.ndim == 2:
        length = min(-(-types.shape[1] // _LENGTH_STEP) * _LENGTH_STEP, longest)
    return pad_types(types, PORTION, length)
