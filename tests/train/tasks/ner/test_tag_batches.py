import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from train.tasks.ner.tag_batches import PADDING, batches, lay_rows


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    seed=st.integers(0, 9),
    together=st.sampled_from([None, 1, 2]),
)
def test_every_word_once_in_its_sentence(lengths: list[int], seed: int, together):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tags = np.random.default_rng(seed).integers(0, 5, offsets[-1])
    order = np.random.default_rng(seed).permutation(len(lengths))
    rows = lay_rows(offsets, tags, order, 9, together)
    mask = rows.tags != PADDING
    np.testing.assert_array_equal(np.sort(rows.words[mask]), np.arange(offsets[-1]))
    np.testing.assert_array_equal(rows.tags[mask], tags[rows.words[mask]])
    np.testing.assert_array_equal(np.sort(rows.words[rows.first]), offsets[:-1])
    np.testing.assert_array_equal(np.sort(rows.words[rows.last]), offsets[1:] - 1)
    assert not rows.first[~mask].any()
    # Within a sentence, words stand side by side.
    inside = mask & ~rows.first
    at_row, at = np.nonzero(inside)
    np.testing.assert_array_equal(
        rows.words[at_row, at], rows.words[at_row, at - 1] + 1
    )
    if together:
        assert rows.first.sum(axis=1).max() <= together


def test_seeds_with_fewer_rows_get_empty_ones():
    offsets = np.array([0, 3, 6, 9])
    tags = np.zeros(9, int)
    long = lay_rows(offsets, tags, np.arange(3), 4)
    short = lay_rows(offsets, tags, np.arange(3), 6)
    assert (len(long.words), len(short.words)) == (3, 2)
    short = short._replace(
        **{name: getattr(short, name)[:, :4] for name in short._fields}
    )
    given_batches = list(batches([long, short], 2))
    assert [batch.words.shape for batch in given_batches] == [(2, 2, 4)] * 2
    last = given_batches[1]
    assert (last.tags[1] == PADDING).all()
    assert (last.tags[0, 1] == PADDING).all()
    assert not last.first[1].any()
