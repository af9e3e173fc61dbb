# SPDX-License-Identifier: Apache-2.0
"""A word is found where a tokeniser splits it off, in whatever company."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from elmo_jax.tokenizer import split_words
from embed_jax.explore.contexts.occurrences import (
    Context,
    WordForms,
    cut_context,
    find_lines,
    read_numbered,
    sample_evenly,
)
from tests.bert_jax.words import make_tokenizer

TEXTS = st.lists(
    st.sampled_from(["bank", "Bank", "BANK", "embank", "banks", "river", "é", "の", "9"]
                    + [" "] * 4 + list(".,'-_\"$/"))
).map("".join)  # fmt: skip


def bert_words(text):
    return make_tokenizer().encode([text])[0].words


@pytest.mark.parametrize("split", [bert_words, split_words, str.split])
@hypothesis.given(text=TEXTS)
def test_no_line_is_missed_in_which_a_tokeniser_finds_the_word(split, text):
    word = WordForms(("bank",))
    if word.find(split(text)):
        assert word.may_stand_in(text)


@pytest.mark.parametrize("split", [bert_words, split_words, str.split])
@hypothesis.given(text=TEXTS)
def test_a_context_is_the_text_around_the_word(split, text):
    words = split(text)
    for place in WordForms(("bank",)).find(words):
        context = cut_context(5, text, words, place)
        whole = context.before + context.word + context.after
        assert whole == text.strip()
        assert context.word == words[place]
        assert context.line == 5


@pytest.mark.parametrize(
    ("word", "near"),
    [
        # Of one of four letters those that share its first three.
        ("cart", {"carpenter", "card"}),
        # Of a shorter one those alone that are alike as a whole.
        ("car", {"card"}),
        ("Zebra", set()),
    ],
)
def test_near_words_of_a_text_are_offered(tmp_path, word, near):
    path = tmp_path / "text.txt"
    path.write_text("The carpenter had a card; catastrophes, he said.\n")
    with pytest.raises(ValueError, match="no word") as caught:
        find_lines(path, WordForms((word,)))
    offered = {part for part in str(caught.value).split('"')[1::2] if part != word}
    assert offered == near
    assert ("nor one like it" in str(caught.value)) == (not near)


def test_of_several_equal_words_the_right_one_is_cut_out():
    words = ["bank", "'", "s", "bank", ",", "bank"]
    befores = [cut_context(1, "bank's bank,bank", words, p).before for p in (0, 3, 5)]
    assert befores == ["", "bank's ", "bank's bank,"]


@pytest.mark.parametrize(
    ("forms", "ignore_case", "places"),
    [
        (("bank",), True, [0, 2, 4]),
        (("bank",), False, [0, 4]),
        (("bank", "banks"), True, [0, 2, 3, 4]),
        (("BANK",), False, []),
        (("U.S.",), True, [5]),
    ],
)
def test_forms_and_capitals(forms, ignore_case, places):
    words = ["bank", "embank", "Bank", "banks", "bank,", "U.S.", "'"]
    assert WordForms(forms, ignore_case).find(words) == places


def test_scripts_without_spaces_are_found_inside():
    assert WordForms(("銀",)).may_stand_in("日本銀行")
    assert not WordForms(("bank",)).may_stand_in("embankment")


@pytest.mark.parametrize("forms", [(), ("",), ("river bank",), (" bank",)])
def test_what_is_not_one_word_is_refused(forms):
    with pytest.raises(ValueError, match="--word"):
        WordForms(forms)


def test_long_lines_are_cut_around_the_word():
    text = f"{'before ' * 500}bank{' after' * 500}"
    context = cut_context(1, text, text.split(), 500)
    assert context.word == "bank"
    assert context.before.startswith("… before before")
    assert context.after.endswith("after after …")
    assert len(context.before) < 250 > len(context.after)


def test_words_that_the_text_does_not_hold_are_joined():
    context = cut_context(1, "ﬁne bank", ["fine", "bank", "!"], 1)
    assert context[1:] == ("fine ", "bank", " !")


def test_lines_are_found_and_read_by_number(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("a bank\nembankment\n\nThe Bank.\nbanks\n")
    lines = find_lines(path, WordForms(("bank",)))
    assert lines.tolist() == [0, 3]
    assert list(read_numbered(path, lines)) == [(0, "a bank"), (3, "The Bank.")]
    assert list(read_numbered(path, lines[:0])) == []


def test_an_absent_word_is_answered_with_near_ones(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("The bank and banks.\nA bank.\nBark!\n")
    with pytest.raises(ValueError, match=r'no word bnak; near .*"bank" \(2\)'):
        find_lines(path, WordForms(("bnak",)))
    with pytest.raises(ValueError, match=r'no word BANK; near .*"bank" \(2\)'):
        find_lines(path, WordForms(("BANK",), ignore_case=False))
    with pytest.raises(ValueError, match="nor one like it"):
        find_lines(path, WordForms(("zzz",)))


@hypothesis.given(count=st.integers(0, 500), limit=st.integers(1, 500))
def test_samples_are_even(count, limit):
    chosen = sample_evenly(count, limit)
    assert len(chosen) == min(count, limit)
    if len(chosen) > 1:
        gaps = np.diff(np.append(chosen, count + chosen[0]))
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("typed", ["caf\u00e9", "cafe\u0301", "CAF\u00c9"])
@pytest.mark.parametrize("split", [split_words, str.split])
def test_an_accent_is_found_however_it_is_typed(tmp_path, typed, split):
    """In text of either coding; and it makes another word."""
    word = WordForms((typed,))
    lines = ["the caf\u00e9 .", "the cafe\u0301, too", "a cafe .", "cafe\u0301s"]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert find_lines(path, word).tolist() == [0, 1]
    assert word.find(["caf\u00e9", "cafe", "cafe\u0301", '"cafe\u0301"']) == [0, 2, 3]
    assert [word.find(split(line)) for line in lines[:3]] == [[1], [1], []]


def test_a_vowel_sign_at_the_end_belongs_to_the_word():
    assert not WordForms(("\u0915",)).matches("\u0915\u093e")
    assert WordForms(("\u0915\u093e",)).matches("(\u0915\u093e)")


def test_a_context_steers_no_terminal():
    assert Context(1, "\x1b[2J ", "bank", "\u202e").show() == "\\u001b[2J [bank]\\u202e"
