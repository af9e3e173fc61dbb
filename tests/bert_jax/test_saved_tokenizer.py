# SPDX-License-Identifier: Apache-2.0
"""What is saved is compared: transformers makes the same ids of it, or it is said."""

import json
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from sentencepiece import SentencePieceTrainer
from tokenizers import normalizers, pre_tokenizers

from bert_jax.text_reader import Reader
from bert_jax.tokenizer import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from bert_jax.tokenizer_comparison import first_difference
from bert_jax.tokenizer_files import read_tokenizer_files
from tests.bert_jax.words import WORDS, make_tokenizer
from train.families.bert.pieces import train_sentencepiece

TEXT = (
    "The River's caf\u00e9, \uff21\uff22\uff23 the-bank ran\u200d down 中国 "
    "[MASK] [E1]!"
)
PARAGRAPHS = [
    "The river bank is deep, and the money of the bank ran down by the water.",
    "We sat by the river and watched the bank; cafés are closed.",
    "Deep water ran down the river: 13 banks, 27 rivers.",
]


def saved(path: Path, tokenizer: Tokenizer) -> Path:
    path.mkdir()
    tokenizer.save(path)
    (path / "config.json").write_text('{"model_type": "bert"}')
    return path


def settings_of(path: Path) -> dict:
    return json.loads((path / "tokenizer_config.json").read_text("utf-8"))


def changed(**parts) -> WordPieceTokenizer:
    """Return the tests' tokeniser with other parts of the library."""
    backend = make_tokenizer().backend
    for name, part in parts.items():
        setattr(backend, name, part)
    return WordPieceTokenizer(backend)


def with_marks() -> WordPieceTokenizer:
    backend = make_tokenizer().backend
    backend.add_tokens([tokenizers.AddedToken("[E1]", normalized=True, lstrip=True)])
    return WordPieceTokenizer(backend)


LOWER = normalizers.Lowercase()
TOKENISERS = {
    "plain": (make_tokenizer, "BertTokenizer"),
    "added": (with_marks, "BertTokenizer"),
    "NFKC": (
        lambda: changed(normalizer=normalizers.Sequence([normalizers.NFKC(), LOWER])),
        "PreTrainedTokenizerFast",
    ),
    "no normaliser": (lambda: changed(normalizer=None), "PreTrainedTokenizerFast"),
    "words by white space": (
        lambda: changed(pre_tokenizer=pre_tokenizers.WhitespaceSplit()),
        "PreTrainedTokenizerFast",
    ),
    "longer words": (
        lambda: WordPieceTokenizer.from_vocab(WORDS, max_chars_per_word=101),
        "PreTrainedTokenizerFast",
    ),
    "dirt": (
        lambda: changed(
            normalizer=normalizers.BertNormalizer(clean_text=False, lowercase=True)
        ),
        "PreTrainedTokenizerFast",
    ),
}


@pytest.mark.parametrize("name", TOKENISERS)
def test_the_class_that_is_named_makes_the_same_ids(tmp_path, name):
    make, kind = TOKENISERS[name]
    ours = make()
    path = saved(tmp_path / "m", ours)
    assert settings_of(path)["tokenizer_class"] == kind
    again, _ = read_tokenizer_files(path)
    texts = [TEXT, TEXT.lower(), "x" * 101, ""]
    expected = [pieces.ids.tolist() for pieces in ours.encode(texts)]
    assert [pieces.ids.tolist() for pieces in again.encode(texts)] == expected


@pytest.mark.parity
@pytest.mark.parametrize("name", TOKENISERS)
def test_transformers_makes_the_same_ids_of_what_is_saved(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    ours = TOKENISERS[name][0]()
    theirs = transformers.AutoTokenizer.from_pretrained(saved(tmp_path / "m", ours))
    for text in (TEXT, TEXT.lower(), "x" * 101, ""):
        assert theirs(text)["input_ids"] == ours([text]).ids[0].tolist()
        pair = theirs([text], ["a"], return_token_type_ids=True)
        assert pair["input_ids"] == ours([text], ["a"]).ids.tolist()


def test_a_difference_is_found_in_the_sample():
    one, other = make_tokenizer().backend, make_tokenizer().backend
    assert first_difference(one, other) == ""
    other.add_special_tokens(["[E1]"])
    assert "[E1]" in first_difference(one, other)


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory) -> SentencePieceTokenizer:
    path = tmp_path_factory.mktemp("pieces") / "spiece.model"
    return train_sentencepiece(PARAGRAPHS * 3, 120, cased=True, path=path)


