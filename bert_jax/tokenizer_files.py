# SPDX-License-Identifier: Apache-2.0
"""Reading of the tokeniser in a model's directory, in any of the published forms."""

from pathlib import Path

from bert_jax.config import BertConfig
from bert_jax.tokenizer import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from embed_jax.files.json_file import read_json


def load_tokenizer(path: Path, config: BertConfig) -> Tokenizer:
    """Read the tokeniser of a directory, in any of the published forms.

    Raises:
      ValueError: there is none, it cannot be read, or the token table is too small.
    """
    length = config.max_positions
    settings = {}
    if (path / "tokenizer_config.json").exists():
        settings = read_json(path / "tokenizer_config.json")
    sentencepieces = sorted(path.glob("*.model"))
    tokenizer: Tokenizer
    if (path / "tokenizer.json").exists():
        source = path / "tokenizer.json"
        tokenizer = WordPieceTokenizer.from_file(source, max_length=length)
    elif (path / "vocab.txt").exists():
        source = path / "vocab.txt"
        lower_case = settings.get("do_lower_case")
        tokenizer = WordPieceTokenizer.from_vocab(
            source,
            cased=None if lower_case is None else not lower_case,
            max_length=length,
            strip_accents=settings.get("strip_accents"),
            split_cjk=settings.get("tokenize_chinese_chars", True),
        )
    elif sentencepieces:
        source = sentencepieces[0]
        tokenizer = SentencePieceTokenizer(source, max_length=length)
    else:
        raise ValueError(
            f"{path} has no tokeniser: no tokenizer.json, vocab.txt or *.model there"
        )
    check_vocabulary(tokenizer, config, str(source))
    return tokenizer


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
