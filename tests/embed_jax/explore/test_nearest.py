# SPDX-License-Identifier: Apache-2.0
"""Contexts of a word, nearest first."""

import numpy as np
import pytest

from embed_jax.explore import nearest
from embed_jax.store import StoreWriter, VectorStore

SENTENCES = [
    (["the", "bank", "sat"], [[0, 0], [1, 0.0], [5, 5]]),
    ([], np.zeros((0, 2))),
    (["Bank", "money"], [[0, 1], [9, 9]]),
    (["a", "river", "bank"], [[0, 0], [3, 3], [2, 0.5]]),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=2, metadata={"level": "words"}) as writer:
        for words, vectors in SENTENCES:
            writer.append(np.array(vectors, np.float32), words)
    return path


def test_occurrences_are_found_whatever_their_case(path):
    with VectorStore(path) as store:
        occurrences, vectors = nearest.find_occurrences(store, "BANK")
    assert [(o.sentence, o.position) for o in occurrences] == [(0, 1), (2, 0), (3, 2)]
    np.testing.assert_allclose(vectors, [[1, 0], [0, 1], [2, 0.5]])


def test_an_accent_is_found_however_it_is_typed(tmp_path, capsys):
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1) as writer:
        writer.append(np.ones((2, 1), np.float32), ["Caf\u00e9", "cafe"])
        writer.append(np.ones((1, 1), np.float32), ["cafe\u0301"])
    for word in ("caf\u00e9", "CAFE\u0301"):
        assert nearest.main([str(path), word]) == 0
        assert "2 occurrences" in capsys.readouterr().out


def test_words_that_a_terminal_would_obey_are_spelled_out(tmp_path, capsys):
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1) as writer:
        writer.append(np.ones((2, 1), np.float32), ["\x1b[2J", "bank"])
    assert nearest.main([str(path), "bank"]) == 0
    assert "\\u001b[2J [bank]" in capsys.readouterr().out


def test_capitals_do_not_matter_in_any_alphabet(tmp_path, capsys):
    """Lower case alone would tell ß from SS."""
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1) as writer:
        writer.append(np.ones((2, 1), np.float32), ["die", "Straße"])
    for word in ("STRASSE", "straße", "Strasse"):
        assert nearest.main([str(path), word]) == 0
        assert "die [Straße]" in capsys.readouterr().out


def test_the_command_prints_the_nearest_first(path, capsys):
    assert nearest.main([str(path), "bank"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bank: 3 occurrences; nearest to"
    assert lines[1].strip() == "the [bank] sat"
    assert lines[2] == "0.970  a river [bank]"
    assert lines[3] == "0.000  [Bank] money"


def test_the_farthest_is_told_only_where_it_is_not_shown(path, capsys):
    for count, told in (("1", True), ("2", False), ("3", False)):
        assert nearest.main([str(path), "bank", "--count", count]) == 0
        assert ("(farthest)" in capsys.readouterr().out) is told


def test_places_are_those_of_the_text_past_the_first_block(tmp_path):
    """Sentences are read some hundreds at a time."""
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1) as writer:
        for index in range(1100):
            word = "bank" if index in (511, 512, 1099) else "the"
            writer.append(np.array([[0], [index]], np.float32), ["a", word])
    with VectorStore(path) as store:
        occurrences, vectors = nearest.find_occurrences(store, "bank")
    assert [(o.sentence, o.position) for o in occurrences] == [
        (511, 1),
        (512, 1),
        (1099, 1),
    ]
    assert vectors[:, 0].tolist() == [511, 512, 1099]


def test_of_equally_near_ones_the_first_comes_first():
    vectors = np.array([[2, 0], [0, 1], [1, 0], [0, 0], [0, 3], [5, 0]], np.float32)
    order, cosines = nearest.rank_by_cosine(vectors, 2)
    # A vector of zeros has no direction, so its cosine is 0.
    assert order.tolist() == [0, 5, 1, 3, 4]
    np.testing.assert_allclose(cosines, [1, 0, 1, 0, 0, 1])


def test_eight_words_are_shown_on_either_side():
    words = [*map(str, range(9)), "bank", *map(str, range(9))]
    shown = nearest.Occurrence(0, 9, words).show()
    assert shown == "1 2 3 4 5 6 7 8 [bank] 0 1 2 3 4 5 6 7"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["snow"], "no word 'snow'"),
        (["bank", "--like", "0"], "like must be at least 1, not 0"),
        (["bank", "--like", "4"], "it occurs 3 times"),
    ],
)
def test_what_is_not_there_is_one_line(path, capsys, arguments, message):
    assert nearest.main([str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_is_no_store_is_one_line(tmp_path, capsys):
    path = tmp_path / "vectors.h5"
    path.write_bytes(b"not HDF5")
    assert nearest.main([str(path), "bank"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_sentence_vectors_are_refused(tmp_path, capsys):
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1, metadata={"level": "sentences"}) as writer:
        writer.append(np.ones((1, 1), np.float32), ["the bank"])
    assert nearest.main([str(path), "bank"]) == 2
    assert "vectors of sentences" in capsys.readouterr().err
