# SPDX-License-Identifier: Apache-2.0
"""Settings beside a vocabulary: the ids of transformers, or a refusal by name."""

import json
from pathlib import Path

import pytest
import tokenizers

from bert_jax.tokenizer import Tokenizer, WordPieceTokenizer
from bert_jax.tokenizer_files import read_tokenizer_files
from bert_jax.tokenizer_settings import read_settings
from tests.bert_jax.words import WORDS

NEW = ["##国", "<s>", "</s>", "<unk>", "élan", "[E0]", "caf", "Bank"]
VOCAB = [*WORDS, *"ABÉé中国", *NEW]
TEXT = (
    "The Bank's cafe, Élan élan 中国 [E0] [E1]a <x> <y> [MASK] <mask> <s> [e1] </s> "
    "[UNK] q [CLS] B [x1] Abank"
)
MARK = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
DECODER = {
    str(len(VOCAB)): {"content": "[E1]", **MARK, "special": True},
    str(len(VOCAB) + 1): {"content": "[x1]", **MARK, "normalized": True},
    "4": {"content": "[MASK]", **MARK, "lstrip": True, "special": True},
}
NAMES = {"cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}
ADDED = {"[E1]": len(VOCAB), "<X>": len(VOCAB) + 1}


def directory(path: Path, *, form: str, files: dict[str, object]) -> Path:
    """Write a model's directory without weights: a vocabulary, and the given files."""
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "bert"}')
    (path / "vocab.txt").write_text("".join(f"{p}\n" for p in VOCAB), "utf-8")
    if form != "vocab.txt":
        tokenizer = WordPieceTokenizer.from_vocab(VOCAB, cased=form == "cased json")
        tokenizer.save(path)
        (path / "tokenizer_config.json").unlink()
        backend = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        # As transformers' own files have it.
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        backend.save(str(path / "tokenizer.json"))
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return path


def opened(path: Path) -> Tokenizer:
    return read_tokenizer_files(path)[0]


