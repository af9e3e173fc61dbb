# SPDX-License-Identifier: Apache-2.0
"""An LSTM's loop and its gradient are those of the plain loop that jax derives."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from embed_jax.devices.mesh import data_mesh
from embed_jax.devices.precision import dot
from embed_jax.recurrence import GatesByType, InputVectors, LstmState, recur
from tests.oracles.recurrence import Loop, read

T, B, U, D, H, P = 7, 24, 20, 9, 16, 8

# What the loop is given: the inputs' half of the gates, that of each type, or vectors.
FORMS = ["gates", "types", "vectors"]


@dataclasses.dataclass(frozen=True)
class Case:
    """Which of what a loop may be told it is told."""

    projected: bool = True
    restarts: bool = True
    restart_state: bool = True
    padded: bool = True
    cell_clip: float | None = 0.4
    projection_clip: float | None = 0.25
    reverse: bool = False

    @property
    def settings(self) -> dict:
        names = "cell_clip", "projection_clip", "reverse"
        settings = {name: getattr(self, name) for name in names}
        if not self.projected:
            settings["projection_clip"] = None
        return settings


EVERYTHING = Case()


def draw(*shape: int, scale: float = 1.0, seed: int = 0) -> jax.Array:
    rng = np.random.default_rng((seed, *shape))
    return jnp.asarray(scale * rng.normal(size=shape), jnp.float32)


def draw_leaves(case: Case) -> dict[str, jax.Array]:
    """Draw all that has a gradient."""
    width = P if case.projected else H
    leaves = {
        "vectors": draw(U, D),
        "kernel": draw(D + width, 4 * H, scale=0.4),
        "bias": draw(4 * H, scale=0.3),
        "cell": draw(B, H, scale=0.3),
        "hidden": draw(B, width, scale=0.3, seed=1),
    }
    if case.projected:
        leaves["projection"] = draw(H, P, scale=0.5)
    if case.restart_state:
        leaves["restart_cell"] = draw(1, H, scale=0.3)
        leaves["restart_hidden"] = draw(1, width, scale=0.3, seed=1)
    return leaves


RNG = np.random.default_rng(0)
WORDS = jnp.asarray(RNG.integers(0, U, (T, B)), jnp.int32)
# Row 0 restarts at every position, row 1 nowhere; row 1 has no padding, row 2 no word.
RESTART = jnp.asarray(RNG.random((T, B)) < 0.3)
RESTART = RESTART.at[:, 0].set(True).at[:, 1].set(False)
REAL = jnp.asarray(RNG.random((T, B)) < 0.8).at[:, 1].set(True).at[:, 2].set(False)


def given_of(case: Case) -> dict[str, jax.Array | None]:
    return {
        "restart": RESTART if case.restarts else None,
        "real": REAL if case.padded else None,
    }


def run(
    case: Case, form: str, leaves: dict, words=WORDS, dtype=jnp.float32, **given
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Read the words' vectors with ours, handed over in that form."""
    kernel = leaves["kernel"].astype(dtype)
    projection = leaves.get("projection")
    from_input, from_hidden = kernel[:D], kernel[D:]
    vectors, bias = leaves["vectors"].astype(dtype), leaves["bias"]
    if form == "gates":
        inputs = dot(vectors[words], from_input) + bias[None, None]
    elif form == "types":
        inputs = GatesByType(dot(vectors, from_input) + bias[None], words)
    else:
        inputs = InputVectors(vectors[words], bias)
    fresh = None
    if case.restart_state:
        fresh = LstmState(leaves["restart_cell"], leaves["restart_hidden"])
    outputs, state = recur(
        inputs,
        kernel if form == "vectors" else from_hidden,
        None if projection is None else projection.astype(dtype),
        LstmState(leaves["cell"], leaves["hidden"]),
        restart_state=fresh,
        **given_of(case) | given,
        **case.settings,
    )
    return outputs, state.cell, state.hidden


