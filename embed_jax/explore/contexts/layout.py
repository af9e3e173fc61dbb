# SPDX-License-Identifier: Apache-2.0
"""Two-dimensional plots of all layers, each aligned to its neighbour (Procrustes)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from embed_jax.explore.principal_components import principal_components

# Points that differ less than this, by their length, differ by rounding.
FLAT = 1e-5


def lay_out(
    views: Sequence[Float[np.ndarray, "N _"]], num_fitted: int, reference: int
) -> Float[np.ndarray, "V N 2"]:
    """Project the same points to the plane, once for each view of them.

    Each view is projected to its first two principal components, whose rotation and
    sign are arbitrary. Going outwards from the reference, each view is therefore
    aligned to its neighbour (orthogonal Procrustes), so that differences between views
    are differences of the points.

    Args:
      views: the points' vectors, a view a layer, in the order of the layers.
      num_fitted: the components are fitted to the first `num_fitted` points; the others
        are only projected.
      reference: index of the view that is not rotated.

    Returns:
      Coordinates, centred and of root mean square 1 over the fitted points; all zero
      where these coincide.
    """
    planes = [_place(view, num_fitted) for view in views]
    anchor = planes[reference] = _fix_signs(planes[reference])
    for index in reversed(range(reference)):
        planes[index] = align(planes[index], anchor, num_fitted)
        anchor = planes[index] if planes[index].any() else anchor
    anchor = planes[reference]
    for index in range(reference + 1, len(planes)):
        planes[index] = align(planes[index], anchor, num_fitted)
        anchor = planes[index] if planes[index].any() else anchor
    return np.stack(planes)


def align(
    points: Float[np.ndarray, "N 2"],
    anchor: Float[np.ndarray, "N 2"],
    num_fitted: int | None = None,
) -> Float[np.ndarray, "N 2"]:
    """Rotate or reflect points to be closest to an anchor (orthogonal Procrustes).

    Args:
      points: centred.
      anchor: the same points in another view, centred.
      num_fitted: number of points to fit, the first ones; by default all.

    Example:
      >>> square = np.array([[1.0, 0.5], [-1.0, 0.5], [0.0, -1.0]])
      >>> bool(np.allclose(align(square[:, ::-1] * [1, -1], square), square))
      True
    """
    left, _, right = np.linalg.svd(points[:num_fitted].T @ anchor[:num_fitted])
    return points @ (left @ right)


def _place(view: Float[np.ndarray, "N D"], num_fitted: int) -> np.ndarray:
    fitted, others = view[:num_fitted], view[num_fitted:]
    plane = principal_components(fitted, others)
    spread = np.sqrt(np.mean(np.sum(plane[:num_fitted] ** 2, axis=1)))
    length = np.sqrt(np.mean(np.sum(fitted.astype(np.float64) ** 2, axis=1)))
    if spread <= FLAT * length:
        return np.zeros_like(plane)
    return plane / spread


def _fix_signs(plane: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
    """Flip the axes so that the farthest point along each is on its positive side."""
    farthest = np.take_along_axis(plane, np.abs(plane).argmax(axis=0)[None], axis=0)
    return plane * np.where(farthest < 0, -1.0, 1.0)
