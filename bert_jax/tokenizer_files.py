# SPDX-License-Identifier: Apache-2.0
"""Reading of the tokeniser in a model's directory, in any of the published forms."""

import logging
from pathlib import Path

import tokenizers

from bert_jax.config import BertConfig
from bert_jax.sentencepiece_settings import check_sentencepiece
from bert_jax.tokenizer import (
    SENTENCEPIECE,
    SentencePieceTokenizer,
    Tokenizer,
    WordPieceTokenizer,
)
from bert_jax.tokenizer_comparison import (
    MAX_CHARS_PER_WORD,
    first_difference,
    rebuilt_wordpiece,
)
from bert_jax.tokenizer_settings import TokenizerSettings, read_settings
from embed_jax.corpus.vocabulary_lines import vocabulary_lines, without_blanks

_LOG = logging.getLogger(__name__)

# Tables are padded to a multiple of 8, 64 or 128 rows, which products are faster with.
_PADDED_BY, _PADDED_TO = 8, 128


def load_tokenizer(path: Path, config: BertConfig) -> Tokenizer:
    """Read the tokeniser of a directory, in any of the published forms.

    Raises:
      ValueError: there is none, it cannot be read, a setting beside it is not read
        here, or it does not fit the token table.
    """
    tokenizer, source = read_tokenizer_files(path, max_length=config.max_positions)
    check_file(tokenizer, config, source)
    return tokenizer


def read_tokenizer_files(
    path: Path, *, max_length: int = 512
) -> tuple[Tokenizer, Path]:
    """Read the tokeniser of a directory, whatever model it belongs to.

    Returns:
      The tokeniser, and the file that its pieces are from.

    Raises:
      ValueError: there is none, it cannot be read, or a setting is not read here.
    """
    settings = read_settings(path)
    source = path / "tokenizer.json"
    sentencepieces = sorted(path.glob("*.model"))
    if sentencepieces and _is_sentencepiece(settings, source):
        check_sentencepiece(settings, sentencepieces)
        source = sentencepieces[0]
        return SentencePieceTokenizer(source, max_length=max_length), source
    if source.exists():
        return _from_json(source, settings, max_length), source
    source = path / "vocab.txt"
    if source.exists():
        return read_vocab_txt(source, settings, max_length=max_length), source
    raise ValueError(
        f"{path} has no tokeniser: no tokenizer.json, vocab.txt or *.model there"
    )


def read_vocab_txt(
    path: Path,
    settings: TokenizerSettings,
    *,
    max_length: int,
    cased: bool | None = None,
    max_chars_per_word: int = MAX_CHARS_PER_WORD,
) -> WordPieceTokenizer:
    """Read a vocab.txt with the settings beside it.

    Args:
      path: of the vocabulary.
      settings: of its directory.
      max_length: longest row in tokens.
      cased: whether case is kept; by default what the settings say, or else what the
        vocabulary lets guess.
      max_chars_per_word: longer words become [UNK].

    Raises:
      ValueError: it cannot be read, or an added piece has another index than is said.
    """
    values = settings.values
    if cased is None and values.get("do_lower_case") is not None:
        cased = not _flag(settings, "do_lower_case")
    tokenizer = WordPieceTokenizer.from_vocab(
        path,
        cased=cased,
        max_length=max_length,
        max_chars_per_word=max_chars_per_word,
        strip_accents=_flag(settings, "strip_accents"),
        split_cjk=_flag(settings, "tokenize_chinese_chars") is not False,
        specials=settings.specials,
        added=[piece.token for piece in settings.added if piece.index is not None],
    )
    return _with_added(tokenizer, settings, path)


