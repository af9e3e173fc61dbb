# SPDX-License-Identifier: Apache-2.0
"""Clustering of contexts by k-means, with the number of clusters by silhouette."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from embed_jax.explore.principal_components import principal_components

# Numbers of clusters that are tried where none is given.
MOST = 8
# Points that a silhouette is computed from, evenly taken; its cost is their square.
SILHOUETTE_POINTS = 1000
# Starts of k-means, and points that they are tried on, evenly taken; the best one goes
# on with all points.
RESTARTS = 6
START_POINTS = 1500
ITERATIONS = 50
# Principal components that k-means sees: of vectors of contexts the others are next to
# nothing, and cost the more.
COMPONENTS = 48


class Clusters(NamedTuple):
    """A clustering of points.

    Attributes:
      labels: for each point its cluster, from 0; the largest cluster comes first.
      centrality: for each point its squared distance to the mean of its cluster.
      silhouette: mean silhouette, from -1 to 1 (Rousseeuw 1987), of an evenly spaced
        sample of the points; 0 for one cluster.
    """

    labels: Int[np.ndarray, " N"]
    centrality: Float[np.ndarray, " N"]
    silhouette: float

    @property
    def number(self) -> int:
        """Number of clusters."""
        return int(self.labels.max(initial=-1)) + 1


def find_clusters(
    points: Float[np.ndarray, "N D"], number: int | None = None, *, seed: int = 0
) -> Clusters:
    """Cluster points by k-means.

    Args:
      points: at least one, float32 or float64.
      number: of clusters; by default the one from 2 to 8 with the highest silhouette,
        or 1 where there are fewer than three distinct points.
      seed: of the initial centres. The same points and seed give the same clusters.

    Raises:
      ValueError: a number below 1, or above the number of distinct points.
    """
    num_distinct = len(np.unique(_rounded(points), axis=0))
    if number is not None and not 1 <= number <= num_distinct:
        raise ValueError(
            f"{number} clusters of {num_distinct} different points; "
            f"from 1 to {num_distinct} are possible"
        )
    if number is None:
        numbers = range(2, min(MOST, num_distinct - 1) + 1)
    else:
        numbers = range(number, number + 1)
    # Far from the origin equal points would differ by rounding.
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    chosen = _evenly(len(points), SILHOUETTE_POINTS)
    distances = np.sqrt(_squared_distances(points[chosen], points[chosen]))
    points = principal_components(points, count=min(COMPONENTS, points.shape[1]))
    best = None
    for k in numbers:
        labels, centrality = _k_means(points, k, np.random.default_rng([seed, k]))
        score = silhouette(distances, labels[chosen]) if k > 1 else 0.0
        if best is None or score > best.silhouette:
            best = Clusters(labels, centrality, score)
    if best is None:
        ones = np.zeros(len(points), np.int64)
        best = Clusters(ones, np.sum(points**2, axis=1), 0.0)
    return best


def silhouette(
    distances: Float[np.ndarray, "N N"], labels: Int[np.ndarray, " N"]
) -> float:
    """Compute the mean silhouette of a clustering, from -1 to 1 (Rousseeuw 1987).

    Args:
      distances: between the points.
      labels: for each point its cluster, from 0. A point alone in its cluster counts 0,
        and so does everything where there is one cluster only.

    Example:
      >>> places = np.array([0.0, 1.0, 10.0, 11.0])
      >>> distances = np.abs(places[:, None] - places)
      >>> round(silhouette(distances, np.array([0, 0, 1, 1])), 3)
      0.9
    """
    members = np.eye(labels.max() + 1)[labels]
    sizes = members.sum(axis=0)
    if np.count_nonzero(sizes) < 2:
        return 0.0
    sums = distances @ members
    own = np.arange(len(labels)), labels
    inside = sums[own] / np.maximum(sizes[labels] - 1, 1)
    means = np.divide(sums, sizes, out=np.full_like(sums, np.inf), where=sizes > 0)
    means[own] = np.inf
    outside = means.min(axis=1)
    widest = np.maximum(inside, outside)
    alone = (sizes[labels] == 1) | (widest == 0)
    scores = np.where(alone, 0, (outside - inside) / np.where(widest == 0, 1, widest))
    return float(scores.mean())


def _k_means(
    points: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and squared distances of the best of several starts."""
    some = points[_evenly(len(points), START_POINTS)]
    best, least = some[:k], np.inf
    for _ in range(RESTARTS):
        labels, squares = _descend(some, _spread_start(some, k, rng))
        if squares.sum() < least:
            best, least = _means(some, labels, k), squares.sum()
    labels, squares = _descend(points, best)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    return np.argsort(order, kind="stable")[labels], squares


def _spread_start(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw centres far from each other: k-means++ (Arthur and Vassilvitskii 2007)."""
    centres = [points[rng.integers(len(points))]]
    nearest = _squared_distances(points, centres[0][None])[:, 0]
    while len(centres) < k:
        total = nearest.sum()
        chances = nearest / total if total > 0 else None
        centres.append(points[rng.choice(len(points), p=chances)])
        latest = _squared_distances(points, centres[-1][None])[:, 0]
        nearest = np.minimum(nearest, latest)
    return np.stack(centres)


def _descend(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.full(len(points), -1)
    squares = np.zeros(len(points))
    for _ in range(ITERATIONS):
        distances = _squared_distances(points, centres)
        new = distances.argmin(axis=1)
        squares = distances[np.arange(len(points)), new]
        for empty in np.flatnonzero(np.bincount(new, minlength=len(centres)) == 0):
            # Of those that are not alone, the point that fits worst.
            sizes = np.bincount(new, minlength=len(centres))
            farthest = np.where(sizes[new] > 1, squares, -1).argmax()
            new[farthest], squares[farthest] = empty, 0
        if (new == labels).all():
            break
        labels = new
        centres = _means(points, labels, len(centres))
    return labels, squares


def _means(points: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    members = np.eye(k)[labels]
    return (members.T @ points) / members.sum(axis=0)[:, None]


def _squared_distances(
    points: Float[np.ndarray, "N D"], centres: Float[np.ndarray, "K D"]
) -> Float[np.ndarray, "N K"]:
    squares = np.sum(points**2, axis=1)[:, None] + np.sum(centres**2, axis=1)
    return np.maximum(squares - 2 * points @ centres.T, 0)


def _rounded(points: Float[np.ndarray, "N D"]) -> np.ndarray:
    scale = np.abs(points).max(initial=0)
    return np.round(points / (scale if scale > 0 else 1), 5)


def _evenly(count: int, limit: int) -> np.ndarray:
    return np.arange(min(count, limit)) * count // min(count, limit)
