# SPDX-License-Identifier: Apache-2.0
"""Documents are cut as BERT's published program cuts them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.stores import draw_pieces, piece_store
from train.families.bert.instances import (
    IN_ORDER,
    RANDOM,
    SWAPPED,
    UNLABELLED,
    Instances,
    cut,
)

documents_of_lengths = st.lists(
    st.lists(st.integers(1, 30), min_size=1, max_size=8), min_size=1, max_size=6
)


def store_of_lengths(documents: list[list[int]]):
    return piece_store([[[5] * n for n in document] for document in documents])


def run(store, *, seed: int = 0, **changes) -> Instances:
    changes = {"pairs": "nsp", "length": 32, "short_rate": 0.1} | changes
    documents = np.arange(store.num_documents)
    rng = np.random.default_rng(seed)
    return cut(store, rng, **{"documents": documents} | changes)


def documents_of(store, passages: np.ndarray) -> np.ndarray:
    """Return the document of each passage, after seeing that it lies in one."""
    bounds = store.sentence_starts[store.document_starts]
    first, last = (
        np.searchsorted(bounds, at, "right") - 1
        for at in (passages[:, 0], passages.sum(axis=1) - 1)
    )
    np.testing.assert_array_equal(first, last)
    return first


@pytest.mark.parametrize("pairs", ["nsp", "sop", "none"])
@settings(max_examples=25)
@given(documents_of_lengths, st.integers(8, 60), st.sampled_from([0.0, 0.5, 1.0]))
def test_instances_are_passages_of_documents_and_fit(pairs, documents, length, rate):
    store = store_of_lengths(documents)
    instances = run(store, pairs=pairs, length=length, short_rate=rate)
    assert (instances.lengths <= length).all()
    assert (instances.first[:, 1] > 0).all()
    of_first = documents_of(store, instances.first)
    has_second = instances.second[:, 1] > 0
    second = instances.second[has_second]
    of_second = documents_of(store, second)
    assert set(of_first.tolist()) | set(of_second.tolist()) == set(
        range(store.num_documents)
    )
    specials = 2 + has_second
    np.testing.assert_array_equal(
        instances.lengths,
        instances.first[:, 1] + instances.second[:, 1] + specials,
    )
    labels = instances.labels
    if pairs == "none":
        assert not has_second.any()
        assert (labels == UNLABELLED).all()
    else:
        # Single sentences have no order; a pair always has a label.
        np.testing.assert_array_equal(has_second, labels != UNLABELLED)
        starts = instances.first[has_second, 0], second[:, 0]
        follows = (starts[0] < starts[1]) & (of_first[has_second] == of_second)
        assert follows[labels[has_second] == IN_ORDER].all()
        if pairs == "sop":
            assert (of_first[has_second] == of_second).all()
            np.testing.assert_array_equal(follows, labels[has_second] == IN_ORDER)
        elif store.num_documents > 3:  # ten draws find another document
            assert has_second.all()


@given(documents_of_lengths, st.integers(8, 60), st.sampled_from([0.0, 0.5]))
def test_without_pairs_every_token_is_in_one_instance(documents, length, rate):
    store = store_of_lengths(documents)
    instances = run(store, pairs="none", length=length, short_rate=rate)
    ends = np.cumsum(instances.first[:, 1])
    np.testing.assert_array_equal(instances.first[:, 0], ends - instances.first[:, 1])
    assert ends[-1] == store.num_tokens


def test_without_pairs_sentences_are_whole_where_they_fit():
    store = piece_store(draw_pieces(longest=12, num_documents=30))
    instances = run(store, pairs="none", length=32, short_rate=0.0)
    assert set(instances.first[:, 0]) <= set(store.sentence_starts)
    # And another one would not have fitted.
    ends = instances.first.sum(axis=1)
    sentence = np.searchsorted(store.sentence_starts, ends)
    inside = ~np.isin(sentence, store.document_starts)
    following = np.diff(store.sentence_starts)[sentence[inside]]
    assert (instances.first[inside, 1] + following > 30).all()


def test_a_pair_is_closed_where_it_has_its_length():
    """Room for 20 tokens is two sentences of 10, or one of 7, 7 and 7 cut to it."""
    store = store_of_lengths([[10] * 4])
    instances = run(store, pairs="sop", length=23, short_rate=0.0)
    assert instances.lengths.tolist() == [23, 23]
    assert sorted(instances.first[:, 0] // 20) == [0, 1]
    store = store_of_lengths([[7] * 3])
    instances = run(store, pairs="sop", length=23, short_rate=0.0)
    assert instances.lengths.tolist() == [23]


def test_sentences_that_just_fit_are_one_passage():
    store = store_of_lengths([[10, 10, 10]])
    instances = run(store, pairs="none", length=22, short_rate=0.0)
    assert instances.first.tolist() == [[0, 20], [20, 10]]
    # One more token than there is room for is cut off, and stands alone.
    instances = run(store_of_lengths([[21]]), pairs="none", length=22, short_rate=0.0)
    assert instances.first.tolist() == [[0, 20], [20, 1]]


def test_short_instances_have_two_tokens_at_least_and_all_at_most():
    store = store_of_lengths([[1] * 20_000])
    chunks = run(store, pairs="none", length=10, short_rate=1.0, short_for="chunk")
    lengths = chunks.first[:-1, 1]
    assert (lengths.min(), lengths.max()) == (2, 8)
    # Each of the seven lengths as often as another.
    counts = np.bincount(lengths)[2:]
    assert (np.abs(counts - counts.mean()) < 5 * np.sqrt(counts.mean())).all()


@pytest.mark.parametrize("pairs", ["nsp", "sop"])
def test_pairs_in_order_lose_nothing_where_they_fit(pairs):
    """A document shorter than an instance is divided between two sentences."""
    store = piece_store(draw_pieces(num_documents=300, most=6, longest=6))
    instances = run(store, pairs=pairs, length=64, short_rate=0.0)
    follows = instances.labels == IN_ORDER
    first, second = instances.first[follows], instances.second[follows]
    assert len(first) > 50
    np.testing.assert_array_equal(first.sum(axis=1), second[:, 0])
    assert set(second[:, 0]) <= set(store.sentence_starts)
    assert set(second.sum(axis=1)) <= set(store.sentence_starts[store.document_starts])


def test_half_of_the_second_passages_are_of_another_document():
    store = piece_store(draw_pieces(num_documents=40, most=250, longest=8))
    instances = run(store, length=64)
    is_random = instances.labels == RANDOM
    assert len(is_random) > 400
    assert abs(is_random.mean() - 0.5) < 0.07
    same = documents_of(store, instances.first) == documents_of(store, instances.second)
    np.testing.assert_array_equal(same, ~is_random)
    # They come from everywhere, and are as long as the others.
    assert len(set(documents_of(store, instances.second[is_random]).tolist())) == 40
    lengths = instances.lengths
    assert abs(lengths[is_random].mean() / lengths[~is_random].mean() - 1) < 0.1


def test_in_a_corpus_of_one_document_no_random_passage_continues_or_overlaps():
    store = piece_store(draw_pieces(num_documents=1, most=60, longest=8))
    assert store.num_documents == 1
    num_random = 0
    for seed in range(20):
        instances = run(store, seed=seed, short_rate=0.0)
        random = instances.labels == RANDOM
        num_random += int(random.sum())
        begins, ends = instances.first[:, 0], instances.first.sum(axis=1)
        others, other_ends = instances.second[:, 0], instances.second.sum(axis=1)
        assert not (random & (others < ends) & (other_ends > begins)).any()
        assert not (random & (others == ends)).any()
    assert num_random > 50


def test_a_document_without_another_place_has_a_passage_alone_and_no_label():
    instances = run(store_of_lengths([[3, 3]]), length=32, short_rate=0.0)
    alone = instances.second[:, 1] == 0
    assert (instances.labels[alone] == UNLABELLED).all()
    assert (instances.labels[~alone] == IN_ORDER).all()


def test_what_was_to_follow_a_passage_with_a_random_one_begins_the_next_instance():
    store = piece_store(draw_pieces(num_documents=40, most=20, longest=4))
    instances = run(store, length=256, short_rate=0.0)
    documents = documents_of(store, instances.first)
    ends = instances.first.sum(axis=1)
    ends[instances.labels == IN_ORDER] = instances.second.sum(axis=1)[
        instances.labels == IN_ORDER
    ]
    goes_on = documents[1:] == documents[:-1]
    assert goes_on.sum() > 20
    np.testing.assert_array_equal(instances.first[1:, 0][goes_on], ends[:-1][goes_on])


def test_half_of_the_pairs_are_swapped():
    store = piece_store(draw_pieces(num_documents=40, most=250, longest=8))
    instances = run(store, pairs="sop", length=64)
    labels = instances.labels[instances.labels != UNLABELLED]
    assert abs((labels == SWAPPED).mean() - 0.5) < 0.07


def test_some_instances_are_short():
    store = piece_store(draw_pieces(num_documents=40, most=80, longest=4))
    shares = {
        rate: (run(store, pairs="none", length=64, short_rate=rate).lengths < 56).mean()
        for rate in (0.0, 0.1, 1.0)
    }
    # The last of a document is short as well, and there are a few dozen of those.
    assert shares[0.0] < shares[0.1] < shares[1.0]
    assert shares[1.0] > 0.7


@pytest.mark.parametrize(("pairs", "specials"), [("nsp", 3), ("sop", 3), ("none", 2)])
def test_a_short_length_is_that_of_all_chunks_of_a_document(pairs, specials):
    """As published: of words that are sentences each chunk but the last has it."""
    store = store_of_lengths([[1] * 300] * 40)
    instances = run(store, pairs=pairs, length=24, short_rate=1.0)
    # Random passages are as long as they come, and a chunk of one is no pair.
    whole = instances.labels != (RANDOM if pairs == "nsp" else 9)
    of = documents_of(store, instances.first)
    lengths = instances.lengths - specials
    found = set()
    for document in range(40):
        lengths_here = lengths[whole & (of == document)][:-1]
        assert len(set(lengths_here.tolist())) == 1
        found.add(int(lengths_here[0]))
    assert min(found) < 5
    assert max(found) > 18


def test_short_chunks_are_as_many_as_the_published_program_makes():
    """More than one in ten, for a document that is cut short gives more of them."""
    num_words, room, rate = 600, 62, 0.1
    store = store_of_lengths([[1] * num_words] * 1500)
    targets = np.arange(2, room + 1)
    of_short = np.mean(num_words / targets[:-1]) * len(targets[:-1]) / len(targets)
    of_whole = num_words / room
    short = rate * of_short
    expected = short / (short + (1 - rate + rate / len(targets)) * of_whole)
    shares = {}
    for short_for in ("document", "chunk"):
        instances = run(
            store, pairs="none", length=room + 2, short_rate=rate, short_for=short_for
        )
        # Not the last of a document, which is what is left.
        ends = instances.first.sum(axis=1) % num_words != 0
        shares[short_for] = (instances.first[ends, 1] < room).mean()
    assert 0.2 < expected < 0.35
    assert abs(shares["document"] - expected) < 0.06
    assert abs(shares["chunk"] - rate) < 0.01


def shortened(a: int, b: int, room: int) -> tuple[int, int]:
    """Take tokens off the longer passage one by one, as the published program does."""
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return a, b


@given(st.integers(1, 40), st.integers(1, 40), st.integers(8, 40))
def test_passages_are_shortened_as_published(a, b, length):
    store = store_of_lengths([[a], [b]])
    instances = run(store, length=length, short_rate=0.0)
    assert (instances.labels == RANDOM).all()
    for first, second in zip(instances.first, instances.second, strict=True):
        whole = [a if passage[0] < a else b for passage in (first, second)]
        assert (first[1], second[1]) == shortened(*whole, length - 3)


def test_passages_are_shortened_at_both_ends():
    store = store_of_lengths([[100], [100]])
    cuts = [run(store, seed=seed, length=23).first[0, 0] for seed in range(40)]
    # 90 of 100 tokens go, each from the front or the back by a coin.
    assert abs(np.mean(cuts) - 45) < 5 * np.sqrt(90 / 4 / 40)
    assert len(set(cuts)) > 8


def test_documents_are_cut_in_the_order_that_is_asked_for():
    store = piece_store(draw_pieces(num_documents=5))
    documents = np.array([3, 0, 4])
    instances = run(store, pairs="none", documents=documents)
    of = documents_of(store, instances.first)
    assert list(dict.fromkeys(of.tolist())) == [3, 0, 4]
    first = run(store, pairs="none", documents=documents)
    for ours, again in zip(instances, first, strict=True):
        np.testing.assert_array_equal(ours, again)
