# SPDX-License-Identifier: Apache-2.0
"""The same ids as the field's tokenisers, and every piece at its word."""

import functools
import inspect
import json
import logging
import pickle  # noqa: TID251 (as those do who start processes)
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from bert_jax.tokenizer import (
    SPECIALS,
    Pieces,
    SentencePieceTokenizer,
    WordPieceTokenizer,
)
from tests.bert_jax.words import WORDS, make_tokenizer
from tests.conftest import REPOSITORY

NASTY = [
    *"\x00\t\n\r\x0b\x1c\x7f\x85\xa0\xad\u2028\u3000\u200b\u200d\ufeff\ufffd",
    *"\u0300\u0301\u0345\u0327\u0e33\u094d\u1100\u1161\u11a8",  # marks, jamo
    *"\u4e2d\u3042\uac00\uf900\U00020000\U0002b820\U0002b920\U0002fa1f",
    *"\ue000\U0010fffd\ud800\udfff\uffff\u0378",  # private, surrogates, unassigned
    *"\u0130\u03a3\u1e9e\ufb01\u01c5\u0149\u212b\u00e9\U0001f600\U0001f3fd\ufe0f",
    *"#-'.$\u2014\u2026\u3002\u00bf",
    *SPECIALS,
    "[mask]",
    "##ing",
    "the",
    "River",
    "x" * 101,
]
characters = st.one_of(
    st.sampled_from([*"abtT  ", *NASTY]), st.characters(), st.sampled_from(WORDS)
)
texts = st.lists(characters, max_size=25).map("".join)
letters = make_tokenizer()


@pytest.fixture(scope="session")
def golden() -> Path:
    return REPOSITORY / "tests/fixtures/bert_tokenization_golden"


@pytest.fixture(scope="session")
def vocab(golden) -> Path:
    return golden / "vocab_uncased_30522.txt"


@pytest.fixture(scope="session")
def uncased(vocab) -> WordPieceTokenizer:
    return WordPieceTokenizer.from_vocab(vocab)


