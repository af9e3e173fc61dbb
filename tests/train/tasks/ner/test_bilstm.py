import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from train.tasks.ner.bilstm import BiLstm

LENGTHS = [[3, 2], [5], [1, 1, 3]]
ROW, DIM, CELL = 6, 4, 3


def _rows():
    first, last = np.zeros((3, ROW), bool), np.zeros((3, ROW), bool)
    for row, lengths in enumerate(LENGTHS):
        ends = np.cumsum(lengths)
        first[row, ends - lengths] = True
        last[row, ends - 1] = True
    return jnp.array(first), jnp.array(last)


@pytest.fixture(scope="module")
def layer():
    module = BiLstm(CELL)
    inputs = jax.random.normal(jax.random.key(0), (3, ROW, DIM))
    params = module.init(jax.random.key(1), inputs, *_rows())
    noise = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(2), leaf.shape),
        params,
    )
    return module, noise, inputs


def torchs_order(leaf) -> np.ndarray:
    """Put input, candidate, forget, output as input, forget, candidate, output."""
    enter, candidate, forget, leave = np.split(np.asarray(leaf), 4, axis=-1)
    return np.concatenate([enter, forget, candidate, leave], axis=-1)


@pytest.mark.parity
def test_equals_torch_sentence_by_sentence(layer):
    torch = pytest.importorskip("torch")
    module, params, inputs = layer
    ours = np.asarray(module.apply(params, inputs, *_rows()))
    weights = {name: torchs_order(leaf) for name, leaf in params["params"].items()}
    lstm = torch.nn.LSTM(DIM, CELL, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for number, suffix in enumerate(("", "_reverse")):
            for ours_name, theirs in (("input", "ih"), ("recurrent", "hh")):
                target = getattr(lstm, f"weight_{theirs}_l0{suffix}")
                target.copy_(torch.tensor(weights[ours_name][number].T))
            getattr(lstm, f"bias_ih_l0{suffix}").copy_(
                torch.tensor(weights["bias"][number])
            )
            # The one that ours adds to the forget gate.
            getattr(lstm, f"bias_hh_l0{suffix}").zero_()[CELL : 2 * CELL] = 1.0
        for row, lengths in enumerate(LENGTHS):
            start = 0
            for length in lengths:
                sentence = np.array(inputs[row, start : start + length])
                expected, _ = lstm(torch.tensor(sentence)[None])
                np.testing.assert_allclose(
                    ours[row, start : start + length], expected[0].numpy(), atol=1e-6
                )
                start += length


def test_gradient_is_that_of_difference_quotients(layer):
    module, params, inputs = layer
    first, last = _rows()

    def given(params, inputs):
        params, inputs = jax.tree.map(jnp.asarray, (params, inputs))
        return module.apply(params, inputs, first, last)

    check_grads(given, (params, inputs), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_an_ensemble_is_its_members(layer):
    module, params, inputs = layer
    first, last = _rows()
    members = [
        jax.tree.map(lambda leaf, factor=factor: leaf * factor, params)
        for factor in (1.0, -0.5)
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    both = jax.vmap(lambda member: module.apply(member, inputs, first, last))(stacked)
    for member, given in zip(members, both, strict=True):
        np.testing.assert_allclose(
            given, module.apply(member, inputs, first, last), atol=1e-6
        )
