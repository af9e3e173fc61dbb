# SPDX-License-Identifier: Apache-2.0
"""The optimisers are the published ones, written down a second time in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import bert_jax
from bert_jax.weights import published_tensors
from tests.oracles import lamb as oracle_of_lamb
from tests.oracles import optimizers as oracle
from train.loop.optimizer import (
    Adagrad,
    BertAdam,
    Lamb,
    decay_mask,
    make_optimizer,
    transformation_of,
    warm_up_and_decay,
)

NUM_STEPS = 8
SHAPES = {
    "dense/kernel": (3, 4),
    "dense/bias": (4,),
    "norm/scale": (4,),
    "norm/bias": (4,),
    "zeros/kernel": (2, 2),
}
EXCLUDED = ("bias", "scale")


def draw(scale: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = {
        name: (scale * rng.normal(size=shape)).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    # Has no norm at first, and never a gradient.
    drawn["zeros/kernel"][:] = 0
    return drawn


def run(config) -> dict[str, np.ndarray]:
    """Apply an optimiser to gradients of which only some are clipped."""
    optimizer, _ = make_optimizer(config, NUM_STEPS)
    params = unflatten_dict(draw(1.0, 0), sep="/")
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for number, gradient in enumerate(gradients()):
        updates, state = update(unflatten_dict(gradient, sep="/"), state, params)
        params = jax.tree.map(jnp.add, params, updates)
        if number == 0 and not isinstance(config, Adagrad):
            # The first step of a warm-up has a learning rate of zero.
            for leaf in jax.tree.leaves(updates):
                assert not np.asarray(leaf).any()
    return flatten_dict(params, sep="/")


def gradients() -> list[dict[str, np.ndarray]]:
    scales = (1.0, 0.01, 0.5, 0.003, 2.0, 0.02, 0.3, 0.1)
    return [draw(scale, 1 + number) for number, scale in enumerate(scales)]


def expected_from(optimizer, factor: float = 1.0) -> dict[str, np.ndarray]:
    params = {name: np.float64(values) for name, values in draw(1.0, 0).items()}
    norms = []
    for gradient in gradients():
        gradient = {name: factor * g for name, g in gradient.items()}
        norms.append(oracle.global_norm(gradient))
        params = optimizer.step(params, gradient)
    assert min(norms) < optimizer.clip_norm < max(norms)
    return params


def assert_same(ours, theirs) -> None:
    start = draw(1.0, 0)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        moved = np.abs(theirs[name] - start[name]).max()
        np.testing.assert_allclose(
            values, theirs[name], rtol=1e-6, atol=1e-4 * moved, err_msg=name
        )


@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_adagrad_is_that_of_the_published_program(decays, factor):
    config = Adagrad(loss_factor=factor, max_norm=2.0, decays=decays)
    rate = 0.2
    if decays:
        rate = lambda step: 0.2 * (1 - step / NUM_STEPS)  # noqa: E731
    theirs = oracle.Adagrad(rate, clip_norm=2.0)
    assert_same(run(config), expected_from(theirs, factor))


@pytest.mark.parametrize("corrects_bias", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adam_is_that_of_the_published_program(corrects_bias, weight_decay):
    config = BertAdam(
        learning_rate=0.1,
        warmup_steps=3,
        weight_decay=weight_decay,
        corrects_bias=corrects_bias,
    )
    theirs = oracle.BertAdam(
        oracle.warmup_linear_decay(0.1, 3, NUM_STEPS),
        weight_decay=weight_decay,
        exclude=EXCLUDED,
        bias_correction=corrects_bias,
        clip_norm=1.0,
    )
    assert_same(run(config), expected_from(theirs))


@pytest.mark.parametrize("adapts_all", [False, True])
@pytest.mark.parametrize("corrects_bias", [False, True])
def test_lamb_is_that_of_the_published_programs(corrects_bias, adapts_all):
    config = Lamb(
        learning_rate=0.1,
        warmup_steps=3,
        weight_decay=0.3,
        corrects_bias=corrects_bias,
        adapts_all=adapts_all,
    )
    assert_same(run(config), expected_from(PublishedLamb(config)))


class PublishedLamb:
    """The oracle, with the rates of a configuration."""

    clip_norm = 1.0

    def __init__(self, config: Lamb) -> None:
        self._config = config
        self._lamb = oracle_of_lamb.Lamb(
            weight_decay=config.weight_decay,
            corrects_bias=config.corrects_bias,
            trust_everywhere=config.adapts_all,
        )

    def step(self, params, grads):
        rate = oracle_of_lamb.lamb_rate(
            self._lamb.updates,
            peak=self._config.learning_rate,
            warmup_steps=self._config.warmup_steps,
            num_steps=NUM_STEPS,
            power=self._config.decay_power,
        )
        return self._lamb.update(
            params, grads, rate, lambda name: oracle.is_decayed(name, EXCLUDED)
        )


@pytest.mark.parametrize("kind", [BertAdam, Lamb])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_decay_has_the_power_that_is_asked_for(kind, power):
    config = kind(learning_rate=6e-3, warmup_steps=20, decay_power=power)
    _, schedule = make_optimizer(config, 70)
    steps = range(75)
    theirs = [
        oracle_of_lamb.lamb_rate(
            step, peak=6e-3, warmup_steps=20, num_steps=70, power=power
        )
        for step in steps
    ]
    found = jax.vmap(schedule)(jnp.array(steps))
    np.testing.assert_allclose(found, theirs, rtol=1e-5, atol=1e-9)


def test_a_bias_under_a_constant_gradient_moves_as_far_as_adam_moves_it():
    """Scaled to its own norm it would hardly leave the zero that it begins from."""
    params = {"bias": jnp.zeros(3), "kernel": jnp.ones((3, 3))}
    gradient = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 1e-3), params)
    config = Lamb(learning_rate=0.01, warmup_steps=0)
    for adapts_all, least, most in ((False, -1.01, -0.99), (True, -0.03, -0.02)):
        optimizer = transformation_of(
            dataclasses.replace(config, adapts_all=adapts_all),
            optax.constant_schedule(0.01),
        )

        def step(_, held, optimizer=optimizer):
            params, state = held
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state

        start = params, optimizer.init(params)
        moved, _ = jax.jit(lambda held, f=step: jax.lax.fori_loop(0, 100, f, held))(
            start
        )
        assert least < float(moved["bias"][0]) < most


@pytest.mark.parametrize(("warmup", "total"), [(10, 100), (0, 20), (20, 20)])
def test_the_learning_rate_is_that_of_the_published_program(warmup, total):
    ours = warm_up_and_decay(1e-4, warmup, total)
    theirs = oracle.warmup_linear_decay(1e-4, warmup, total)
    steps = np.arange(total + 3)
    np.testing.assert_allclose(
        jax.vmap(ours)(steps), [theirs(int(step)) for step in steps], rtol=1e-5,
        atol=1e-10,
    )  # fmt: skip
    _, schedule = make_optimizer(
        BertAdam(learning_rate=1e-4, warmup_steps=warmup), total
    )
    np.testing.assert_array_equal(jax.vmap(schedule)(steps), jax.vmap(ours)(steps))


def test_what_decays_in_a_real_model_decays_by_its_published_name():
    params = jax.eval_shape(
        lambda key: bert_jax.init_params(key, bert_jax.TINY), jax.random.key(0)
    )
    mask = decay_mask(params)
    decays = flatten_dict({"encoder": mask.encoder, "heads": mask.heads})
    tensors = published_tensors(bert_jax.TINY, tuple(params.heads))
    assert len(tensors) == len(decays)
    for tensor in tensors:
        assert decays[tensor.path] == oracle.is_decayed(tensor.name), tensor.name


@pytest.mark.parametrize("kind", [BertAdam, Lamb])
def test_a_warm_up_that_is_longer_than_the_run_is_refused(kind):
    message = r"^optimizer\.warmup_steps 11 is above the 10 steps of its schedule"
    with pytest.raises(ValueError, match=message):
        make_optimizer(kind(warmup_steps=11), 10)
    make_optimizer(kind(warmup_steps=10), 10)


def test_lamb_leaves_out_the_ratio_where_nothing_decays_unless_told():
    """As the published programs do; `test_lamb` holds both forms."""
    assert (Lamb().adapts_all, Lamb().decay_power) == (False, 1.0)
