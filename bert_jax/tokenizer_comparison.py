# SPDX-License-Identifier: Apache-2.0
"""Whether another reader of the same files makes the same ids.

transformers' BertTokenizer builds itself anew from the vocabulary and a few settings,
whatever tokenizer.json says of normalisation and splitting. It is built here in the
same way, with the library that it uses, and compared on a sample of text.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import tokenizers

# What its files cannot change.
MAX_CHARS_PER_WORD = 100

_TEXTS = (
    "The quick brown fox jumped over the lazy dogs' 13 tails, didn't it?",
    "Café CAFÉ cafe\u0301 naïve Ångström ﬁnally Straße İstanbul ΟΔΟΣ Ǆ ½ ²",
    "\uff21\uff22\uff23 \uff46\uff55\uff4c\uff4c\u3000\uff57 ㍿ Å Ⅷ ① ﷺ",
    "北京は東京, 서울 Việt Nam ไทย हिन्दी עִבְרִית العَرَبِيَّة русский Ελληνικά",
    "a\x00b\x07c\x85d\u200be\u200df\ufeffg\ufffdh\u00adi\u2028j\u3000k\x1cl",
    "hy-phen_under.dot/slash\\back@sign#hash$1,000.50%^&*()[]{}<>~`|+=",
    "don''t ``quote'' \u201ccurly\u201d \u2018single\u2019 — \u2013 … ‽ 。、「」",
    "😀 👩\u200d👩\u200d👧 ❤\ufe0f 🏴 \ue000 \U0002a6d6 \U00010348",
    "  leading, double  and trailing   \t\n tab ",
    *("x" * length for length in (99, 100, 101, 199, 200, 201)),
    *("É" * length for length in (100, 101)),
)
_HIGHEST, _LINE = 0x3100, 128


def rebuilt_wordpiece(
    vocab: dict[str, int],
    *,
    unknown: str,
    lower_case: bool,
    strip_accents: bool | None,
    split_cjk: bool,
    added: Iterable[tokenizers.AddedToken],
) -> tokenizers.Tokenizer:
    """Build what transformers' BertTokenizer builds from these.

    Args:
      vocab: the index of each piece, without those that were added.
      unknown: the piece of what cannot be cut.
      lower_case: its setting do_lower_case.
      strip_accents: its setting of that name; None follows `lower_case`.
      split_cjk: its setting tokenize_chinese_chars.
      added: pieces that are found in raw text, by index.
    """
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(
            vocab, unk_token=unknown, max_input_chars_per_word=MAX_CHARS_PER_WORD
        )
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=lower_case,
        strip_accents=strip_accents,
        handle_chinese_chars=split_cjk,
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    backend.add_tokens(list(added))
    return backend


def first_difference(one: tokenizers.Tokenizer, other: tokenizers.Tokenizer) -> str:
    """Return the first text of the sample of which two make other ids, or "".

    The sample has many scripts, accents, control characters, long words, every
    character of the first three thousand codes, and each piece of either that is
    found in raw text.
    """
    added = {
        token.content
        for backend in (one, other)
        for token in backend.get_added_tokens_decoder().values()
    }
    sample = [*_sample(), *(_around(piece) for piece in sorted(added))]
    for start in range(0, len(sample), _LINE):
        block = sample[start : start + _LINE]
        for text, mine, theirs in zip(
            block, _ids(one, block), _ids(other, block), strict=True
        ):
            if mine != theirs:
                return text
    return ""


@cache
def _sample() -> tuple[str, ...]:
    return (*_TEXTS, *_characters())


def _characters() -> Iterator[str]:
    """Yield lines that hold each character once between letters, and once alone."""
    codes = range(1, _HIGHEST)
    for start in range(0, len(codes), _LINE):
        line = map(chr, codes[start : start + _LINE])
        yield " ".join(f"a{character}b {character}" for character in line)


def _around(piece: str) -> str:
    """Return a text in which a piece stands alone, within a word, and in capitals."""
    return f"a {piece} b{piece}c {piece.upper()} {piece.lower()}."


def _ids(backend: tokenizers.Tokenizer, texts: list[str]) -> list[list[int]]:
    encoded = backend.encode_batch_fast(texts, add_special_tokens=False)
    return [each.ids for each in encoded]
