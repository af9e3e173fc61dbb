# SPDX-License-Identifier: Apache-2.0
"""Random strings have the ids and the words of every reference."""

import pytest

from benchmarks.random_strings import (
    VOCABULARY,
    _between,
    bilm_tf_characters,
    characters_check,
    checks,
    compare,
    random_strings,
    split_check,
)

NAMES = [
    "WordPiece, uncased",
    "WordPiece, cased",
    "SentencePiece",
    "characters of bilm-tf",
    "word ids",
    "--split",
]


@pytest.fixture(scope="module")
def all_checks(tmp_path_factory):
    pytest.importorskip("transformers")
    return checks(tmp_path_factory.mktemp("references"), VOCABULARY)


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_some_random_strings_are_as_their_reference_has_them(all_checks, name):
    assert compare(all_checks[name], 300, seed=1) == (0, [])


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_random_strings_are_too(all_checks, name):
    assert compare(all_checks[name], 100_000) == (0, [])


def test_every_kind_of_string_is_drawn():
    text = "".join(random_strings(2000))
    kinds = ("\U000e0001", "\u0301", "\x00", "中", "[MASK]", "x" * 101, "\x85")
    for kind in (*kinds, "\u3000", "##ing", "</S>"):
        assert kind in text
    assert any("\ud800" <= character <= "\udfff" for character in text)
    assert any(ord(character) > 0x20000 for character in text)


def test_a_difference_is_found():
    # Words as `--split` had them when only a space divided them.
    def by_spaces(texts):
        return (text for text in texts if text.split(" ") != text.split())

    num_differing, examples = compare(by_spaces, 500)
    assert num_differing > 50
    assert len(examples) == 3
    assert not list(split_check(["a b"]))
    assert not list(characters_check(["a <S>", "\ud800é" * 40]))
    assert bilm_tf_characters("at", 5) == [259, 98, 117, 260, 261]


@pytest.mark.parametrize(
    ("words", "between"),
    [
        (["cafe\u0301", "."], []),
        (["cafe", "."], None),
        (["e\u0301", "."], None),
        (["cafe\u0301"], None),
    ],
)
def test_a_mark_that_a_word_lost_is_seen(words, between):
    assert _between("cafe\u0301.", words) == between
    assert _between("a \u200b b", ["a", "b"]) == [" \u200b "]
