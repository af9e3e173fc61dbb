# SPDX-License-Identifier: Apache-2.0
"""Principal component analysis."""

import numpy as np
from jaxtyping import Float


def principal_components(
    points: Float[np.ndarray, "N D"],
    others: Float[np.ndarray, "M D"] | None = None,
    *,
    count: int = 2,
) -> Float[np.ndarray, "_ {count}"]:
    """Return the coordinates of points along their first principal components.

    They come from the eigenvectors of the smaller of Gram and covariance matrix, which
    for many points or many channels is far faster than an SVD of the points.

    Args:
      points: at least one; the components and the mean are theirs.
      others: points that are only projected.
      count: number of components.

    Returns:
      float64 coordinates of the points, then of the others; zeros along components
      beyond the rank.

    Example:
      >>> principal_components(np.array([[1.0, 0, 0], [3.0, 0, 0]]))[:, 1].tolist()
      [0.0, 0.0]
    """
    centre = points.mean(axis=0, dtype=np.float64)
    centred = points - centre
    axes = _principal_axes(centred, count)
    rest = np.empty((0, points.shape[1])) if others is None else others - centre
    return np.concatenate([centred, rest]) @ axes


def _principal_axes(
    centred: Float[np.ndarray, "N D"], count: int
) -> Float[np.ndarray, "D {count}"]:
    axes = np.zeros((centred.shape[1], count))
    if centred.shape[0] < centred.shape[1]:
        squares, sides = np.linalg.eigh(centred @ centred.T)
        directions = centred.T @ sides
    else:
        squares, directions = np.linalg.eigh(centred.T @ centred)
    for column, index in enumerate(np.argsort(-squares, kind="stable")[:count]):
        # What is left of a direction that there is not is rounding.
        if squares[index] > 1e-12 * squares[-1]:
            direction = directions[:, index]
            axes[:, column] = direction / np.linalg.norm(direction)
    return axes
