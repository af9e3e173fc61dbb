# SPDX-License-Identifier: Apache-2.0
import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax.test_util import check_grads

from train.tasks.ner import crf
from train.tasks.ner.crf import Transitions

log_partition, log_likelihood, viterbi = map(
    jax.jit, (crf.log_partition, crf.log_likelihood, crf.viterbi)
)
MAX_LENGTH, ROWS = 5, 3


def _case(seed: int, num_tags: int, lengths: list[int]):
    random = np.random.default_rng(seed)
    emissions = 2 * random.normal(size=(ROWS, MAX_LENGTH, num_tags)).astype(np.float32)
    transitions = Transitions(
        *(
            jnp.asarray(random.normal(size=shape), jnp.float32)
            for shape in ((num_tags, num_tags), (num_tags,), (num_tags,))
        )
    )
    mask = np.arange(MAX_LENGTH) < np.array(lengths)[:, None]
    return jnp.asarray(emissions), transitions, jnp.asarray(mask)


def _paths(emissions, transitions: Transitions, length: int):
    """Score every path of one row, the slow and obvious way."""
    between, start, end = map(
        np.asarray, (transitions.between, transitions.start, transitions.end)
    )
    for path in itertools.product(range(emissions.shape[-1]), repeat=length):
        score = start[path[0]] + end[path[-1]]
        score += sum(emissions[place, tag] for place, tag in enumerate(path))
        score += sum(between[pair] for pair in itertools.pairwise(path))
        yield path, float(score)


cases = {
    "seed": st.integers(0, 10_000),
    "num_tags": st.sampled_from([1, 2, 4]),
    "lengths": st.lists(st.integers(1, MAX_LENGTH), min_size=ROWS, max_size=ROWS),
}


@settings(max_examples=25)
@given(**cases)
def test_partition_and_likelihood_equal_enumeration(seed, num_tags, lengths):
    emissions, transitions, mask = _case(seed, num_tags, lengths)
    tags = np.random.default_rng(seed).integers(0, num_tags, (ROWS, MAX_LENGTH))
    partition = log_partition(emissions, transitions, mask)
    likelihood = log_likelihood(emissions, transitions, jnp.asarray(tags), mask)
    for row, length in enumerate(lengths):
        scores = dict(_paths(np.asarray(emissions)[row], transitions, length))
        expected = np.logaddexp.reduce(list(scores.values()))
        assert partition[row] == pytest.approx(expected, abs=1e-4)
        path = tuple(tags[row, :length].tolist())
        assert likelihood[row] == pytest.approx(scores[path] - expected, abs=1e-4)


@settings(max_examples=25)
@given(**cases)
def test_viterbi_equals_enumeration(seed, num_tags, lengths):
    emissions, transitions, mask = _case(seed, num_tags, lengths)
    best = np.asarray(viterbi(emissions, transitions, mask))
    for row, length in enumerate(lengths):
        scores = dict(_paths(np.asarray(emissions)[row], transitions, length))
        assert tuple(best[row, :length].tolist()) == max(scores, key=scores.__getitem__)


def test_gradient_is_that_of_difference_quotients():
    emissions, transitions, mask = _case(0, 3, [5, 2, 3])
    tags = jnp.asarray(np.random.default_rng(0).integers(0, 3, (ROWS, MAX_LENGTH)))

    def loss(emissions, between, start, end):
        weights = Transitions(*map(jnp.asarray, (between, start, end)))
        return log_likelihood(jnp.asarray(emissions), weights, tags, mask)

    arguments = (emissions, transitions.between, transitions.start, transitions.end)
    check_grads(loss, arguments, order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_a_row_of_padding_changes_nothing():
    emissions, transitions, mask = _case(1, 3, [4, 1, 5])
    mask = mask.at[1].set(False)
    tags = jnp.zeros((ROWS, MAX_LENGTH), int)

    def total(emissions):
        return log_likelihood(emissions, transitions, tags, mask).sum()

    noisy = emissions.at[1].set(1e30).at[0, 4].set(-1e30)
    assert total(noisy) == total(emissions)
    blank = emissions.at[1].set(jnp.nan)
    assert log_likelihood(blank, transitions, tags, mask)[1] == 0
    ends = np.asarray(transitions.start + transitions.end)
    partition = log_partition(blank, transitions, mask)[1]
    assert partition == pytest.approx(np.logaddexp.reduce(ends), abs=1e-5)
    gradient = jax.grad(total)(noisy)
    assert np.isfinite(gradient).all()
    assert not gradient[1].any()


@pytest.mark.parametrize("fill", [-1, 10**6])
def test_tags_at_padding_may_be_anything(fill: int):
    emissions, transitions, mask = _case(3, 3, [4, 1, 5])
    tags = jnp.ones((ROWS, MAX_LENGTH), int)

    def total(weights, tags):
        return log_likelihood(emissions, weights, tags, mask).sum()

    expected = jax.value_and_grad(total)(transitions, tags)
    found = jax.value_and_grad(total)(transitions, jnp.where(mask, tags, fill))
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_forbidden_move_is_not_made_and_large_scores_do_not_overflow():
    emissions, transitions, mask = _case(4, 3, [5, 5, 2])
    between = transitions.between.at[0, 1].set(-jnp.inf)
    forbidding = transitions.replace(between=between)
    pushed = emissions.at[:, ::2, 0].add(1e4).at[:, 1::2, 1].add(1e4)
    best = np.asarray(viterbi(pushed, forbidding, mask))
    for row, length in enumerate([5, 5, 2]):
        path = best[row, :length].tolist()
        assert (0, 1) not in itertools.pairwise(path)
        scores = dict(_paths(np.asarray(pushed)[row], forbidding, length))
        assert scores[tuple(path)] == max(scores.values())
    tags = jnp.zeros((ROWS, MAX_LENGTH), int)
    likelihood, gradient = jax.value_and_grad(
        lambda weights: log_likelihood(pushed, weights, tags, mask).sum()
    )(forbidding)
    assert np.isfinite(likelihood)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_an_ensemble_is_its_members():
    emissions, transitions, mask = _case(2, 3, [5, 3, 1])
    members = [transitions, jax.tree.map(lambda leaf: -leaf, transitions)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    for function in (log_partition, viterbi):
        both = jax.vmap(function, in_axes=(None, 0, None))(emissions, stacked, mask)
        for member, given_back in zip(members, both, strict=True):
            expected = function(emissions, member, mask)
            np.testing.assert_allclose(given_back, expected, rtol=1e-6)
