# SPDX-License-Identifier: Apache-2.0
"""Tokenisers: text to word pieces, with the word of each piece.

WordPiece is that of Hugging Face's `tokenizers` library; SentencePiece models are read
by the `sentencepiece` library. docs/decisions/tokenisation.md lists the differences
from the original Google code.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tokenizers
from jaxtyping import Int

from bert_jax.pairs import hold_pairs, split_pairs
from bert_jax.rows import Row, collate, cut_row
from bert_jax.sentencepiece_json import as_tokenizer_json
from bert_jax.text_reader import without_surrogates, words_of_pieces
from bert_jax.tokenizer_comparison import (
    MAX_CHARS_PER_WORD,
    first_difference,
    rebuilt_wordpiece,
)
from bert_jax.tokens import BertTokens
from bert_jax.vocabulary_file import guess_cased, read_pieces
from embed_jax.corpus.row_length import OfLong, PadTo, RowLength
from embed_jax.corpus.sentences import Sentence, check_sentences
from embed_jax.files.json_file import json_text

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIALS_BY_ROLE = {f"{piece[1:-1].lower()}_token": piece for piece in SPECIALS}
FROM_JSON = "PreTrainedTokenizerFast"
SENTENCEPIECE = "sentencepiece"
# With room for one piece between the specials.
SHORTEST_ROW = 3
WITH_SPECIALS = "tokens with specials"


@dataclasses.dataclass(frozen=True, slots=True)
class Pieces:
    """One sentence as word pieces, without specials.

    Attributes:
      ids: the pieces, int32.
      word_ids: for each piece the index of its word, ascending, int32.
      words: the words. Raw text is split at white space and punctuation; each
        punctuation mark and each CJK character is one word.
    """

    ids: Int[np.ndarray, " T"]
    word_ids: Int[np.ndarray, " T"]
    words: list[str]


class Tokenizer:
    """Base class of both tokenisers: rows, batches and special pieces.

    It can be pickled, so that other processes may tokenise.

    Attributes:
      max_length: longest row in tokens, specials included.
      vocab_size: pieces in the vocabulary.
      cls_id, sep_id, pad_id: special pieces.
      unk_id: the piece of what the vocabulary lacks.
      mask_id: the mask piece of masked language modelling, or None.
      cased: whether case is kept.
    """

    max_length: int
    vocab_size: int
    cls_id: int
    sep_id: int
    pad_id: int
    unk_id: int
    mask_id: int | None
    _around: set[int | None]

    @property
    def cased(self) -> bool:
        """Whether case is kept."""
        raise NotImplementedError

    def __repr__(self) -> str:
        kind = type(self)
        return (
            f"{kind.__module__.partition('.')[0]}.{kind.__name__}("
            f"vocab_size={self.vocab_size}, cased={self.cased}, "
            f"max_length={self.max_length})"
        )

    def encode(self, sentences: Iterable[Sentence]) -> list[Pieces]:
        """Split sentences into pieces. No length limit, no specials.

        Raises:
          ValueError: one that is no text, named by its index.
        """
        raise NotImplementedError

    def save(self, directory: Path) -> None:
        """Write the files that `load` reads back."""
        raise NotImplementedError

    def state(self) -> Any:
        """Return all that pieces and rows depend on, as a JSON value."""
        raise NotImplementedError

    def __call__(
        self,
        sentences: Iterable[Sentence | tuple[Sentence, Sentence]],
        pairs: Iterable[Sentence] | None = None,
        *,
        max_length: int | None = None,
        long: OfLong = "error",
        pad_to: PadTo = None,
    ) -> BertTokens:
        """Turn sentences into one batch of padded rows.

        Args:
          sentences: each a str, or a list of words; or a pair of texts, a tuple of two
            of these, as in `[CLS] a [SEP] b [SEP]`. Words are tokenised one by one.
          pairs: for each sentence the second of its pair, in place of tuples.
          max_length: longest row in tokens, specials included; by default the
            tokeniser's.
          long: whether a row over `max_length` or `pad_to` is an error or is truncated;
            of a pair the longer half is cut. `embed_words` can split long input
            instead.
          pad_to: length of all rows, for the same shape whatever the texts; "bucket"
            for one of few lengths, the power of two above the longest; by default that
            of the longest.

        Returns:
          NumPy tokens `[sentences, T]`. In a pair `word_ids` continue in the second
          sentence.

        Raises:
          ValueError: a single str instead of a list, a sentence that is no text, a
            tuple that is no pair, different numbers of pairs and sentences, or a row
            that is too long.
        """
        longest = self.max_length if max_length is None else max_length
        length = RowLength.asked(longest, long, pad_to, least=SHORTEST_ROW)
        firsts, seconds = self._halves(sentences, pairs)
        rows = [
            self._row(index, first, length)
            if second is None
            else self._pair_row(index, first, second, length)
            for index, (first, second) in enumerate(zip(firsts, seconds, strict=True))
        ]
        padded = length.padded(max(map(len, rows), default=0))
        return collate(rows, self.pad_id, length=padded)

    def pieces(self, sentence: Sentence) -> list[str]:
        """Return the pieces of a sentence as text, without specials.

        Raises:
          ValueError: what is no text.
        """
        (encoded,) = self.encode([sentence])
        return [self.piece(index) for index in encoded.ids.tolist()]

    def row_pieces(self, tokens: BertTokens) -> list[list[str]]:
        """Return the pieces of each row of a batch, specials too, padding not.

        Piece `t` of row `b` is what `embed` gives the vector `[b, t]` of.
        """
        ids, mask = np.asarray(tokens.ids), np.asarray(tokens.mask)
        return [
            [self.piece(index) for index in row[real].tolist()]
            for row, real in zip(ids, mask, strict=True)
        ]

    def decode(self, ids: Any) -> str | list[str]:
        """Return the text of ids, without the specials that stand around a text.

        It is the text as the model reads it: an uncased one keeps no capitals, and of a
        word that the vocabulary lacks nothing is left but the piece for it.

        Args:
          ids: `[T]`; or `[B T]`, a list of rows of any lengths, or a batch of tokens,
            for a text each.

        Raises:
          ValueError: an id that the vocabulary lacks.
        """
        if isinstance(ids, BertTokens):
            rows = zip(np.asarray(ids.ids), np.asarray(ids.mask), strict=True)
            return [self._text_of(row[real].tolist()) for row, real in rows]
        rows = ids if isinstance(ids, list) else np.asarray(ids)
        if np.ndim(rows[:1]) == 2:
            return [self._text_of(np.asarray(row).tolist()) for row in rows]
        return self._text_of(np.asarray(rows).tolist())

    def _text_of(self, ids: list[int]) -> str:
        kept = [index for index in ids if index not in self._around]
        return self._join([self.piece(index) for index in kept])

    def piece(self, index: int) -> str:
        """Return the piece of an id.

        Raises:
          ValueError: the vocabulary lacks it.
        """
        piece = self._find_piece(index) if 0 <= index < self.vocab_size else None
        if piece is None:
            raise ValueError(
                f"no piece has the id {index}: the vocabulary has {self.vocab_size}"
            )
        return piece

    def _find_piece(self, index: int) -> str | None:
        """Return the piece of an id in range; None where it is unused."""
        raise NotImplementedError

    def _join(self, pieces: list[str]) -> str:
        """Return the text of pieces."""
        raise NotImplementedError

    def _halves(
        self, sentences: Any, pairs: Any
    ) -> tuple[Sequence[Pieces], Sequence[Pieces | None]]:
        """Return the pieces of each sentence, and of its second text if it has one."""
        sentences = list(sentences) if isinstance(sentences, Iterator) else sentences
        if pairs is not None:
            firsts, seconds = self.encode(sentences), self.encode(pairs)
            if len(firsts) != len(seconds):
                raise ValueError(f"{len(firsts)} sentences but {len(seconds)} pairs")
            return firsts, seconds
        if not hold_pairs(sentences):
            firsts = self.encode(sentences)
            return firsts, [None] * len(firsts)
        texts, others = split_pairs(sentences)
        encoded = iter(self.encode([text for text in others if text is not None]))
        return self.encode(texts), [
            None if text is None else next(encoded) for text in others
        ]

    def _row(self, index: int, pieces: Pieces, length: RowLength) -> Row:
        room = length.cut(index, len(pieces.ids) + 2, WITH_SPECIALS) - 2
        return cut_row(
            pieces.ids[:room], pieces.word_ids[:room], self.cls_id, self.sep_id
        )

    def _pair_row(
        self, index: int, first: Pieces, second: Pieces, length: RowLength
    ) -> Row:
        num_first, num_second = len(first.ids), len(second.ids)
        whole = num_first + num_second + 3
        excess = whole - length.cut(index, whole, WITH_SPECIALS)
        if excess > 0:
            num_first, num_second = _shorten_pair(num_first, num_second, excess)
        row = cut_row(
            first.ids[:num_first], first.word_ids[:num_first], self.cls_id, self.sep_id
        )
        tail = second.ids[:num_second]
        word_ids = second.word_ids[:num_second] + len(first.words)
        return Row(
            ids=np.concatenate([row.ids, tail, [self.sep_id]]).astype(np.int32),
            word_ids=np.concatenate([row.word_ids, word_ids, [-1]]).astype(np.int32),
            pooled=np.ones(len(row.ids) + len(tail) + 1, bool),
            num_first_segment=len(row.ids),
        )


class WordPieceTokenizer(Tokenizer):
    """BERT's WordPiece tokeniser, cased or uncased."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        max_length: int = 512,
        source: str = "",
        specials: Mapping[str, str] | None = None,
    ) -> None:
        """Wrap a tokeniser of the `tokenizers` library.

        Args:
          backend: used unchanged, except that truncation and padding are switched off.
          max_length: longest row in tokens.
          source: the file it came from, for messages.
          specials: names of special pieces by role, such as `{"cls_token": "<s>"}`, for
            those that are not BERT's.

        Raises:
          ValueError: the vocabulary lacks a special piece that BERT needs.
        """
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.max_length = _check_max_length(max_length)
        # Not the number of pieces: one that stands there twice leaves an index unused.
        self.vocab_size = max(backend.get_vocab().values(), default=-1) + 1
        self.specials = SPECIALS_BY_ROLE | dict(specials or {})
        self.cls_id, self.sep_id, self.unk_id = (
            _find_special(backend, self.specials[role], source or "this tokeniser")
            for role in ("cls_token", "sep_token", "unk_token")
        )
        self.mask_id = backend.token_to_id(self.specials["mask_token"])
        # Padding is masked, so a vocabulary without the piece may fill with any other.
        pad_id = backend.token_to_id(self.specials["pad_token"])
        self.pad_id = pad_id or 0
        self._around = {self.cls_id, self.sep_id, pad_id}

    @classmethod
    def from_vocab(
        cls,
        vocab: Path | str | Sequence[str],
        *,
        cased: bool | None = None,
        max_length: int = 512,
        max_chars_per_word: int = MAX_CHARS_PER_WORD,
        strip_accents: bool | None = None,
        split_cjk: bool = True,
        specials: Mapping[str, str] | None = None,
        added: Sequence[tokenizers.AddedToken] = (),
    ) -> "WordPieceTokenizer":
        """Build the tokeniser from a vocabulary.

        Args:
          vocab: path of a `vocab.txt`, one piece a line, or the pieces themselves.
          cased: whether case is kept; by default inferred from the vocabulary, which
            is cased if any of its ordinary pieces has a capital. What is inferred for
            a file is logged.
          max_length: longest row in tokens.
          max_chars_per_word: longer words become [UNK]. 100 in Hugging Face's code and
            in Google's first release, 200 in Google's code since.
          strip_accents: by default only if text is lower-cased.
          split_cjk: whether each CJK character is a word.
          specials: names of special pieces by role, for those that are not BERT's.
          added: pieces that are found in raw text, in the order of their indices; new
            ones follow those of the vocabulary.

        Raises:
          ValueError: an unreadable file, a missing special piece.
        """
        in_file = isinstance(vocab, Path | str)
        source = str(vocab) if in_file else ""
        pieces = read_pieces(Path(vocab), SPECIALS) if in_file else list(vocab)
        index = {piece: line for line, piece in enumerate(pieces)}
        if len(index) < len(pieces):
            twice = next(p for line, p in enumerate(pieces) if index[p] != line)
            logging.getLogger(__name__).warning(
                "%s: %r stands there twice; the last line counts, as published",
                source or "vocabulary",
                twice,
            )
        if cased is None:
            cased = guess_cased(pieces, source)
        named = SPECIALS_BY_ROLE | dict(specials or {})
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(
                index,
                unk_token=named["unk_token"],
                max_input_chars_per_word=max_chars_per_word,
            )
        )
        backend.normalizer = tokenizers.normalizers.BertNormalizer(
            lowercase=not cased,
            strip_accents=strip_accents,
            handle_chinese_chars=split_cjk,
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        backend.decoder = tokenizers.decoders.WordPiece()
        backend.add_tokens(list(added))
        backend.add_special_tokens([p for p in named.values() if p in index])
        return cls(backend, max_length=max_length, source=source, specials=specials)

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        max_length: int = 512,
        specials: Mapping[str, str] | None = None,
    ) -> "WordPieceTokenizer":
        """Read a `tokenizer.json`; the settings that may lie beside it are not read.

        Args:
          path: the file.
          max_length: longest row in tokens.
          specials: names of special pieces by role, for those that are not BERT's.

        Raises:
          ValueError: a file that the library cannot read, or a tokeniser without
            BERT's special pieces.
        """
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{path} is not a tokenizer.json: {error}") from error
        return cls(backend, max_length=max_length, source=str(path), specials=specials)

    @property
    def cased(self) -> bool:
        """Whether case is kept."""
        normalizer = self.backend.normalizer
        return normalizer is None or "A" in normalizer.normalize_str("A")

    def encode(self, sentences: Iterable[Sentence]) -> list[Pieces]:
        """Split sentences into pieces. No length limit, no specials.

        NULs and control characters are dropped, as published, and so are lone
        surrogates, which UTF-8 cannot represent.
        """
        sentences = check_sentences(sentences)
        texts = [s for s in sentences if isinstance(s, str)]
        lists = [list(s) for s in sentences if not isinstance(s, str)]
        from_text = iter(self._encode_batch(texts, pretokenized=False))
        from_lists = iter(self._encode_batch(lists, pretokenized=True))
        return [
            _text_pieces(s, next(from_text))
            if isinstance(s, str)
            else _list_pieces(list(s), next(from_lists))
            for s in sentences
        ]

    def _find_piece(self, index: int) -> str | None:
        return self.backend.id_to_token(index)

    def _join(self, pieces: list[str]) -> str:
        decoder = self.backend.decoder or tokenizers.decoders.WordPiece()
        return decoder.decode(pieces)

    def _encode_batch(
        self, batch: list, *, pretokenized: bool
    ) -> list[tokenizers.Encoding]:
        def run(batch: list) -> list[tokenizers.Encoding]:
            return self.backend.encode_batch(
                batch, is_pretokenized=pretokenized, add_special_tokens=False
            )

        try:
            return run(batch)
        except TypeError:  # what the library raises for a surrogate
            if pretokenized:
                return run([[without_surrogates(w) for w in words] for words in batch])
            return run([without_surrogates(text) for text in batch])

    def save(self, directory: Path) -> None:
        """Write tokenizer.json, vocab.txt and tokenizer_config.json.

        The class that is named there is one under which transformers makes the same
        ids, by a sample of text.
        """
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        if backend.post_processor is None:
            # Of no use here; whoever opens the file expects it there.
            backend.post_processor = tokenizers.processors.BertProcessing(
                (self.specials["sep_token"], self.sep_id),
                (self.specials["cls_token"], self.cls_id),
            )
        backend.save(str(directory / "tokenizer.json"))
        by_id = {index: piece for piece, index in self.backend.get_vocab().items()}
        lines = (by_id.get(i, f"[unused_{i}]") for i in range(self.vocab_size))
        _write_text(directory / "vocab.txt", "".join(f"{line}\n" for line in lines))
        added = self.backend.get_added_tokens_decoder()
        settings = {
            "tokenizer_class": self._class_in_transformers(),
            **self._settings_of_case(),
            "model_max_length": self.max_length,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **self.specials,
            "added_tokens_decoder": {
                str(index): _flags(token) for index, token in sorted(added.items())
            },
        }
        text = json_text(settings, indent=2) + "\n"
        _write_text(directory / "tokenizer_config.json", text)

    def state(self) -> Any:
        """Return the backend's settings and pieces, and those of rows."""
        settings = json.loads(self.backend.to_str())
        # Rows are made here: these change none.
        unused = ("version", "truncation", "padding", "post_processor", "decoder")
        kept = {name: settings[name] for name in settings if name not in unused}
        return [kept, self.max_length, self.specials]

    def _class_in_transformers(self) -> str:
        """Return the name of the class in transformers that gives the same pieces."""
        if not isinstance(self.backend.model, tokenizers.models.WordPiece):
            return FROM_JSON
        settings = self._settings_of_case()
        rebuilt = rebuilt_wordpiece(
            self.backend.get_vocab(with_added_tokens=False),
            unknown=self.specials["unk_token"],
            lower_case=settings["do_lower_case"],
            strip_accents=settings["strip_accents"],
            split_cjk=settings["tokenize_chinese_chars"],
            added=[
                token
                for _, token in sorted(self.backend.get_added_tokens_decoder().items())
            ],
        )
        return FROM_JSON if first_difference(self.backend, rebuilt) else "BertTokenizer"

    def _settings_of_case(self) -> dict[str, Any]:
        normalizer = self.backend.normalizer
        return {
            "do_lower_case": not self.cased,
            "strip_accents": getattr(normalizer, "strip_accents", None),
            "tokenize_chinese_chars": getattr(normalizer, "handle_chinese_chars", True),
        }


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece tokeniser, for encoders trained with one.

    Raw text is split into words at white space. Each word is encoded separately, which
    is SentencePiece's default: no piece crosses white space.
    """

    def __init__(self, path: Path, *, max_length: int = 512) -> None:
        """Read a model.

        Raises:
          ValueError: not a SentencePiece model, or one without [CLS] and [SEP].
        """
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        self._serialized = path.read_bytes()
        if not self._serialized:
            raise ValueError(f"{path} is empty")
        try:
            self.model = sentencepiece.SentencePieceProcessor(
                model_proto=self._serialized
            )
        except RuntimeError as error:
            raise ValueError(f"{path} is not a SentencePiece model") from error
        self.max_length = _check_max_length(max_length)
        self.vocab_size = self.model.get_piece_size()
        ids = {}
        for piece in SPECIALS:
            index = self.model.piece_to_id(piece)
            ids[piece] = None if self.model.id_to_piece(index) != piece else index
        if ids["[CLS]"] is None or ids["[SEP]"] is None:
            raise ValueError(
                f"{path}: no [CLS] or no [SEP] piece; train the model with "
                "user_defined_symbols=[CLS],[SEP],[MASK]"
            )
        self.cls_id, self.sep_id, self.mask_id = (
            ids["[CLS]"],
            ids["[SEP]"],
            ids["[MASK]"],
        )
        pad = ids["[PAD]"] if ids["[PAD]"] is not None else self.model.pad_id()
        self.pad_id = max(pad, 0)
        self.unk_id = self.model.unk_id()
        self._around = {self.cls_id, self.sep_id, pad}

    @property
    def cased(self) -> bool:
        """Whether case is kept."""
        return "A" in self.model.normalize("A")

    def _find_piece(self, index: int) -> str | None:
        return self.model.id_to_piece(index)

    def _join(self, pieces: list[str]) -> str:
        return self.model.decode(pieces)

    def encode(self, sentences: Iterable[Sentence]) -> list[Pieces]:
        """Split sentences into pieces. No length limit, no specials."""
        split = [_split_words(sentence) for sentence in check_sentences(sentences)]
        # Words recur: each is encoded once a call, which is several times faster.
        distinct = list(dict.fromkeys(chain.from_iterable(split)))
        encoded = self.model.encode(
            [without_surrogates(word) for word in distinct], num_threads=1
        )
        ids_of = dict(zip(distinct, encoded, strict=True))
        return [_join_words(words, [ids_of[word] for word in words]) for words in split]

    def state(self) -> Any:
        """Return a digest of the model's file, and the length of rows."""
        return [hashlib.sha256(self._serialized).hexdigest(), self.max_length]

    def save(self, directory: Path) -> None:
        """Write spiece.model, and for transformers tokenizer.json with its settings.

        Where the two make other pieces of a sample of text, or the model is of a kind
        that has no such form, only spiece.model is written and a warning says so.
        """
        (directory / "spiece.model").write_bytes(self._serialized)
        try:
            backend, difference = as_tokenizer_json(
                self._serialized, cls_id=self.cls_id, sep_id=self.sep_id
            )
            reason = f"it makes other pieces of {difference!r}" if difference else ""
        except ValueError as error:
            backend, reason = None, str(error)
        if backend is None or reason:
            logging.getLogger(__name__).warning(
                "%s is written without a tokenizer.json that equals it (%s), so "
                "transformers cannot read the pieces of this model; convert texts to "
                "ids here",
                directory / "spiece.model",
                reason,
            )
            return
        backend.save(str(directory / "tokenizer.json"))
        roles = {
            "cls_token": self.cls_id,
            "sep_token": self.sep_id,
            "mask_token": self.mask_id,
            "pad_token": self.pad_id,
            "unk_token": self.unk_id,
        }
        settings = {
            "tokenizer_class": FROM_JSON,
            # Read here before tokenizer.json, which is made from it.
            SENTENCEPIECE: "spiece.model",
            "model_max_length": self.max_length,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **{
                role: self.model.id_to_piece(index)
                for role, index in roles.items()
                if index is not None
            },
        }
        text = json_text(settings, indent=2) + "\n"
        _write_text(directory / "tokenizer_config.json", text)


