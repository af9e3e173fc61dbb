# SPDX-License-Identifier: Apache-2.0
"""Nearest contexts against sorting all of them."""

import numpy as np
import pytest

from embed_jax.explore.contexts import neighbours
from embed_jax.explore.contexts.neighbours import find_neighbours
from embed_jax.layers.unit_vectors import unit_vectors


@pytest.mark.parametrize("block", [4, 1024])
@pytest.mark.parametrize("num_queries", [0, 1])
def test_neighbours_are_the_first_of_all_sorted(monkeypatch, block, num_queries):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    vectors = np.random.default_rng(0).normal(size=(11, 5)).astype(np.float32)
    unit = unit_vectors(vectors)
    number = 11 - num_queries
    found = find_neighbours(unit, number, 3)
    for index in range(11):
        cosines = unit[:number] @ unit[index]
        order = [i for i in np.argsort(-cosines) if i != index][:3]
        assert found.indices[index].tolist() == order
        np.testing.assert_allclose(found.cosines[index], cosines[order], atol=1e-6)


@pytest.mark.parametrize(("number", "width"), [(1, 0), (2, 1), (4, 3)])
def test_there_are_no_more_neighbours_than_other_contexts(number, width):
    unit = unit_vectors(np.ones((number + 1, 2)))
    found = find_neighbours(unit, number, 6)
    assert found.indices.shape == (number + 1, width)
    assert all(
        index not in row for index, row in enumerate(found.indices[:number].tolist())
    )