def run_plainly(case: Case, leaves: dict):
    vectors = leaves["vectors"][WORDS]
    rest = {name: leaf for name, leaf in leaves.items() if name != "vectors"}
    rest = {"projection": None} | rest | given_of(case) | case.settings
    return read(Loop(vectors=vectors, **rest))


def weigh(results) -> jax.Array:
    """Make one number of results, in which every value has a share of its own."""
    return sum(
        jnp.vdot(part, draw(*part.shape, seed=seed))
        for seed, part in enumerate(results)
    )


# LLVM leaves the code as XLA wrote it, which halves the time to compile.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def differentiate(function, *arguments) -> tuple:
    """Return results, and the gradient of their `weigh` in the first argument."""

    def total(*arguments):
        results = function(*arguments)
        return weigh(results), results

    both = jit(jax.value_and_grad(total, has_aux=True))
    (_, results), gradient = both(*arguments)
    return results, gradient


def close(ours, theirs):
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * scale)


@functools.cache
def plain(case: Case) -> tuple:
    return differentiate(functools.partial(run_plainly, case), draw_leaves(case))


CASES = {
    "reversed": Case(reverse=True),
    "not_projected": Case(projected=False),
    "not_projected_reversed": Case(projected=False, reverse=True),
    "no_clips": Case(cell_clip=None, projection_clip=None),
    "projection_clip": Case(cell_clip=None),
    "no_padding": Case(padded=False),
    "restarts_from_zeros": Case(restart_state=False),
    "no_restarts": Case(restarts=False, restart_state=False),
    "nothing": Case(
        restarts=False,
        restart_state=False,
        padded=False,
        cell_clip=None,
        projection_clip=None,
    ),
}


@pytest.mark.parametrize(
    ("case", "form"),
    [
        *((EVERYTHING, form) for form in FORMS),
        *((case, FORMS[0]) for case in CASES.values()),
    ],
    ids=[*FORMS, *CASES],
)
def test_results_and_gradients_are_those_of_the_plain_loop(case, form):
    results, gradient = differentiate(
        functools.partial(run, case, form), draw_leaves(case)
    )
    expected, expected_gradient = plain(case)
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert gradient.keys() == expected_gradient.keys()
    for name, theirs in expected_gradient.items():
        assert np.abs(theirs).max() > 1e-2, name
        close(gradient[name], theirs)


def test_the_clips_of_these_cases_act():
    for case in (EVERYTHING, CASES["reversed"], CASES["not_projected"]):
        (outputs, cell, _), _ = plain(case)
        assert 0.2 < np.mean(np.abs(cell) >= case.cell_clip) < 0.8
        if case.projected:
            assert 0.2 < np.mean(np.abs(outputs) >= case.projection_clip) < 0.8