def test_a_sentencepiece_model_comes_back_as_it_was(tmp_path, sentencepiece):
    path = saved(tmp_path / "m", sentencepiece)
    assert {"spiece.model", "tokenizer.json"} <= {file.name for file in path.iterdir()}
    again, source = read_tokenizer_files(path)
    assert isinstance(again, SentencePieceTokenizer)
    assert source.name == "spiece.model"
    # An exported model reads the same file.
    words = TEXT.split()
    specials = {name: getattr(again, name) for name in ("cls_id", "sep_id", "pad_id")}
    reader = Reader(
        path,
        {**specials, "max_length": 512},
        shape_for=lambda rows, _: (1, len(rows[0])),
    )
    inputs, (places,) = reader([words], 0)
    pieces = [sentencepiece.encode([[word]])[0].ids.tolist() for word in words]
    starts = np.cumsum([1, *map(len, pieces[:-1])])
    assert inputs["ids"][0, 1:-1].tolist() == [*chain(*pieces)]
    assert places.tolist() == starts.tolist()


@pytest.mark.parity
def test_transformers_opens_a_saved_sentencepiece_model(tmp_path, sentencepiece):
    transformers = pytest.importorskip("transformers")
    path = saved(tmp_path / "m", sentencepiece)
    theirs = transformers.AutoTokenizer.from_pretrained(path)
    for text in (*PARAGRAPHS, "unaffable é中", "", "  a  b "):
        assert theirs(text)["input_ids"] == sentencepiece([text]).ids[0].tolist()
    tokens = sentencepiece(["the bank"], ["by the river"])
    pair = theirs(["the bank"], ["by the river"], return_token_type_ids=True)
    assert pair["input_ids"] == tokens.ids.tolist()
    assert pair["token_type_ids"] == tokens.segment_ids.tolist()
    roles = ("cls_id", "sep_id", "pad_id", "mask_id", "unk_id")
    assert [getattr(sentencepiece, role) for role in roles] == [
        getattr(theirs, role.replace("id", "token_id")) for role in roles
    ]


def test_a_sentencepiece_model_that_has_no_such_form_is_said(tmp_path, caplog):
    corpus = tmp_path / "text.txt"
    corpus.write_text("\n".join(PARAGRAPHS * 3), "utf-8")
    SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(tmp_path / "bpe"),
        model_type="bpe",
        vocab_size=60,
        user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"],
        minloglevel=2,
    )
    path = saved(tmp_path / "m", SentencePieceTokenizer(tmp_path / "bpe.model"))
    assert {file.name for file in path.iterdir()} == {"spiece.model", "config.json"}
    (said,) = caplog.messages
    assert "without a tokenizer.json that equals it (its kind is not unigram)" in said
    assert isinstance(read_tokenizer_files(path)[0], SentencePieceTokenizer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"tokenizer_class": "AlbertTokenizer"},
            "is AlbertTokenizer, and it is not",
        ),
        (
            {"tokenizer_class": "BertTokenizer"},
            "is BertTokenizer, which is not that",
        ),
        (
            {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": True},
            "do_lower_case is True of DebertaV2Tokenizer, which changes the text",
        ),
    ],
)
def test_settings_that_change_a_text_before_sentencepiece_are_refused(
    tmp_path, sentencepiece, settings, message
):
    path = saved(tmp_path / "m", sentencepiece)
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: ") as caught:
        read_tokenizer_files(path)
    assert message in str(caught.value)


def test_of_several_sentencepiece_models_none_is_guessed(tmp_path, sentencepiece):
    path = saved(tmp_path / "m", sentencepiece)
    shutil.copy(path / "spiece.model", path / "other.model")
    with pytest.raises(ValueError, match=r"other\.model, spiece\.model, and nothing"):
        read_tokenizer_files(path)
