# SPDX-License-Identifier: Apache-2.0
"""Planted planes are found, and follow each other however they are turned."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from embed_jax.explore.contexts.layout import align, lay_out


def hide(plane, dim, rng):
    """Put a plane somewhere in a space of `dim` channels."""
    axes, _ = np.linalg.qr(rng.normal(size=(dim, 2)))
    return plane @ axes.T * rng.uniform(0.1, 10) + rng.normal(size=dim)


@hypothesis.given(
    seed=st.integers(0, 1000),
    num_views=st.integers(1, 5),
    reference=st.integers(0, 4),
    num_others=st.integers(0, 2),
)
def test_the_same_plane_at_every_layer_does_not_move(
    seed, num_views, reference, num_others
):
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(12 + num_others, 2)) * [2, 1]
    views = [hide(plane, 6 + view, rng) for view in range(num_views)]
    places = lay_out(views, 12, reference % num_views)
    for view in places:
        np.testing.assert_allclose(view, places[0], atol=1e-9)
    fitted = plane[:12] - plane[:12].mean(axis=0)
    spread = np.sqrt(np.mean(np.sum(fitted**2, axis=1)))
    expected = (plane - plane[:12].mean(axis=0)) / spread
    np.testing.assert_allclose(align(places[0], expected, 12), expected, atol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_reference_is_widest_to_the_side_and_positive_where_farthest(sign):
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [1, 4]
    (places,) = lay_out([sign * hide(plane, 5, rng)], 50, 0)
    assert np.std(places[:, 0]) > np.std(places[:, 1])
    assert (places.max(axis=0) == np.abs(places).max(axis=0)).all()


def test_a_point_that_moves_is_the_only_one_that_does():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(200, 2)) * [2, 1]
    moved = plane.copy()
    moved[7] = [3.0, 3.0]
    places = lay_out([hide(plane, 9, rng), hide(moved, 9, rng)], 200, 0)
    distances = np.linalg.norm(places[1] - places[0], axis=1)
    assert distances.argmax() == 7
    assert np.median(distances) < 0.05 < 0.5 < distances[7]


def test_equal_points_stay_in_one_place_and_do_not_break_the_chain():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(20, 2)) * [2, 1]
    same = np.tile(rng.normal(size=7), (20, 1)) * (1 + 1e-8 * rng.normal(size=(20, 1)))
    views = [hide(plane, 8, rng), same.astype(np.float32), hide(plane, 8, rng)]
    places = lay_out(views, 20, 2)
    assert (places[1] == 0).all()
    np.testing.assert_allclose(places[0], places[2], atol=1e-9)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_points_have_places(number):
    views = [np.random.default_rng(0).normal(size=(number + 1, 4))] * 2
    places = lay_out(views, number, 1)
    assert places.shape == (2, number + 1, 2)
    assert np.isfinite(places).all()
