# SPDX-License-Identifier: Apache-2.0
import inspect
from functools import partial

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_jax.layers.layer_spec import FUNCTIONS, LAYER_NAMES, parse_layer_spec

NAMES = "embeddings, first, second_to_last, last, last4, blocks, all"
NUMBERS = st.integers(-30, 30)
SELECTIONS = st.one_of(
    NUMBERS.map(str),
    st.tuples(NUMBERS, NUMBERS).map(lambda ends: f"{ends[0]}..{ends[1]}"),
    st.sampled_from(list(LAYER_NAMES)),
)
CALLS = st.tuples(
    st.sampled_from(FUNCTIONS), st.lists(SELECTIONS, min_size=1, max_size=3)
).map(lambda call: f"{call[0]}({','.join(call[1])})")
SPECS = st.lists(st.one_of(SELECTIONS, CALLS), min_size=1, max_size=4).map(",".join)


@given(SPECS)
def test_canonical_text_parses_to_an_equal_spec(text):
    spec = parse_layer_spec(text)
    again = parse_layer_spec(str(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    assert str(again) == str(spec)


@given(SPECS, st.text(" \t\n", max_size=3))
def test_white_space_is_free(text, space):
    spaced = text
    for sign in "(),":
        spaced = spaced.replace(sign, f"{space}{sign}{space}")
    spaced = f"{space}{spaced.replace('..', f'{space}..{space}')}{space}"
    assert parse_layer_spec(spaced) == parse_layer_spec(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("-1", "last"),
        ("0", "embeddings"),
        ("last4", "concat(last4)"),
        ("concat(-4..-1)", "concat(last4)"),
        ("concat(last)", "last"),
        ("5..5", "5"),
        ("concat(-1,-2)", "concat(last,second_to_last)"),
        ("mean( 0 .. -1 ) , mix(1..-1)", "mean(all),mix(blocks)"),
        ("last,last", "last,last"),
    ],
)
def test_canonical_text(text, canonical):
    assert str(parse_layer_spec(text)) == canonical


def test_specs_of_different_meaning_differ():
    texts = ["last", "12", "last,last", "mean(last)", "concat(last,0)", "last,0", "all"]
    assert len({parse_layer_spec(text) for text in texts}) == len(texts)


def test_a_layer_spec_is_accepted_unchanged():
    spec = parse_layer_spec("last")
    assert parse_layer_spec(spec) is spec


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("embeddings", [("concat", (0,))]),
        ("first", [("concat", (1,))]),
        ("last", [("concat", (12,))]),
        ("second_to_last", [("concat", (11,))]),
        ("last4", [("concat", (9, 10, 11, 12))]),
        ("blocks", [("concat", tuple(range(1, 13)))]),
        ("all", [("concat", tuple(range(13)))]),
        ("-13", [("concat", (0,))]),
        ("-12", [("concat", (1,))]),
        ("1..-11", [("concat", (1, 2))]),
        ("concat(-1,-2)", [("concat", (12, 11))]),
        ("mean(0,last4),3,3", [("mean", (0, 9, 10, 11, 12)), *[("concat", (3,))] * 2]),
    ],
)
def test_resolved_for_twelve_blocks(text, resolved):
    assert parse_layer_spec(text).resolve(12) == tuple(resolved)


def test_layers_are_distinct_and_ascending():
    spec = parse_layer_spec("last,concat(3,1),mean(3,0)")
    assert spec.layers(6) == (0, 1, 3, 6)
    assert spec.highest_layer(6) == 6
    assert parse_layer_spec("second_to_last,0").highest_layer(6) == 5


def test_width():
    assert parse_layer_spec("concat(last4),mean(all),0..1,-1").width(12, 10) == 80


def test_mix_sizes():
    spec = parse_layer_spec("mix(all),last,mean(all),mix_norm(1,last4),mix(0)")
    assert spec.mix_sizes(12) == (13, 5, 1)
    assert parse_layer_spec("last").mix_sizes(12) == ()


def test_equal_specs_do_not_retrace():
    traced = []

    @partial(jax.jit, static_argnums=1)
    def scaled(x, spec):
        traced.append(spec)
        return x * spec.width(2, 1)

    for text in ("concat(last)", " -1", "last"):
        assert scaled(1, parse_layer_spec(text)) == 1
    assert scaled(1, parse_layer_spec("last,last")) == 2
    assert [str(spec) for spec in traced] == ["last", "last,last"]


