# SPDX-License-Identifier: Apache-2.0
"""Stores of word pieces, and the training of their tokeniser."""

import collections
import copy
import dataclasses
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece
import tokenizers
from jaxtyping import Bool

from bert_jax.tokenizer import (
    SPECIALS,
    Pieces,
    SentencePieceTokenizer,
    Tokenizer,
    WordPieceTokenizer,
)
from bert_jax.tokenizer_files import read_tokenizer_files
from embed_jax.files.directory import written_whole
from train.data.prepared import check_beside
from train.data.store import (
    REMEDY,
    TokenStore,
    open_array,
    open_arrays,
    written_store,
)

TOKENIZER, CONTINUES = "tokenizer", "continues.npy"
TOKENIZER_FILES = frozenset(
    ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")
)

_WORD_MARK = "▁"
# Texts that SentencePiece draws from a large corpus; it keeps them all in memory.
_MOST_TEXTS = 2_000_000
# In bytes; SentencePiece passes over longer texts.
_LONGEST_TEXT = 1 << 20
# The sums of a training are rounded in an order that this decides.
_NUM_THREADS = 4
_SEED = 0
# Share of the letters of a text that are pieces; the default loses even colons.
_COVERAGE = 0.99999
# Tokens that are looked at in one go.
_CHUNK = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class PieceStore(TokenStore):
    """Sentences of word pieces, without specials.

    Attributes:
      continues: for each piece of the vocabulary, whether it continues a word.
      tokenizer: the tokeniser of the pieces.
      mask_id: id of `[MASK]`.
    """

    continues: Bool[np.ndarray, " V"]
    tokenizer: Tokenizer
    mask_id: int

    @classmethod
    def open(cls, path: Path) -> "PieceStore":
        """Open a store (memory-mapped) and the tokeniser beside it.

        Raises:
          ValueError: no store, one of another kind, or a damaged one.
        """
        arrays = open_arrays(path)
        continues = open_array(path / CONTINUES, (np.bool_,))
        check_beside(path.parent, TOKENIZER)
        tokenizer = read_tokenizer(path.parent / TOKENIZER)
        if len(continues) != tokenizer.vocab_size:
            raise ValueError(
                f"{path / CONTINUES} is of {len(continues)} pieces, but "
                f"{path.parent / TOKENIZER} has {tokenizer.vocab_size}; {REMEDY}"
            )
        mask_id = tokenizer.mask_id
        assert mask_id is not None  # read_tokenizer saw to it
        store = cls(path, *arrays, continues, tokenizer, mask_id)
        store.check()
        store.check_ids(tokenizer.vocab_size, f"{path.parent / TOKENIZER}")
        return store

    @property
    def cls_id(self) -> int:
        """Id of `[CLS]`, which begins a row."""
        return self.tokenizer.cls_id

    @property
    def sep_id(self) -> int:
        """Id of `[SEP]`, which ends each passage."""
        return self.tokenizer.sep_id

    @property
    def pad_id(self) -> int:
        """Id of the padding piece."""
        return self.tokenizer.pad_id


def read_tokenizer(path: Path) -> Tokenizer:
    """Read the tokeniser of a directory, or a SentencePiece model.

    Raises:
      ValueError: there is none, it cannot be read, or it lacks a special piece.
    """
    if path.suffix == ".model" and not path.is_dir():
        tokenizer: Tokenizer = SentencePieceTokenizer(path)
    elif path.is_dir():
        tokenizer, _ = read_tokenizer_files(path)
    else:
        raise ValueError(
            f"{path}: neither a directory with a tokeniser nor a .model file"
        )
    if tokenizer.mask_id is None:
        raise ValueError(
            f"{path}: no [MASK] piece, which masked language modelling needs; train "
            "the tokeniser with it, or have one trained here"
        )
    return tokenizer


def text_encoder(
    tokenizer: Tokenizer,
) -> Callable[[Sequence[str]], list[np.ndarray]]:
    """Return what encodes training text, in which no special piece stands.

    `[SEP]` and its kin are split like other words, as in Google's program, where an
    encoder that serves reads them as the special pieces, as transformers does.

    Args:
      tokenizer: of the pieces; it is left as it is.

    Returns:
      A function of sentences to the pieces of each, int32.

    Example:
      >>> tokenizer = WordPieceTokenizer.from_vocab([*SPECIALS, *"ab[]", "sep"])
      >>> text_encoder(tokenizer)(["a [SEP]"])[0].tolist()
      [5, 7, 9, 8]
      >>> tokenizer.encode(["a [SEP]"])[0].ids.tolist()
      [5, 3]
    """
    if isinstance(tokenizer, WordPieceTokenizer):
        backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
        backend.encode_special_tokens = True
        reader = copy.copy(tokenizer)
        reader.backend = backend
        return lambda sentences: [each.ids for each in reader.encode(sentences)]
    # Of a SentencePiece model those alone are found in text that its user defined.
    encoded = zip(SPECIALS, tokenizer.encode(SPECIALS), strict=True)
    found = [piece for piece, each in encoded if _is_special(tokenizer, each)]

    def encode(sentences: Sequence[str]) -> list[np.ndarray]:
        for piece in found:
            apart = f"{piece[0]} {piece[1:-1]} {piece[-1]}"
            sentences = [sentence.replace(piece, apart) for sentence in sentences]
        return [each.ids for each in tokenizer.encode(sentences)]

    return encode