CASES: dict[str, dict[str, object]] = {
    "cased": {"tokenizer_config": {"do_lower_case": False}},
    "uncased": {"tokenizer_config": {"do_lower_case": True}},
    "accents stay": {
        "tokenizer_config": {"do_lower_case": True, "strip_accents": False}
    },
    "accents go": {"tokenizer_config": {"do_lower_case": False, "strip_accents": True}},
    "CJK stays": {
        "tokenizer_config": {"do_lower_case": True, "tokenize_chinese_chars": False}
    },
    "as by default": {
        "tokenizer_config": {"do_lower_case": True, "strip_accents": None}
    },
    "fast": {
        "tokenizer_config": {
            "tokenizer_class": "BertTokenizerFast",
            "do_lower_case": False,
        }
    },
    "distilled": {
        "tokenizer_config": {
            "tokenizer_class": "DistilBertTokenizer",
            "do_lower_case": False,
        }
    },
    "added_tokens": {
        "tokenizer_config": {"do_lower_case": True},
        "added_tokens": ADDED,
    },
    "added_tokens, cased": {
        "tokenizer_config": {"do_lower_case": False},
        "added_tokens": ADDED,
    },
    "added and special": {
        "tokenizer_config": {
            "do_lower_case": True,
            "additional_special_tokens": ["[E1]", "<y>"],
        },
        "added_tokens": ADDED,
    },
    "additional": {
        "tokenizer_config": {
            "do_lower_case": True,
            "additional_special_tokens": ["[E0]", "<x>", "[E1]"],
        }
    },
    "extra": {
        "tokenizer_config": {"do_lower_case": True, "extra_special_tokens": ["<x>"]}
    },
    "named extra": {
        "tokenizer_config": {
            "do_lower_case": True,
            "extra_special_tokens": {"image_token": "<x>"},
        }
    },
    "additional in the map": {
        "tokenizer_config": {"do_lower_case": True},
        "special_tokens_map": {"additional_special_tokens": ["<x>", "[E1]"]},
    },
    "mask in the map": {
        "tokenizer_config": {"do_lower_case": True},
        "special_tokens_map": {
            "mask_token": {"content": "[MASK]", **MARK, "lstrip": True}
        },
    },
    "decoder": {
        "tokenizer_config": {"do_lower_case": True, "added_tokens_decoder": DECODER}
    },
    "decoder, cased": {
        "tokenizer_config": {"do_lower_case": False, "added_tokens_decoder": DECODER}
    },
    "decoder and the rest": {
        "tokenizer_config": {
            "do_lower_case": True,
            "added_tokens_decoder": DECODER,
            "additional_special_tokens": ["[E0]", "<y>"],
        },
        # Not looked at, since the decoder is there.
        "special_tokens_map": {"additional_special_tokens": ["<x>"]},
        "added_tokens": {"<x>": 500},
    },
    "model-specific": {
        "tokenizer_config": {"do_lower_case": True, "image_token": "<x>"}
    },
    "never split what is special": {
        "tokenizer_config": {
            "do_lower_case": True,
            "mask_token": "[MASK]",
            "never_split": ["[MASK]"],
        }
    },
}
OTHER_NAMES: dict[str, dict[str, object]] = {
    "names": {"tokenizer_config": {"do_lower_case": True, **NAMES}},
    "names in the map": {
        "tokenizer_config": {"do_lower_case": True},
        "special_tokens_map": NAMES,
    },
    "names as objects": {
        "tokenizer_config": {
            "do_lower_case": True,
            **{
                key: {"__type": "AddedToken", "content": piece, **MARK}
                for key, piece in NAMES.items()
            },
        }
    },
}


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((name, form) for name in CASES for form in ("vocab.txt", "cased json")),
        # A tokenizer.json has its own names of what frames a text; see below.
        *((name, "vocab.txt") for name in OTHER_NAMES),
    ],
)
def test_transformers_reads_the_same(tmp_path, name, form):
    transformers = pytest.importorskip("transformers")
    path = directory(tmp_path / "m", form=form, files={**CASES, **OTHER_NAMES}[name])
    theirs = transformers.AutoTokenizer.from_pretrained(path)
    ours = opened(path)
    for text in (TEXT, TEXT.lower(), "[MASK]", "a [E1]", ""):
        expected = theirs(text)["input_ids"]
        assert ours([text]).ids[0].tolist() == expected
        pair = theirs([text], ["a"], return_token_type_ids=True)
        tokens = ours([text], ["a"])
        assert tokens.ids.tolist() == pair["input_ids"]
        assert tokens.segment_ids.tolist() == pair["token_type_ids"]
    roles = ("cls_id", "sep_id", "pad_id", "mask_id")
    assert [getattr(ours, role) for role in roles] == [
        theirs.cls_token_id,
        theirs.sep_token_id,
        theirs.pad_token_id,
        theirs.mask_token_id,
    ]
    assert ours.vocab_size == len(theirs)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["decoder", "added_tokens", "accents stay", "names"])
