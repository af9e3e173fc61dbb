# SPDX-License-Identifier: Apache-2.0
"""A SentencePiece model as a tokenizer.json, which transformers opens.

Of a SentencePiece file in a BERT's directory transformers makes five pieces, and every
word is unknown; it reads a tokenizer.json in every version.
"""

from typing import Any

import tokenizers
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

_UNIGRAM, _NORMAL = 1, 1
_SPACE_MARK = "▁"

_SAMPLE = (
    "The quick brown fox jumped over the lazy dogs' 13 tails, didn't it?",
    "Café CAFÉ cafe\u0301 naïve Ångström ﬁnally Straße ΟΔΟΣ ½ ² \uff21\uff22\uff23",
    "北京は東京, 서울 Việt Nam ไทย हिन्दी עִבְרִית русский Ελληνικά",
    "hy-phen_under.dot/slash\\back@sign#hash$1,000.50%^&*(){}~`|+= ‽ 。、「」",
    "a\x07b c\u200bd e\u200df \ufeffg h\u00adi j\u3000k ❤\ufe0f 😀 \ue000",
    "▁ ▁a b▁c",
    *("ab" * length for length in (1, 30, 200)),
)
_HIGHEST = 0x3100


def as_tokenizer_json(
    serialized: bytes, *, cls_id: int, sep_id: int
) -> tuple[tokenizers.Tokenizer, str]:
    """Convert a model, and compare the pieces of a sample of text.

    Args:
      serialized: the content of the file.
      cls_id: the piece that opens a row.
      sep_id: the piece that closes a row.

    Returns:
      The tokeniser, and the first text of which it makes other pieces, or "".

    Raises:
      ValueError: a model of a kind that is not converted (only unigram ones are).
    """
    # Its classes are made when it is imported, so a checker of types sees none.
    parse: Any = vars(sentencepiece_model_pb2)["ModelProto"].FromString
    proto = parse(serialized)
    if proto.trainer_spec.model_type != _UNIGRAM:
        raise ValueError("its kind is not unigram")
    backend = tokenizers.Tokenizer(
        tokenizers.models.Unigram(
            [(piece.piece, piece.score) for piece in proto.pieces],
            unk_id=proto.trainer_spec.unk_id,
            byte_fallback=proto.trainer_spec.byte_fallback,
        )
    )
    charsmap = proto.normalizer_spec.precompiled_charsmap
    if charsmap:
        backend.normalizer = tokenizers.normalizers.Precompiled(charsmap)
    # Words are encoded one by one, as they are here.
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.WhitespaceSplit(),
            tokenizers.pre_tokenizers.Metaspace(
                replacement=_SPACE_MARK, prepend_scheme="always"
            ),
        ]
    )
    backend.decoder = tokenizers.decoders.Metaspace(
        replacement=_SPACE_MARK, prepend_scheme="always"
    )
    backend.add_special_tokens(
        [piece.piece for piece in proto.pieces if piece.type != _NORMAL]
    )
    pieces = [piece.piece for piece in proto.pieces]
    backend.post_processor = tokenizers.processors.BertProcessing(
        (pieces[sep_id], sep_id), (pieces[cls_id], cls_id)
    )
    return backend, _first_difference(backend, serialized)


def _first_difference(backend: tokenizers.Tokenizer, serialized: bytes) -> str:
    reference = SentencePieceProcessor(model_proto=serialized)
    # Five controls end a word for Python and are letters to the library.
    codes = [c for c in map(chr, range(32, _HIGHEST)) if c != "\x85"]
    sample = [*_SAMPLE, *(f"a{c}b {c}" for c in codes)]
    encoded = backend.encode_batch_fast(sample, add_special_tokens=False)
    for text, encoding in zip(sample, encoded, strict=True):
        expected = [i for word in text.split() for i in reference.encode(word)]
        if encoding.ids != expected:
            return text
    return ""
