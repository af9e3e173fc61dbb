# SPDX-License-Identifier: Apache-2.0
"""Preparation of text as words: a vocabulary, and stores of word types."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from elmo_jax.vocabulary import Vocabulary, write_vocabulary
from train.data.config import Say
from train.data.encoding import PARTS, TRAIN
from train.data.preparing import (
    describe_share,
    describe_sizes,
    encode_documents,
    judge_given,
    no_text,
)
from train.data.sources import Documents
from train.data.store import TokenStore
from train.families.elmo import words
from train.families.elmo.data import WordData


@dataclasses.dataclass(frozen=True)
class WordEncoder:
    """Writes shards of word types.

    Attributes:
      split: the splitting into words.
    """

    split: Literal["moses", "whitespace"]

    def encode(self, documents: Iterable[list[str]], path: Path) -> None:
        """Write documents, given as their sentences, into an empty directory."""
        split = words.splitter(self.split)
        with words.WordShard(path) as shard:
            for document in documents:
                shard.append([split(sentence) for sentence in document])


@dataclasses.dataclass(frozen=True)
class WordPreparation:
    """Makes a vocabulary, and writes stores of word types.

    Attributes:
      data: the settings.
      say: takes lines about the progress.
      given: the vocabulary to use; None makes one from the text.
    """

    data: WordData
    say: Say
    given: Vocabulary | None

    def run(self, documents: Documents, unfinished: Path) -> str:
        """Prepare a text; return a line about its amount."""
        data = self.data
        encoder = WordEncoder(data.split)
        shards = encode_documents(encoder, documents, unfinished, data, self.say)
        counts = {part: words.count_words(shards.of(part)) for part in PARTS}
        if not counts[TRAIN]:
            raise no_text(data)
        vocabulary = self.given or words.make_vocabulary(
            counts[TRAIN],
            sum(TokenStore.open(path).num_sentences for path in shards.of(TRAIN)),
            data.vocab_size,
            data.min_count,
        )
        write_vocabulary(data.directory / words.VOCABULARY, vocabulary)
        summary = []
        for part in PARTS:
            path = data.directory / part
            self.say(f"writing {path}")
            words.join_shards(
                shards.of(part), path, counts[part], vocabulary, data.max_characters
            )
            num_tokens = counts[part].total()
            known = vocabulary.ids.keys() & counts[part].keys()
            num_unknown = num_tokens - sum(counts[part][word] for word in known)
            if self.given is not None:
                judge_given(num_unknown, num_tokens, data, part)
            cut = words.longer_words(counts[part], data.max_characters)
            sizes = describe_sizes(TokenStore.open(path))
            unknown = describe_share(num_unknown, num_tokens)
            summary.append(
                f"{part}: {sizes}, {len(counts[part]):,} types, {unknown} of the words "
                f"unknown, {len(cut):,} types cut to max_characters "
                f"{data.max_characters}"
            )
        return "; ".join([*summary, f"a vocabulary of {len(vocabulary):,} words"])