def check_vocabulary(tokenizer: Tokenizer, config: BertConfig, source: str) -> None:
    """Check that the token table has a row for every piece of a tokeniser.

    Raises:
      ValueError: it has more pieces than the table has rows.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{source} has {tokenizer.vocab_size} pieces, but the token table of the "
            f"model only {config.vocab_size} rows; they do not belong together"
        )


def check_file(tokenizer: Tokenizer, config: BertConfig, path: Path) -> None:
    """Check that the file of a tokeniser belongs to a token table, and is all there.

    Tables have more rows than there are pieces where they are padded (to a multiple of
    8, 64 or 128), and of a few published models a third of the rows has no piece, which
    is warned of. A vocab.txt that lacks pieces and ends within a line, or has fewer
    than half, is another or cut short; other files cannot be read when they are cut.

    Raises:
      ValueError: it has more pieces than the table has rows, or is cut short.
    """
    check_vocabulary(tokenizer, config, str(path))
    num_pieces, num_rows = tokenizer.vocab_size, config.vocab_size
    short = num_rows - num_pieces
    if short == 0 or (short < _PADDED_TO and num_rows % _PADDED_BY == 0):
        return
    is_lines = path.suffix == ".txt"
    if is_lines and (2 * num_pieces < num_rows or _is_cut(path)):
        raise ValueError(
            f"{path} has {num_pieces} pieces, but the token table of the model "
            f"{num_rows} rows: it is cut short, or of another model; fetch it again, "
            "or name the rows that have no piece on lines of their own ([unused1], …)"
        )
    _LOG.warning(
        "%s has %d pieces, and the token table of the model %d rows; if the file is "
        "not that of the model, words that it lacks become [UNK]",
        path,
        num_pieces,
        num_rows,
    )


def _is_cut(path: Path) -> bool:
    """Return whether a vocab.txt ends within a line, as none that is whole does."""
    return not path.read_bytes().endswith(b"\n")


def _is_sentencepiece(settings: TokenizerSettings, json_file: Path) -> bool:
    """Return whether a *.model is the tokeniser, and not what it was converted to.

    A tokenizer.json beside it may say more than it does, so it counts, unless `save`
    made it from the model.
    """
    if SENTENCEPIECE in settings.values:
        return True
    others = (json_file, json_file.with_name("vocab.txt"))
    return not any(file.exists() for file in others)


def _from_json(
    path: Path, settings: TokenizerSettings, max_length: int
) -> WordPieceTokenizer:
    """Read a tokenizer.json with the settings beside it, which win over it."""
    tokenizer = WordPieceTokenizer.from_file(
        path, max_length=max_length, specials=settings.specials
    )
    backend = tokenizer.backend
    normalizer = backend.normalizer
    is_berts = isinstance(normalizer, tokenizers.normalizers.BertNormalizer)
    if settings.is_wordpiece and is_berts:
        backend.normalizer = _with_settings(normalizer, settings)
    tokenizer = _with_added(tokenizer, settings, path)
    _check_row(tokenizer, settings, path)
    if settings.is_wordpiece:
        _compare(tokenizer, settings, path)
    _compare_pieces(tokenizer, path)
    return tokenizer


def _with_settings(
    normalizer: tokenizers.normalizers.BertNormalizer, settings: TokenizerSettings
) -> tokenizers.normalizers.BertNormalizer:
    """Return a normaliser with what the settings say in place of what it says."""
    said = settings.values
    lower = _flag(settings, "do_lower_case")
    cjk = _flag(settings, "tokenize_chinese_chars")
    return tokenizers.normalizers.BertNormalizer(
        clean_text=normalizer.clean_text,
        handle_chinese_chars=normalizer.handle_chinese_chars if cjk is None else cjk,
        strip_accents=_flag(settings, "strip_accents")
        if "strip_accents" in said
        else normalizer.strip_accents,
        lowercase=normalizer.lowercase if lower is None else lower,
    )


def _flag(settings: TokenizerSettings, key: str) -> bool | None:
    value = settings.values.get(key)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{settings.source}: {key} is {value!r}, not true or false")
    return value


def _with_added(
    tokenizer: WordPieceTokenizer, settings: TokenizerSettings, path: Path
) -> WordPieceTokenizer:
    """Add the pieces that the settings name, and check their indices."""
    backend = tokenizer.backend
    optional = {tokenizer.specials["pad_token"], tokenizer.specials["mask_token"]}
    for piece in settings.added:
        token = piece.token
        is_there = backend.token_to_id(token.content) is not None
        # Neither is needed, so a vocabulary without them stays as it is.
        if piece.index is not None or is_there or token.content not in optional:
            backend.add_tokens([token])
        index = backend.token_to_id(token.content)
        if piece.index not in (None, index):
            raise ValueError(
                f"{settings.source}: the piece {token.content!r} is said to have the "
                f"index {piece.index}, but in {path.name} it has {index}; they do not "
                "belong together, or one is damaged"
            )
    return WordPieceTokenizer(
        backend,
        max_length=tokenizer.max_length,
        source=settings.source,
        specials=settings.specials,
    )


def _check_row(
    tokenizer: WordPieceTokenizer, settings: TokenizerSettings, path: Path
) -> None:
    """Check that the specials around a text are those that the file puts there.

    Raises:
      ValueError: they are others.
    """
    backend = tokenizer.backend
    encoding = backend.encode("", "")
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    if backend.post_processor is None or not encoding.ids:
        if not settings.is_wordpiece:
            _LOG.warning(
                "%s has no post_processor that puts special pieces around a text, so "
                "transformers puts none; here a row is [CLS] text [SEP], as in BERT",
                path,
            )
        return
    row = list(zip(encoding.ids, encoding.type_ids, strict=True))
    if row != [(cls_id, 0), (sep_id, 0), (sep_id, 1)]:
        raise ValueError(
            f"{path}: its post_processor makes {' '.join(encoding.tokens)} of a pair "
            "of empty texts, and a row here is [CLS] a [SEP] b [SEP] with segments 0 "
            "and 1, as in BERT; name them as cls_token and sep_token, if they are those"
        )


def _compare_pieces(tokenizer: WordPieceTokenizer, path: Path) -> None:
    """Warn where a vocab.txt beside the file has other pieces than it.

    One of the two was damaged or edited, or belongs to another model.
    """
    beside = path.with_name("vocab.txt")
    if not beside.is_file():
        return
    lines = vocabulary_lines(beside.read_bytes(), str(beside))
    pieces = tokenizer.backend.get_vocab(with_added_tokens=True)
    for index, line in enumerate(lines):
        piece = without_blanks(line)
        # The last of two like lines counts, as everywhere.
        if pieces.get(piece) != index and piece not in lines[index + 1 :]:
            _LOG.warning(
                "%s is read, and %s beside it is not: its line %d, %r, is piece %s "
                "there; one of them is damaged or of another model",
                path,
                beside.name,
                index + 1,
                piece,
                pieces.get(piece, "of no number"),
            )
            return


def _compare(
    tokenizer: WordPieceTokenizer, settings: TokenizerSettings, path: Path
) -> None:
    """Warn where transformers' class, which rebuilds itself, makes other ids."""
    backend = tokenizer.backend
    if not isinstance(backend.model, tokenizers.models.WordPiece):
        return
    lower = _flag(settings, "do_lower_case")
    by_index = sorted(backend.get_added_tokens_decoder().items())
    rebuilt = rebuilt_wordpiece(
        backend.get_vocab(with_added_tokens=False),
        unknown=tokenizer.specials["unk_token"],
        lower_case=lower is not False,
        strip_accents=_flag(settings, "strip_accents"),
        split_cjk=_flag(settings, "tokenize_chinese_chars") is not False,
        added=[token for _, token in by_index],
    )
    text = first_difference(backend, rebuilt)
    if text:
        _LOG.warning(
            "%s is followed, and gives other ids than transformers' %s, which builds "
            "itself from the vocabulary and %s (as of %.40r); save the model to have "
            "both agree",
            path,
            settings.kind or "BertTokenizer",
            settings.source,
            text,
        )