def test_what_was_read_with_settings_is_saved_with_them(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    files = {**CASES, **OTHER_NAMES}[name]
    ours = opened(directory(tmp_path / "m", form="vocab.txt", files=files))
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    (tmp_path / "saved/config.json").write_text('{"model_type": "bert"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    again = opened(tmp_path / "saved")
    expected = ours([TEXT]).ids[0].tolist()
    assert again([TEXT]).ids[0].tolist() == expected
    assert theirs(TEXT)["input_ids"] == expected
    assert again.specials == ours.specials


def test_a_tokenizer_json_alone_counts_and_another_reading_is_said(tmp_path, caplog):
    path = directory(tmp_path / "m", form="cased json", files={})
    assert opened(path).encode(["Bank"])[0].words == ["Bank"]
    (said,) = caplog.messages
    assert "gives other ids than transformers' BertTokenizer" in said
    caplog.clear()
    path = directory(tmp_path / "n", form="uncased json", files={})
    opened(path)
    assert not caplog.messages


def test_a_tokenizer_json_for_the_general_class_is_read_as_it_is(tmp_path, caplog):
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}
    files: dict[str, object] = {"tokenizer_config": settings}
    tokenizer = opened(directory(tmp_path / "m", form="cased json", files=files))
    assert isinstance(tokenizer, WordPieceTokenizer)
    assert tokenizer.cased
    assert not caplog.messages


REFUSED: list[tuple[dict[str, object], str]] = [
    (
        {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"},
        "tokenizer_class is BertJapaneseTokenizer, which splits words with MeCab",
    ),
    ({"tokenizer_class": "BertJapaneseTokenizer"}, "splits words with MeCab"),
    ({"tokenizer_class": "RobertaTokenizerFast"}, "is RobertaTokenizerFast, and it is"),
    ({"tokenizer_class": 7}, "tokenizer_class is 7, not a name"),
    ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type is 'mecab', which gives"),
    ({"subword_tokenizer_type": "character"}, "subword_tokenizer_type is 'character'"),
    ({"do_basic_tokenize": False}, "do_basic_tokenize is False, which gives other"),
    ({"never_split": ["New York"]}, "never_split holds 'New York', which gives other"),
    ({"split_special_tokens": True}, "split_special_tokens is True, which gives"),
    ({"auto_map": {"AutoTokenizer": ["a.B", None]}}, "auto_map names a tokeniser of"),
    ({"do_lower_case": "no"}, "do_lower_case is 'no', not true or false"),
    ({"strip_accents": 1}, "strip_accents is 1, not true or false"),
    (
        {"added_tokens_decoder": {"200": {"content": "[E1]"}}},
        "'[E1]' is said to have the index 200, but in ",
    ),
    ({"added_tokens_decoder": ["[E1]"]}, "added_tokens_decoder maps no index"),
    ({"added_tokens_decoder": {"5": {}}}, "added_tokens_decoder[5] is {}, which is no"),
    ({"added_tokens_decoder": {"5": {"content": "a", "b": 1}}}, "which is no piece"),
    ({"cls_token": "<cls>"}, "no <cls>; add it"),
    ({"additional_special_tokens": "[E1]"}, "additional_special_tokens is '[E1]', not"),
]


@pytest.mark.parametrize("form", ["vocab.txt", "uncased json"])
@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_what_changes_ids_and_is_not_read_is_refused(tmp_path, settings, message, form):
    path = directory(tmp_path / "m", form=form, files={"tokenizer_config": settings})
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared below)
        opened(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_class_may_stand_in_the_models_own_configuration(tmp_path):
    path = directory(tmp_path / "m", form="vocab.txt", files={})
    text = '{"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}'
    (path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json: .* splits words with MeCab"):
        opened(path)


def test_added_pieces_with_an_index_that_is_none(tmp_path):
    files: dict[str, object] = {"added_tokens": {"[E1]": "7"}}
    path = directory(tmp_path / "m", form="vocab.txt", files=files)
    with pytest.raises(ValueError, match=r"added_tokens\.json: '\[E1\]' has the index"):
        read_settings(path)


def test_a_frame_of_other_pieces_is_refused(tmp_path):
    path = directory(tmp_path / "m", form="uncased json", files={})
    backend = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    backend.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", VOCAB.index("</s>")), ("<s>", VOCAB.index("<s>"))
    )
    backend.save(str(path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"post_processor makes <s> </s> </s> </s> of"):
        opened(path)


def test_a_tokenizer_json_without_a_frame_is_said(tmp_path, caplog):
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    files: dict[str, object] = {"tokenizer_config": settings}
    path = directory(tmp_path / "m", form="uncased json", files=files)
    content = json.loads((path / "tokenizer.json").read_text("utf-8"))
    content["post_processor"] = None
    (path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    opened(path)
    assert "no post_processor that puts special pieces around a text" in caplog.text
