# SPDX-License-Identifier: Apache-2.0
"""LAMB takes the course of the published programs, in a whole pretraining of a BERT."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import bert_jax
from bert_jax.config import BertConfig
from bert_jax.weights import published_tensors
from tests.oracles.lamb import Lamb as Oracle
from tests.oracles.lamb import lamb_rate
from tests.train.stores import PIECES, draw_pieces, piece_store
from train.families.bert.batches import MaskedLmBatches, MaskedLmConfig
from train.families.bert.objective import MaskedLmObjective
from train.loop.optimizer import Lamb, make_optimizer
from train.loop.step import init_state, make_step

NUM_STEPS = 30
CONFIG = BertConfig(
    vocab_size=len(PIECES),
    num_blocks=1,
    num_heads=2,
    layer_dim=16,
    mlp_dim=32,
    max_positions=24,
    init_std=0.1,
    dropout_rate=0.0,
    attention_dropout_rate=0.0,
)
NAMES = {
    tensor.path: tensor.name
    for tensor in published_tensors(CONFIG, ("pooler", "mlm", "nsp"))
}


def decayed(name: str) -> bool:
    """As the published programs have it, by the published name."""
    return not any(part in name for part in ("LayerNorm", "layer_norm", "bias"))


def by_name(params: bert_jax.BertParams) -> dict[str, np.ndarray]:
    flat = flatten_dict({"encoder": params.encoder, "heads": params.heads})
    return {NAMES[path]: np.asarray(leaf) for path, leaf in flat.items()}


def like(params: bert_jax.BertParams, named: dict[str, np.ndarray]):
    tree = unflatten_dict({path: named[name] for path, name in NAMES.items()})
    return params.replace(encoder=tree["encoder"], heads=tree["heads"])


@pytest.fixture(scope="module")
def pretraining():
    """Objective, weights and a function to the loss and its gradient, in float64."""
    data = MaskedLmConfig(length=24)
    store = piece_store(draw_pieces(num_documents=20))
    with jax.enable_x64(True):
        objective = MaskedLmObjective(
            config=CONFIG,
            data=data,
            batches=MaskedLmBatches(store, data, batch_size=4),
            held_out=None,
            batch_size=4,
            dtype=jnp.dtype(jnp.float64),
        )
        params = bert_jax.init_params(jax.random.key(0), CONFIG)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)

        def loss_of(params, batch):
            key = jax.random.key(0)  # nothing is dropped
            loss, _ = objective.loss(
                params, (), batch, objective.weights_of(batch), key
            )
            return loss

        yield objective, params, jax.jit(jax.value_and_grad(loss_of))


def published_losses(pretraining, *, adapts_all: bool) -> list[float]:
    """Return the losses before each step of the oracle, with our gradients."""
    objective, params, loss_of = pretraining
    theirs = Oracle(corrects_bias=True, trust_everywhere=adapts_all)
    weights, losses = by_name(params), []
    for number in range(NUM_STEPS):
        loss, gradient = loss_of(like(params, weights), objective.batches[number])
        losses.append(float(loss))
        rate = lamb_rate(
            number, peak=0.05, warmup_steps=5, num_steps=NUM_STEPS, power=0.5
        )
        weights = theirs.update(weights, by_name(gradient), rate, decayed)
    return losses


def our_losses(pretraining, *, adapts_all: bool) -> list[float]:
    """Return the losses before each step of a training run."""
    objective, params, loss_of = pretraining
    config = Lamb(
        learning_rate=0.05, warmup_steps=5, decay_power=0.5, adapts_all=adapts_all
    )
    optimizer, _ = make_optimizer(config, NUM_STEPS)
    state, losses = init_state(objective, params, optimizer), []
    step = jax.jit(make_step(objective, optimizer, seed=0))
    for number in range(NUM_STEPS):
        batch = objective.batches[number]
        losses.append(float(loss_of(state.params, batch)[0]))
        state, _ = step(state, batch)
    return losses


def test_thirty_steps_have_the_losses_of_the_published_programs(pretraining):
    theirs = {
        adapts_all: published_losses(pretraining, adapts_all=adapts_all)
        for adapts_all in (False, True)
    }
    for adapts_all, expected in theirs.items():
        found = our_losses(pretraining, adapts_all=adapts_all)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        assert expected[0] - min(expected) > 0.1
    # Neither of them is held with the other form.
    assert np.abs(np.subtract(theirs[True], theirs[False])).max() > 0.01
