# SPDX-License-Identifier: Apache-2.0
"""The biLM's input: a batch of rows as indices of its distinct words."""

from typing import Any, NamedTuple

from jaxtyping import Bool, Int, Shaped

from embed_jax.equality import equal_by_value

BEGIN, END = 0, 1
"""The indices of `<S>` and `</S>`, the first two types of every batch."""


@equal_by_value
class ElmoTokens(NamedTuple):
    """A batch of rows, on the host (NumPy) or on the device; a pytree either way.

    The boundaries of sentences take no positions: position t of a row is its word t.
    The model itself reads `<S>` before every start and `</S>` after every end.

    Attributes:
      types: the distinct words. For a character model `[U C]`, the characters of each,
        1 to 261, and rows of zeros as padding; for a word table `[U]`, their rows in
        it; int32. Or their vectors `[U P]`, float32, if these are already computed
        (`elmo_jax.type_table`). The first two are `<S>` and `</S>`.
      words: for each position its word, as an index into `types`, int32.
      mask: True at real words, False at padding.
      starts: True at the first word of a sentence. A row may hold several.
      ends: True at the last word of a sentence.
    """

    types: Shaped[Any, "U ..."]
    words: Int[Any, "B T"]
    mask: Bool[Any, "B T"]
    starts: Bool[Any, "B T"]
    ends: Bool[Any, "B T"]