@pytest.fixture(scope="session")
def upstream(golden) -> dict:
    return json.loads((golden / "upstream_tests.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def library(golden) -> dict:
    path = golden / "library_reference_uncased30522.json"
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="session")
def real_lines(data_dir) -> list[str]:
    """Draw 100,000 lines from all the real text, blank ones and headings included."""
    paths = sorted(p for p in data_dir.glob("text_*/*.txt") if p.stem.islower())
    lines = [
        line for path in paths for line in path.read_text("utf-8").splitlines(True)
    ]
    return random.Random(0).sample(lines, 100_000)


def piece_texts(tokenizer: WordPieceTokenizer, pieces: Pieces) -> list[str]:
    return [str(tokenizer.backend.id_to_token(i)) for i in pieces.ids.tolist()]


def split_at_words(tokenizer: WordPieceTokenizer, pieces: Pieces) -> list[list[str]]:
    """Return for each word its pieces."""
    groups: list[list[str]] = [[] for _ in pieces.words]
    for piece, word in zip(
        piece_texts(tokenizer, pieces), pieces.word_ids, strict=True
    ):
        groups[word].append(piece)
    return groups


def encode_one(tokenizer, sentence) -> Pieces:
    (pieces,) = tokenizer.encode([sentence])
    return pieces


def test_google_basic_cases(upstream):
    for case in upstream["basic_tokenizer"]:
        specials = ["[UNK]", "[CLS]", "[SEP]"]
        tokenizer = WordPieceTokenizer.from_vocab(
            [*specials, *case["expect"]],
            cased=not case["lower"],
            strip_accents=case["strip_accents"],
        )
        pieces = encode_one(tokenizer, case["text"])
        assert piece_texts(tokenizer, pieces) == case["expect"], case
        assert pieces.word_ids.tolist() == list(range(len(case["expect"])))


def test_specials_are_never_split(upstream):
    case = upstream["never_split"]
    vocab = ["[CLS]", "[SEP]", *dict.fromkeys(case["expect"])]
    tokenizer = WordPieceTokenizer.from_vocab(vocab, cased=True)
    pieces = encode_one(tokenizer, case["text"])
    assert piece_texts(tokenizer, pieces) == case["expect"]


def test_google_wordpiece_cases(upstream):
    for case in upstream["wordpiece"] + upstream["full_tokenizer"]:
        tokenizer = WordPieceTokenizer.from_vocab(
            case["vocab"], cased=not case.get("lower", False)
        )
        pieces = encode_one(tokenizer, case["text"])
        assert piece_texts(tokenizer, pieces) == case["expect"], case
        if "ids" in case:
            assert pieces.ids.tolist() == case["ids"]


def test_google_character_classes(upstream):
    tokenizer = WordPieceTokenizer.from_vocab(["[UNK]", "[CLS]", "[SEP]"])
    words_between = {"is_whitespace": 2, "is_control": 1, "is_punctuation": 3}
    for name, expected in words_between.items():
        cases = upstream["char_classes"][name]
        for character in cases["true"]:
            pieces = encode_one(tokenizer, f"x{character}x")
            assert len(pieces.words) == expected, (name, character)
        for character in cases["false"]:
            pieces = encode_one(tokenizer, f"x{character}x")
            dropped = name == "is_control" and pieces.words == [f"x{character}x"]
            assert len(pieces.words) != expected or dropped, (name, character)


def test_golden_strings(library, uncased):
    for case in library["single"]:
        pieces = encode_one(uncased, case["text"])
        assert [101, *pieces.ids.tolist(), 102] == case["ids"], case["text"]
        assert piece_texts(uncased, pieces) == case["tokens"][1:-1]
        # The reference says where pieces begin and end, the words where words do.
        spans = [case["offsets"][1:-1][i] for i in range(len(pieces.ids))]
        for index, word in enumerate(pieces.words):
            mine = np.flatnonzero(pieces.word_ids == index)
            start, end = spans[mine[0]][0], spans[mine[-1]][1]
            # The library's offsets end before what normalisation drops.
            before, after = word.split(case["text"][start:end], 1)
            assert not any(len(p.ids) for p in uncased.encode([before, after]))
        tokens = uncased([case["text"]])
        assert tokens.ids.tolist() == [case["ids"]]
        assert tokens.segment_ids.tolist() == [case["type_ids"]]


def test_golden_pairs(library, uncased):
    firsts = [case["a"] for case in library["pairs"]]
    seconds = [case["b"] for case in library["pairs"]]
    tokens = uncased(firsts, seconds)
    for row, case in enumerate(library["pairs"]):
        length = len(case["ids"])
        assert tokens.ids[row, :length].tolist() == case["ids"]
        assert tokens.segment_ids[row, :length].tolist() == case["type_ids"]
        assert tokens.mask[row].sum() == length
        assert not tokens.ids[row, length:].any()


def test_golden_words(uncased, upstream):
    text = upstream["offsets_uncased"]["text"]
    pieces = encode_one(uncased, text)
    assert pieces.words == ["A", ",", "naïve", "[MASK]", "AllenNLP", "sentence", "."]
    assert pieces.word_ids.tolist() == [0, 1, 2, 3, 4, 4, 4, 5, 6]
    assert pieces.ids[3] == uncased.mask_id == 103


def google_words(text: str, lower: bool) -> list[str]:
    """Split as google-research/bert's BasicTokenizer does, written from its rules."""
    cleaned = []
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            cleaned.append(" ")
        elif character not in "\x00\ufffd" and category not in ("Cc", "Cf"):
            cjk = re.match("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", character)
            cleaned.append(f" {character} " if cjk else character)
    words = []
    for word in "".join(cleaned).split():
        if lower:
            decomposed = unicodedata.normalize("NFD", word.lower())
            word = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        spaced = "".join(f" {c} " if is_google_punctuation(c) else c for c in word)
        words += spaced.split()
    return words


def is_google_punctuation(character: str) -> bool:
    ascii_sign = "!" <= character <= "~" and not character.isalnum()
    return ascii_sign or unicodedata.category(character).startswith("P")


def google_pieces(word: str, vocab: set[str]) -> list[str]:
    """Cut as google-research/bert's WordpieceTokenizer does."""
    pieces = longest_match(word, vocab) if len(word) <= 200 else []
    return pieces or ["[UNK]"]


def longest_match(word: str, vocab: set[str]) -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((e for e in ends if prefix + word[start:e] in vocab), None)
        if end is None:
            return []
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


@pytest.mark.parametrize("cased", [False, True])
def test_google_rules_give_the_same_pieces_of_its_sample(golden, vocab, library, cased):
    lines = (golden / "sample_text.txt").read_text("utf-8").splitlines(True)
    assert len(lines) == 33
    lines += [case["text"] for case in library["single"]]
    check_google_rules(vocab, lines, cased)


@pytest.mark.data
@pytest.mark.parametrize("cased", [False, True])
def test_google_rules_give_the_same_pieces(vocab, real_lines, cased):
    check_google_rules(vocab, real_lines[:20_000], cased)


def check_google_rules(vocab: Path, lines: list[str], cased: bool) -> None:
    tokenizer = WordPieceTokenizer.from_vocab(
        vocab, cased=cased, max_chars_per_word=200
    )
    entries = set(vocab.read_text("utf-8").split("\n"))
    pieces_of = functools.cache(lambda word: google_pieces(word, entries))
    # Where the two differ is in test_documented_differences.
    lines = [line for line in lines if not re.search("[Σς[\ue000]", line)]
    for line, pieces in zip(lines, tokenizer.encode(lines), strict=True):
        words = google_words(line, lower=not cased)
        expected = [piece for word in words for piece in pieces_of(word)]
        assert piece_texts(tokenizer, pieces) == expected, line
        assert len(pieces.words) == len(words)


@pytest.mark.parametrize(
    ("text", "google", "ours"),
    [
        ("ΟΔΟΣ", ["οδος"], ["οδοσ"]),
        ("a[MASK]b", ["a", "[", "mask", "]", "b"], ["a", "[MASK]", "b"]),
        ("a\ue000b", ["a\ue000b"], ["ab"]),
        ("a\U0002b820b", ["a", "\U0002b820", "b"], ["a\U0002b820b"]),
        ("a\u2e5db", ["a", "\u2e5d", "b"], ["a\u2e5db"]),
    ],
)
def test_documented_differences(text, google, ours):
    pieces = [*google, *ours, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = WordPieceTokenizer.from_vocab(list(dict.fromkeys(pieces)), cased=False)
    assert piece_texts(tokenizer, encode_one(tokenizer, text)) == ours


def reference_tokenizer(vocab: Path, directory: Path, *, lower: bool):
    """Open a vocabulary with transformers, by none of our code."""
    transformers = pytest.importorskip("transformers")
    (directory / "vocab.txt").write_bytes(vocab.read_bytes())
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return transformers.AutoTokenizer.from_pretrained(directory)


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("cased", [False, True])
def test_transformers_gives_the_same_ids(vocab, library, real_lines, tmp_path, cased):
    ours = WordPieceTokenizer.from_vocab(vocab, cased=cased)
    reference = reference_tokenizer(vocab, tmp_path, lower=not cased)
    lines = [case["text"] for case in library["single"]] + real_lines
    for start in range(0, len(lines), 1000):
        block = lines[start : start + 1000]
        theirs = reference(block, add_special_tokens=False, verbose=False)["input_ids"]
        for line, ids, pieces in zip(block, theirs, ours.encode(block), strict=True):
            assert pieces.ids.tolist() == ids, line


@pytest.fixture(scope="session")
def letters_in_transformers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("letters")
    vocab = directory / "words.txt"
    vocab.write_text("\n".join(WORDS), "utf-8", newline="\n")
    return reference_tokenizer(vocab, directory, lower=True)


@pytest.mark.parity
@given(first=texts, second=texts)
@example(first="[MASK]x", second="a\u0300\u4e2d\u200d\ue000")
def test_transformers_gives_the_same_ids_of_any_text(
    letters_in_transformers, first, second
):
    if re.search("[\ud800-\udfff]", first + second):
        return  # refused there
    expected = letters_in_transformers([first], [second], verbose=False)
    tokens = make_tokenizer(max_length=3 + 2 * 25 * 101)([first], [second])
    assert tokens.ids.tolist() == expected["input_ids"]
    assert tokens.segment_ids.tolist() == expected["token_type_ids"]
    split = letters_in_transformers(
        [[first, second]], is_split_into_words=True, add_special_tokens=False
    )
    pieces = encode_one(letters, [first, second])
    assert pieces.ids.tolist() == split["input_ids"][0]
    assert pieces.word_ids.tolist() == split.word_ids(0)


@given(texts)
@example("\ud800x\ud800 y")
@example("a\u0300 the\x00riv\u200der")
def test_raw_text_has_every_word_once(text):
    pieces = encode_one(letters, text)
    steps = np.diff(pieces.word_ids, prepend=0)
    assert set(steps.tolist()) <= {0, 1}
    assert np.unique(pieces.word_ids).tolist() == list(range(len(pieces.words)))
    position = 0
    for word in pieces.words:
        assert word
        position = text.index(word, position) + len(word)


ACCENTED = [
    "The café and the résumé.",
    "Ἀθῆναι, ὦ ξένε",
    "Việt Nam ở Đông Á",
    "क़लम की ज़रूरत",
    "שָׁלוֹם עוֹלָם",
    "ガラス パン",
    "zero\u200d width\u200b joiners\u200d",
    "\u200bbefore \ufeffthe words",
    "a heart \u2764\ufe0f!",
    "中\u0301文\ufe00字",
]


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("text", ACCENTED)
def test_words_keep_the_marks_that_normalisation_drops(text, form, cased):
    tokenizer = WordPieceTokenizer.from_vocab(WORDS, cased=cased)
    text = unicodedata.normalize(form, text)
    words = encode_one(tokenizer, text).words
    assert "".join(words) == "".join(text.split())


@given(texts)
@example("e\u0301\u0301.\u0301 \u0301a")
def test_words_are_all_of_the_text_but_what_touches_no_word(text):
    words = encode_one(letters, text).words
    rest, between = text, []
    for word in words:
        before, rest = rest.split(word, 1)
        between.append(before)
    # What is in no word stands alone, with white space around it.
    for index, alone in enumerate([*between, rest]):
        assert not encode_one(letters, alone).words
        if alone and words:
            assert index == 0 or alone[0].isspace()
            assert index == len(words) or alone[-1].isspace()


@given(texts)
def test_pieces_rejoin_to_the_word(text):
    pieces = encode_one(letters, text)
    check_pieces_rejoin(pieces)


@given(st.lists(texts, max_size=6))
def test_words_of_a_list_are_tokenised_one_by_one(words):
    pieces = encode_one(letters, words)
    assert pieces.words == words
    assert (np.diff(pieces.word_ids) >= 0).all()
    alone = [letters.encode([word])[0] for word in words]
    for index, expected in enumerate(alone):
        mine = pieces.ids[pieces.word_ids == index]
        assert mine.tolist() == expected.ids.tolist()
        check_pieces_rejoin(expected)
    unread = {i for i, expected in enumerate(alone) if not len(expected.ids)}
    assert unread.isdisjoint(pieces.word_ids.tolist())


def check_pieces_rejoin(pieces: Pieces) -> None:
    for word, parts in zip(pieces.words, split_at_words(letters, pieces), strict=True):
        if parts == ["[UNK]"] or parts == [word] or parts[0] in SPECIALS:
            continue
        assert not any(part.startswith("##") for part in parts[:1])
        assert all(part.startswith("##") for part in parts[1:])
        joined = parts[0] + "".join(part.removeprefix("##") for part in parts[1:])
        visible = re.sub("[\ud800-\udfff]", "", word)
        assert joined == letters.backend.normalizer.normalize_str(visible).strip()


@given(st.lists(st.one_of(texts, st.lists(texts, max_size=3)), max_size=5))
def test_a_sentence_does_not_depend_on_its_block(sentences):
    together = letters.encode(sentences)
    for sentence, pieces in zip(sentences, together, strict=True):
        alone = encode_one(letters, sentence)
        np.testing.assert_array_equal(pieces.ids, alone.ids)
        np.testing.assert_array_equal(pieces.word_ids, alone.word_ids)
        assert pieces.words == alone.words


def test_words_without_a_piece_have_no_position():
    pieces = encode_one(letters, ["\x00", "bank", "", "\u200d", "river", " "])
    assert piece_texts(letters, pieces) == ["bank", "river"]
    assert pieces.word_ids.tolist() == [1, 4]


def test_nul_and_lone_surrogates_are_dropped():
    plain = encode_one(letters, "the bank")
    for text in ("th\x00e ba\ud800nk", "th\udfffe b\x00ank"):
        for sentence, words in ((text, text.split()), (text.split(), text.split())):
            pieces = encode_one(letters, sentence)
            assert pieces.ids.tolist() == plain.ids.tolist()
            assert pieces.words == words


def test_a_long_word_is_unknown():
    for length, expected in ((100, 100), (101, 1), (10_000, 1)):
        for sentence in ("x" * length, ["x" * length]):
            pieces = encode_one(letters, sentence)
            assert len(pieces.ids) == expected
            assert pieces.words == ["x" * length]
    longer = WordPieceTokenizer.from_vocab(WORDS, max_chars_per_word=200)
    assert [len(longer.encode(["x" * n])[0].ids) for n in (200, 201)] == [200, 1]


def test_a_line_of_100_000_characters():
    pieces = encode_one(letters, "the bank. " * 10_000)
    assert len(pieces.ids) == 30_000
    np.testing.assert_array_equal(pieces.word_ids, np.arange(30_000))
    assert pieces.words[-3:] == ["the", "bank", "."]


@pytest.mark.parametrize("sentence", ["", " \t\n\u3000", [], "\x00\u200d"])
def test_nothing_gives_an_empty_row(sentence):
    pieces = encode_one(letters, sentence)
    assert pieces.ids.dtype == pieces.word_ids.dtype == np.int32
    assert (len(pieces.ids), len(pieces.words)) == (0, 0)
    tokens = letters([sentence])
    assert tokens.ids.tolist() == [[letters.cls_id, letters.sep_id]]
    assert tokens.word_ids.tolist() == [[-1, -1]]


def test_no_sentence_gives_no_row():
    assert letters.encode([]) == []
    assert letters([]).ids.shape == (0, 0)


@pytest.mark.parametrize("role", ["sentences", "pairs"])
def test_a_bare_str_is_refused(role):
    arguments = {"sentences": ["the bank"], "pairs": ["the bank"], role: "the bank"}
    with pytest.raises(ValueError, match=r"pass a list of sentences, not one str"):
        letters(**arguments)


def test_rows_of_a_batch():
    tokens = letters(["the bank", ["sat", "\x00", "sailing"], ""], pad_to=9)
    cls_id, sep_id = letters.cls_id, letters.sep_id
    assert tokens.ids.shape == (3, 9)
    assert tokens.word_ids[0].tolist() == [-1, 0, 1, *[-1] * 6]
    # "sailing" is s ##a ##i ##l ##ing.
    assert tokens.word_ids[1].tolist() == [-1, 0, 2, 2, 2, 2, 2, -1, -1]
    assert tokens.mask.sum(1).tolist() == [4, 8, 2]
    np.testing.assert_array_equal(tokens.pooled, tokens.mask)
    assert (tokens.ids[:, 0] == cls_id).all()
    assert [tokens.ids[i, n - 1] for i, n in enumerate((4, 8, 2))] == [sep_id] * 3
    assert (tokens.ids[~tokens.mask] == letters.pad_id).all()
    assert not tokens.segment_ids.any()


def test_a_pair_counts_its_words_on():
    tokens = letters(["the sailing"], [["bank", "\x00", "sat"]])
    assert tokens.word_ids.tolist() == [[-1, 0, 1, 1, 1, 1, 1, -1, 2, 4, -1]]
    assert tokens.segment_ids.tolist() == [[0] * 8 + [1] * 3]
    assert tokens.pooled.all()


def test_long_rows():
    short = make_tokenizer(max_length=5)
    with pytest.raises(ValueError, match=r"sentence 1 has 6 tokens .* more than 5"):
        short(["the", "the bank is deep"])
    tokens = short(["the", "the bank is deep"], long="truncate")
    assert tokens.ids.shape == (2, 5)
    assert tokens.word_ids[1].tolist() == [-1, 0, 1, 2, -1]
    with pytest.raises(ValueError, match=r"sentence 0 has 6 tokens .* more than 5"):
        short(["the bank"], ["river"])
    for long in ("window", "errors"):
        with pytest.raises(ValueError, match=f"not '{long}'"):
            inspect.unwrap(WordPieceTokenizer.__call__)(letters, ["a"], long=long)


def test_a_pair_that_just_fits_is_not_too_long():
    for long in ("error", "truncate"):
        tokens = make_tokenizer(max_length=6)(["the bank"], ["river"], long=long)
        assert tokens.word_ids.tolist() == [[-1, 0, 1, -1, 2, -1]]


def test_rows_are_padded_to_the_length_that_is_asked_for():
    tokenizer = make_tokenizer(max_length=9)
    for pairs in (None, ["river"]):
        tokens = tokenizer(["the bank"], pairs, pad_to=9)
        assert tokens.ids.shape == tokens.mask.shape == (1, 9)
        assert tokens.mask.sum() == (4 if pairs is None else 6)


def test_a_pair_loses_the_end_of_its_longer_half():
    short = make_tokenizer(max_length=8)
    tokens = short(["the bank is"], ["we sat by the river"], long="truncate")
    text = [str(short.backend.id_to_token(i)) for i in tokens.ids[0].tolist()]
    assert " ".join(text) == "[CLS] the bank is [SEP] we sat [SEP]"
    assert tokens.word_ids.tolist() == [[-1, 0, 1, 2, -1, 3, 4, -1]]


def test_words_of_a_second_half_count_on_from_all_words_of_the_first():
    short = make_tokenizer(max_length=6)
    tokens = short(["the bank is deep water"], ["we sat"], long="truncate")
    text = [str(short.backend.id_to_token(i)) for i in tokens.ids[0].tolist()]
    assert " ".join(text) == "[CLS] the bank [SEP] we [SEP]"
    # The first sentence has five words, of which two are left.
    assert tokens.word_ids.tolist() == [[-1, 0, 1, -1, 5, -1]]


@given(st.integers(0, 40), st.integers(0, 40), st.data())
def test_pairs_are_shortened_as_published(first, second, data):
    excess = data.draw(st.integers(0, first + second))
    expected = [first, second]
    for _ in range(excess):
        expected[0 if expected[0] > expected[1] else 1] -= 1
    short = make_tokenizer(max_length=first + second + 3 - excess)
    tokens = short([["the"] * first], [["we"] * second], long="truncate")
    pieces = [short.backend.id_to_token(piece) for piece in tokens.ids[0].tolist()]
    assert [pieces.count("the"), pieces.count("we")] == expected


def test_error_messages_of_pairs():
    with pytest.raises(ValueError, match="2 sentences but 1 pairs"):
        letters(["a", "b"], ["c"])
    with pytest.raises(ValueError, match=r"sentence 0 has 5 tokens .* more than 4"):
        letters(["the bank is"], pad_to=4)


@pytest.mark.parametrize("max_length", [2, 0, -1])
def test_a_row_has_room_for_a_piece(max_length):
    with pytest.raises(ValueError, match=f"max_length {max_length}"):
        make_tokenizer(max_length)


def test_case_is_read_off_the_vocabulary(uncased):
    assert not uncased.cased
    assert not letters.cased
    marks = ["[UNUSED9]", "<S>", "<T>", "##<T>", "@USER", "{URL}", "_X_", "«Q»"]
    assert not WordPieceTokenizer.from_vocab([*WORDS, *marks]).cased
    cased = WordPieceTokenizer.from_vocab([*WORDS, "##T"])
    assert cased.cased
    assert piece_texts(cased, encode_one(cased, "the THE")) == ["the", "[UNK]"]
    assert WordPieceTokenizer.from_vocab(WORDS, cased=True).cased
    assert not WordPieceTokenizer.from_vocab([*WORDS, "T"], cased=False).cased


def test_googles_chinese_vocabulary_is_uncased(tmp_path, caplog):
    path = tmp_path / "vocab.txt"
    pieces = [*SPECIALS, "<S>", "<T>", *"我用和", "be", "##rt", "google", "c", "##afe"]
    path.write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    tokenizer = WordPieceTokenizer.from_vocab(path)
    pieces = encode_one(tokenizer, "我用BERT和Google")
    assert piece_texts(tokenizer, pieces) == ["我", "用", "be", "##rt", "和", "google"]
    (said,) = caplog.messages
    assert said.startswith(f"{path}: nothing says whether capitals are kept; no ordin")
    assert "taken for uncased" in said


def test_a_guess_of_case_is_said_with_its_reason_and_a_choice_is_not(tmp_path, caplog):
    path = tmp_path / "vocab.txt"
    pieces = [*SPECIALS, "a", "Bank", "<S>"]
    path.write_text("".join(f"{piece}\n" for piece in pieces), "utf-8")
    assert not WordPieceTokenizer.from_vocab(path, cased=False).cased
    assert not caplog.messages
    assert WordPieceTokenizer.from_vocab(path).cased
    assert "1 ordinary pieces hold some ('Bank'), so it is taken for cased" in (
        caplog.text
    )


@pytest.mark.parametrize("blank", [" ", "\t", "\u3000"])
def test_white_space_at_the_ends_of_lines_is_no_part_of_a_piece(
    tmp_path, caplog, blank
):
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{piece}{blank}\n" for piece in WORDS), "utf-8")
    tokenizer = WordPieceTokenizer.from_vocab(path, cased=False)
    assert tokenizer.backend.get_vocab() == letters.backend.get_vocab()
    (said,) = caplog.messages
    assert said.startswith(f"{path}: {len(WORDS)} of its {len(WORDS)} lines begin or")


def test_a_separator_of_unicode_may_be_a_line(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*WORDS, "\u2028", "river "]), "utf-8")
    tokenizer = WordPieceTokenizer.from_vocab(path, cased=False)
    assert tokenizer.vocab_size == len(WORDS) + 2
    assert tokenizer.backend.token_to_id("\u2028") == len(WORDS)


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_pieces_with_counts_are_refused(tmp_path, separator):
    path = tmp_path / "vocab.txt"
    ordinary = [f"{piece}{separator}7" for piece in WORDS if piece not in SPECIALS]
    path.write_text("\n".join([*SPECIALS, *ordinary]), "utf-8")
    with pytest.raises(ValueError, match=r"vocab\.txt holds words with counts \('a"):
        WordPieceTokenizer.from_vocab(path)


