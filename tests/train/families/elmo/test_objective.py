# SPDX-License-Identifier: Apache-2.0
"""The biLM is trained as bilm-tf trains it, and is the model that is served."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import elmo_jax
from elmo_jax.config import CharCnnConfig, ElmoConfig
from elmo_jax.options import format_options
from elmo_jax.weights import disassemble
from tests.train.stores import draw_words, word_store
from train.families.elmo.batches import BilmBatches, lay_out
from train.families.elmo.held_out import HeldOutWindows
from train.families.elmo.objective import BilmObjective
from train.loop.optimizer import Adagrad, make_optimizer
from train.loop.step import init_state, make_step

SENTENCES = draw_words(num_sentences=40)
STORE = word_store([SENTENCES], vocab_size=14)
NUM_WORDS = len(STORE.vocabulary)
B, T = 4, 8

CONFIG = ElmoConfig(
    char_cnn=CharCnnConfig(
        embedding_dim=4, filters=((1, 4), (2, 8)), num_highways=1, max_characters=12
    ),
    cell_dim=16,
    projection_dim=8,
    # Low enough that they act.
    cell_clip=0.5,
    projection_clip=0.2,
    dropout_rate=0.0,
)


def make_objective(**changes) -> BilmObjective:
    num_negatives = changes.pop("num_negatives", 0)
    shuffled = changes.pop("shuffled", True)
    batches = BilmBatches(
        STORE,
        batch_size=B,
        unroll_steps=T,
        num_negatives=num_negatives,
        shuffled=shuffled,
    )
    settings = {
        "config": CONFIG,
        "batches": batches,
        "held_out": None,
        "num_words": NUM_WORDS,
        "batch_size": B,
        "unroll_steps": T,
        "reset_state": False,
        "dtype": jnp.dtype(jnp.float32),
    }
    return BilmObjective(**settings | changes)


def draw_params(config: ElmoConfig = CONFIG) -> elmo_jax.ElmoParams:
    return elmo_jax.init_params(jax.random.key(0), config, NUM_WORDS)


@pytest.mark.parity
@pytest.mark.parametrize(("num_negatives", "num_steps"), [(0, 30), (9, 8)])
def test_training_takes_the_same_course_as_in_torch(num_negatives, num_steps):
    """On carried states, over the end of an epoch, with clipped gradients."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from tests.oracles.torch_bilm import TorchBiLm, total_loss

    objective, params = make_objective(num_negatives=num_negatives), draw_params()
    assert num_steps == 8 or objective.batches.epoch_end(0) < num_steps
    settings = Adagrad(loss_factor=20.0, max_norm=4.0)
    optimizer, _ = make_optimizer(settings, num_steps)
    step = jax.jit(make_step(objective, optimizer, seed=0))
    state = init_state(objective, params, optimizer)

    encoder, softmax = disassemble(params)
    model = TorchBiLm(encoder | softmax, format_options(CONFIG, NUM_WORDS))
    theirs = torch.optim.Adagrad(
        model.parameters(), lr=0.2, initial_accumulator_value=1.0, eps=0.0
    )
    carry = model.zero_carry(B)
    norms, course = [], []
    for number in range(num_steps):
        batch = objective.batches[number]
        state, means = step(state, batch)
        if batch.rows.fresh[0]:
            carry = model.zero_carry(B)
        characters = torch.tensor(batch.types[batch.rows.words]).long()
        targets = torch.tensor(batch.rows.targets).long()
        weights = torch.tensor(batch.rows.weights)
        sampled = None
        if batch.negatives is not None:
            sampled = [(ids, int(n)) for ids, n in zip(*batch.negatives, strict=True)]
        forward, backward, carry = model.losses(
            *(x for d in (0, 1) for x in (characters[:, d], targets[:, d])),
            carry,
            mode="full" if sampled is None else "sampled",
            sampled=sampled,
            forward_weights=weights[:, 0],
            backward_weights=weights[:, 1],
        )
        theirs.zero_grad()
        # A window that has run out counts as whole, see `BilmObjective.weights_of`.
        share = float(weights[:, 0].mean())
        (total_loss(forward, backward) * share * settings.loss_factor).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_norm)
        theirs.step()
        name = "loss" if sampled is None else "sampled_loss"
        for direction, loss in (("forward", forward), ("backward", backward)):
            total, weight = means[f"{direction}_{name}"]
            ours = float(total / weight)
            assert ours == pytest.approx(loss.item(), rel=1e-4), number
        course.append(ours)
        norms.append(float(norm))
        assert float(means["gradient_norm"].total) == pytest.approx(
            float(norm) / settings.loss_factor, rel=1e-3
        )
    assert np.mean(course[-3:]) < 0.95 * np.mean(course[:3])
    assert max(norms) > settings.max_norm
    trained = dict(zip(("encoder", "softmax"), disassemble(state.params), strict=True))
    arrays = model.arrays()
    for name, values in (trained["encoder"] | trained["softmax"]).items():
        np.testing.assert_allclose(values, arrays[name], rtol=0, atol=2e-4)


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_restarted_sentences_are_scored_as_they_are_served(kind):
    config, widest_filter = CONFIG, 7
    if kind == "words":
        config = dataclasses.replace(CONFIG, char_cnn=None, vocab_size=NUM_WORDS)
        widest_filter = None
    batches = BilmBatches(
        STORE, batch_size=B, unroll_steps=T, shuffled=False, widest_filter=widest_filter
    )
    objective = make_objective(config=config, batches=batches, reset_state=True)
    params, carry = draw_params(config), objective.init_carry()
    params = jax.tree.map(lambda leaf: 2 * leaf, params)
    run = jax.jit(objective.losses)
    windows = []
    for number in range(batches.epoch_end(0)):
        losses, carry = run(params, carry, batches[number])
        windows.append(losses)
    losses = np.concatenate(windows, axis=2)

    tokenizer = elmo_jax.ElmoTokenizer(config, STORE.vocabulary)
    scores = list(elmo_jax.score_sentences(params, tokenizer, SENTENCES))
    lengths = np.array([len(sentence) + 1 for sentence in SENTENCES])
    layout = lay_out(np.arange(len(SENTENCES)), lengths, B, T)
    assert len(layout.sentences) == len(scores) == len(SENTENCES)
    for sentence, row, begin in zip(
        layout.sentences, layout.rows, layout.begins, strict=True
    ):
        forward, backward = losses[row, :, begin : begin + len(SENTENCES[sentence]) + 1]
        score = scores[sentence]
        np.testing.assert_allclose(-forward, score.forward, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            -backward[::-1], score.backward, rtol=1e-5, atol=1e-5
        )


