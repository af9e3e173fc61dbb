# SPDX-License-Identifier: Apache-2.0
"""The least values that a preparation takes, and what is just below them."""

from pathlib import Path
from typing import Any

import pytest

from train.data.config import DataConfig, fingerprint
from train.data.sources import DocstringSource
from train.families.bert.data import PieceData
from train.families.elmo.data import WordData


def make(kind: type[DataConfig], **changes: Any) -> DataConfig:
    return kind(source=DocstringSource(), directory=Path("nowhere"), **changes)


@pytest.mark.parametrize(
    ("kind", "name", "least"),
    [
        (WordData, "vocab_size", 4),
        (WordData, "min_count", 1),
        (WordData, "max_characters", 3),
        (PieceData, "vocab_size", 7),
        (PieceData, "num_workers", 0),
        (WordData, "held_out_every", 2),
    ],
)
def test_the_least_value_is_taken_and_one_below_it_is_not(kind, name, least):
    assert getattr(make(kind, **{name: least}), name) == least
    with pytest.raises(ValueError, match=name):
        make(kind, **{name: least - 1})


def test_weights_beside_a_tokeniser_do_not_make_it_another(tmp_path):
    """Nor are they read, which would take long; what belongs to it does."""
    (tmp_path / "vocab.txt").write_text("[UNK]")
    data = make(PieceData, tokenizer=tmp_path)
    before = fingerprint(data)
    (tmp_path / "model.safetensors").write_bytes(bytes(9))
    (tmp_path / "tokenizer.json.lock").write_text("")
    assert fingerprint(data) == before
    for name in ("tokenizer_config.json", "vocab.txt", "spiece.model"):
        (tmp_path / name).write_text("another")
        assert fingerprint(data) != before
        before = fingerprint(data)


def test_nothing_is_held_out_of_a_text_that_is_not_to_be_measured():
    assert make(WordData, held_out_every=0).held_out_every == 0


def test_without_being_told_one_document_in_twenty_is_held_out():
    words, pieces = make(WordData), make(PieceData)
    assert (words.held_out_every, pieces.held_out_every) == (20, 20)
    assert (words.vocab_size, words.min_count, words.split) == (30_000, 1, "moses")
    assert words.max_characters == 50
    assert (pieces.vocab_size, pieces.cased, pieces.kind) == (8000, False, "wordpiece")