@pytest.mark.parametrize(
    ("cased", "strip_accents", "expected"),
    [
        (False, None, "elan"),
        (False, False, "élan"),
        (True, None, "Élan"),
        (True, True, "Elan"),
    ],
)
def test_accents(cased, strip_accents, expected):
    vocab = ["[UNK]", "[CLS]", "[SEP]", "elan", "élan", "Élan", "Elan"]
    tokenizer = WordPieceTokenizer.from_vocab(
        vocab, cased=cased, strip_accents=strip_accents
    )
    assert piece_texts(tokenizer, encode_one(tokenizer, "Élan")) == [expected]


def test_cjk_characters_are_words_if_wanted():
    for split_cjk, expected in ((True, ["中", "国"]), (False, ["中国"])):
        tokenizer = WordPieceTokenizer.from_vocab(WORDS, split_cjk=split_cjk)
        assert encode_one(tokenizer, "中国").words == expected


@pytest.mark.parametrize("piece", ["[CLS]", "[SEP]", "[UNK]"])
def test_a_missing_special_is_named(tmp_path, piece):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(w for w in WORDS if w != piece), "utf-8")
    with pytest.raises(ValueError, match=r"vocab\.txt: .* has no " + re.escape(piece)):
        WordPieceTokenizer.from_vocab(path)


