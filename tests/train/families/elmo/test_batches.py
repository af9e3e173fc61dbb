# SPDX-License-Identifier: Apache-2.0
"""The streams of the biLM: bilm-tf's in the order of the text, and any order once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN, character_rows
from elmo_jax.vocabulary import read_vocabulary
from tests.conftest import REPOSITORY
from tests.oracles.bilm_stream import reader_pairs, training_stream, weight_mask
from tests.train.stores import draw_words, word_store
from train.families.elmo.batches import CHARACTER_STEP, BilmBatch, BilmBatches, round_up
from train.families.elmo.words import WordStore

DIRECTIONS = ("forward", "backward")


def spelled(types: np.ndarray) -> list[str]:
    """Read rows of characters, which are bytes and one; padding is no word."""
    boundaries = {257: BEGIN_TOKEN, 258: END_TOKEN}
    words = []
    for row in types.tolist():
        if 0 in row:
            words.append("")
            continue
        inside = row[1 : row.index(260)]
        special = boundaries.get(inside[0]) if inside else None
        words.append(special or bytes(i - 1 for i in inside).decode())
    return words


def read_words(batch: BilmBatch) -> np.ndarray:
    """Return what is read, as words `[B 2 T]`."""
    return np.array(spelled(batch.types), object)[batch.rows.words]


def target_words(store: WordStore, batch: BilmBatch) -> np.ndarray:
    return np.array(store.vocabulary.words, object)[batch.rows.targets]


def same(one: BilmBatch, other: BilmBatch) -> None:
    for ours, theirs in zip(
        [*one.rows, one.types], [*other.rows, other.types], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    if one.negatives is not None or other.negatives is not None:
        for ours, theirs in zip(one.negatives, other.negatives, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def check_against_the_oracle(sentences, vocabulary, num_rows: int, window: int) -> None:
    store = word_store([sentences], vocabulary, max_characters=50)
    batches = BilmBatches(
        store, batch_size=num_rows, unroll_steps=window, shuffled=False
    )
    steps = list(training_stream(sentences, sentences, num_rows, window))
    assert batches.epoch_end(0) == len(steps)
    for number, step in enumerate(steps):
        batch = batches[number]
        inputs, targets = read_words(batch), target_words(store, batch)
        for direction, name in enumerate(DIRECTIONS):
            theirs = getattr(step, name)
            weights = batch.rows.weights[:, direction]
            np.testing.assert_array_equal(weights, weight_mask(theirs))
            real = weights > 0
            np.testing.assert_array_equal(
                inputs[:, direction][real], theirs.inputs[real]
            )
            expected = [
                word if word in store.vocabulary.ids else "<UNK>"
                for word in theirs.targets[real]
            ]
            assert targets[:, direction][real].tolist() == expected
        assert (batch.rows.fresh == (number == 0)).all()


@pytest.mark.parametrize(
    ("num_rows", "window"), [(1, 20), (2, 7), (3, 20), (4, 1), (8, 5), (2, 200)]
)
def test_batches_of_the_published_fixture_are_those_of_bilm_tf(num_rows, window):
    path = REPOSITORY / "tests/fixtures/bilm_tf_golden/train"
    lines = (path / "data.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = read_vocabulary(path / "vocab.txt")
    check_against_the_oracle(
        [line.split() for line in lines], vocabulary, num_rows, window
    )


lengths_of_sentences = st.lists(st.integers(1, 12), min_size=1, max_size=30)
shapes = st.tuples(st.integers(1, 6), st.integers(1, 9))


@settings(max_examples=25)
@given(lengths_of_sentences, shapes)
def test_batches_in_the_order_of_the_text_are_those_of_bilm_tf(lengths, shape):
    check_against_the_oracle(distinct(lengths), None, *shape)


def distinct(lengths: list[int]) -> list[list[str]]:
    """Make sentences of which no two share a word."""
    return [[f"{s}x{w}" for w in range(n)] for s, n in enumerate(lengths)]


@settings(max_examples=25)
@given(lengths_of_sentences, shapes, st.integers(0, 3), st.integers(0, 100))
def test_every_word_is_a_target_once_an_epoch_and_direction(
    lengths, shape, epoch, seed
):
    """Rows are whole sentences end to end, the same ones in both directions."""
    num_rows, window = shape
    sentences = distinct(lengths)
    store = word_store([sentences])
    batches = BilmBatches(store, batch_size=num_rows, unroll_steps=window, seed=seed)
    assert batches.num_targets == sum(lengths) + len(lengths)
    begin = batches.epoch_end(epoch - 1) if epoch else 0
    end = batches.epoch_end(epoch)
    epoch_batches = [batches[number] for number in range(begin, end)]
    assert [bool(b.rows.fresh.all()) for b in epoch_batches] == [True] + [False] * (
        len(epoch_batches) - 1
    )
    inputs = np.concatenate([read_words(b) for b in epoch_batches], axis=2)
    targets = np.concatenate([target_words(store, b) for b in epoch_batches], axis=2)
    weights = np.concatenate([b.rows.weights for b in epoch_batches], axis=2)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    # A row is full until it has run out for good.
    assert (np.diff(weights, axis=2) <= 0).all()
    by_pairs = {
        direction: {
            tuple(reader_pairs(words, direction == 1)): index
            for index, words in enumerate(sentences)
        }
        for direction in (0, 1)
    }
    read = {0: [], 1: []}
    for direction in (0, 1):
        boundary = (END_TOKEN, BEGIN_TOKEN)[direction]
        for row in range(num_rows):
            pairs: list[tuple[str, str]] = []
            for column in np.flatnonzero(weights[row, direction]):
                at = row, direction, column
                pairs.append((inputs[at], targets[at]))
                if targets[at] == boundary:
                    read[direction].append(by_pairs[direction][tuple(pairs)])
                    pairs = []
            assert not pairs
    assert read[0] == read[1]
    assert sorted(read[0]) == list(range(len(sentences)))


SENTENCES = draw_words()
STORE = word_store([SENTENCES], vocab_size=12)


def make_batches(**changes) -> BilmBatches:
    settings = {"batch_size": 4, "unroll_steps": 5, "seed": 7, "num_negatives": 5}
    return BilmBatches(STORE, **settings | changes)


def test_a_batch_is_a_function_of_the_seed_and_its_number():
    numbers = [31, 2, 57, 0, 2, 30]
    one, other = make_batches(), make_batches()
    assert one.epoch_end(0) < 57
    for batch in (other[number] for number in range(58)):
        assert batch.negatives is not None
    for number in numbers:
        same(one[number], other[number])
        same(one[number], make_batches()[number])
    reseeded = make_batches(seed=8)
    assert (read_words(one[2]) != read_words(reseeded[2])).any()
    assert set(one[2].negatives.ids[0]) != set(reseeded[2].negatives.ids[0])


def test_epochs_come_in_another_order_unless_they_are_not_shuffled():
    for shuffled in (True, False):
        batches = make_batches(shuffled=shuffled, num_negatives=0)
        first, second = (
            read_words(batches[0]),
            read_words(batches[batches.epoch_end(0)]),
        )
        assert (first != second).any() == shuffled
        assert batches[0].negatives is None


@pytest.mark.parametrize("count", [2, 4])
def test_shares_of_hosts_are_rows_of_the_whole_batch(count):
    whole = make_batches()
    shares = [make_batches(share=(index, count)) for index in range(count)]
    for number in (0, 3, whole.epoch_end(0) - 1, whole.epoch_end(0)):
        batch, parts = whole[number], [share[number] for share in shares]
        np.testing.assert_array_equal(
            read_words(batch), np.concatenate([read_words(part) for part in parts])
        )
        for name in ("targets", "weights", "fresh"):
            joined = np.concatenate([getattr(part.rows, name) for part in parts])
            np.testing.assert_array_equal(getattr(batch.rows, name), joined)
        for part in parts:
            # Ids of types mean the same on every host.
            np.testing.assert_array_equal(batch.types, part.types)
            for ours, theirs in zip(batch.negatives, part.negatives, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_words_are_spelled_once_as_the_served_model_reads_them():
    batch = make_batches()[1]
    words = spelled(batch.types)
    real = [word for word in words if word]
    assert real[:2] == [BEGIN_TOKEN, END_TOKEN]
    assert len(set(real)) == len(real)
    length = batch.types.shape[1]
    expected = character_rows(real, 12, length)
    np.testing.assert_array_equal(batch.types[: len(real)], expected)
    assert not batch.types[len(real) :].any()
    assert len(batch.types) == round_up(len(real))


def test_rows_of_characters_are_as_long_as_words_and_filters_need():
    sentences = [["a", "b" * 40]]
    store = word_store([sentences], max_characters=50)
    batches = BilmBatches(store, batch_size=1, unroll_steps=3, widest_filter=7)
    assert batches[0].types.shape[1] == 50
    store = word_store([[["a", "bcd"]]], max_characters=50)
    batches = BilmBatches(store, batch_size=1, unroll_steps=3, widest_filter=7)
    # Three letters and two marks, then a window of padding alone.
    assert batches[0].types.shape[1] == 3 * CHARACTER_STEP == 5 + 7


def test_types_of_a_word_table_are_rows_of_it():
    spelling, table = make_batches(), make_batches(widest_filter=None)
    ids = STORE.vocabulary.ids
    for number in (0, 5):
        one, other = spelling[number], table[number]
        words = read_words(one)
        rows = other.types[other.rows.words]
        expected = [ids.get(word, ids["<UNK>"]) for word in words.ravel()]
        assert rows.ravel().tolist() == expected
        np.testing.assert_array_equal(one.rows.targets, other.rows.targets)


def test_what_cannot_be_laid_out_is_refused():
    with pytest.raises(ValueError, match="batch_size 4 is not a multiple of the 3"):
        make_batches(share=(0, 3))
    with pytest.raises(ValueError, match="nowhere holds no text"):
        BilmBatches(word_store([]), batch_size=2, unroll_steps=3)
