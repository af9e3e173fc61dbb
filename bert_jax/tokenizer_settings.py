# SPDX-License-Identifier: Apache-2.0
"""The settings of a tokeniser that lie beside its vocabulary.

Read as transformers reads them. A setting that would change ids and is not read is
refused by name; docs/decisions/tokenisation.md lists all of them, with reasons.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from embed_jax.files.json_file import read_json

CONFIG, SPECIAL_TOKENS, ADDED_TOKENS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
FILES = (CONFIG, SPECIAL_TOKENS, ADDED_TOKENS)

# In transformers these are one class, or differ in nothing that changes ids.
WORDPIECE_CLASSES = {
    "BertTokenizer",
    "ConvBertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "RetriBertTokenizer",
    "SqueezeBertTokenizer",
}
# What reads tokenizer.json as it is.
JSON_CLASSES = {"PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"}
# What these do to a text before its pieces, by the settings at which it is nothing.
SENTENCEPIECE_CLASSES: dict[str, dict[str, tuple[Any, Any]]] = {
    # Setting: what it must be, and what it is if it is not written.
    "DebertaV2Tokenizer": {
        "do_lower_case": (False, False),
        "split_by_punct": (False, False),
    },
}

ROLES = ("cls_token", "sep_token", "unk_token", "pad_token", "mask_token")
# In the order of transformers, which numbers new pieces by it.
_NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_LISTS = ("extra_special_tokens", "additional_special_tokens")

# Settings that change ids and that are not read; the values that change nothing.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "word_tokenizer_type": (None,),
    "subword_tokenizer_type": (None,),
    "mecab_kwargs": (None,),
    "sudachi_kwargs": (None,),
    "jumanpp_kwargs": (None,),
    "do_word_tokenize": (None,),
    "do_subword_tokenize": (None,),
    "do_basic_tokenize": (None, True),
    "clean_text": (None, True),
    "wordpieces_prefix": (None, "##"),
    "split_special_tokens": (None, False),
    "normalization": (None, False),
}


@dataclasses.dataclass(frozen=True)
class AddedPiece:
    """A piece that is found in raw text before anything else is done.

    Attributes:
      token: with its flags.
      index: that it is said to have; None if nothing says it.
    """

    token: tokenizers.AddedToken
    index: int | None


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """What the files beside a vocabulary say.

    Attributes:
      source: the file that is named in messages.
      kind: the class in transformers, without "Fast"; None if nothing says it.
      values: the content of tokenizer_config.json.
      specials: pieces by role, such as `{"cls_token": "[CLS]"}`; those that are named.
      added: pieces that are added to the vocabulary, in their order.
    """

    source: str
    kind: str | None
    values: Mapping[str, Any]
    specials: Mapping[str, str]
    added: tuple[AddedPiece, ...]

    @property
    def is_wordpiece(self) -> bool:
        """Whether the class is BERT's, in which the settings of case count."""
        return self.kind is None or self.kind in WORDPIECE_CLASSES


def read_settings(path: Path) -> TokenizerSettings:
    """Read the settings of a directory; there may be none.

    Raises:
      ValueError: a file that is no JSON object, a setting of another type, or one that
        changes ids and is not read; names the file and the setting.
    """
    source = path / CONFIG
    values = read_json(source) if source.exists() else {}
    kind, named_in = values.get("tokenizer_class"), source
    if kind is None and (path / "config.json").exists():
        named_in = path / "config.json"
        kind = read_json(named_in).get("tokenizer_class")
    _refuse_others(values, kind, source, named_in)
    given = dict(values)
    decoder = given.get("added_tokens_decoder")
    # As in transformers, this one holds all, and the other files are not looked at.
    if decoder is None and (path / SPECIAL_TOKENS).exists():
        given |= read_json(path / SPECIAL_TOKENS)
    named = {
        key: _token(value, f"{source}: {key}", special=True)
        for key, value in given.items()
        if key.endswith("_token") and isinstance(value, str | dict)
    }
    extra = _extra_tokens(given, source)
    declared = _declared(decoder, path, source, [*named.values(), *extra])
    ordered = [named[key] for key in _NAMED if key in named]
    ordered += [token for key, token in named.items() if key not in _NAMED]
    undeclared = [AddedPiece(token, None) for token in [*ordered, *extra]]
    return TokenizerSettings(
        source=str(source),
        kind=kind if kind in JSON_CLASSES else kind and kind.removesuffix("Fast"),
        values=values,
        specials={key: named[key].content for key in ROLES if key in named},
        added=(*declared, *undeclared),
    )