def test_other_specials_may_be_missing():
    tokenizer = WordPieceTokenizer.from_vocab(["[UNK]", "[CLS]", "[SEP]", "a"])
    assert (tokenizer.mask_id, tokenizer.pad_id) == (None, 0)
    assert tokenizer(["a", "a a"]).ids.tolist() == [[1, 3, 2, 0], [1, 3, 3, 2]]


def test_padding_is_the_piece_wherever_it_stands():
    tokenizer = WordPieceTokenizer.from_vocab(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "a"])
    assert tokenizer.pad_id == 3
    assert tokenizer(["a", "a a"]).ids.tolist() == [[1, 4, 2, 3], [1, 4, 4, 2]]


@pytest.mark.parametrize(
    "text",
    [
        "\r\n".join(WORDS),
        "\ufeff" + "\n".join(WORDS) + "\n",
        "\n".join(WORDS) + "\n\n",
        "\r\n".join(WORDS) + "\r\n\r\n",
    ],
    ids=["CRLF", "BOM", "blank_end", "CRLF_blank_end"],
)
def test_line_ends_change_nothing(tmp_path, text):
    path = tmp_path / "vocab.txt"
    path.write_bytes(text.encode())
    for given_path in (path, str(path)):
        tokenizer = WordPieceTokenizer.from_vocab(given_path)
        assert tokenizer.backend.get_vocab() == letters.backend.get_vocab()
        assert tokenizer.vocab_size == len(WORDS)


