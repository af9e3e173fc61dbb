# SPDX-License-Identifier: Apache-2.0
"""Plans lose nothing, cut nothing, and hardly pad."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_jax import corpus, scoring
from elmo_jax.packing import PackedBatch, PackShapes, plan_alone

lengths_of_sentences = st.lists(
    st.one_of(st.integers(1, 12), st.integers(1, 64), st.integers(60, 300)),
    max_size=120,
)


@st.composite
def pack_shapes(draw) -> PackShapes:
    multiple = draw(st.sampled_from([1, 2, 3, 8]))
    return PackShapes(
        num_rows=multiple * draw(st.integers(1, 20)),
        length=draw(st.sampled_from([8, 64])),
        max_length=draw(st.sampled_from([1, 7, 64, 150])),
        row_multiple=multiple,
        min_rows=draw(st.sampled_from([1, 4, 32])),
    )


def check_plan(batches: list[PackedBatch], lengths: list[int]) -> None:
    """Every sentence is somewhere, whole, and where no other one is."""
    planned = [index for batch in batches for index in batch.indices]
    assert sorted(planned) == list(range(len(lengths)))
    for batch in batches:
        assert batch.lengths == [lengths[index] for index in batch.indices]
        taken = np.zeros((batch.num_rows, batch.length), int)
        for (row, start), length in zip(batch.places, batch.lengths, strict=True):
            assert 0 <= row < batch.num_rows
            assert 0 <= start <= start + length <= batch.length
            taken[row, start : start + length] += 1
        assert taken.max() == 1
        # No place is left free within a row, nor a row before the last one taken.
        filled = taken.sum(axis=1)
        assert (taken == (np.arange(batch.length) < filled[:, None])).all()
        assert (np.diff((filled > 0).astype(int)) <= 0).all()


@given(pack_shapes(), lengths_of_sentences)
def test_a_plan_holds_every_sentence_once_and_whole(shapes, lengths):
    batches = shapes.plan(lengths)
    check_plan(batches, lengths)
    overlong = sorted(length for length in lengths if length > shapes.max_length)
    alone = batches[: len(overlong)]
    # What is read in parts comes first, each by itself and as long as it is.
    assert [batch.lengths for batch in alone] == [[n] for n in reversed(overlong)]
    assert all((b.num_rows, b.length) == (1, b.lengths[0]) for b in alone)
    for batch in batches[len(overlong) :]:
        assert max(batch.lengths) <= shapes.max_length
        assert batch.num_rows % shapes.row_multiple == 0
        assert batch.num_rows <= shapes.num_rows
        # Over the budget only where rows would be too few, or are the least.
        least = max(min(shapes.min_rows, shapes.num_rows), shapes.row_multiple)
        within_budget = shapes.num_rows * shapes.length // batch.length
        assert batch.num_rows <= max(within_budget, least)


@given(pack_shapes(), lengths_of_sentences, st.randoms())
def test_the_order_of_the_sentences_does_not_change_the_shapes(shapes, lengths, rng):
    shuffled = list(lengths)
    rng.shuffle(shuffled)
    for one, other in zip(shapes.plan(lengths), shapes.plan(shuffled), strict=True):
        assert (one.num_rows, one.length) == (other.num_rows, other.length)
        assert one.lengths == other.lengths
        assert one.places == other.places


@given(lengths_of_sentences, st.sampled_from([1, 2, 8]))
def test_alone_each_sentence_has_a_row(lengths, multiple):
    batches = plan_alone(lengths, 512, 300, multiple)
    check_plan(batches, lengths)
    for batch in batches:
        assert batch.places == [(row, 0) for row in range(len(batch.indices))]
        assert batch.num_rows % multiple == 0
        assert batch.num_rows * batch.length <= 512 or batch.num_rows == multiple


def test_split_gives_each_sentence_its_part():
    [batch] = PackShapes(num_rows=2, length=8, max_length=8).plan([5, 3, 2, 6])
    values = np.arange(batch.num_rows * batch.length).reshape(batch.num_rows, -1)
    parts = dict(zip(batch.indices, batch.split(values), strict=True))
    assert [len(parts[index]) for index in range(4)] == [5, 3, 2, 6]
    joined = np.concatenate(list(parts.values()))
    assert len(set(joined.tolist())) == 16


def shapes_of(budget: int, multiple: int = 1) -> PackShapes:
    return PackShapes(
        num_rows=budget // corpus.ROW_LENGTH * multiple,
        length=corpus.ROW_LENGTH,
        max_length=corpus.MAX_LENGTH,
        row_multiple=multiple,
    )


def plan_in_chunks(
    shapes: PackShapes, lengths: list[int], chunk_tokens: int
) -> list[PackedBatch]:
    """Plan as text is streamed: so many tokens sorted together."""
    batches, held, tokens = [], [], 0
    for length in [*lengths, 0]:
        held += [length] if length else []
        tokens += length + 1
        if tokens >= chunk_tokens or not length:
            batches += shapes.plan(held)
            held, tokens = [], 0
    return batches


def check_efficiency(lengths: list[int]) -> None:
    """Hardly any padding, hardly any shapes; the last, partial batches included."""
    for budget in (
        corpus.CORPUS.token_budgets["cpu"],
        scoring.TOKEN_BUDGETS["cpu"],
        scoring.TOKEN_BUDGETS["default"],
        corpus.CORPUS.token_budgets["default"],
    ):
        batches = plan_in_chunks(shapes_of(budget), lengths, 8 * budget)
        assert sum(len(batch.indices) for batch in batches) == len(lengths)
        positions = sum(batch.num_rows * batch.length for batch in batches)
        assert positions <= 1.1 * sum(lengths), budget
        shapes = {(batch.num_rows, batch.length) for batch in batches}
        assert len(shapes) <= 16, budget


@pytest.mark.data
def test_real_text_is_hardly_padded(data_dir):
    path = data_dir / "pos_ud_english_ewt" / "train.text.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lengths = [len(words) for line in lines if (words := line.split())]
    assert sum(lengths) > 150_000
    check_efficiency(lengths)


def test_text_of_many_lengths_is_hardly_padded():
    rng = np.random.default_rng(0)
    drawn = rng.lognormal(np.log(18), 0.8, 12_000).astype(int)
    check_efficiency(np.clip(drawn, 1, 900).tolist())


def test_a_few_long_sentences_share_their_rows_with_short_ones():
    shapes = shapes_of(8192)
    first, *rest = shapes.plan([900] * 3 + [20] * 3000)
    assert (first.num_rows, first.length) == (32, 1024)
    assert len(first.indices) > 1000
    assert max(batch.length for batch in rest) == 64
    # Alone, without the least of rows, they keep to the budget.
    strict = dataclasses.replace(shapes, min_rows=1)
    assert [batch.num_rows for batch in strict.plan([900] * 9)] == [8, 4]


def test_few_sentences_are_not_laid_end_to_end():
    """A step over few rows costs hardly less, so there shall be few steps."""
    [batch] = shapes_of(8192).plan([5] * 10)
    assert (batch.num_rows, batch.length) == (12, 8)
    # Two to a row, for there are twice as many as rows.
    [batch] = shapes_of(8192).plan([5] * 256)
    assert (batch.num_rows, batch.length) == (128, 12)
