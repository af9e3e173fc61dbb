# SPDX-License-Identifier: Apache-2.0
"""Vectors of length 1, whose products are cosines."""

import numpy as np
from jaxtyping import Float


def unit_vectors(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Scale vectors to length 1 (L2); zeros stay zeros.

    Args:
      vectors: float32 or float64, which the result has too. Lengths are computed in
        float64, so that none is too long or too short for it.

    Example:
      >>> unit_vectors(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
      [[0.6, 0.8], [0.0, 0.0]]
    """
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    lengths = np.sqrt(squares)[:, None]
    scaled = np.empty_like(vectors)
    # Divided in float64 too, without a copy of the vectors in it.
    return np.divide(
        vectors, np.where(lengths == 0, 1, lengths), out=scaled, casting="same_kind"
    )