def test_only_the_line_feed_ends_a_piece(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\n".join([*WORDS, "x\u2028y", "x\x85y", "x\ry"]).encode())
    tokenizer = WordPieceTokenizer.from_vocab(path)
    assert tokenizer.vocab_size == len(WORDS) + 3


def test_of_two_equal_lines_the_last_counts(tmp_path, caplog):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*WORDS[:5], "deep", *WORDS[5:], "the"]), "utf-8")
    with caplog.at_level(logging.WARNING):
        tokenizer = WordPieceTokenizer.from_vocab(path)
    assert "vocab.txt: 'deep' stands there twice" in caplog.text
    assert encode_one(tokenizer, "the deep").ids.tolist() == [
        len(WORDS) + 1,
        WORDS.index("deep") + 1,
    ]
    # The indices go beyond the number of distinct pieces.
    assert tokenizer.vocab_size == len(WORDS) + 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[UNK]\nna\xefve".encode("latin-1"), "is not UTF-8"),
        (b"", "has no"),
        (None, "No such file"),
    ],
)
def test_an_unreadable_vocabulary_is_named(tmp_path, content, message):
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"vocab\.txt.*{message}"):
        WordPieceTokenizer.from_vocab(path)


def test_words_of_raw_text_that_leave_no_piece_are_not_counted():
    vocab = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    pieces = encode_one(WordPieceTokenizer(backend), "zz ab zz a")
    assert (pieces.word_ids.tolist(), pieces.words) == ([0, 0, 1], ["ab", "a"])