def _refuse_others(
    values: Mapping[str, Any], kind: Any, source: Path, named_in: Path
) -> None:
    if values.get("auto_map"):
        raise ValueError(
            f"{source}: auto_map names a tokeniser of its own code, which is not run"
        )
    if kind is not None:
        if not isinstance(kind, str):
            raise ValueError(f"{named_in}: tokenizer_class is {kind!r}, not a name")
        plain = kind.removesuffix("Fast")
        known = WORDPIECE_CLASSES | JSON_CLASSES | SENTENCEPIECE_CLASSES.keys()
        if plain not in known and kind not in known:
            raise ValueError(f"{named_in}: {_unknown_class(kind, values)}")
    for key, harmless in _REFUSED.items():
        if values.get(key) not in harmless:
            raise ValueError(
                f"{source}: {key} is {values[key]!r}, which gives other pieces and is "
                "not read here; of WordPiece, only BERT's own way is"
            )
    specials = {str(value) for value in values.values() if isinstance(value, str)}
    for word in values.get("never_split") or ():
        if word not in specials:
            raise ValueError(
                f"{source}: never_split holds {word!r}, which gives other pieces and "
                "is not read here; name it in added_tokens.json if it is one piece"
            )


def _unknown_class(kind: str, values: Mapping[str, Any]) -> str:
    if "Japanese" in kind:
        analyser = values.get("word_tokenizer_type", "mecab")
        name = {"mecab": "MeCab", "sudachi": "Sudachi", "jumanpp": "Juman++"}
        return (
            f"tokenizer_class is {kind}, which splits words with "
            f"{name.get(analyser, analyser)}; that is not read here: split the words "
            "and their pieces with transformers, and pass their ids to embed"
        )
    return (
        f"tokenizer_class is {kind}, and it is not known here what that does to a "
        "text; if tokenizer.json says all of it, write PreTrainedTokenizerFast there"
    )


def _extra_tokens(
    given: Mapping[str, Any], source: Path
) -> list[tokenizers.AddedToken]:
    for key in _LISTS:
        listed = given.get(key)
        if isinstance(listed, dict):
            listed = list(listed.values())
        if listed:
            if not isinstance(listed, list):
                raise ValueError(f"{source}: {key} is {listed!r}, not a list of pieces")
            return [_token(each, f"{source}: {key}", special=True) for each in listed]
    return []


def _declared(
    decoder: Any, path: Path, source: Path, specials: list[tokenizers.AddedToken]
) -> list[AddedPiece]:
    """Return the added pieces whose index is said, by index."""
    found: list[AddedPiece] = []
    if decoder is not None:
        if not isinstance(decoder, dict) or not all(map(str.isdecimal, decoder)):
            raise ValueError(f"{source}: added_tokens_decoder maps no index to a piece")
        for index, value in decoder.items():
            where = f"{source}: added_tokens_decoder[{index}]"
            found.append(AddedPiece(_token(value, where), int(index)))
    elif (path / ADDED_TOKENS).exists():
        names = {token.content for token in specials}
        for piece, index in read_json(path / ADDED_TOKENS).items():
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise ValueError(
                    f"{path / ADDED_TOKENS}: {piece!r} has the index {index!r}, which "
                    "is none"
                )
            is_special = piece in names
            token = tokenizers.AddedToken(
                piece, special=is_special, normalized=not is_special
            )
            found.append(AddedPiece(token, index))
    return sorted(found, key=lambda piece: piece.index or 0)


def _token(
    value: Any, where: str, *, special: bool | None = None
) -> tokenizers.AddedToken:
    """Convert a piece as JSON has it: its text, or an object with its flags."""
    if isinstance(value, str):
        return tokenizers.AddedToken(value, special=True, normalized=False)
    flags = {key: each for key, each in dict(value or {}).items() if key != "__type"}
    if special is not None:
        flags["special"] = special
    content = flags.pop("content", None)
    known = {"lstrip", "rstrip", "normalized", "single_word", "special"}
    are_flags = all(
        key in known and isinstance(flag, bool) for key, flag in flags.items()
    )
    if not isinstance(content, str) or not content or not are_flags:
        raise ValueError(f"{where} is {value!r}, which is no piece")
    return tokenizers.AddedToken(content, **flags)
