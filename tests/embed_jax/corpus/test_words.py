# SPDX-License-Identifier: Apache-2.0
"""Words are divided at white space of any kind, and the same in any coding."""

import unicodedata

import pytest

from embed_jax.corpus.reading import Running
from embed_jax.corpus.words import same_form, split_at_spaces
from train.families.elmo.words import splitter

LINE = "\tThe\tbank  of\u3000the\xa0river\u2028ran\x1fdeep\v.\r"
WORDS = ["The", "bank", "of", "the", "river", "ran", "deep", "."]


def test_split_text_is_split_alike_wherever_it_is_read():
    assert split_at_spaces(LINE) == WORDS
    assert Running(split=True).sentence(LINE) == WORDS
    assert splitter("whitespace")(LINE) == WORDS


def test_words_that_are_given_stay_as_they_are():
    assert Running(split=True).sentence(["10 000", "."]) == ["10 000", "."]
    assert Running().sentence(LINE) == LINE


@pytest.mark.parametrize("word", ["CAF\xc9", "Straße", "\u1e9b\u0323", "\u01f0", "ΐ"])
def test_a_word_is_the_same_in_every_coding_and_case(word):
    forms = {unicodedata.normalize(form, word) for form in ("NFC", "NFD")}
    forms |= {form.upper() for form in forms} | {form.lower() for form in forms}
    assert len({same_form(form) for form in forms}) == 1
    assert len({same_form(form, ignore_case=False) for form in forms}) > 1


def test_an_accent_makes_another_word():
    assert same_form("cafe") != same_form("cafe\u0301")
