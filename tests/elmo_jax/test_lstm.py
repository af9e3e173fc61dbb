# SPDX-License-Identifier: Apache-2.0
"""One layer: PyTorch's LSTM where no clip bites; restarts, padding and precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elmo_jax import ElmoConfig
from elmo_jax.lstm import LstmLayer, TypeInputs, zero_state
from embed_jax.recurrence import LstmState
from tests.elmo_jax.oracle_model import jit

FREE = ElmoConfig(
    char_cnn=None,
    vocab_size=9,
    cell_dim=10,
    projection_dim=6,
    cell_clip=50.0,
    projection_clip=50.0,
)
NOT_PROJECTED = dataclasses.replace(FREE, projection_dim=10)
T, B, U = 7, 3, 9

# How the product that gives the gates is divided: its inputs' half before the loop, all
# of it in the loop, or the inputs' half once for every type.
WAYS = ["product_before", "loop", "types"]


def make_layer(
    config: ElmoConfig = FREE, reverse: bool = False, hoist: bool = True
) -> LstmLayer:
    return LstmLayer(config, jnp.dtype(jnp.float32), reverse=reverse, hoist=hoist)


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng((seed, *shape)).normal(size=shape)


def draw_leaves(config: ElmoConfig) -> dict[str, np.ndarray]:
    """Draw all that a layer reads: parameters, a vector a type, the state before."""
    H, P = config.cell_dim, config.projection_dim
    leaves = {
        "kernel": draw(2 * P, 4 * H, scale=0.5),
        "bias": draw(4 * H),
        "vectors": draw(U, P),
        "cell": draw(B, H),
        "hidden": draw(B, P, seed=1),
    }
    if config.has_projection:
        leaves["projection"] = draw(H, P, scale=0.4)
    return leaves


WORDS = jnp.asarray(np.random.default_rng(0).integers(0, U, (T, B)), jnp.int32)


def cotangents(config: ElmoConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of outputs, last cell and last hidden state in the loss."""
    H, P = config.cell_dim, config.projection_dim
    return draw(T, B, P, seed=2), draw(B, H, seed=2), draw(B, P, seed=3)


def run_ours(config: ElmoConfig, leaves: dict, reverse: bool, way: str):
    """Compute outputs, and the loss's gradients in everything that the layer reads."""
    layer = make_layer(config, reverse, way != "loop")

    def run(leaves):
        parameters = {
            name: leaves[name]
            for name in ("kernel", "bias", "projection")
            if name in leaves
        }
        inputs = leaves["vectors"][WORDS]
        if way == "types":
            inputs = TypeInputs(leaves["vectors"], WORDS)
        state = LstmState(leaves["cell"], leaves["hidden"])
        outputs, state = layer.apply({"params": parameters}, inputs, state)
        results = outputs, state.cell, state.hidden
        pairs = zip(results, cotangents(config), strict=True)
        return sum(jnp.vdot(a, jnp.float32(b)) for a, b in pairs), results

    leaves = {name: jnp.float32(value) for name, value in leaves.items()}
    differentiate = jit(jax.value_and_grad(run, has_aux=True))
    (_, results), gradients = differentiate(leaves)
    return results, gradients


def run_torch(config: ElmoConfig, leaves: dict, reverse: bool):
    """Do the same with `torch.nn.LSTM` in float64, its gates in its own order."""
    torch = pytest.importorskip("torch")
    H, P = config.cell_dim, config.projection_dim
    leaves = {
        name: torch.tensor(np.float32(value)).double().requires_grad_()
        for name, value in leaves.items()
    }

    def reorder(values):
        enter, candidate, forget, leave = values.split(H, dim=-1)
        return torch.cat([enter, forget, candidate, leave], dim=-1)

    bias = reorder(leaves["bias"])
    forget = torch.zeros(4 * H, dtype=torch.float64)
    forget[H : 2 * H] = 1.0
    kernel = reorder(leaves["kernel"])
    parameters = {
        "weight_ih_l0": kernel[:P].T,
        "weight_hh_l0": kernel[P:].T,
        "bias_ih_l0": bias,
        "bias_hh_l0": forget,
    }
    if config.has_projection:
        parameters["weight_hr_l0"] = leaves["projection"].T
    lstm = torch.nn.LSTM(P, H, proj_size=P if P < H else 0).double()
    assert {name for name, _ in lstm.named_parameters()} == parameters.keys()
    inputs = leaves["vectors"][torch.tensor(np.asarray(WORDS)).long()]
    state = leaves["hidden"][None], leaves["cell"][None]
    inputs = inputs.flip(0) if reverse else inputs
    outputs, (hidden, cell) = torch.func.functional_call(
        lstm, parameters, (inputs, state)
    )
    outputs = outputs.flip(0) if reverse else outputs
    results = outputs, cell[0], hidden[0]
    loss = sum(
        (result * torch.tensor(np.float32(weight)).double()).sum()
        for result, weight in zip(results, cotangents(config), strict=True)
    )
    loss.backward()
    gradients = {name: leaf.grad.numpy() for name, leaf in leaves.items()}
    return [result.detach().numpy() for result in results], gradients


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("config", "way"),
    [
        *((FREE, way) for way in WAYS),
        (NOT_PROJECTED, "product_before"),
    ],
    ids=[*WAYS, "not_projected"],
)
def test_outputs_and_gradients_are_pytorchs(config, reverse, way):
    leaves = draw_leaves(config)
    results, gradients = run_ours(config, leaves, reverse, way)
    expected, expected_gradients = run_torch(config, leaves, reverse)
    for ours, theirs in zip(results, expected, strict=True):
        assert np.abs(np.asarray(ours) - theirs).max() <= 1e-5
        assert np.abs(theirs).max() > 0.3
    assert gradients.keys() == expected_gradients.keys()
    for leaf, theirs in expected_gradients.items():
        assert np.abs(np.asarray(gradients[leaf]) - theirs).max() <= 1e-5, leaf
        assert np.abs(theirs).max() > 0.1, leaf