def _flags(token: tokenizers.AddedToken) -> dict[str, Any]:
    names = ("content", "lstrip", "rstrip", "normalized", "single_word", "special")
    return {name: getattr(token, name) for name in names}


def _find_special(backend: tokenizers.Tokenizer, piece: str, source: str) -> int:
    index = backend.token_to_id(piece)
    if index is None:
        raise ValueError(
            f"{source}: the vocabulary has no {piece}; add it, on a line of its own, "
            "at the index that the model was trained with"
        )
    return index


def _check_max_length(max_length: int) -> int:
    if max_length < SHORTEST_ROW:
        raise ValueError(f"max_length {max_length} leaves no room for a piece")
    return max_length


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _text_pieces(text: str, encoding: tokenizers.Encoding) -> Pieces:
    word_ids, words = words_of_pieces(text, encoding.word_ids, encoding.offsets)
    return Pieces(np.array(encoding.ids, np.int32), np.array(word_ids, np.int32), words)


def _list_pieces(words: list[str], encoding: tokenizers.Encoding) -> Pieces:
    ids = np.array(encoding.ids, np.int32)
    return Pieces(ids, np.array(encoding.word_ids, np.int32), words)


def _join_words(words: list[str], encoded: list[list[int]]) -> Pieces:
    lengths = [len(ids) for ids in encoded]
    return Pieces(
        np.array(list(chain.from_iterable(encoded)), np.int32),
        np.repeat(np.arange(len(words), dtype=np.int32), lengths),
        words,
    )


def _split_words(sentence: Sentence) -> list[str]:
    return sentence.split() if isinstance(sentence, str) else list(sentence)


def _shorten_pair(first: int, second: int, excess: int) -> tuple[int, int]:
    """Return the lengths of a pair after truncation of the longer half, as published.

    Of halves of equal length the second is cut.
    """
    room = first + second - excess
    kept = min(first, max(room - second, (room + 1) // 2))
    return kept, room - kept
