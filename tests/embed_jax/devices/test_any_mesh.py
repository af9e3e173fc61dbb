# SPDX-License-Identifier: Apache-2.0
"""Every function computes the same on any mesh of the caller's, or without one.

The axes of a mesh are Auto, Explicit or Manual (in `shard_map`); arrays lie where the
caller has put them, or nowhere yet.
"""

import ast
import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import bert_jax
import elmo_jax
from bert_jax.heads import HEADS as HEADS_OF_BERT
from embed_jax import ScalarMix, data_mesh
from embed_jax.devices.mesh import replicate
from tests.bert_jax.words import make_tokenizer
from tests.compilations import compiling_quickly

PACKAGES = Path(bert_jax.__file__).parents[1]
WORDS = ["a", "bank", "the", "river", "of", "it", "was", "cold"]
SENTENCES = [[*WORDS[: 3 + row % 3], WORDS[row]] for row in range(8)]
VOCABULARY = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", *WORDS))
BERT = bert_jax.BertConfig(**{**vars(bert_jax.TINY), "labels": ("no", "yes")})
KEY = jax.random.key(0)
MIX = ScalarMix(jnp.array([0.5, -1.0, 2.0]), jnp.array(1.5))


class Model(NamedTuple):
    """A tiny model with a batch of eight rows."""

    package: Any
    params: Any
    tokenizer: Any
    tokens: Any


@functools.cache
def model_of(family: str) -> Model:
    if family == "bert":
        tokenizer = make_tokenizer(12)
        params = bert_jax.init_params(KEY, BERT, tuple(HEADS_OF_BERT))
        tokens = tokenizer(SENTENCES)
        return Model(bert_jax, params, tokenizer, tokens)
    params = elmo_jax.init_params(KEY, elmo_jax.TINY, len(VOCABULARY))
    tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY, VOCABULARY)
    return Model(elmo_jax, params, tokenizer, tokenizer(SENTENCES))


@pytest.fixture(autouse=True)
def quickly() -> Iterator[None]:
    with compiling_quickly():
        yield


def make_mesh(kind: str, num_devices: int = 8) -> Mesh:
    types = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
    return jax.make_mesh(
        (num_devices,),
        ("data",),
        (types[kind],),
        devices=jax.devices()[:num_devices],
    )


def specs_of(tokens: Any, *axes: str) -> Any:
    """Return how a batch is spread: rows over the mesh; the types are not rows."""
    spread = {
        name: P() if name == "types" else P(*axes)
        for name in tokens._fields  # both families' tokens are named tuples
    }
    return type(tokens)(**spread)


def put(tree: Any, specs: Any, mesh: Mesh) -> Any:
    places = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    return jax.device_put(tree, places)


def place(model: Model, placed: str, mesh: Mesh) -> tuple[Any, Any]:
    """Place tokens, params or both on the mesh; leave the rest as it came."""
    params, tokens = model.params, model.tokens
    if placed in ("tokens", "both"):
        tokens = put(tokens, specs_of(tokens, "data"), mesh)
    if placed in ("params", "both"):
        params = put(params, P(), mesh)
    return params, tokens


def close(ours: Any, theirs: Any, atol: float = 1e-5) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5),
        ours,
        theirs,
    )


def real_part(model: Model, vectors: Any) -> Any:
    """Zero what is undefined, the values of all layers at padding."""
    return np.where(model.tokens.mask[:, None, :, None], vectors, 0)


def embed(model: Model) -> Callable:
    return lambda params, tokens: model.package.embed(
        params, tokens, ("last", "mix(all)"), mix=(None, MIX)
    )


def encode(model: Model) -> Callable:
    return model.package.encode


def embed_on(model: Model) -> Callable:
    carry = elmo_jax.zero_carry(model.params.config, 8)
    return lambda params, tokens: elmo_jax.embed(params, tokens, carry=carry)


def head(name: str) -> Callable:
    return lambda model: getattr(bert_jax, name)


HEADS = [
    "masked_lm_logits",
    "multiple_choice_scores",
    "next_sentence_logits",
    "pooler_output",
    "question_answering_logits",
    "sequence_logits",
    "token_logits",
]
FUNCTIONS = {
    "bert embed": ("bert", embed),
    "elmo embed": ("elmo", embed),
    "bert encode": ("bert", encode),
    "elmo encode": ("elmo", encode),
    "elmo embed with a carry": ("elmo", embed_on),
    **{f"bert {name}": ("bert", head(name)) for name in HEADS},
}


@functools.cache
def alone(name: str) -> Any:
    """Return what a function computes without a mesh."""
    family, make = FUNCTIONS[name]
    model = model_of(family)
    values = make(model)(model.params, model.tokens)
    return jax.tree.map(np.asarray, values)


def check(name: str, values: Any) -> None:
    model, expected = model_of(FUNCTIONS[name][0]), alone(name)
    if "encode" in name:
        values, expected = real_part(model, values), real_part(model, expected)
    elif name in ("bert token_logits", "bert masked_lm_logits"):
        keep = model.tokens.mask[:, :, None]
        values, expected = np.where(keep, values, 0), np.where(keep, expected, 0)
    close(values, expected)