def parameters_of(config: ElmoConfig) -> dict:
    leaves = draw_leaves(config)
    names = {"kernel", "bias", "projection"} & leaves.keys()
    return {"params": {name: jnp.float32(leaves[name]) for name in names}}


def states(config: ElmoConfig, num_rows: int, seed: int = 0) -> LstmState:
    H, P = config.cell_dim, config.projection_dim
    return LstmState(
        jnp.float32(draw(num_rows, H, seed=seed)),
        jnp.float32(draw(num_rows, P, seed=seed + 1)),
    )


@functools.cache
def one_step(config: ElmoConfig = FREE):
    """Compile a layer for one position of one row."""
    return jit(functools.partial(make_layer(config).apply, parameters_of(config)))


def test_clips_bound_the_cell_and_then_the_projection():
    config = dataclasses.replace(FREE, cell_clip=0.2, projection_clip=0.05)
    vector = jnp.float32(draw(1, 1, config.projection_dim, scale=3))
    state = states(config, 1)
    outputs, last = one_step(config)(vector, state)
    assert np.mean(np.abs(last.cell) == np.float32(0.2)) > 0.2
    assert np.mean(np.abs(outputs) == np.float32(0.05)) > 0.2
    np.testing.assert_array_equal(outputs[0], last.hidden)
    # The cell is clipped before it is projected, and what is projected afterwards.
    _, free = one_step()(vector, state)
    np.testing.assert_allclose(last.cell, np.clip(free.cell, -0.2, 0.2), atol=1e-6)
    cell_alone = dataclasses.replace(config, projection_clip=None)
    clipped_cell, _ = one_step(cell_alone)(vector, state)
    np.testing.assert_allclose(outputs, np.clip(clipped_cell, -0.05, 0.05), atol=1e-6)
    unclipped, _ = one_step()(vector, state)
    assert np.abs(clipped_cell - unclipped).max() > 0.05


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_restarts_and_padding_are_those_of_single_steps(reverse, way):
    """Row 0 restarts in its middle, row 1 everywhere, row 2 nowhere."""
    vectors = jnp.float32(draw(U, FREE.projection_dim))
    before, fresh = states(FREE, B), states(FREE, 1, seed=5)
    restart, real = np.zeros((T, B), bool), np.ones((T, B), bool)
    restart[3, 0] = restart[:, 1] = True
    real[[0, 4], 0] = real[-1, 1] = real[1:3, 2] = False
    layer = make_layer(reverse=reverse, hoist=way != "loop")

    @jit
    def run(words, *rest):
        inputs = TypeInputs(vectors, words) if way == "types" else vectors[words]
        return layer.apply(parameters_of(FREE), inputs, *rest)

    outputs, last = run(WORDS, before, restart, fresh, real)
    for row in range(B):
        state = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], before)
        for position in range(T)[:: -1 if reverse else 1]:
            if restart[position, row]:
                state = fresh
            if not real[position, row]:
                continue
            word = WORDS[position, row]
            output, state = one_step()(vectors[word][None, None], state)
            np.testing.assert_allclose(outputs[position, row], output[0, 0], atol=1e-6)
        np.testing.assert_allclose(last.cell[row], state.cell[0], atol=1e-6)
        np.testing.assert_allclose(last.hidden[row], state.hidden[0], atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_bfloat16_is_of_the_products_alone(way):
    """State and outputs stay float32, and close to what float32 gives."""
    vectors = jnp.float32(draw(U, FREE.projection_dim))

    def run(dtype):
        layer = LstmLayer(FREE, jnp.dtype(dtype), reverse=False, hoist=way != "loop")
        inputs = TypeInputs(vectors, WORDS) if way == "types" else vectors[WORDS]
        return layer.apply(parameters_of(FREE), inputs, states(FREE, B))

    rough, state = jit(run, static_argnums=0)("bfloat16")
    exact, _ = jit(run, static_argnums=0)("float32")
    assert rough.dtype == state.cell.dtype == state.hidden.dtype == jnp.float32
    assert 1e-4 < np.abs(rough - exact).max() < 0.1


def test_a_state_that_has_read_nothing_is_zero_and_float32():
    state = zero_state(FREE, 4)
    assert (state.cell.shape, state.hidden.shape) == ((4, 10), (4, 6))
    assert state.cell.dtype == state.hidden.dtype == jnp.float32
    assert not state.cell.any()
    assert not state.hidden.any()
