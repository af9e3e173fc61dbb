# SPDX-License-Identifier: Apache-2.0
"""Few shapes, little padding, every row once."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from embed_jax.corpus.batching import BatchShapes

shapes = st.builds(
    BatchShapes,
    token_budget=st.integers(1, 3000),
    max_length=st.integers(1, 600),
    row_multiple=st.sampled_from([1, 2, 8]),
)


@hypothesis.given(shapes=shapes, data=st.data())
def test_every_row_is_planned_once_into_a_shape_that_holds_it(shapes, data):
    lengths = data.draw(st.lists(st.integers(0, shapes.max_length), max_size=200))
    batches = shapes.plan(lengths)
    planned = [index for batch in batches for index in batch.indices]
    assert sorted(planned) == list(range(len(lengths)))
    for batch in batches:
        assert batch.length in shapes.lengths
        assert all(lengths[index] <= batch.length for index in batch.indices)
        assert len(batch.indices) <= batch.num_rows
        assert batch.num_rows % shapes.row_multiple == 0
        within_budget = batch.num_rows * batch.length <= shapes.token_budget
        assert within_budget or batch.num_rows == shapes.row_multiple


@hypothesis.given(shapes=shapes)
def test_lengths_ascend_to_the_longest_in_small_steps(shapes):
    lengths = shapes.lengths
    assert lengths[-1] == shapes.max_length
    assert list(lengths) == sorted(set(lengths))
    for shorter, longer in itertools.pairwise(lengths[1:]):
        assert longer <= 1.5 * shorter


def test_padding_of_real_lengths_is_small_and_shapes_are_few():
    # A geometric tail, as sentences have.
    lengths = [5 + int(60 * (i % 97) ** 2 / 97**2) for i in range(5000)]
    plan = BatchShapes(token_budget=1024, max_length=512).plan(lengths)
    padded = sum(batch.num_rows * batch.length for batch in plan)
    assert padded < 1.12 * sum(lengths)
    full = {(b.num_rows, b.length) for b in plan[:-1]}
    assert len(full) == len({length for _, length in full})


def test_a_last_small_batch_is_not_computed_as_a_full_one():
    (batch,) = BatchShapes(token_budget=1024, max_length=512).plan([7, 6, 5])
    assert (batch.num_rows, batch.length) == (4, 8)


def test_a_row_over_the_budget_is_a_batch_of_its_own():
    plan = BatchShapes(token_budget=10, max_length=32).plan([30, 31])
    assert [batch.num_rows for batch in plan] == [1, 1]


def test_what_fits_nowhere_is_refused():
    with pytest.raises(ValueError, match="33 tokens, but rows have at most 32"):
        BatchShapes(token_budget=10, max_length=32).plan([33])
    with pytest.raises(ValueError, match="max_length must be at least 1, not 0"):
        BatchShapes(token_budget=10, max_length=0)