def run(name: str, kind: str, placed: str, num_devices: int, context: bool) -> None:
    family, make = FUNCTIONS[name]
    model = model_of(family)
    mesh = make_mesh(kind, num_devices)
    with jax.set_mesh(mesh) if context else contextlib.nullcontext():
        params, tokens = place(model, placed, mesh)
        values = make(model)(params, tokens)
    check(name, values)
    for leaf in jax.tree.leaves(values):
        if kind == "explicit" and placed != "params":
            axes = jax.typeof(leaf).sharding.spec
            assert axes[0] == ("data" if placed in ("tokens", "both") else None)
        assert len(leaf.sharding.device_set) == num_devices


# What people do most is always run; the whole matrix is slow.
OFTEN = [
    *(
        (f"{family} embed", "explicit", placed, 8, False)
        for family in ("bert", "elmo")
        for placed in ("tokens", "params", "both")
    ),
    *(
        (f"{family} embed", "explicit", "nothing", 8, True)
        for family in ("bert", "elmo")
    ),
    *((f"{family} encode", "explicit", "both", 8, True) for family in ("bert", "elmo")),
    *((f"{family} embed", "auto", "tokens", 8, True) for family in ("bert", "elmo")),
    ("elmo embed with a carry", "explicit", "tokens", 8, False),
    ("bert masked_lm_logits", "explicit", "tokens", 8, False),
    ("bert sequence_logits", "explicit", "tokens", 8, False),
]
WHOLE = [
    (name, kind, placed, num_devices, context)
    for name in FUNCTIONS
    for kind in ("auto", "explicit")
    for placed in ("nothing", "tokens", "params", "both")
    for num_devices in (1, 8)
    for context in (False, True)
    if (placed != "nothing" or context)
    # Heads stand on the encoder: one kind of placement each is enough.
    and (name.partition(" ")[2] not in HEADS or (num_devices == 8 and not context))
    and (name, kind, placed, num_devices, context) not in OFTEN
]


@pytest.mark.parametrize(("name", "kind", "placed", "num_devices", "context"), OFTEN)
def test_a_function_computes_the_same_on_a_mesh(
    name, kind, placed, num_devices, context
):
    run(name, kind, placed, num_devices, context)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "placed", "num_devices", "context"), WHOLE)
def test_a_function_computes_the_same_on_every_mesh(
    name, kind, placed, num_devices, context
):
    run(name, kind, placed, num_devices, context)


@pytest.mark.parametrize("kind", ["auto", "explicit"])
@pytest.mark.parametrize(
    "name",
    [
        "bert embed",
        "elmo embed",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in FUNCTIONS
            if not name.endswith("embed") and "carry" not in name
        ),
    ],
)
def test_in_shard_map_a_function_computes_one_part(name, kind):
    family, make = FUNCTIONS[name]
    model, mesh = model_of(family), make_mesh(kind)
    params, tokens = place(model, "both" if kind == "explicit" else "nothing", mesh)
    mapped = jax.shard_map(
        make(model),
        mesh=mesh,
        in_specs=(P(), specs_of(tokens, "data")),
        out_specs=P("data"),
    )
    check(name, jax.jit(mapped)(params, tokens))


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_rows_may_be_manual_where_other_axes_are_explicit(family):
    model = model_of(family)
    mesh = jax.make_mesh((2, 2), ("data", "model"), devices=jax.devices()[:4])
    params, tokens = place(model, "both", mesh)
    mapped = jax.shard_map(
        embed(model),
        mesh=mesh,
        in_specs=(P(), specs_of(tokens, "data")),
        out_specs=P("data"),
        axis_names={"data"},
    )
    check(f"{family} embed", jax.jit(mapped)(params, tokens))


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_weights_on_auto_axes_read_tokens_on_explicit_ones(family):
    model = model_of(family)
    params = replicate(model.params, data_mesh(jax.devices()[:4]))
    _, tokens = place(model, "tokens", make_mesh("explicit", 4))
    check(f"{family} embed", embed(model)(params, tokens))


# Gradients, and the caller's own jit


def loss(model: Model, params: Any, mix: ScalarMix, tokens: Any) -> jax.Array:
    vectors = model.package.embed(params, tokens, "mix(all)", mix=mix)
    # Not all columns: a normalised vector's length is the same for any weights.
    return jnp.sum(vectors[..., ::3] ** 2) / 8


@functools.cache
def gradient_alone(family: str) -> Any:
    model = model_of(family)
    gradient = jax.jit(jax.grad(functools.partial(loss, model), argnums=(0, 1)))
    return jax.tree.map(np.asarray, gradient(model.params, MIX, model.tokens))