@pytest.mark.parametrize("content", [None, "", "{", '{"version": "1.0"}', "[]"])
def test_a_damaged_tokenizer_json_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a tokenizer\.json: "):
        WordPieceTokenizer.from_file(path)


def test_a_tokenizer_json_without_specials_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.BPE()).save(str(path))
    with pytest.raises(ValueError, match=r"tokenizer\.json: .* has no \[CLS\]"):
        WordPieceTokenizer.from_file(path)


def test_truncation_and_padding_of_a_tokenizer_json_do_not_act(tmp_path):
    backend = make_tokenizer().backend
    backend.enable_truncation(4)
    backend.enable_padding(length=16)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = WordPieceTokenizer.from_file(tmp_path / "tokenizer.json", max_length=50)
    text = "the bank is deep. " * 5
    for sentence in (text, text.split(), "the"):
        pieces = encode_one(tokenizer, sentence)
        np.testing.assert_array_equal(pieces.ids, encode_one(letters, sentence).ids)
    assert tokenizer.max_length == 50


def test_a_normaliser_may_be_missing_or_composed():
    backend = make_tokenizer().backend
    for normalizer, cased in (
        (None, True),
        (tokenizers.normalizers.NFC(), True),
        (
            tokenizers.normalizers.Sequence(
                [tokenizers.normalizers.NFC(), tokenizers.normalizers.Lowercase()]
            ),
            False,
        ),
    ):
        backend.normalizer = normalizer
        assert WordPieceTokenizer(backend).cased is cased


