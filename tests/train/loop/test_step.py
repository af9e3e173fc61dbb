# SPDX-License-Identifier: Apache-2.0
"""A step is that of the whole batch, however it is divided."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import bert_jax
import elmo_jax
from bert_jax.config import BertConfig
from elmo_jax.config import ElmoConfig
from tests.train.experiments import KINDS
from tests.train.stores import PIECES, draw_pieces, draw_words, piece_store, word_store
from train.families.bert.batches import MaskedLmBatches, MaskedLmConfig
from train.families.bert.objective import MaskedLmObjective
from train.families.elmo.batches import BilmBatches
from train.families.elmo.negatives import draw_negatives
from train.families.elmo.objective import BilmObjective
from train.loop.optimizer import Adagrad, make_optimizer
from train.loop.placement import place_batch, place_state
from train.loop.sharding import training_mesh
from train.loop.step import init_state, make_step

WORDS = word_store([draw_words(num_sentences=40)], vocab_size=14)
TEXT = piece_store(draw_pieces(num_documents=20))
NUM_WORDS, B = len(WORDS.vocabulary), 8


def make(
    kind: str, dropout_rate: float = 0.0, num_words: int = NUM_WORDS
) -> tuple[Any, Any]:
    """Return an objective and weights. In both, parts of a batch weigh differently."""
    key, dtype = jax.random.key(0), jnp.dtype(jnp.float32)
    if kind == "elmo":
        config = ElmoConfig(
            char_cnn=None,
            vocab_size=NUM_WORDS,
            num_blocks=1,
            cell_dim=8,
            projection_dim=4,
            dropout_rate=dropout_rate,
        )
        batches = BilmBatches(
            WORDS, batch_size=B, unroll_steps=20, num_negatives=5, widest_filter=None
        )
        objective = BilmObjective(
            config=config,
            batches=batches,
            held_out=None,
            num_words=num_words,
            batch_size=B,
            unroll_steps=20,
            reset_state=False,
            dtype=dtype,
        )
        return objective, elmo_jax.init_params(key, config, num_words)
    config = BertConfig(
        vocab_size=len(PIECES),
        num_blocks=1,
        num_heads=2,
        layer_dim=8,
        mlp_dim=8,
        max_positions=32,
        init_std=0.1,
        dropout_rate=dropout_rate,
        attention_dropout_rate=dropout_rate,
    )
    data = MaskedLmConfig(pairs="sop", length=32, packed=True, max_instances=3)
    batches = MaskedLmBatches(TEXT, data, batch_size=B)
    objective = MaskedLmObjective(
        config=config,
        data=data,
        batches=batches,
        held_out=None,
        batch_size=B,
        dtype=dtype,
    )
    return objective, jax.jit(partial(bert_jax.init_params, config=config))(key)


def close(ours: Any, theirs: Any, tolerance: float) -> None:
    """Compare leaf by leaf, relative to the largest value."""
    leaves = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    for one, other in leaves:
        scale = float(np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_in_parts_makes_the_same_step(kind):
    objective, params = make(kind)
    # So large a step that the rounding of the weights themselves is far below it.
    optimizer = optax.sgd(10.0)
    state = init_state(objective, params, optimizer)
    # In the last window of an epoch rows have run out.
    number = objective.batches.epoch_end(0) - 1
    batch = jax.tree.map(jnp.asarray, objective.batches[number])
    if kind == "elmo":
        assert 0 < batch.rows.weights.mean() < 1
        rng = np.random.default_rng(0)
        carry = jax.tree.map(
            lambda part: jnp.asarray(rng.normal(size=part.shape), jnp.float32),
            state.carry,
        )
        state = state.replace(carry=carry)

    def run(grad_accum_steps: int):
        step = make_step(
            objective, optimizer, seed=0, grad_accum_steps=grad_accum_steps
        )
        after, means = jax.jit(step)(state, batch)
        moved = jax.tree.map(lambda a, b: np.subtract(a, b), after.params, state.params)
        return moved, after.carry, means

    whole = run(1)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole[0])) > 1e-3
    for grad_accum_steps in (2, 4):
        parts = run(grad_accum_steps)
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(whole[0]))
        for one, other in zip(*map(jax.tree.leaves, (parts[0], whole[0])), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * largest)
        close(parts[1:], whole[1:], 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_a_function_of_the_seed_and_the_step(kind):
    objective, params = make(kind, dropout_rate=0.5)
    optimizer = optax.sgd(0.1)
    state = init_state(objective, params, optimizer)
    batch = jax.tree.map(jnp.asarray, objective.batches[0])

    def norms(seed: int) -> list[float]:
        step = jax.jit(make_step(objective, optimizer, seed=seed))
        states = [state.replace(step=jnp.int32(number)) for number in (0, 1, 0)]
        return [float(step(s, batch)[1]["gradient_norm"].total) for s in states]

    first, second, again = norms(0)
    assert first == again
    assert first != second
    assert norms(1)[0] not in (first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_any_mesh_takes_the_same_course(kind):
    objective, params = make(kind)
    optimizer = optax.sgd(0.5)

    def course(num_devices: int, fsdp: int) -> list[float]:
        mesh = training_mesh(fsdp, jax.devices()[:num_devices])
        placed = replace(objective, mesh=mesh) if kind == "elmo" else objective
        step = jax.jit(make_step(placed, optimizer, seed=0, mesh=mesh))
        state = place_state(init_state(objective, params, optimizer), mesh)
        figures = []
        for number in range(30):
            state, means = step(state, place_batch(objective.batches[number], mesh))
            figures += [
                float(total / weight)
                for name, (total, weight) in means.items()
                if name.endswith("loss")
            ]
        return figures

    expected = course(1, 1)
    assert len(set(expected)) == len(expected) == 60
    for num_devices, fsdp in ((2, 1), (4, 2), (4, 4), (8, 1), (8, 4)):
        found = course(num_devices, fsdp)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def batch_of_many_words(objective: BilmObjective, number: int) -> Any:
    """Return a batch whose targets and negatives are any of 2,000 words."""
    batch, rng = objective.batches[number], np.random.default_rng(number)
    targets = rng.integers(0, 2000, batch.rows.targets.shape, np.int32)
    # The most frequent word, whose row is the first of those that are read.
    targets[0, :, 0] = 0
    rows = batch.rows._replace(targets=targets)
    return batch._replace(rows=rows, negatives=draw_negatives(rng, 5, 2000))


@pytest.mark.parametrize("grad_accum_steps", [1, 2])
def test_rows_that_are_read_are_all_that_changes(grad_accum_steps: int):
    """Of 2,000 words a batch reads 2 x 8 x 20 targets and 2 x 5 negatives at most."""
    objective, params = make("elmo", num_words=2000)
    optimizer, _ = make_optimizer(Adagrad(), 10)
    batches = [batch_of_many_words(objective, number) for number in range(3)]
    _, read = objective.rows_read(batches[0])
    assert {name: len(rows) for name, rows in read.items()} == {
        "heads.softmax.weights": 330,
        "heads.softmax.bias": 330,
    }
    courses = []
    for sparse_update in (False, True):
        step = make_step(
            objective,
            optimizer,
            seed=0,
            grad_accum_steps=grad_accum_steps,
            sparse_update=sparse_update,
        )
        step, state = jax.jit(step), init_state(objective, params, optimizer)
        for batch in batches:
            state, means = step(state, batch)
        courses.append((state, means))
    close(*courses, 1e-6)
    state, _ = courses[1]
    softmax = state.params.heads["softmax"]["weights"]
    changed = np.any(softmax != params.heads["softmax"]["weights"], axis=1)
    words = [
        word
        for batch in batches
        for word in (*batch.rows.targets[batch.rows.weights > 0], *batch.negatives.ids)
        for word in np.ravel(word).tolist()
    ]
    assert 0 in words
    assert np.flatnonzero(changed).tolist() == sorted(set(words))


def test_a_batch_that_reads_as_many_rows_as_there_are_is_not_cut():
    """330 ids: a table of 331 words is cut, one of 330 is taken as it is."""
    read = {}
    for num_words in (330, 331):
        objective, _ = make("elmo", num_words=num_words)
        batch, rows = objective.rows_read(objective.batches[0])
        read[num_words] = len(rows), batch.softmax_rows is not None
    assert read == {330: (0, False), 331: (2, True)}


def test_parts_of_a_batch_have_masks_of_their_own():
    """Twins that are read in different parts: dropout makes their states differ."""
    objective, params = make("elmo", dropout_rate=0.5)
    state = init_state(objective, params, optax.sgd(0.1))
    batch = jax.tree.map(jnp.asarray, objective.batches[0])
    # Rows 0, 2, … are the first part and rows 1, 3, … the second.
    twins = jax.tree.map(lambda leaf: jnp.repeat(leaf[::2], 2, axis=0), batch.rows)
    step = make_step(objective, optax.sgd(0.1), seed=0, grad_accum_steps=2)
    after, _ = jax.jit(step)(state, batch._replace(rows=twins))
    for leaf in jax.tree.leaves(after.carry):
        assert np.abs(leaf).max() > 0
        assert np.abs(leaf[::2] - leaf[1::2]).max() > 0.1 * np.abs(leaf).max()
