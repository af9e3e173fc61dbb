# SPDX-License-Identifier: Apache-2.0
"""Helpers for preparing any kind of data: encoding of documents, messages on sizes."""

import dataclasses
import functools
import time
from collections.abc import Iterator
from pathlib import Path

from embed_jax.corpus.unknown import judge_unknown
from train.data.config import DataConfig, Say
from train.data.encoding import TRAIN, ShardEncoder, Shards, Tally, is_held_out
from train.data.sources import Documents
from train.data.store import TokenStore

# Seconds between two lines that say how far it is.
_INTERVAL = 10.0


@dataclasses.dataclass(frozen=True)
class TrainingTexts:
    """A re-iterable over the paragraphs of the training documents.

    Attributes:
      documents: the text.
      held_out_every: the last of every so many documents is held out.
    """

    documents: Documents
    held_out_every: int

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self.documents)):
            if not is_held_out(number, self.held_out_every):
                yield from self.documents.paragraphs(number)


def encode_documents(
    encoder: ShardEncoder,
    documents: Documents,
    unfinished: Path,
    data: DataConfig,
    say: Say,
) -> Shards:
    """Write all shards, and report the progress from time to time.

    Args:
      encoder: writes a shard.
      documents: the text.
      unfinished: the directory of the shards until all are done.
      data: the settings of the division and of the processes.
      say: takes the lines.

    Raises:
      ValueError: bad text, or a damaged shard.
      OSError: the disk is full or fails, or a process was killed.
    """
    shards = Shards(
        path=unfinished / "shards",
        documents=documents,
        held_out_every=data.held_out_every,
        encoder=encoder,
        own_tokens=data.own_tokens,
    )
    if len(documents) < data.held_out_every:
        say(
            f"no text is held out: of {len(documents):,} documents none is the "
            f"{data.held_out_every}th; give --data.held-out-every less (2: every other "
            "document), or train with --eval-every 0"
        )
    kept = shards.kept()
    done = functools.reduce(Tally.plus, kept, Tally())
    if kept:
        say(f"{len(kept):,} of {len(shards):,} shards are kept from an earlier run")
    start = said = time.monotonic()
    num_tokens = 0
    for number, tally in enumerate(shards.write(data.num_workers), start=len(kept) + 1):
        done = done.plus(tally)
        num_tokens += tally.tokens
        now = time.monotonic()
        if now - said >= _INTERVAL or number == len(shards):
            said = now
            say(
                f"shard {number:,} of {len(shards):,}: {done.documents:,} documents, "
                f"{done.sentences:,} sentences, {done.tokens:,} tokens, "
                f"{num_tokens / max(now - start, 1e-3):,.0f} tokens/s"
            )
    if held := shards.describe_held():
        say(held)
    return shards


def describe_sizes(store: TokenStore) -> str:
    """Return the amount of text in a store, for summaries."""
    return (
        f"{store.num_documents:,} documents, {store.num_sentences:,} sentences, "
        f"{store.num_tokens:,} tokens"
    )


def describe_share(part: int, whole: int) -> str:
    """Return a part of a whole in percent.

    Example:
      >>> describe_share(1, 8)
      '12.50%'
    """
    return f"{part / max(whole, 1):.2%}"


def judge_given(num_unknown: int, num_words: int, data: DataConfig, part: str) -> None:
    """Refuse a text of which a given vocabulary knows nothing; warn of a mismatch.

    Raises:
      ValueError: all of the training text is unknown.
    """
    judge_unknown(
        num_unknown,
        num_words,
        of=f"{data.source} ({part})",
        no_known="error" if part == TRAIN else "warn",
    )


def no_text(data: DataConfig) -> ValueError:
    """Return the error for a text without training text."""
    return ValueError(
        f"source: no text to train on in {data.source}; give more, or lower "
        "held_out_every"
    )