A_LAYER_IS = f'a layer is a number, a range such as "1..-1", or one of {NAMES}'


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 1, 'it is empty; write, for example, "last" or "mean(all)"'),
        ("  ", 1, 'it is empty; write, for example, "last" or "mean(all)"'),
        (
            "mean(last5)",
            6,
            'no layer name "last5"; did you mean "last" or "last4"? '
            + f"names: {NAMES}",
        ),
        (
            "Last",
            1,
            f'no layer name "Last"; did you mean "last" or "last4"? names: {NAMES}',
        ),
        ("0, cls", 4, f'no layer name "cls"; names: {NAMES}'),
        (
            "maen(all)",
            1,
            'no function "maen"; did you mean "mean"? '
            "functions: concat, sum, mean, max, mix, mix_norm",
        ),
        ("mean(last4", 11, 'expected "," or ")", found the end'),
        ("last4)", 6, 'expected "," or the end, found ")"'),
        ("mean((last4))", 6, f'expected a layer, found "("; {A_LAYER_IS}'),
        ("mean", 5, 'expected "(" after the function "mean", found the end'),
        ("mean last4", 6, 'expected "(" after the function "mean", found "last4"'),
        ("mean()", 6, f'expected a layer, found ")"; {A_LAYER_IS}'),
        ("last,", 6, f"expected a layer, found the end; {A_LAYER_IS}"),
        ("last,,0", 6, f'expected a layer, found ","; {A_LAYER_IS}'),
        ("mean(0,)", 8, f'expected a layer, found ")"; {A_LAYER_IS}'),
        (
            "mean(sum(all))",
            6,
            'functions do not nest: expected a layer, found the function "sum"',
        ),
        ("last first", 6, 'expected "," or the end, found "first"'),
        ("mean(0 1)", 8, 'expected "," or ")", found "1"'),
        (
            "1..last",
            4,
            'expected a layer number after "..", as in "1..-1", found "last"',
        ),
        ("1..", 4, 'expected a layer number after "..", as in "1..-1", found the end'),
        ("first..3", 6, 'found ".." after a name; it stands between numbers: "1..-1"'),
        (
            "last|0",
            5,
            'cannot read "|"; a spec is made of whole numbers, names, "..", "," and '
            "parentheses",
        ),
    ],
)
def test_malformed_specs(text, position, problem):
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        parse_layer_spec(text)
    assert str(caught.value) == f'layer_spec "{text}", character {position}: {problem}'


@given(st.text(max_size=12))
def test_errors_are_one_line_and_name_a_character_of_the_spec(text):
    try:
        parse_layer_spec(text)
    except ValueError as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        position = int(message.rpartition("character ")[2].partition(":")[0])
        assert 1 <= position <= len(text) + 1


@pytest.mark.parametrize(
    ("text", "num_blocks", "message"),
    [
        (
            "last, 13",
            12,
            'layer_spec "last, 13", character 7: "13" needs layer 13, but the model '
            "has layers 0..12, from the end -13..-1",
        ),
        (
            "mean(last4)",
            2,
            'layer_spec "mean(last4)", character 6: "last4" needs layer -4, but the '
            "model has layers 0..2, from the end -3..-1",
        ),
        (
            "-14",
            12,
            'layer_spec "-14", character 1: "-14" needs layer -14, but the model has '
            "layers 0..12, from the end -13..-1",
        ),
        (
            "sum(3..1)",
            12,
            'layer_spec "sum(3..1)", character 5: "3..1" runs downwards, from layer 3 '
            'to 1 of the model\'s layers 0..12; write it ascending, "1..3"',
        ),
        (
            "-1 ..2",
            12,
            'layer_spec "-1 ..2", character 1: "-1 ..2" runs downwards, from layer 12 '
            'to 2 of the model\'s layers 0..12; write it ascending, "2..-1"',
        ),
    ],
)
def test_layers_that_the_model_lacks(text, num_blocks, message):
    spec = parse_layer_spec(text)
    methods = [
        spec.resolve,
        spec.layers,
        spec.highest_layer,
        spec.mix_sizes,
        partial(spec.width, dim=8),
    ]
    for method in methods:
        with pytest.raises(ValueError) as caught:  # noqa: PT011, compared whole
            method(num_blocks)
        assert str(caught.value) == message


@pytest.mark.parametrize("spec", [-1, None, ["last"], b"last"])
def test_other_types_are_refused(spec):
    # Unwrapped: a run-time type checker must not be what refuses them.
    parse = inspect.unwrap(parse_layer_spec)
    with pytest.raises(
        ValueError, match=r'is of type .*; write a string, such as "last"'
    ):
        parse(spec)
