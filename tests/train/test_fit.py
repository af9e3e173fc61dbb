# SPDX-License-Identifier: Apache-2.0
"""The loop over epochs: which one is kept, when it ends, and several seeds at once."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.fit import Fitted, State, clipped_adam, descend, fit

scores = st.sampled_from([math.nan, 0.0, 0.25, 0.5, 0.75, 1.0])


def fit_to(told, *, batches_an_epoch: int = 2, **options) -> Fitted:
    """Fit one weight that counts steps, scored after each epoch as told."""
    shape = np.shape(told[0])

    def step(state, batch, num_steps):
        assert num_steps == int(state.params["count"].max())
        return State({"count": state.params["count"] + 1}, None), None

    following = iter(told)
    return fit(
        step,
        State({"count": jnp.zeros((*shape, 1), jnp.int32)}, None),
        [range(batches_an_epoch)] * len(told),
        evaluate=lambda params: {"f1": next(following), "other": 0.0},
        metric="f1",
        **options,
    )


def first_best(told) -> int:
    """Return the epoch of the first of the highest scores, from 1; 0 if all are NaN."""
    known = [score for score in told if not math.isnan(score)]
    return told.index(max(known)) + 1 if known else 0


@given(st.lists(scores, min_size=1, max_size=8))
def test_the_first_of_the_best_epochs_is_kept(told):
    best = first_best(told)
    if not best:
        with pytest.raises(ValueError, match="the held-out f1 is NaN after every"):
            fit_to(told)
        return
    fitted = fit_to(told)
    assert fitted.epoch == best
    assert fitted.score == told[best - 1]
    assert fitted.params["count"].tolist() == [2 * best]
    assert [epoch.metrics["f1"] for epoch in fitted.history] == pytest.approx(
        told, nan_ok=True
    )


@given(st.lists(st.tuples(scores, scores, scores), min_size=1, max_size=8))
def test_each_seed_keeps_an_epoch_of_its_own(told):
    alone = [list(of_seed) for of_seed in zip(*told, strict=True)]
    best = [first_best(of_seed) for of_seed in alone]
    given_scores = [np.array(epoch, np.float32) for epoch in told]
    if not all(best):
        with pytest.raises(ValueError, match="NaN after every epoch"):
            fit_to(given_scores)
        return
    fitted = fit_to(given_scores)
    assert fitted.epoch.tolist() == best
    assert fitted.params["count"].tolist() == [[2 * epoch] for epoch in best]
    assert fitted.score.tolist() == [
        of_seed[epoch - 1] for of_seed, epoch in zip(alone, best, strict=True)
    ]


@given(st.lists(scores, min_size=1, max_size=9), st.integers(1, 3))
def test_patience_ends_training_after_so_many_epochs_without_a_better_one(
    told, patience
):
    told = [0.1, *told]
    fitted = fit_to(told, patience=patience)
    num_epochs = len(fitted.history)
    assert fitted.epoch == first_best(told[:num_epochs])
    # It ends where it must, and no sooner.
    for end in range(1, num_epochs + 1):
        waited = end - first_best(told[:end])
        assert (waited >= patience) == (end == num_epochs) or end == len(told)
    assert len(fit_to(told).history) == len(told)


def test_one_seed_that_becomes_better_has_all_of_them_go_on():
    told = [[0.5, 0.1], [0.4, 0.2], [0.3, 0.3], [0.2, 0.2], [0.1, 0.1], [0.9, 0.9]]
    fitted = fit_to([np.array(epoch) for epoch in told], patience=2)
    assert len(fitted.history) == 5
    assert fitted.epoch.tolist() == [1, 3]


def test_patience_begins_above_a_score():
    told = [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.9]
    assert len(fit_to(told, patience=2).history) == 3
    fitted = fit_to(told, patience=2, patience_above=0.0)
    assert len(fitted.history) == 7
    assert fitted.epoch == 5


OPTIMIZER = clipped_adam(0.5)


def error(params):
    return jnp.square(params["x"] - 2) + jnp.square(params["y"] - 1)


def first_state(key):
    params = {"x": jax.random.normal(key), "y": jnp.zeros(())}
    return State(params, OPTIMIZER.init(params))


def noisy_step(state, key, num_steps, rate):
    noise = jax.random.normal(jax.random.fold_in(key, num_steps), (2,))
    loss, gradient = jax.value_and_grad(error)(state.params)
    gradient = {name: gradient[name] + noise[i] for i, name in enumerate(gradient)}
    return descend(OPTIMIZER, state, gradient, rate), loss


ALONE = (
    jax.jit(first_state),
    jax.jit(noisy_step, donate_argnames="state"),
    jax.jit(error),
)
TOGETHER = (
    jax.jit(jax.vmap(first_state)),
    jax.jit(jax.vmap(noisy_step, in_axes=(0, 0, None, None)), donate_argnums=0),
    jax.jit(jax.vmap(error)),
)


def fit_point(functions, key, rate: float) -> Fitted:
    """Fit a point, of one key or of several, by steps that are given noise."""
    init, step, measure = functions
    return fit(
        lambda state, _, num_steps: step(state, key, num_steps, rate),
        init(key),
        [range(3)] * 12,
        evaluate=lambda params: {"closeness": -np.asarray(measure(params))},
        metric="closeness",
    )


def test_seeds_under_vmap_are_the_seeds_alone():
    keys = jax.random.split(jax.random.key(0), 4)
    together = fit_point(TOGETHER, keys, 0.3)
    alone = [fit_point(ALONE, key, 0.3) for key in keys]
    assert together.epoch.tolist() == [int(one.epoch) for one in alone]
    # Not all of them keep the last epoch, nor the same one.
    assert len(set(together.epoch.tolist())) > 1
    for number, one in enumerate(alone):
        # XLA rounds the same arithmetic otherwise where it is vectorised.
        close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
        close(together.score[number], one.score)
        for name, leaf in one.params.items():
            close(together.params[name][number], leaf)
        for epoch, of_all in zip(one.history, together.history, strict=True):
            close(of_all.loss[number], epoch.loss)


def test_what_is_kept_outlives_steps_that_take_the_state_they_are_given():
    # Steps so long that the first epochs are the best.
    fitted = fit_point(ALONE, jax.random.key(1), 3.0)
    assert fitted.epoch < len(fitted.history)
    assert all(np.isfinite(leaf) for leaf in fitted.params.values())


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps():
    records = []
    fitted = fit(
        lambda state, batch, num_steps: (state, jnp.float32(batch)),
        State(jnp.zeros(()), None),
        [[1, 2, 6], [4], []],
        evaluate=lambda params: {"f1": 1.0},
        metric="f1",
        report=lambda number, epoch: records.append((number, epoch)),
    )
    assert [epoch.loss for epoch in fitted.history] == [3.0, 4.0, None]
    assert records == list(enumerate(fitted.history, start=1))
    assert all(epoch.seconds >= 0 for epoch in fitted.history)
    assert fit_to([1.0]).history[0].loss is None


def test_a_step_is_that_of_optax():
    params = {"a": jnp.arange(3.0), "b": jnp.ones(2)}
    gradient = {"a": jnp.array([3.0, 0.0, -4.0]), "b": jnp.array([0.1, -12.0])}
    theirs = optax.chain(optax.clip_by_global_norm(2.0), optax.adam(0.01))
    ours = clipped_adam(2.0)
    step = jax.jit(lambda state, gradient: descend(ours, state, gradient, 0.01))
    update_of = jax.jit(theirs.update)
    state, opt_state, expected = (
        State(params, ours.init(params)),
        theirs.init(params),
        params,
    )
    for _ in range(3):
        state = step(state, gradient)
        update, opt_state = update_of(gradient, opt_state)
        expected = optax.apply_updates(expected, update)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), state.params, expected
    )


def test_rates_are_those_of_their_branch_and_without_one_it_stays():
    params = {"encoder": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(2)}}
    state = State(params, optax.identity().init(params))

    def moved(**rates):
        params = descend(optax.identity(), state, state.params, rates).params
        return [params[branch]["kernel"].tolist() for branch in ("encoder", "head")]

    assert moved(encoder=0.25, head=0.5) == [[0.75, 0.75], [0.5, 0.5]]
    assert moved(encoder=None, head=0.5) == [[1, 1], [0.5, 0.5]]