def test_the_held_out_perplexity_is_that_of_the_served_model():
    """Every word and boundary counts, whatever the weights of the last windows."""
    batches = HeldOutWindows(STORE, batch_size=B, unroll_steps=T)
    objective = make_objective(held_out=batches, reset_state=True)
    params = draw_params()
    figures = objective.measure(params)
    tokenizer = elmo_jax.ElmoTokenizer(CONFIG, STORE.vocabulary)
    served = elmo_jax.perplexity(elmo_jax.score_sentences(params, tokenizer, SENTENCES))
    assert figures["held_out_words"] == served.num_tokens
    assert figures["forward_perplexity"] == pytest.approx(served.forward, rel=1e-5)
    assert figures["backward_perplexity"] == pytest.approx(served.backward, rel=1e-5)
    assert figures["loss"] == pytest.approx(np.log(served.geometric), rel=1e-5)
    assert make_objective().measure(params) == {}


def test_as_many_held_out_batches_are_measured_as_are_asked_for():
    """Their windows are full: of both, every position is a word or a boundary."""
    batches = HeldOutWindows(STORE, batch_size=B, unroll_steps=T, limit=(2, B))
    assert batches.epoch_end(0) > 3
    objective = make_objective(held_out=batches, reset_state=True)
    assert objective.measure(draw_params())["held_out_words"] == 2 * B * T


def test_positions_of_a_step_are_an_epochs_words_and_boundaries_shared_out():
    objective = make_objective()
    steps = objective.epoch_steps
    assert steps == objective.batches.epoch_end(0) > 1
    positions = sum(map(len, SENTENCES)) + len(SENTENCES)
    assert objective.tokens_per_batch == pytest.approx(positions / steps)


def loss_and_gradient(**changes):
    objective = make_objective(**changes)
    batch = jax.tree.map(jnp.asarray, objective.batches[1])
    carry = jax.tree.map(lambda part: part + 0.1, elmo_jax.zero_carry(CONFIG, B))

    @jax.jit
    def run(params):
        def loss(params):
            weights = objective.weights_of(batch)
            return objective.loss(params, carry, batch, weights, jax.random.key(0))[0]

        return jax.value_and_grad(loss)(params)

    value, gradient = run(draw_params())
    return float(value), np.concatenate([g.ravel() for g in jax.tree.leaves(gradient)])


def test_gates_computed_again_and_coarse_products_give_the_same():
    loss, gradient = loss_and_gradient()
    again, same = loss_and_gradient(remat=True)
    assert again == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(same, gradient, rtol=0, atol=1e-6)
    coarse, rough = loss_and_gradient(dtype=jnp.dtype(jnp.bfloat16), num_negatives=9)
    exact, gradient = loss_and_gradient(num_negatives=9)
    assert coarse != exact
    assert coarse == pytest.approx(exact, rel=1e-2)
    cosine = rough @ gradient / np.linalg.norm(rough) / np.linalg.norm(gradient)
    assert cosine > 0.995
    assert np.linalg.norm(rough) == pytest.approx(np.linalg.norm(gradient), rel=0.05)