SETTINGS = [
    {},
    {"cased": True},
    {"strip_accents": False},
    {"cased": True, "strip_accents": True},
    {"split_cjk": False},
    {"max_chars_per_word": 200},
]
MIXED = [
    "The River's  bank, naïve ÉLAN 中国 [MASK] ΟΔΟΣ",
    "a" * 150,
    "",
    ["River", "ran!", "\x00", "[SEP]"],
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_saved_tokenisers_give_the_same_ids(tmp_path, settings):
    vocab = [*WORDS, *"ÉéRT中国", "##国", "élan", "οδοσ"]
    tokenizer = WordPieceTokenizer.from_vocab(vocab, **{"cased": False, **settings})
    tokenizer.save(tmp_path)
    expected = tokenizer.encode(MIXED)
    for again in (
        WordPieceTokenizer.from_file(tmp_path / "tokenizer.json"),
        WordPieceTokenizer.from_vocab(
            tmp_path / "vocab.txt", **{"cased": False, **settings}
        ),
    ):
        assert again.vocab_size == tokenizer.vocab_size
        assert again.cased == tokenizer.cased
        for before, after in zip(expected, again.encode(MIXED), strict=True):
            assert before.ids.tolist() == after.ids.tolist()
            assert before.words == after.words


def test_a_saved_tokeniser_says_how_long_a_row_may_be(tmp_path):
    make_tokenizer(max_length=128).save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    assert settings["model_max_length"] == 128


@pytest.mark.parity
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_transformers_opens_what_is_saved(tmp_path, settings):
    transformers = pytest.importorskip("transformers")
    vocab = [*WORDS, *"ÉéRT中国", "##国", "élan", "οδοσ"]
    tokenizer = WordPieceTokenizer.from_vocab(
        vocab, **{"cased": False, "max_length": 256, **settings}
    )
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = [text for text in MIXED if isinstance(text, str)]
    for text in texts:
        ids = tokenizer([text]).ids[0].tolist()
        assert theirs(text)["input_ids"] == ids
        pair, their_pair = tokenizer([text], ["the"]), theirs([text], ["the"])
        assert their_pair["input_ids"] == pair.ids.tolist()
        assert their_pair["token_type_ids"] == pair.segment_ids.tolist()
        # Whoever reads tokenizer.json alone gets the specials too.
        backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        assert backend.encode(text).ids == ids
    assert theirs.model_max_length == 256
    assert (theirs.mask_token_id, theirs.pad_token_id) == (4, 0)


def test_saving_keeps_the_indices_of_a_vocabulary_with_a_duplicate(tmp_path):
    vocab = [*WORDS[:5], "deep", *WORDS[5:]]
    tokenizer = WordPieceTokenizer.from_vocab(vocab)
    tokenizer.save(tmp_path)
    for again in (
        WordPieceTokenizer.from_vocab(tmp_path / "vocab.txt"),
        WordPieceTokenizer.from_file(tmp_path / "tokenizer.json"),
    ):
        assert again.vocab_size == tokenizer.vocab_size == len(vocab)
        # One line further down than before, of "deep" the second.
        expected = [WORDS.index(word) + 1 for word in ("the", "deep", "river")]
        assert encode_one(again, "the deep river").ids.tolist() == expected


TALES = [
    f"{who} {did} the {what} of the {whose} river, and it was {how}."
    for who in ("Anna", "The banker", "He", "A sailor")
    for did in ("reached", "saw", "left", "deposited", "robbed")
    for what in ("banks", "mouth", "money", "source")
    for whose in ("deep", "old", "slow-moving")
    for how in ("cold", "evening", "wonderfully good")
]


def train(path: Path, **options) -> Path:
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TALES),
            model_writer=file,
            vocab_size=50,
            minloglevel=2,
            **options,
        )
    return path


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sentencepiece") / "tiny.model"
    return train(path, user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"], pad_id=3)


@pytest.fixture(scope="module")
def sentence_pieces(model_path) -> SentencePieceTokenizer:
    return SentencePieceTokenizer(model_path, max_length=64)


def test_sentencepiece_specials(sentence_pieces):
    model = sentence_pieces.model
    ids = (sentence_pieces.cls_id, sentence_pieces.sep_id, sentence_pieces.mask_id)
    assert model.id_to_piece(list(ids)) == ["[CLS]", "[SEP]", "[MASK]"]
    assert sentence_pieces.pad_id == 3
    assert sentence_pieces.vocab_size == model.get_piece_size() == 50


def test_sentencepiece_words_alone_make_the_sentence(sentence_pieces):
    texts = [*TALES[:50], "", " \n ", "  the [MASK]  river ", "unseen Ωmega zebra"]
    for text, pieces in zip(texts, sentence_pieces.encode(texts), strict=True):
        assert pieces.ids.tolist() == sentence_pieces.model.encode(text)
        assert pieces.words == text.split()
        assert np.unique(pieces.word_ids).tolist() == list(range(len(pieces.words)))
        split = encode_one(sentence_pieces, text.split())
        np.testing.assert_array_equal(split.ids, pieces.ids)
        np.testing.assert_array_equal(split.word_ids, pieces.word_ids)


@given(st.lists(st.one_of(texts, st.lists(texts, max_size=4)), max_size=4))
def test_sentencepiece_pieces_stand_at_their_words(sentence_pieces, sentences):
    for sentence, pieces in zip(
        sentences, sentence_pieces.encode(sentences), strict=True
    ):
        words = sentence.split() if isinstance(sentence, str) else sentence
        assert pieces.words == words
        assert (np.diff(pieces.word_ids) >= 0).all()
        for index, word in enumerate(words):
            mine = pieces.ids[pieces.word_ids == index].tolist()
            readable = re.sub("[\ud800-\udfff]", "\ufffd", word)
            assert mine == sentence_pieces.model.encode(readable)


def test_sentencepiece_rows(sentence_pieces):
    tokens = sentence_pieces(["the river", ["the", "", "banks"]], ["it was", "good"])
    assert (tokens.ids[:, 0] == sentence_pieces.cls_id).all()
    assert ((tokens.ids == sentence_pieces.sep_id).sum(1) == 2).all()
    assert (tokens.ids[~tokens.mask] == 3).all()
    assert set(tokens.word_ids[1].tolist()) == {-1, 0, 2, 3}


def test_sentencepiece_round_trip(sentence_pieces, tmp_path):
    sentence_pieces.save(tmp_path)
    again = SentencePieceTokenizer(tmp_path / "spiece.model")
    for before, after in zip(
        sentence_pieces.encode(TALES), again.encode(TALES), strict=True
    ):
        assert before.ids.tolist() == after.ids.tolist()
        assert before.words == after.words


def test_a_sentencepiece_model_needs_specials(tmp_path):
    with pytest.raises(ValueError, match=r"plain\.model: no \[CLS\] or no \[SEP\] "):
        SentencePieceTokenizer(train(tmp_path / "plain.model"))


def test_a_sentencepiece_model_without_pad_and_mask(tmp_path):
    path = train(tmp_path / "bare.model", user_defined_symbols=["[CLS]", "[SEP]"])
    tokenizer = SentencePieceTokenizer(path)
    assert (tokenizer.mask_id, tokenizer.pad_id) == (None, 0)


def test_what_is_no_sentencepiece_model_is_refused(tmp_path, model_path):
    whole = model_path.read_bytes()
    path = tmp_path / "some.model"
    for content in (None, b"", b"no model", whole[: len(whole) // 2]):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=r"some\.model"):
            SentencePieceTokenizer(path)
    with pytest.raises(ValueError, match="max_length 2"):
        SentencePieceTokenizer(model_path, max_length=2)


def test_a_sentencepiece_tokeniser_can_be_pickled(sentence_pieces):
    again = pickle.loads(pickle.dumps(sentence_pieces))
    assert repr(again) == repr(sentence_pieces)
    pairs = zip(again.encode(TALES), sentence_pieces.encode(TALES), strict=True)
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine.ids, theirs.ids)


def test_pieces_are_those_of_the_vocabulary(sentence_pieces):
    assert letters.pieces("The sailing, é") == [
        *("the", "s", "##a", "##i", "##l", "##ing", ",", "e")
    ]
    assert letters.pieces(["The", "[MASK]", "Ω"]) == ["the", "[MASK]", "[UNK]"]
    model = sentence_pieces.model
    assert sentence_pieces.pieces(TALES[0]) == model.encode(TALES[0], out_type=str)


def test_each_row_of_a_batch_has_its_pieces():
    tokens = letters(["the bank", ("a", "the ran"), ""], pad_to=9)
    assert letters.row_pieces(tokens) == [
        ["[CLS]", "the", "bank", "[SEP]"],
        ["[CLS]", "a", "[SEP]", "the", "ran", "[SEP]"],
        ["[CLS]", "[SEP]"],
    ]


def test_ids_are_read_as_text(sentence_pieces):
    text = "we sat by the [MASK], sailing."
    tokens = letters([text, "Ω bank"], pad_to=40)
    written = [text, "[UNK] bank"]
    assert letters.decode(tokens) == letters.decode(tokens.ids) == written
    assert letters.decode(tokens.ids[1].tolist()) == written[1]
    rows = [row[: 7 + number].tolist() for number, row in enumerate(tokens.ids)]
    assert letters.decode([[5], *rows])[2] == written[1]
    assert letters.decode(encode_one(letters, text).ids) == text
    assert letters.decode([]) == ""
    tales = sentence_pieces(TALES, max_length=99)
    assert sentence_pieces.decode(tales) == TALES
    assert sentence_pieces.decode(np.zeros(0, np.int32)) == ""


def test_any_text_of_the_library_is_read_as_it_reads_it(golden, uncased, library):
    for case in library["single"]:
        kept = [index for index in case["ids"] if index not in (101, 102)]
        expected = uncased.backend.decode(kept, skip_special_tokens=False)
        assert uncased.decode(case["ids"]) == expected


@pytest.mark.parametrize("index", [-1, len(WORDS), 10**9])
def test_an_id_of_no_piece_is_refused(index, sentence_pieces):
    size = len(WORDS)
    with pytest.raises(
        ValueError, match=f"has the id {index}: the vocabulary has {size}"
    ):
        letters.decode([0, index])
    with pytest.raises(ValueError, match="no piece has the id 50: the vocabulary has"):
        sentence_pieces.decode([50])


def test_a_vocabulary_without_padding_has_its_first_piece():
    pieces = ["bank", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = WordPieceTokenizer.from_vocab(pieces)
    assert tokenizer.pad_id == 0
    tokens = tokenizer(["bank bank", "bank"])
    assert tokenizer.decode(tokens) == ["bank bank", "bank"]
    assert tokenizer.decode(tokens.ids[0]) == "bank bank"


def test_a_tokeniser_says_what_it_is(sentence_pieces, uncased):
    assert repr(uncased) == (
        "bert_jax.WordPieceTokenizer(vocab_size=30522, cased=False, max_length=512)"
    )
    assert repr(sentence_pieces) == (
        "bert_jax.SentencePieceTokenizer(vocab_size=50, cased=True, max_length=64)"
    )


def test_a_sentencepiece_model_may_fold_case(tmp_path):
    path = train(
        tmp_path / "folded.model",
        user_defined_symbols=["[CLS]", "[SEP]"],
        normalization_rule_name="nmt_nfkc_cf",
    )
    assert not SentencePieceTokenizer(path).cased