def test_what_is_not_differentiated_gives_the_same_and_stores_nothing():
    leaves = draw_leaves(EVERYTHING)
    function = functools.partial(run, EVERYTHING, "vectors")
    for ours, theirs in zip(jit(function)(leaves), plain(EVERYTHING)[0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    gradient = jax.grad(lambda leaves: weigh(function(leaves)))
    gates = f"f32[{T},{B},{4 * H}]"
    assert gates not in str(jax.make_jaxpr(function)(leaves))
    assert gates in str(jax.make_jaxpr(gradient)(leaves))


@pytest.mark.parametrize("form", FORMS)
def test_what_stands_at_padding_has_no_gradient_and_no_influence(form):
    """The words of the other rows, which a type's vector is looked up for."""
    others = jnp.where(REAL, WORDS, (WORDS + 1) % U)

    @jit
    def gradient(leaves, words):
        def total(leaves):
            results = run(EVERYTHING, form, leaves, words)
            return weigh(results), results

        return jax.grad(total, has_aux=True)(leaves)

    leaves = draw_leaves(EVERYTHING)
    of_these, results = gradient(leaves, WORDS)
    of_others, same = gradient(leaves, others)
    for one, other in zip(results, same, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, leaf in of_these.items():
        close(of_others[name], leaf)


@pytest.mark.parametrize("form", FORMS)
def test_products_in_bfloat16_have_a_gradient_close_to_the_exact_one(form):
    results, gradient = differentiate(
        functools.partial(run, EVERYTHING, form, dtype=jnp.bfloat16),
        draw_leaves(EVERYTHING),
    )
    assert all(part.dtype == jnp.float32 for part in results)
    for name, exact in plain(EVERYTHING)[1].items():
        rough, exact = np.ravel(gradient[name]), np.ravel(exact)
        assert rough.dtype == np.float32, name
        sizes = np.linalg.norm(rough), np.linalg.norm(exact)
        assert rough @ exact / np.prod(sizes) > 0.995, name
        assert sizes[0] == pytest.approx(sizes[1], rel=0.05), name


@pytest.mark.parametrize("form", FORMS)
def test_several_at_once_are_each_by_itself(form):
    """Other weights, words and restarts in each."""
    leaves = draw_leaves(EVERYTHING)
    members = [
        (leaves, WORDS, RESTART),
        (jax.tree.map(lambda leaf: 0.7 * leaf, leaves), WORDS[::-1], ~RESTART),
    ]

    def total(leaves, words, restart):
        return weigh(run(EVERYTHING, form, leaves, words, restart=restart))

    gradient = jit(jax.grad(total))
    each = [gradient(*member) for member in members]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    for name, leaves in jit(jax.vmap(jax.grad(total)))(*stacked).items():
        for number, leaf in enumerate(leaves):
            close(leaf, each[number][name])


def test_gates_may_be_computed_again_on_the_way_back():
    function = jax.checkpoint(functools.partial(run, EVERYTHING, "types"))
    _, gradient = differentiate(function, draw_leaves(EVERYTHING))
    for name, theirs in plain(EVERYTHING)[1].items():
        close(gradient[name], theirs)


def gradient_of(form: str):
    def total(leaves, words, restart, real):
        return weigh(run(EVERYTHING, form, leaves, words, restart=restart, real=real))

    return jit(jax.grad(total))


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_spread_over_devices_stay_there(form):
    mesh = data_mesh()
    assert mesh.size == 8

    def place(*axes):
        return NamedSharding(mesh, PartitionSpec(*axes))

    leaves = {
        name: jax.device_put(leaf, place(*["data"] * (len(leaf) == B)))
        for name, leaf in draw_leaves(EVERYTHING).items()
    }
    assert not leaves["cell"].sharding.is_fully_replicated
    assert leaves["kernel"].sharding.is_fully_replicated
    rows = jax.device_put((WORDS, RESTART, REAL), place(None, "data"))
    program = gradient_of(form).lower(leaves, *rows).compile()
    text = program.as_text()
    assert "all-reduce" in text
    assert "all-gather" not in text
    assert "all-to-all" not in text
    gradient = program(leaves, *rows)
    for name, theirs in plain(EVERYTHING)[1].items():
        close(gradient[name], theirs)


def test_it_is_exported_with_its_gradient_for_texts_of_any_length():
    (length,) = jax.export.symbolic_shape("length")
    leaves = draw_leaves(EVERYTHING)
    positions = WORDS, RESTART, REAL

    def total(leaves, words, restart, real):
        outputs, *state = run(
            EVERYTHING, "types", leaves, words, restart=restart, real=real
        )
        return jnp.sum(jnp.square(outputs)) + weigh(state)

    gradient = jax.jit(jax.grad(total))
    shapes = [jax.ShapeDtypeStruct((length, B), part.dtype) for part in positions]
    exported = jax.export.export(gradient)(leaves, *shapes)
    ours = exported.call(leaves, *positions)
    for name, theirs in gradient(leaves, *positions).items():
        close(ours[name], theirs)
