# SPDX-License-Identifier: Apache-2.0
"""Principal components against the singular value decomposition."""

import numpy as np
import pytest

from embed_jax.explore.principal_components import principal_components


@pytest.mark.parametrize("shape", [(30, 7), (7, 30)])
def test_coordinates_are_those_of_the_decomposition(shape):
    points = np.random.default_rng(0).normal(size=shape) * 3 + 5
    left, scale, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    found = principal_components(points, count=3)
    expected = left[:, :3] * scale[:3]
    signs = np.sign(np.sum(found * expected, axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-8)


def test_others_are_placed_without_moving_the_rest():
    points = np.random.default_rng(1).normal(size=(9, 4))
    alone = principal_components(points)
    both = principal_components(points, np.stack([points[3], points[:2].mean(axis=0)]))
    np.testing.assert_allclose(both[:9], alone)
    np.testing.assert_allclose(both[9], alone[3])
    np.testing.assert_allclose(both[10], alone[:2].mean(axis=0))


@pytest.mark.parametrize("shape", [(1, 5), (4, 1), (1, 1)])
def test_a_direction_that_there_is_not_is_zero(shape):
    points = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    found = principal_components(points)
    assert found.shape == (shape[0], 2)
    assert (found[:, 1] == 0).all()
