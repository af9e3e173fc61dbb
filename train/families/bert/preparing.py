# SPDX-License-Identifier: Apache-2.0
"""Preparation of text as word pieces: a tokeniser, and stores of its pieces."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from train.data.config import Say
from train.data.encoding import PARTS, TRAIN
from train.data.preparing import (
    TrainingTexts,
    describe_share,
    describe_sizes,
    encode_documents,
    judge_given,
    no_text,
)
from train.data.sources import Documents
from train.data.store import StoreWriter
from train.families.bert import pieces
from train.families.bert.data import PieceData
from train.families.bert.pieces import PieceStore

# Sentences that a tokeniser is given at a time.
_BATCH = 1 << 12


@dataclasses.dataclass(frozen=True)
class PieceEncoder:
    """Writes shards of word pieces.

    Attributes:
      tokenizer: directory of the tokeniser.
    """

    tokenizer: Path

    def encode(self, documents: Iterable[list[str]], path: Path) -> None:
        """Write documents, given as their sentences, into an empty directory."""
        tokenizer = pieces.read_tokenizer(self.tokenizer)
        encode = pieces.text_encoder(tokenizer)
        with StoreWriter(path, tokenizer.vocab_size, synced=False) as writer:
            for document in documents:
                ids = []
                for begin in range(0, len(document), _BATCH):
                    ids += encode(document[begin : begin + _BATCH])
                writer.append(ids)


@dataclasses.dataclass(frozen=True)
class PiecePreparation:
    """Trains a tokeniser, or takes a given one, and writes stores of word pieces.

    Attributes:
      data: the settings.
      say: takes lines about the progress.
      given: the tokeniser to use; None trains one on the text.
    """

    data: PieceData
    say: Say
    given: pieces.Tokenizer | None

    def run(self, documents: Documents, unfinished: Path) -> str:
        """Prepare a text; return a line about its amount."""
        data = self.data
        path = unfinished / pieces.TOKENIZER
        if not path.exists():
            pieces.save_tokenizer(self.given or self._train(documents, path), path)
        tokenizer = pieces.read_tokenizer(path)
        encoder = PieceEncoder(path)
        shards = encode_documents(encoder, documents, unfinished, data, self.say)
        pieces.save_tokenizer(tokenizer, data.directory / pieces.TOKENIZER)
        summary = []
        for part in PARTS:
            path = data.directory / part
            self.say(f"writing {path}")
            pieces.join_shards(shards.of(part), path, tokenizer)
            store = PieceStore.open(path)
            if part == TRAIN and not store.num_tokens:
                raise no_text(data)
            num_unknown = pieces.count_unknown(store)
            if self.given is not None:
                judge_given(num_unknown, store.num_tokens, data, part)
            summary.append(
                f"{part}: {describe_sizes(store)}, "
                f"{describe_share(num_unknown, store.num_tokens)} of the pieces unknown"
            )
        return "; ".join([*summary, f"a tokeniser of {tokenizer.vocab_size:,} pieces"])

    def _train(self, documents: Documents, path: Path) -> pieces.Tokenizer:
        data = self.data
        self.say(f"training a {data.kind} tokeniser on {len(documents):,} documents")
        texts = TrainingTexts(documents, data.held_out_every)
        if data.kind == "wordpiece":
            return pieces.train_wordpiece(texts, data.vocab_size, cased=data.cased)
        return pieces.train_sentencepiece(
            texts,
            data.vocab_size,
            cased=data.cased,
            path=path.with_name("trained.model"),
        )
