# SPDX-License-Identifier: Apache-2.0
"""Pooling of vectors of word pieces into vectors of words or sentences.

Positions that belong to no word, or that a sentence does not pool, may hold any value,
even NaN: they affect neither results nor gradients.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embed_jax.suggest import suggest

WORD_POOLS = ("first", "last", "mean", "max", "first_last")
SENTENCE_POOLS = ("cls", "mean", "max", "mean_sqrt_len")


def pooled_width(dim: int, pool: str) -> int:
    """Compute the width of a pooled vector, of a word or of a sentence.

    Args:
      dim: the width of the vectors that are pooled.
      pool: one of `WORD_POOLS` or `SENTENCE_POOLS`.

    Returns:
      Twice `dim` for `first_last`, otherwise `dim`.

    Raises:
      ValueError: an unknown pool.

    Example:
      >>> pooled_width(768, "first_last")
      1536
    """
    _check_pool(pool, tuple(dict.fromkeys(WORD_POOLS + SENTENCE_POOLS)))
    return 2 * dim if pool == "first_last" else dim


def pool_words(
    vectors: Float[Array, "B T D"],
    word_ids: Int[Array, "B T"],
    pool: str,
    num_words: int | None = None,
) -> Float[Array, "B W _"]:
    """Pool the pieces of each word.

    Args:
      vectors: one a piece, any float dtype.
      word_ids: for each piece the index of its word in the row, -1 where it belongs to
        none. A word's pieces are neighbours, words are in ascending order, and a word
        may be without a piece.
      pool: `first` and `last` take one piece as it is, bit for bit; `first_last`
        concatenates both; `mean` is computed and returned in float32; `max` is taken
        channel by channel.
      num_words: W, static; by default T, the maximum. Words beyond it are left out.

    Returns:
      Vectors of width `pooled_width(D, pool)`, zero for words without a piece.

    Raises:
      ValueError: an unknown pool.

    Example:
      >>> vectors = jnp.array([[[1.0], [2.0], [4.0], [jnp.nan]]])
      >>> word_ids = jnp.array([[0, 2, 2, -1]])
      >>> pool_words(vectors, word_ids, "mean", num_words=3).tolist()
      [[[1.0], [0.0], [3.0]]]
    """
    _check_pool(pool, WORD_POOLS)
    num_pieces = vectors.shape[1]
    words = jnp.arange(num_pieces if num_words is None else num_words)
    belongs = word_ids[:, None, :] == words[None, :, None]  # [B W T]
    first = jnp.argmax(belongs, axis=-1)
    last = num_pieces - 1 - jnp.argmax(belongs[..., ::-1], axis=-1)
    match pool:
        case "first":
            pooled = _take_pieces(vectors, first)
        case "last":
            pooled = _take_pieces(vectors, last)
        case "first_last":
            pieces = _take_pieces(vectors, first), _take_pieces(vectors, last)
            pooled = jnp.concatenate(pieces, axis=-1)
        case "mean":
            pooled = _mean_of_words(vectors, belongs)
        case _:
            # Not a masked maximum: that would hold all of [B W T D].
            segment_max = partial(jax.ops.segment_max, num_segments=words.size)
            pooled = jax.vmap(segment_max)(vectors, word_ids)
    has_piece = jnp.any(belongs, axis=-1)
    return jnp.where(has_piece[..., None], pooled, 0)


def _take_pieces(
    vectors: Float[Array, "B T D"], positions: Int[Array, "B W"]
) -> Float[Array, "B W D"]:
    return jnp.take_along_axis(vectors, positions[..., None], axis=1)


def _mean_of_words(
    vectors: Float[Array, "B T D"], belongs: Bool[Array, "B W T"]
) -> Float[Array, "B W D"]:
    # A product and not a scattered sum, whose order, so last digits, a GPU leaves open.
    in_a_word = jnp.any(belongs, axis=1)
    sums = jnp.einsum(
        "BWT,BTD->BWD",
        belongs.astype(jnp.float32),
        jnp.where(in_a_word[..., None], vectors.astype(jnp.float32), 0),
        precision=jax.lax.Precision.HIGHEST,
    )
    counts = jnp.sum(belongs, axis=-1, dtype=jnp.float32)
    return sums / jnp.maximum(counts, 1)[..., None]


def pool_sentence(
    vectors: Float[Array, "B T D"], pooled: Bool[Array, "B T"], pool: str
) -> Float[Array, "B D"]:
    """Pool the positions of each row into one vector.

    Args:
      vectors: one a position, any float dtype.
      pooled: True at the positions to pool.
      pool: `cls` takes the first position of the row as it is, whatever `pooled` says;
        `max` is taken channel by channel; `mean`, and `mean_sqrt_len`, the sum divided
        by the square root of the number of positions, are computed and returned in
        float32.

    Returns:
      One vector a row. Except for `cls`, zero where no position counts.

    Raises:
      ValueError: an unknown pool.

    Example:
      >>> vectors = jnp.array([[[1.0], [2.0], [3.0], [jnp.nan]]])
      >>> pooled = jnp.array([[False, True, True, False]])
      >>> pool_sentence(vectors, pooled, "mean").tolist()
      [[2.5]]
    """
    _check_pool(pool, SENTENCE_POOLS)
    if pool == "cls":
        return vectors[:, 0]
    counts = jnp.sum(pooled, axis=1, dtype=jnp.float32)[:, None]
    if pool == "max":
        maxima = jnp.max(jnp.where(pooled[..., None], vectors, -jnp.inf), axis=1)
        return jnp.where(counts > 0, maxima, 0)
    sums = jnp.sum(jnp.where(pooled[..., None], vectors.astype(jnp.float32), 0), axis=1)
    # An empty row has a sum of zero, to be divided by anything but zero.
    counts = jnp.maximum(counts, 1)
    return sums / (counts if pool == "mean" else jnp.sqrt(counts))


def combine_sentence_parts(
    parts: Float[np.ndarray, "R D"], counts: Int[np.ndarray, " R"], pool: str
) -> Float[np.ndarray, " D"]:
    """Combine the pooled windows of one long sentence into the vector of the sentence.

    Args:
      parts: the result of `pool_sentence` for each window, in the order of the text.
      counts: number of pooled positions of each window. Where windows overlap, a
        position is pooled in one of them only.
      pool: the pool of the parts.

    Returns:
      The result of pooling all positions together, in the dtype of the parts.

    Raises:
      ValueError: an unknown pool, no parts, or not one count for each.

    Example:
      >>> parts = np.array([[1.0], [4.0]])
      >>> combine_sentence_parts(parts, np.array([2, 1]), "mean").tolist()
      [2.0]
    """
    _check_pool(pool, SENTENCE_POOLS)
    if not len(parts) or len(parts) != len(counts):
        raise ValueError(
            f"a sentence has one part or more and a count for each, "
            f"not {len(parts)} parts and {len(counts)} counts"
        )
    if pool == "cls":
        return parts[0]
    filled = counts > 0
    if not filled.any():
        return np.zeros_like(parts[0])
    parts, counts = parts[filled], counts[filled].astype(np.float64)
    match pool:
        case "max":
            combined = parts.max(axis=0)
        case "mean":
            combined = counts @ parts / counts.sum()
        case _:
            combined = np.sqrt(counts) @ parts / np.sqrt(counts.sum())
    return combined.astype(parts.dtype)


def _check_pool(pool: str, pools: tuple[str, ...]) -> None:
    if pool not in pools:
        raise ValueError(f"no pool {pool!r}; {suggest(str(pool), pools, 'pools')}")
