# SPDX-License-Identifier: Apache-2.0
"""Tiny models of both kinds, and a text for them."""

import shutil

import jax

import bert_jax
from tests.bert_jax.words import CONFIG, make_tokenizer
from tests.conftest import REPOSITORY

LINES = [
    "The bank of the river ran deep.",
    "",
    "We sat by the bank, by the water",
    "a sinking embankment",
    "Bank of money! The bank is sinking",
    "the </script><img src=x onerror=alert(1)> bank & <b>money</b>",
    "money banks",
    "deep is the bank",
]


def save_bert(path):
    params = bert_jax.init_params(jax.random.key(0), CONFIG, ())
    bert_jax.save(path, params, make_tokenizer())


def save_elmo(path):
    shutil.copytree(REPOSITORY / "tests/fixtures/bilm_tf_tiny", path)