def _is_special(tokenizer: Tokenizer, encoded: Pieces) -> bool:
    specials = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id, tokenizer.pad_id}
    # A model without a piece for padding pads with any.
    return bool((specials - {tokenizer.unk_id}) & set(encoded.ids.tolist()))


def train_wordpiece(
    texts: Iterable[str], vocab_size: int, *, cased: bool
) -> WordPieceTokenizer:
    """Train a WordPiece tokeniser, BERT's kind.

    Args:
      texts: sentences or paragraphs, which are read twice.
      vocab_size: maximal number of pieces; a small text gives fewer. At most a third of
        them are single letters, the most frequent ones.
      cased: whether case is kept.

    Raises:
      ValueError: no text.
    """
    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    model.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=not cased)
    model.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    letters = _letters(texts, model, (vocab_size - len(SPECIALS)) // 3)
    if not letters:
        raise ValueError("no text to train a tokeniser on")
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        # The library numbers the pieces that continue a word in an order that changes
        # from run to run, and its choices follow the numbers. Named here, they have
        # numbers that stay.
        special_tokens=[*SPECIALS, *(f"##{c}" for c in letters if _joins(c, model))],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    by_id = {index: piece for piece, index in model.get_vocab().items()}
    pieces = [by_id[index] for index in range(len(by_id))]
    return WordPieceTokenizer.from_vocab(pieces, cased=cased)


def _letters(texts: Iterable[str], model: tokenizers.Tokenizer, most: int) -> list[str]:
    """List the most frequent letters, at least one, in the order of their codes."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(model.normalizer.normalize_str(text))
    letters = [letter for letter in counts if not letter.isspace()]
    letters.sort(key=lambda letter: (-counts[letter], letter))
    return sorted(letters[: max(most, 1)])


def _joins(letter: str, model: tokenizers.Tokenizer) -> bool:
    """Return whether a letter can continue a word, unlike punctuation."""
    text = model.normalizer.normalize_str(f"a{letter}")
    return len(model.pre_tokenizer.pre_tokenize_str(text)) == 1


def train_sentencepiece(
    texts: Iterable[str], vocab_size: int, *, cased: bool, path: Path
) -> SentencePieceTokenizer:
    """Train a SentencePiece unigram model.

    Args:
      texts: sentences or paragraphs.
      vocab_size: maximal number of pieces; a small text gives fewer.
      cased: whether case is kept.
      path: the file to write.

    Raises:
      ValueError: no text, or fewer pieces than letters.
    """
    model = io.BytesIO()
    sentencepiece.set_random_generator_seed(_SEED)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=_COVERAGE,
            normalization_rule_name="nmt_nfkc" if cased else "nmt_nfkc_cf",
            input_sentence_size=_MOST_TEXTS,
            shuffle_input_sentence=True,
            max_sentence_length=_LONGEST_TEXT,
            num_threads=_NUM_THREADS,
            pad_id=0,
            pad_piece=SPECIALS[0],
            unk_id=1,
            unk_piece=SPECIALS[1],
            bos_id=-1,
            eos_id=-1,
            control_symbols=list(SPECIALS[2:]),
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(
            f"SentencePiece cannot make {vocab_size} pieces of this text "
            f"({' '.join(str(error).split())}); change vocab_size"
        ) from error
    path.write_bytes(model.getvalue())
    return SentencePieceTokenizer(path)


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokeniser's directory, atomically."""
    is_wordpiece = isinstance(tokenizer, WordPieceTokenizer)
    marker = "tokenizer.json" if is_wordpiece else "spiece.model"
    with written_whole(path, marker=marker, overwrite=True) as fresh:
        tokenizer.save(fresh)


def continuing_pieces(tokenizer: Tokenizer) -> Bool[np.ndarray, " V"]:
    """Return for each piece whether it continues a word."""
    continues = np.zeros(tokenizer.vocab_size, bool)
    if isinstance(tokenizer, WordPieceTokenizer):
        for piece, index in tokenizer.backend.get_vocab().items():
            continues[index] = piece.startswith("##") and len(piece) > 2
    elif isinstance(tokenizer, SentencePieceTokenizer):
        model = tokenizer.model
        for index in range(tokenizer.vocab_size):
            is_special = model.is_control(index) or model.is_unknown(index)
            piece = model.id_to_piece(index)
            is_special = is_special or piece in SPECIALS
            continues[index] = not is_special and not piece.startswith(_WORD_MARK)
    return continues


def count_unknown(store: PieceStore) -> int:
    """Count the unknown pieces of a store."""
    unknown = store.tokenizer.unk_id
    return sum(
        int(np.count_nonzero(store.tokens[begin : begin + _CHUNK] == unknown))
        for begin in range(0, store.num_tokens, _CHUNK)
    )


def join_shards(shards: Sequence[Path], path: Path, tokenizer: Tokenizer) -> None:
    """Write a store from shards, one after the other.

    Args:
      shards: stores of pieces.
      path: the store to write, atomically.
      tokenizer: the tokeniser of the pieces.
    """
    with written_store(path, tokenizer.vocab_size) as writer:
        for shard in shards:
            part = TokenStore.open(shard)
            writer.extend(
                part.tokens,
                np.diff(part.sentence_starts),
                np.diff(part.document_starts),
            )
        np.save(writer.path / CONTINUES, continuing_pieces(tokenizer))
