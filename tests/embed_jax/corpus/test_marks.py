# SPDX-License-Identifier: Apache-2.0
"""Sentences that hold a token of the model's own are counted, each once."""

from embed_jax.corpus.marks import MarkCounter
from embed_jax.corpus.text import survey

LINES = ["<S> The window </S>", "A bank .", "ran</S>", "", "<s> a </s>"]


def test_each_sentence_counts_once():
    counter = MarkCounter(["<S>", "</S>"])
    assert counter.watch_document(LINES) == LINES
    assert counter.count == 2
    assert (counter.describe() or "").startswith("2 sentences hold <S> or </S>,")


def test_only_marks_that_are_there_are_named():
    counter = MarkCounter(["[CLS]", "[MASK]"])
    counter.note(["a", "[MASK]", "."])
    assert (counter.describe() or "").startswith("1 sentence holds [MASK],")


def test_text_without_any_has_nothing_said_of_it():
    assert MarkCounter(["<S>"]).describe() is None


def test_a_survey_counts_them(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n")
    assert survey(path).held is None
    assert (survey(path, ("<S>", "</S>")).held or "").startswith("2 sentences hold")
