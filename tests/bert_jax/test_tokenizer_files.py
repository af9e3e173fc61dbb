# SPDX-License-Identifier: Apache-2.0
"""Whether the file of a tokeniser belongs to a token table, and is all there."""

import dataclasses
import logging

import pytest

from bert_jax.config import TINY
from bert_jax.tokenizer import WordPieceTokenizer
from bert_jax.tokenizer_files import check_file, read_tokenizer_files

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(395))]


def check(tmp_path, pieces: list[str], num_rows: int, end: str = "\n") -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(pieces) + end, encoding="utf-8")
    tokenizer = WordPieceTokenizer.from_vocab(path, cased=False)
    check_file(tokenizer, dataclasses.replace(TINY, vocab_size=num_rows), path)


@pytest.mark.parametrize("num_rows", [400, 512])
def test_as_many_pieces_as_rows_or_a_padded_table_is_nothing_to_say(
    tmp_path, caplog, num_rows
):
    check(tmp_path, PIECES, num_rows)
    assert not caplog.records


@pytest.mark.parametrize("num_rows", [400, 512])
def test_a_last_piece_without_a_line_end_may_be_cut(tmp_path, caplog, num_rows):
    with caplog.at_level(logging.WARNING):
        check(tmp_path, PIECES, num_rows, "")
    assert "vocab.txt ends within a line, 'w394': unless it was" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines, None),
        (lambda lines: [line + " " for line in lines], None),
        (
            lambda lines: [*lines[:9], "W4", *lines[10:]],
            "line 10, 'W4', is piece of no",
        ),
        (lambda lines: lines[:8] + lines[9:], "line 9, 'w4', is piece 9 there"),
    ],
)
def test_two_files_of_pieces_that_do_not_agree_are_said(tmp_path, caplog, change, said):
    WordPieceTokenizer.from_vocab(PIECES, cased=False).save(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(change(PIECES)) + "\n")
    with caplog.at_level(logging.WARNING):
        tokenizer, source = read_tokenizer_files(tmp_path)
    assert source.name == "tokenizer.json"
    assert tokenizer.vocab_size == 400
    assert (said is None) == (not caplog.records)
    assert (said or "") in caplog.text


@pytest.mark.parametrize("num_rows", [401, 511, 536, 800])
def test_pieces_that_are_missing_are_said(tmp_path, caplog, num_rows):
    with caplog.at_level(logging.WARNING):
        check(tmp_path, PIECES, num_rows)
    assert f"has 400 pieces, and the token table of the model {num_rows}" in caplog.text


@pytest.mark.parametrize(("num_rows", "end"), [(801, "\n"), (401, ""), (600, "")])
def test_a_vocabulary_that_was_cut_is_refused(tmp_path, num_rows, end):
    with pytest.raises(ValueError, match=r"vocab\.txt has 400 pieces.*cut short"):
        check(tmp_path, PIECES, num_rows, end)


def test_more_pieces_than_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not belong together"):
        check(tmp_path, PIECES, 399)
