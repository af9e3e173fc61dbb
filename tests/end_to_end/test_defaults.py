# SPDX-License-Identifier: Apache-2.0
"""What the functions that embed do unless told, as the documentation says it."""

import inspect

import pytest

import bert_jax
import elmo_jax
import embed_jax
from embed_jax.corpus.batching import BatchShapes
from embed_jax.explore import word_types
from embed_jax.explore.word2vec import write_word2vec
from embed_jax.store import StoreWriter

# `None` where the documentation names what is taken then, tested with the families.
STREAM = {
    "layer_spec": "last",
    "options": None,
    "pool": None,
    "specials": True,
    "normalize": False,
    "mix": None,
    "long": "window",
    "context": 0,
    "max_length": None,
    "token_budget": None,
    "dtype": "float32",
    "out_dtype": "float32",
    "mesh": None,
    "on_batch": None,
    "unknown": "warn",
}
TEXT = STREAM | {"return_words": False}
SCORES = {
    "token_budget": None,
    "max_length": None,
    "dtype": "float32",
    "mesh": None,
    "on_batch": None,
    "unknown": "warn",
}
LOAD = {"dtype": "float32", "step": None}
EMBED = {"layer_spec": "last", "mix": None, "dtype": "float32"}
TOKENIZER = {"max_length": None, "long": "error", "pad_to": None}
DEFAULTS = [
    (bert_jax.stream_words, STREAM),
    (elmo_jax.stream_words, STREAM),
    (bert_jax.stream_sentences, STREAM),
    (elmo_jax.stream_sentences, STREAM),
    (bert_jax.embed_words, TEXT),
    (elmo_jax.embed_words, TEXT),
    (bert_jax.embed_sentences, TEXT),
    (elmo_jax.embed_sentences, TEXT),
    (bert_jax.embed, EMBED),
    (elmo_jax.embed, EMBED | {"carry": None}),
    (elmo_jax.score_sentences, SCORES),
    (elmo_jax.stream_scores, SCORES),
    (bert_jax.load, LOAD | {"encoder_only": False, "cased": None}),
    (
        elmo_jax.load,
        LOAD
        | {"encoder_only": False}
        | dict.fromkeys(("weights", "softmax", "embedding", "vocabulary")),
    ),
    (embed_jax.load, LOAD),
    (bert_jax.Tokenizer.__call__, {"pairs": None} | TOKENIZER),
    (elmo_jax.ElmoTokenizer.__call__, TOKENIZER | {"pad_types_to": None}),
    (
        bert_jax.WordPieceTokenizer.from_vocab,
        {
            "cased": None,
            "max_length": 512,
            "max_chars_per_word": 100,
            "strip_accents": None,
            "split_cjk": True,
            "specials": None,
            "added": (),
        },
    ),
    (bert_jax.save, {"overwrite": False}),
    (elmo_jax.save, {"overwrite": False}),
    (
        word_types.collect_word_types,
        {"min_count": 1, "lowercase": False, "dim": None, "metadata": None},
    ),
    (write_word2vec, {"overwrite": False}),
    (BatchShapes, {"row_multiple": 1}),
    (
        StoreWriter,
        {
            "dtype": "float32",
            "metadata": None,
            "resume": False,
            "overwrite": False,
            "compression": "gzip",
            "commit_bytes": 64 * 2**20,
            "commit_seconds": 5.0,
        },
    ),
]


def name_of(default):
    """Write a dtype by its name, whatever it is given as."""
    return getattr(default, "__name__", default)


@pytest.mark.parametrize(
    ("function", "expected"),
    DEFAULTS,
    ids=[f"{f.__module__}.{f.__qualname__}" for f, _ in DEFAULTS],
)
def test_defaults_are_those_of_the_documentation(function, expected):
    parameters = inspect.signature(function).parameters.values()
    found = {p.name: name_of(p.default) for p in parameters if p.default is not p.empty}
    assert found == expected
