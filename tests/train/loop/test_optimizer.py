# SPDX-License-Identifier: Apache-2.0
"""The optimisers are the published ones, written down a second time in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import bert_jax
from bert_jax.weights import published_tensors
from tests.oracles import optimizers as oracle
from train.loop.optimizer import (
    Adagrad,
    BertAdam,
    Lamb,
    decay_mask,
    make_optimizer,
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


def test_lamb_is_as_published():
    config = Lamb(learning_rate=0.1, warmup_steps=3, weight_decay=0.3)
    theirs = oracle.Lamb(
        oracle.warmup_linear_decay(0.1, 3, NUM_STEPS),
        weight_decay=0.3,
        exclude=EXCLUDED,
    )
    assert_same(run(config), expected_from(theirs))


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
    with pytest.raises(ValueError, match="warmup_steps 11 is above num_steps 10"):
        make_optimizer(kind(warmup_steps=11), 10)
    make_optimizer(kind(warmup_steps=10), 10)
