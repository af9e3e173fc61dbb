# SPDX-License-Identifier: Apache-2.0
"""options.json is read as bilm-tf means it, refused by key, and written back."""

import dataclasses
import json

import pytest

import elmo_jax
from elmo_jax import CharCnnConfig, ElmoConfig
from elmo_jax.options import format_options, num_words_of, parse_options, read_options
from tests.elmo_jax.published_model import OPTIONS, changed

# What stands beside the published "original" weights, keys that nothing reads included.
ORIGINAL = {
    "lstm": {
        "use_skip_connections": True,
        "projection_dim": 512,
        "cell_clip": 3,
        "proj_clip": 3,
        "dim": 4096,
        "n_layers": 2,
    },
    "char_cnn": {
        "activation": "relu",
        "filters": [
            [1, 32],
            [2, 32],
            [3, 64],
            [4, 128],
            [5, 256],
            [6, 512],
            [7, 1024],
        ],
        "n_highway": 2,
        "embedding": {"dim": 16},
        "n_characters": 262,
        "max_characters_per_token": 50,
        "projection_after_highway": True,
    },
    "bidirectional": True,
    "dropout": 0.1,
    "reverse": False,
    "n_tokens_vocab": 793471,
    "unroll_steps": 20,
    "all_clip_norm_val": 10.0,
}


def test_the_published_options_are_the_defaults():
    assert parse_options(ORIGINAL, "options.json") == ElmoConfig()
    assert num_words_of(ORIGINAL, "options.json") == 793471


def test_what_may_be_left_out():
    bare = changed(
        OPTIONS,
        lstm__cell_clip=...,
        lstm__proj_clip=None,
        char_cnn__n_highway=...,
        char_cnn__n_characters=...,
    )
    config = parse_options(bare, "options.json")
    assert config == ElmoConfig(
        char_cnn=CharCnnConfig(
            embedding_dim=3,
            filters=((1, 2), (2, 3)),
            num_highways=0,
            max_characters=20,
        ),
        cell_dim=6,
        projection_dim=4,
        cell_clip=None,
        projection_clip=None,
    )
    assert config.bidirectional
    assert not parse_options(bare, "options.json", bidirectional=False).bidirectional
    assert num_words_of(bare, "options.json") is None


@pytest.mark.parametrize("number", [261, 262])
def test_characters_are_counted_either_way(number):
    options = changed(OPTIONS, char_cnn__n_characters=number)
    assert parse_options(options, "") == parse_options(OPTIONS, "")


