# SPDX-License-Identifier: Apache-2.0
"""Data loaders tokenise as the caller would, in processes of their own as well."""

import concurrent.futures
import multiprocessing
import os
import pickle  # noqa: TID251 (what loaders do with it, to other processes)
import subprocess
import sys

import grain
import jax
import numpy as np
import pytest
from jaxtyping import config

import elmo_jax
from embed_jax import Tokenize
from tests.bert_jax.words import make_tokenizer
from tests.conftest import REPOSITORY

OPTIONS = {"pad_to": 8, "long": "truncate"}
TEXTS = ["the bank of the river", "we sat", "", "a " * 20]
VOCABULARY = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "a", "bank"))
TOKENIZERS = {
    "bert": make_tokenizer(),
    "elmo": elmo_jax.ElmoTokenizer(elmo_jax.TINY, VOCABULARY),
}
families = pytest.mark.parametrize("family", TOKENIZERS)


def same(left, right) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, left, right))


@families
def test_a_column_of_texts_becomes_one_of_tokens(family):
    tokenizer = TOKENIZERS[family]
    expected = tokenizer(TEXTS, **OPTIONS)
    batch = {"text": np.array(TEXTS), "label": np.arange(4)}
    found = Tokenize(tokenizer, "text", **OPTIONS)(batch)
    assert sorted(found) == ["label", "tokens"]
    assert same(found["tokens"], expected)
    assert "text" in batch
    renamed = Tokenize(tokenizer, "text", into="words", **OPTIONS)(batch)
    assert same(renamed["words"], expected)
    # Lists of texts, and of bytes, as TFDS gives them.
    alone = Tokenize(tokenizer, **OPTIONS)
    assert same(alone(TEXTS), expected)
    assert same(alone([text.encode() for text in TEXTS]), expected)


@families
def test_it_is_a_map_of_grain(family):
    tokenizer = TOKENIZERS[family]
    tokenize = Tokenize(tokenizer, "text", **OPTIONS)
    assert isinstance(tokenize, grain.transforms.Map)
    records = [{"text": text, "label": row} for row, text in enumerate(TEXTS)]
    data = grain.MapDataset.source(records).batch(2).map(tokenize)
    found = list(data)
    assert [batch["label"].tolist() for batch in found] == [[0, 1], [2, 3]]
    for batch, texts in zip(found, (TEXTS[:2], TEXTS[2:]), strict=True):
        assert same(batch["tokens"], tokenizer(texts, **OPTIONS))
    sampler = grain.samplers.SequentialSampler(4, grain.sharding.NoSharding())
    loader = grain.DataLoader(
        data_source=records,
        sampler=sampler,
        operations=[grain.transforms.Batch(2), tokenize],
    )
    assert same(list(loader), found)


def test_another_process_tokenises_alike():
    """One that is started anew: whatever it needs goes there in a pickle."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for tokenizer in TOKENIZERS.values():
            tokenize = Tokenize(tokenizer, **OPTIONS)
            found = pool.submit(tokenize, TEXTS).result()
            assert same(found, tokenize(TEXTS))
        # There, no threads of the library's own compete with other workers.
        name = "TOKENIZERS_PARALLELISM"
        assert pool.submit(os.getenv, name).result() == "false"
        assert name not in os.environ


FORKED = """
import os, pickle, sys
from tests.embed_jax.corpus.test_loading import OPTIONS, TEXTS, TOKENIZERS, same
from embed_jax import Tokenize
for tokenizer in TOKENIZERS.values():
    tokenize = Tokenize(tokenizer, **OPTIONS)
    expected = tokenize(TEXTS * 99)  # in threads
    child = os.fork()
    if not child:
        os._exit(0 if same(tokenize(TEXTS * 99), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_tokenises_alike():
    finished = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr


@families
def test_a_pickled_tokeniser_is_the_same(family):
    tokenizer = TOKENIZERS[family]
    again = pickle.loads(pickle.dumps(tokenizer))
    assert repr(again) == repr(tokenizer)
    assert same(again(TEXTS, **OPTIONS), tokenizer(TEXTS, **OPTIONS))


@families
def test_what_is_wrong_is_said(monkeypatch, family):
    monkeypatch.setattr(config, "jaxtyping_disable", True)
    tokenizer = TOKENIZERS[family]
    with pytest.raises(ValueError, match="pad_to must be at least"):
        Tokenize(tokenizer, pad_to=0)
    tokenize = Tokenize(tokenizer, "text", **OPTIONS)
    with pytest.raises(ValueError, match="no column 'text' in a batch of label, txt"):
        tokenize({"label": [1], "txt": ["a"]})
    with pytest.raises(ValueError, match="no column 'text' in a batch of list"):
        tokenize(["a"])
    for text in ("a", b"a", np.array("a")):
        with pytest.raises(
            ValueError, match="one text in place of a batch of texts; t"
        ):
            tokenize({"text": text})
    with pytest.raises(ValueError, match="sentence 1 is nan, not text"):
        tokenize({"text": ["a", float("nan")]})


def test_grain_is_not_needed():
    program = """
import sys
sys.modules["grain"] = None
sys.modules["grain.transforms"] = None
import elmo_jax, embed_jax
tokenize = embed_jax.Tokenize(elmo_jax.ElmoTokenizer(elmo_jax.TINY), pad_to=4)
print(tokenize(["a bank"]).mask.shape)
"""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout == "(1, 4)\n", finished.stderr
