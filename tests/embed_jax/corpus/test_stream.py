# SPDX-License-Identifier: Apache-2.0
"""Order kept, memory bounded, errors delivered in their place."""

import threading
import time

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from embed_jax.corpus.batching import BatchShapes
from embed_jax.corpus.stream import Item, read_ahead, stream_vectors

SHAPES = BatchShapes(token_budget=32, max_length=16)


def run(rows, batch):
    """Give each row its own content back, and padding something else."""
    assert len(rows) <= batch.num_rows
    values = np.full((batch.num_rows, 1), -1.0, np.float32)
    values[: len(rows), 0] = [row[0] for row in rows]
    return jnp.asarray(values)


def assemble(item, parts):
    return np.stack(parts) if parts else np.zeros((0, 1), np.float32)


@hypothesis.given(
    counts=st.lists(st.integers(0, 4), max_size=40),
    chunk_tokens=st.integers(1, 200),
    data=st.data(),
)
def test_results_come_in_order_whatever_the_lengths(counts, chunk_tokens, data):
    serial = 0
    items = []
    for count in counts:
        rows = []
        for _ in range(count):
            length = data.draw(st.integers(1, 16))
            rows.append([float(serial)] * length)
            serial += 1
        items.append(Item(rows, [str(len(items))]))
    got = list(
        stream_vectors(items, run, assemble, SHAPES.plan, chunk_tokens=chunk_tokens)
    )
    assert [e.words for e in got] == [item.words for item in items]
    for embedded, item in zip(got, items, strict=True):
        assert embedded.vectors[:, 0].tolist() == [row[0] for row in item.rows]


def test_every_row_is_reported_when_its_batch_is_back():
    rows = [[float(index)] * (1 + index % 16) for index in range(100)]
    items = [Item([row], []) for row in rows]
    reports = []
    stream = stream_vectors(
        items, run, assemble, SHAPES.plan, chunk_tokens=300, on_batch=reports.append
    )
    next(stream)
    assert sum(reports) > 1
    list(stream)
    assert sum(reports) == 100


def test_items_are_read_a_bounded_way_ahead():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield Item([[float(read)] * 7], [])

    stream = stream_vectors(endless(), run, assemble, SHAPES.plan, chunk_tokens=80)
    for _ in range(50):
        next(stream)
    assert read < 50 + 5 * 10
    stream.close()


def test_an_error_arrives_in_its_place():
    def broken():
        yield 1
        yield 2
        raise OSError("gone")

    source = read_ahead(broken())
    assert [next(source), next(source)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(source)


def test_closing_ends_the_thread():
    def endless():
        while True:
            yield 1

    # Those of other tests may end meanwhile.
    before = set(threading.enumerate())
    source = read_ahead(endless())
    next(source)
    (reader,) = set(threading.enumerate()) - before
    source.close()
    assert not reader.is_alive()


def test_reading_goes_on_while_the_consumer_works():
    produced = []

    def source():
        for index in range(3):
            produced.append(index)
            yield index

    stream = read_ahead(source(), depth=2)
    next(stream)
    deadline = time.monotonic() + 5
    while len(produced) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert produced == [0, 1, 2]
    stream.close()