CONFIGS = {
    "original": ElmoConfig(),
    "tiny": elmo_jax.TINY,
    "words": ElmoConfig(char_cnn=None, vocab_size=9, num_blocks=1),
    "odd": ElmoConfig(
        char_cnn=CharCnnConfig(
            embedding_dim=5,
            filters=((3, 7),),
            activation="tanh",
            num_highways=0,
            max_characters=11,
        ),
        num_blocks=3,
        cell_dim=8,
        projection_dim=8,
        cell_clip=None,
        projection_clip=0.5,
        skip_connections=False,
        bidirectional=False,
        dropout_rate=0.0,
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_is_written_is_read(config):
    options = json.loads(json.dumps(format_options(config)))
    again = parse_options(options, "", vocab_size=num_words_of(options, "") or 0)
    assert again == config
    assert hash(again) == hash(config)


def test_both_tools_find_what_they_need():
    """AllenNLP indexes these keys without a default, bilm-tf checks the number."""
    options = format_options(dataclasses.replace(elmo_jax.TINY, cell_clip=None), 7)
    assert options["char_cnn"]["n_characters"] == 262
    assert options["lstm"]["cell_clip"] is None
    assert options["n_tokens_vocab"] == 7
    assert "n_tokens_vocab" not in format_options(elmo_jax.TINY)
    assert "char_cnn" not in format_options(CONFIGS["words"])


REQUIRED = [
    "lstm",
    "lstm__dim",
    "lstm__projection_dim",
    "lstm__n_layers",
    "lstm__use_skip_connections",
    "char_cnn__embedding",
    "char_cnn__embedding__dim",
    "char_cnn__filters",
    "char_cnn__activation",
    "char_cnn__max_characters_per_token",
]


def refused(options: dict, *parts: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the parts are the match)
        parse_options(options, "dir/options.json", vocab_size=3)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("dir/options.json: ")
    assert message.count("options.json") == 1
    for part in parts:
        assert part in message


@pytest.mark.parametrize("key", REQUIRED)
def test_what_may_not_be_left_out(key):
    refused(changed(OPTIONS, **{key: ...}), f"no {key.replace('__', '.')}")


def test_skip_connections_are_not_guessed():
    refused(changed(OPTIONS, lstm__use_skip_connections=...), "add true", "or false")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lstm", [3, None, []]),
        ("lstm__dim", [0, -1, 6.0, "6", True, None, []]),
        ("lstm__projection_dim", [0, 4.0, None]),
        ("lstm__n_layers", [0, 2.0, False, None]),
        ("lstm__cell_clip", [0, -1, "3", True, float("nan"), float("inf")]),
        ("lstm__proj_clip", [0, -1, "3", True, float("nan"), float("inf")]),
        ("lstm__use_skip_connections", [1, "true", None]),
        ("bidirectional", [1, "true", None]),
        ("dropout", ["0.1", True, None]),
        ("char_cnn", [None, [], 3]),
        ("char_cnn__embedding", [3, None]),
        ("char_cnn__embedding__dim", [0, "3", None]),
        ("char_cnn__filters", [[], [[1]], [[1, 2, 3]], [[1, "2"]], 3, [3], [[1, 2.0]]]),
        ("char_cnn__activation", ["gelu", None, 3, ["relu"]]),
        ("char_cnn__n_highway", [-1, 1.0, None]),
        ("char_cnn__n_characters", [260, 263, "262", None, [261]]),
        ("char_cnn__max_characters_per_token", [0, "50", None, 10**9]),
    ],
)
def test_what_no_model_has_is_refused_by_key(key, values):
    for value in values:
        refused(changed(OPTIONS, **{key: value}), key.replace("__", "."))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"lstm__projection_dim": 7}, "lstm.projection_dim 7 is above lstm.dim 6"),
        ({"dropout": 1.0}, "dropout"),
        ({"char_cnn__filters": [[0, 2]]}, "filter of width 0"),
        ({"char_cnn__max_characters_per_token": 2}, "max_characters 2"),
    ],
)
def test_values_that_contradict_each_other(changes, part):
    refused(changed(OPTIONS, **changes), part)


def test_the_number_of_words_is_one():
    for value in (0, "3", None, 3.0):
        with pytest.raises(ValueError, match="n_tokens_vocab"):
            num_words_of({"n_tokens_vocab": value}, "options.json")


def test_options_with_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "options.json"
    path.write_bytes(b'\xef\xbb\xbf{"lstm": 1}')
    assert read_options(path) == {"lstm": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "holds no JSON object"),
        (b"null", "holds no JSON object"),
    ],
)
def test_files_that_hold_no_object(content, message, tmp_path):
    path = tmp_path / "options.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_options(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"options.json: no such file"):
        read_options(tmp_path / "options.json")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"lstm__peephole": True}, "lstm.peephole is not known here, and ignoring it"),
        ({"char_cnn__padding": 1}, "char_cnn.padding is not known here"),
        ({"char_cnn__embedding__max_norm": 1}, "char_cnn.embedding.max_norm is not"),
        (
            {"char_cnn__projection_after_highway": False},
            "projection_after_highway is f",
        ),
        (
            {"char_cnn__projection_after_highway": 1},
            "projection_after_highway is 1, no",
        ),
        ({"reverse": True}, "reverse is true, a model that reads from right to left"),
        ({"reverse": 0}, "reverse is 0, not true or false"),
    ],
)
def test_what_would_change_the_vectors_is_read_or_refused(changes, part):
    refused(changed(OPTIONS, **changes), part)


def test_another_key_is_said_and_those_of_training_are_not(caplog):
    parse_options(changed(OPTIONS, n_epochs=10, batch_size=128), "options.json")
    assert not caplog.messages
    parse_options(changed(OPTIONS, window=3), "options.json")
    assert "options.json: window is not known here and not read" in caplog.text
