# SPDX-License-Identifier: Apache-2.0
"""Vocabularies: ids are lines, white space ends no word, bad files are refused."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_jax import Vocabulary, read_vocabulary, write_vocabulary
from tests.conftest import REPOSITORY

SPECIALS = ("<S>", "</S>", "<UNK>")

# What a line can hold: all but what separates lines and counts, and "no characters".
line_text = st.text(
    st.characters(exclude_characters="\n\t\0", exclude_categories=["Cs"]), min_size=1
).filter(
    lambda word: (
        word.strip() in (word, "")
        and word.strip(" \r")
        and not word.endswith("\r")
        and word != "!!!MAXTERMID"
    )
)
vocabularies = st.lists(line_text, unique=True, max_size=20).map(
    lambda words: (*SPECIALS, *(word for word in words if word not in SPECIALS))
)


def file_of(folder, lines: list[str], name: str = "vocab.txt"):
    path = folder / name
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vocabulary")


@given(vocabularies)
def test_words_come_back_as_they_were(folder, words):
    path = folder / "words.txt"
    write_vocabulary(path, Vocabulary(words))
    assert read_vocabulary(path) == Vocabulary(words)


@given(vocabularies, st.data())
def test_counts_come_back_too(folder, words, data):
    numbers = st.lists(
        st.integers(0, 10**12), min_size=len(words) - 3, max_size=len(words) - 3
    )
    counts = (5, 7, 0, *sorted(data.draw(numbers), reverse=True))
    path = folder / "counts.txt"
    write_vocabulary(path, Vocabulary(words, counts))
    assert read_vocabulary(path) == Vocabulary(words, counts)


@pytest.mark.parametrize(
    "word", ["no\u00a0break", "\u3000", "a b", "a\u2028b", "a\x0bb", "a\x85b"]
)
def test_only_a_line_feed_ends_a_line(tmp_path, word):
    path = file_of(tmp_path, [*SPECIALS, word, "next"])
    assert read_vocabulary(path).words == (*SPECIALS, word, "next")


@pytest.mark.parametrize("blank", [" ", "\t", "\u3000", " \t", "\x0b"])
def test_white_space_at_the_ends_of_lines_is_stripped_as_bilm_tf_does(tmp_path, blank):
    words = (*SPECIALS, "the", "New York", "bank")
    plain = file_of(tmp_path, [f"{word}{blank}" for word in words])
    assert read_vocabulary(plain) == Vocabulary(words)
    if "\t" not in blank:
        plain = file_of(tmp_path, [f"{blank}{word}" for word in words])
        assert read_vocabulary(plain) == Vocabulary(words)
        plain = file_of(tmp_path, [f"{word}\t{7}{blank}" for word in words])
        assert read_vocabulary(plain) == Vocabulary(words, (7,) * 6)


def test_other_forms_of_the_same_file(tmp_path):
    plain = file_of(tmp_path, [*SPECIALS, "the", "bank"])
    expected = Vocabulary((*SPECIALS, "the", "bank"))
    assert read_vocabulary(plain) == expected
    content = plain.read_bytes()
    plain.write_bytes(content.removesuffix(b"\n"))
    assert read_vocabulary(plain) == expected
    plain.write_bytes(content.replace(b"\n", b"\r\n"))
    assert read_vocabulary(plain) == expected
    zipped = tmp_path / "vocab.txt.gz"
    zipped.write_bytes(gzip.compress(content))
    assert read_vocabulary(zipped) == expected
    filled = file_of(tmp_path, [*SPECIALS, "the", "!!!MAXTERMID", "bank"])
    assert read_vocabulary(filled) == expected


def test_ids_are_lines_and_unknown_words_have_one():
    vocabulary = Vocabulary(("the", "</S>", "<UNK>", "<S>", "bank"))
    assert len(vocabulary) == 5
    ids = vocabulary.begin_id, vocabulary.end_id, vocabulary.unknown_id
    assert ids == (3, 1, 2)
    encoded = vocabulary.encode(["bank", "river", "<S>", "</S>", "the", "Bank", ""])
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [4, 2, 3, 1, 0, 2, 2]
    assert vocabulary.encode([]).shape == (0,)


def test_counts_of_the_specials_may_be_any():
    counts = (1, 9, 3, 5, 5, 2)
    words = ("<S>", "a", "</S>", "b", "c", "<UNK>")
    with pytest.raises(ValueError, match="6 words but 5 counts"):
        Vocabulary(words, counts[:5])
    assert Vocabulary(words, counts).counts == counts


def refusal(build) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared by the caller)
        build()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "counts", "message"),
    [
        (
            (*SPECIALS, "a", "b", "a"),
            (),
            "line 6 repeats 'a' of line 4; every id",
        ),
        (("<S>", "a", "<S>"), (), "line 3 repeats '<S>' of line 1"),
        (("</S>", "<UNK>"), (), "no line '<S>'; a vocabulary holds <S>, </S>, <UNK>"),
        (("<S>", "<UNK>"), (), "no line '</S>'"),
        (("<S>", "</S>"), (), "no line '<UNK>'"),
        (("<S>", "</S>", "<unk>"), (), "no line '<UNK>'"),
        ((), (), "no line '<S>'"),
        (SPECIALS, (1, 2), "3 words but 2 counts"),
        (
            (*SPECIALS, "a", "b"),
            (0, 0, 0, 3, 4),
            "line 5: 'b' occurs 4 times, more than the word before it (3); sort",
        ),
    ],
)
def test_words_that_are_refused(words, counts, message):
    assert message in refusal(lambda: Vocabulary(words, counts))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ", line 1 is empty; a line holds a word"),
        (b"<S>\n</S>\n<UNK>\n\na\n", ", line 4 is empty; a line holds a word"),
        (b"<S>\n</S>\n<UNK>\n\r\n", ", line 4 is empty"),
        (b"<S>\n</S>\n<UNK>\n\t7\n", ", line 4 is empty"),
        (b"<S>\n</S>\n<UNK>\nZ\xfcrich\n", ", line 4 is not UTF-8"),
        (
            b"<S>\t1\n</S>\t1\n<UNK>\tmany\n",
            ", line 3: after the tab stands 'many', which is no count",
        ),
        (b"<S>\t1\n</S>\t-1\n", ", line 2: after the tab stands '-1'"),
        (b"<S>\t1\n</S>\t\n", ": some lines have a count and some have none"),
        (b"<S>\n</S>\n<UNK>\n \t\na\n", ", line 4 is empty"),
        (
            b"<S>\n</S>\n<UNK>\nthe 22\nbank 7\n",
            " holds words with counts ('the 22'), and would be read as if those were",
        ),
        (b"<S> 9\n</S> 9\n<UNK> 1\nthe 7\n", " holds words with counts ('<S> 9')"),
        (
            b"\xff\xfe<\x00S\x00>\x00\n\x00",
            " is no text but UTF-16: convert it (iconv -f utf-16",
        ),
        (b"<S>\t1\n</S>\n<UNK>\t2\n", ": some lines have a count and some have none"),
        (b"<S>\n</S>\n<UNK>\na\na\n", ": line 5 repeats 'a' of line 4"),
        (b"<S>\na\n</S>\n", ": no line '<UNK>'"),
        (b"<S>\t0\n</S>\t0\n<UNK>\t0\na\t1\nb\t2\n", ": line 5: 'b' occurs 2 times"),
    ],
)
def test_files_that_are_refused(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    assert refusal(lambda: read_vocabulary(path)).startswith(f"{path}{message}")


# Of no time: the cases' names, made of their bytes, must be the same in every process.
ZIPPED = gzip.compress("\n".join(SPECIALS).encode(), mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        b"<S>\n</S>\n<UNK>\n",  # not zipped at all
        ZIPPED[:-9],
        ZIPPED[:12],
        ZIPPED[:12] + b"\xff\xff" + ZIPPED[14:],
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "vocab.gz"
    path.write_bytes(content)
    message = refusal(lambda: read_vocabulary(path))
    assert message.startswith(f"{path} is damaged or cut short: ")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_vocabulary(tmp_path / "vocab.txt")


@pytest.mark.parametrize(
    "word", ["", "a\tb", "a\nb", "a\r", "\r", " a", "a\u3000", "!!!MAXTERMID"]
)
def test_words_that_no_line_can_hold_are_not_written(tmp_path, word):
    path = tmp_path / "vocab.txt"
    with pytest.raises(ValueError, match="cannot be a line of a vocabulary"):
        write_vocabulary(path, Vocabulary(("<S>", "</S>", "<UNK>", word)))
    assert not path.exists()


def test_compressed_files_and_byte_order_marks(tmp_path):
    vocabulary = Vocabulary(("<S>", "</S>", "<UNK>", "a"))
    path = tmp_path / "vocab.txt.gz"
    write_vocabulary(path, vocabulary)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert read_vocabulary(path) == vocabulary
    plain = tmp_path / "vocab.txt"
    plain.write_bytes(b"\xef\xbb\xbf<S>\n</S>\n<UNK>\na\n")
    assert read_vocabulary(plain) == vocabulary


def test_ids_are_upstreams():
    path = REPOSITORY / "tests/fixtures/bilm_tf_golden/char_ids_golden.json"
    golden = json.loads(path.read_text(encoding="utf-8"))["vocabulary"]
    vocabulary = Vocabulary(tuple(golden["words"]))
    ((text, ids),) = golden["encode"].items()
    assert vocabulary.encode(["<S>", *text.split(), "</S>"]).tolist() in (
        ids,
        [vocabulary.begin_id, *ids, vocabulary.end_id],
    )
