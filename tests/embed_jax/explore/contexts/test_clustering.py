# SPDX-License-Identifier: Apache-2.0
"""Planted clusters are recovered, their number too, always the same."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from embed_jax.explore.contexts.clustering import (
    START_POINTS,
    find_clusters,
    silhouette,
)


def plant(sizes, seed=0, dim=20, noise=0.05):
    rng = np.random.default_rng(seed)
    centres, _ = np.linalg.qr(rng.normal(size=(dim, len(sizes))))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    points = centres.T[labels] + noise * rng.normal(size=(len(labels), dim))
    order = rng.permutation(len(labels))
    return points[order].astype(np.float32), labels[order]


def brute_silhouette(distances, labels):
    scores = []
    for i, label in enumerate(labels):
        own = [distances[i, j] for j in np.flatnonzero(labels == label) if j != i]
        if not own:
            scores.append(0.0)
            continue
        inside = np.mean(own)
        outside = min(
            np.mean(distances[i, labels == other])
            for other in np.unique(labels)
            if other != label
        )
        widest = max(inside, outside)
        scores.append((outside - inside) / widest if widest else 0.0)
    return np.mean(scores)


@pytest.mark.parametrize("sizes", [(40, 25), (60, 30, 20, 10), (30, 25, 20, 15, 10, 5)])
@pytest.mark.parametrize("given", [True, False])
def test_planted_clusters_are_found_the_largest_first(sizes, given):
    points, labels = plant(sizes)
    clusters = find_clusters(points, len(sizes) if given else None)
    np.testing.assert_array_equal(clusters.labels, labels)
    assert clusters.number == len(sizes)
    assert clusters.silhouette > 0.6


def test_the_same_seed_gives_the_same_clusters():
    points = np.random.default_rng(0).normal(size=(200, 8))
    first, second = (find_clusters(points, 5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.silhouette == second.silhouette


@hypothesis.given(seed=st.integers(0, 100), k=st.integers(1, 6), n=st.integers(6, 30))
def test_every_cluster_has_a_member_and_each_point_its_nearest_mean(seed, k, n):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    clusters = find_clusters(points, k)
    sizes = np.bincount(clusters.labels, minlength=k)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    means = np.stack([points[clusters.labels == c].mean(axis=0) for c in range(k)])
    squares = np.sum((points[:, None] - means) ** 2, axis=2)
    np.testing.assert_allclose(clusters.centrality, squares.min(axis=1), atol=1e-9)


@pytest.mark.parametrize("number", [4, 8])
def test_a_cluster_that_runs_empty_takes_no_point_that_is_alone(number):
    """Every second point is one of two, and starts are tried on those alone."""
    places = np.zeros(2 * START_POINTS)
    places[::4], places[2::4] = -1, 1
    places[1:17:2] = [-3, 3, -4, 4, -5, 5, -6, 6]
    sizes = np.bincount(find_clusters(places[:, None], number).labels)
    assert len(sizes) == number
    assert (sizes > 0).all()


@hypothesis.given(
    seed=st.integers(0, 1000), n=st.integers(4, 20), number=st.integers(2, 5)
)
def test_the_silhouette_is_that_of_its_definition(seed, n, number):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    labels = rng.integers(number, size=n)
    if len(np.unique(labels)) > 1:
        expected = brute_silhouette(distances, labels)
        assert silhouette(distances, labels) == pytest.approx(expected)


@pytest.mark.parametrize("points", [np.ones((1, 4)), np.ones((9, 4)), np.eye(2)])
def test_too_few_different_points_are_one_cluster(points):
    clusters = find_clusters(points)
    assert clusters.number == 1
    assert clusters.silhouette == 0


@pytest.mark.parametrize("number", [0, 3])
def test_impossible_numbers_are_refused(number):
    points = np.array([[0.0], [1.0], [1.0]])
    with pytest.raises(ValueError, match="from 1 to 2 are possible"):
        find_clusters(points, number)
