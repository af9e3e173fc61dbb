# SPDX-License-Identifier: Apache-2.0
"""What sentence-transformers adds to an encoder is said once, and not ignored."""

import json
from pathlib import Path

import jax
import pytest

import bert_jax
from bert_jax.load import HUB_FILES
from bert_jax.sentence_modules import sentence_steps, warn_of_modules
from tests.bert_jax.words import CONFIG, make_tokenizer

MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
FIRST = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}


def directory(path: Path, *kinds: str, pooling: dict | None = None, **settings) -> Path:
    """Write the files of a model of sentence-transformers, without the encoder's."""
    path.mkdir(exist_ok=True)
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": "" if kind == "Transformer" else f"{index}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    if pooling is not None:
        (path / "1_Pooling").mkdir()
        (path / "1_Pooling/config.json").write_text(json.dumps(pooling))
    if settings:
        (path / "sentence_bert_config.json").write_text(json.dumps(settings))
    return path


PLAIN = ("Transformer", "Pooling")


@pytest.mark.parametrize(
    ("kinds", "pooling", "settings", "expected"),
    [
        (PLAIN, MEAN, {}, ["the mean of its pieces"]),
        (PLAIN, {"pooling_mode": "mean"}, {}, ["the mean of its pieces"]),
        (PLAIN, FIRST, {}, ['pool="cls"']),
        (PLAIN, {"pooling_mode": "cls"}, {}, ['pool="cls"']),
        (PLAIN, MEAN | FIRST, {}, ['pool="cls"']),
        (
            PLAIN,
            {"pooling_mode_max_tokens": True, "pooling_mode_lasttoken": True},
            {},
            ['pool="max" beside the pooling lasttoken'],
        ),
        (
            (*PLAIN, "Dense", "Normalize"),
            MEAN,
            {},
            [
                "the mean of its pieces",
                "put through a dense layer (Dense)",
                "divided by its length (Normalize)",
            ],
        ),
        (
            PLAIN,
            MEAN,
            {"max_seq_length": 20, "do_lower_case": True},
            [
                "of the text in lower case",
                "of its first 20 tokens",
                "the mean of its pieces",
            ],
        ),
        (PLAIN, MEAN, {"max_seq_length": 512}, ["the mean of its pieces"]),
        (("Transformer", "WeightedLayerPooling"), None, {}, None),
        (PLAIN, None, {}, None),
    ],
)
def test_what_is_done_is_put_in_words(tmp_path, kinds, pooling, settings, expected):
    path = directory(tmp_path, *kinds, pooling=pooling, **settings)
    steps = sentence_steps(path, 512)
    if expected is None:
        assert steps != ["the mean of its pieces"]
    else:
        assert steps == expected


def test_loading_says_once_what_is_missing(tmp_path, caplog):
    params = bert_jax.init_params(jax.random.key(0), CONFIG)
    bert_jax.save(tmp_path / "m", params, make_tokenizer())
    kinds = (*PLAIN, "Normalize")
    directory(tmp_path / "m", *kinds, pooling=MEAN)
    bert_jax.load(tmp_path / "m")
    bert_jax.load(tmp_path / "m")
    (said,) = caplog.messages
    assert (
        "this model's own vector of a sentence is the mean of its pieces, then div"
        in (said)
    )


def test_a_plain_mean_and_no_file_at_all_need_no_word(tmp_path, caplog):
    warn_of_modules(tmp_path, 512)
    warn_of_modules(directory(tmp_path / "m", *PLAIN, pooling=MEAN), 512)
    assert not caplog.messages


def test_modules_that_are_no_list_are_refused(tmp_path):
    (tmp_path / "modules.json").write_text("{}")
    with pytest.raises(ValueError, match=r"modules\.json holds no list of modules"):
        warn_of_modules(tmp_path, 512)


def test_the_hub_is_asked_for_every_file_that_is_read():
    assert {
        "added_tokens.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "modules.json",
        "*_Pooling/config.json",
        "sentence_bert_config.json",
    } <= {*HUB_FILES}
