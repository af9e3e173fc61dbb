# SPDX-License-Identifier: Apache-2.0
"""The encoder's input: a batch of padded rows."""

from typing import Any, NamedTuple

from jaxtyping import Bool, Int

from embed_jax.equality import equal_by_value


@equal_by_value
class BertTokens(NamedTuple):
    """A batch of rows, on the host (NumPy) or on the device; a pytree either way.

    Attributes:
      ids: word pieces, `[CLS]` first, int32.
      segment_ids: 0 for the first sentence of a pair, 1 for the second, int32.
      mask: True at real tokens, False at padding.
      word_ids: for each piece the index of its word in the row, -1 at specials,
        padding and context. A word without a piece is an index that never appears.
      pooled: True at tokens that count for the vector of the sentence: its own pieces
        and the specials around them.
    """

    ids: Int[Any, "B T"]
    segment_ids: Int[Any, "B T"]
    mask: Bool[Any, "B T"]
    word_ids: Int[Any, "B T"]
    pooled: Bool[Any, "B T"]
