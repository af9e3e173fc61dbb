# SPDX-License-Identifier: Apache-2.0
"""A source that waits: what has arrived is given, and the stream can be closed."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from embed_jax.corpus import arrivals
from embed_jax.corpus.arrivals import Arrivals, AtHand, arriving, blocks
from tests.bert_jax import words as of_bert
from tests.elmo_jax import sentences as of_elmo

SENTENCES = ["we sat by the river", "the bank", "", "the money of the deep river bank"]
# Nothing takes nearly as long.
MOST_SECONDS = 60.0


def bert_model() -> tuple[Any, Any]:
    params = bert_jax.init_params(jax.random.key(0), of_bert.CONFIG)
    return params, of_bert.make_tokenizer()


def elmo_model() -> tuple[Any, Any]:
    params = of_elmo.make_params(of_elmo.ONE_BLOCK, len(of_elmo.VOCABULARY))
    return params, elmo_jax.ElmoTokenizer(of_elmo.ONE_BLOCK, of_elmo.VOCABULARY)


STREAMS = {
    "bert words": (bert_model, bert_jax.stream_words),
    "bert sentences": (bert_model, bert_jax.stream_sentences),
    "elmo words": (elmo_model, elmo_jax.stream_words),
    "elmo sentences": (elmo_model, elmo_jax.stream_sentences),
    "elmo scores": (elmo_model, elmo_jax.stream_scores),
}

Open = Callable[..., Generator[Any, None, None]]


@pytest.fixture(scope="module", params=STREAMS)
def stream(request) -> Open:
    """A stream over sentences, of one family and one kind."""
    make, function = STREAMS[request.param]
    params, tokenizer = make()

    def opened(sentences: Any, **options: Any) -> Generator[Any, None, None]:
        return function(params, tokenizer, sentences, **options)

    return opened


def values(found: Any) -> np.ndarray:
    return found.vectors if hasattr(found, "vectors") else found.forward


def from_queue(waiting: queue.Queue) -> Iterator[str]:
    """Yield what is put, until None is."""
    yield from iter(waiting.get, None)


def test_what_has_arrived_is_given_while_the_source_waits(stream):
    waiting: queue.Queue = queue.Queue()
    expected = [values(found) for found in stream(SENTENCES)]
    opened = stream(from_queue(waiting))
    found = []
    for sentence in SENTENCES:
        waiting.put(sentence)
        # The source waits now; it would for ever.
        found.append(next(opened))
    waiting.put(None)
    assert next(opened, None) is None
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(values(ours), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", [0, 2])
def test_it_can_be_closed_while_the_source_waits(stream, number):
    waiting: queue.Queue = queue.Queue()
    for sentence in SENTENCES:
        waiting.put(sentence)
    began = time.monotonic()
    with contextlib.closing(stream(from_queue(waiting))) as opened:
        for _ in range(number):
            next(opened)
    assert time.monotonic() - began < MOST_SECONDS
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
    # Let the other thread, which waits for the queue, come to its end.
    waiting.put(None)


def test_a_source_that_keeps_nobody_waiting_is_computed_as_a_list_is(stream):
    """To the last bit: in the same batches."""
    sentences = SENTENCES * 40
    options = {"token_budget": 256}
    expected = stream(sentences, **options)
    for ours, theirs in zip(stream(iter(sentences), **options), expected, strict=True):
        np.testing.assert_array_equal(values(ours), values(theirs))


def test_an_error_of_the_source_comes_through(stream):
    def broken() -> Iterator[str]:
        yield SENTENCES[0]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(stream(broken()))


def test_context_is_waited_for_and_can_be_closed():
    """A sentence that shows the next one cannot be computed before it is there."""
    params, tokenizer = bert_model()
    waiting: queue.Queue = queue.Queue()
    given = bert_jax.stream_words(params, tokenizer, from_queue(waiting), context=4)
    for sentence in SENTENCES:
        waiting.put(sentence)
    expected = list(bert_jax.stream_words(params, tokenizer, SENTENCES, context=4))
    # Those with four pieces after them are there already.
    first = next(given)
    np.testing.assert_allclose(first.vectors, expected[0].vectors, rtol=0, atol=1e-5)
    given.close()
    waiting.put(None)


# Arrivals by themselves.


def test_what_has_a_length_or_is_at_hand_has_no_thread():
    assert arriving([1], [1]) == [1]
    at_hand = AtHand(iter([1]))
    assert arriving(at_hand, at_hand) is at_hand
    assert isinstance(arriving(iter([1]), iter([1])), Arrivals)


def test_blocks_are_full_where_nobody_waits():
    assert list(blocks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(blocks(Arrivals(range(5)), 2)) == [[0, 1], [2, 3], [4]]
    assert list(Arrivals(range(200))) == list(range(200))


@pytest.mark.parametrize("is_wanted", [False, True])
def test_a_block_waits_for_others_unless_it_is_wanted(is_wanted):
    """A trickle is no reason to wait for ever either: what counts is the sum.

    It lasts twelve times as long as is waited: other processes may keep ours from
    waiting.
    """
    most = 60

    def trickle() -> Iterator[int]:
        for number in range(most):
            time.sleep(arrivals.PATIENCE / 5)
            yield number

    source = Arrivals(trickle())
    source.hand_on_by(source.was_handed_on, lambda: is_wanted)
    found = list(blocks(source, most))
    assert [number for block in found for number in block] == list(range(most))
    assert (len(found) > 1) == is_wanted


def test_no_more_is_read_than_a_little_ahead():
    numbers = []

    def endless() -> Iterator[int]:
        while True:
            numbers.append(len(numbers))
            yield numbers[-1]

    source = Arrivals(endless())
    assert next(source) == 0
    time.sleep(0.2)
    source.close()
    assert len(numbers) < 100
    assert list(source) == []