def divided(params: Any) -> Any:
    """Return specs that divide matrices and filters over the axis "model"."""
    return jax.tree.map(
        lambda leaf: P("model") if leaf.ndim > 1 and leaf.shape[0] % 2 == 0 else P(),
        params,
    )


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_gradients_are_placed_as_the_weights_are(family, context):
    model = model_of(family)
    mesh = jax.make_mesh((2, 2), ("data", "model"), devices=jax.devices()[:4])
    specs = divided(model.params)
    with jax.set_mesh(mesh) if context else contextlib.nullcontext():
        params = put(model.params, specs, mesh)
        mix = put(MIX, P(), mesh)
        tokens = put(model.tokens, specs_of(model.tokens, "data"), mesh)
        step = jax.jit(jax.grad(functools.partial(loss, model), argnums=(0, 1)))
        gradient = step(params, mix, tokens)
    close(gradient, gradient_alone(family), atol=1e-4)
    for leaf, weight in zip(
        jax.tree.leaves(gradient[0]), jax.tree.leaves(params), strict=True
    ):
        assert leaf.sharding.is_equivalent_to(weight.sharding, leaf.ndim)


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_in_shard_map_gradients_of_shared_weights_are_summed(family):
    model, mesh = model_of(family), make_mesh("explicit", 4)
    params, tokens = place(model, "both", mesh)
    mapped = jax.shard_map(
        jax.grad(functools.partial(loss, model), argnums=(0, 1)),
        mesh=mesh,
        in_specs=(P(), P(), specs_of(tokens, "data")),
        out_specs=P(),
    )
    gradient = jax.jit(mapped)(params, put(MIX, P(), mesh), tokens)
    close(gradient, gradient_alone(family), atol=1e-4)


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_positions_may_be_spread_too(family):
    model = model_of(family)
    length = model.tokens.mask.shape[1]
    assert length % 2 == 0
    mesh = jax.make_mesh((2, 2), ("data", "seq"), devices=jax.devices()[:4])
    tokens = put(model.tokens, specs_of(model.tokens, "data", "seq"), mesh)
    vectors = jax.jit(embed(model))(model.params, tokens)
    check(f"{family} embed", vectors)
    for leaf in vectors:
        assert jax.typeof(leaf).sharding.spec == P("data", "seq", None)


# Text


def texts(model: Model, params: Any, mesh: Mesh | None) -> dict[str, Any]:
    """Run the functions that take text, and return what they compute."""
    package, tokenizer = model.package, model.tokenizer
    options = {"mesh": mesh, "token_budget": 64}
    found = {
        "words": package.embed_words(params, tokenizer, SENTENCES, **options),
        "sentences": package.embed_sentences(
            params, tokenizer, SENTENCES, pool="max", **options
        ),
    }
    if package is elmo_jax:
        scores = list(elmo_jax.score_sentences(params, tokenizer, SENTENCES, **options))
        found["forward"] = [score.forward for score in scores]
        found["backward"] = [score.backward for score in scores]
        warm = elmo_jax.warm_start(params, tokenizer, SENTENCES)
        found["start"] = elmo_jax.embed_words(warm, tokenizer, SENTENCES[:1], mesh=mesh)
        table, reader = elmo_jax.word_table(params, tokenizer, VOCABULARY)
        found["table"] = elmo_jax.embed_words(table, reader, SENTENCES[:1], mesh=mesh)
    return found


@functools.cache
def texts_alone(family: str) -> Any:
    model = model_of(family)
    return texts(model, model.params, None)


@pytest.mark.parametrize(
    ("kind", "weights", "given", "context"),
    [
        ("explicit", "nothing", True, False),
        ("explicit", "whole", False, True),
        *(
            pytest.param(kind, weights, given, context, marks=pytest.mark.slow)
            for kind in ("auto", "explicit")
            for weights in ("nothing", "whole", "divided")
            for given in (False, True)
            for context in (False, True)
        ),
    ],
)
@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_text_has_the_same_vectors_and_scores(family, kind, weights, given, context):
    model, mesh = model_of(family), make_mesh(kind, 2)
    with jax.set_mesh(mesh) if context else contextlib.nullcontext():
        params = model.params
        if weights == "whole":
            params = put(params, P(), mesh)
        elif weights == "divided":
            specs = jax.tree.map(
                lambda leaf: P("data") if leaf.shape[0] % 2 == 0 else P(), params
            )
            params = put(params, specs, mesh)
        found = texts(model, params, mesh if given else None)
    close(found, texts_alone(family))


# All of them


def test_every_compiled_function_is_made_for_any_mesh():
    """A new function that is jitted alone would fail on Explicit axes."""
    lacking = []
    for package in ("bert_jax", "elmo_jax"):
        for path in sorted((PACKAGES / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    made = [ast.unparse(entry) for entry in node.decorator_list]
                    is_jitted = any("jax.jit" in entry for entry in made)
                    if is_jitted and "on_any_mesh" not in made[-1]:
                        lacking.append(f"{path.name}: {node.name}")
    # Of a key, and of nothing that lies on a mesh.
    assert lacking == ["params.py: _init_encoder"]
