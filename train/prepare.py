# SPDX-License-Identifier: Apache-2.0
"""The command that prepares text for pretraining, once for all runs.

    python -m train.prepare elmo_tiny

It reads the text in as many processes as there are cores, and keeps shards of it as
they are finished; stopped or killed, the same command goes on from there. What is
prepared already, with the same settings from the same files, is left as it is.
"""

import dataclasses
import functools
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from elmo_jax.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from embed_jax.exit_status import exit_status
from train.data.config import PieceData, WordData
from train.data.encoding import (
    PARTS,
    TRAIN,
    PieceEncoder,
    ShardEncoder,
    Shards,
    Tally,
    WordEncoder,
    is_held_out,
)
from train.data.prepared import (
    PREPARED,
    UNFINISHED,
    Prepared,
    check_own,
    is_unfinished,
)
from train.data.sources import Documents, open_documents
from train.data.store import TokenStore
from train.families.bert import pieces
from train.families.bert.pieces import PieceStore
from train.families.elmo import words

SOURCE = "source"

# Seconds between two lines that say how far it is.
_INTERVAL = 10.0

Say = Callable[[str], None]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    # Not for the processes that encode text: it would take them seconds.
    from train.config import NoOptions, read_command

    given = sys.argv[1:] if arguments is None else arguments
    prog = "python -m train.prepare"

    def action() -> None:
        _, experiment = read_command(given, prog, NoOptions, __doc__ or "")
        prepare(experiment.data, functools.partial(print, flush=True))

    return exit_status(
        "train.prepare", action, "what is finished is kept; run it again to go on"
    )


def prepare(data: WordData | PieceData, say: Say) -> None:
    """Prepare text: a vocabulary or a tokeniser, and what is trained and measured on.

    Args:
      data: the text, and how it is encoded.
      say: is given lines that tell how far it is.

    Raises:
      ValueError: anything about the settings or the text; the cheap checks come first.
      FileExistsError: something would be replaced that no preparation has made.
      OSError: a file cannot be read or written.
    """
    preparation: _Words | _Pieces
    if isinstance(data, WordData):
        given = data.vocabulary and read_vocabulary(data.vocabulary)
        preparation = _Words(data, say, given)
    else:
        given = data.tokenizer and pieces.read_tokenizer(data.tokenizer)
        preparation = _Pieces(data, say, given)
    wanted, before = Prepared.of(data), Prepared.read(data.directory)
    unfinished = data.directory / UNFINISHED
    if before and wanted.is_like(before):
        if is_unfinished(unfinished):
            shutil.rmtree(unfinished)
        say(f"{data.directory} is prepared already: {before.summary}")
        return
    check_own(data.directory)
    if before:
        say(f"{data.directory} is prepared anew: {before.difference(wanted)}")
    if unfinished.exists() and not wanted.is_like(Prepared.read(unfinished)):
        say(f"{unfinished} is of other settings or text, and is begun again")
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True, exist_ok=True)
    wanted.write(unfinished)
    source_directory = data.source_directory or data.directory / SOURCE
    documents = open_documents(data.source, source_directory)
    # From here on the files of an earlier preparation are replaced one by one.
    (data.directory / PREPARED).unlink(missing_ok=True)
    summary = preparation.run(documents, unfinished)
    dataclasses.replace(wanted, summary=summary).write(data.directory)
    shutil.rmtree(unfinished)
    say(f"{data.directory} is prepared: {summary}")


@dataclasses.dataclass(frozen=True)
class _Words:
    data: WordData
    say: Say
    given: Vocabulary | None

    def run(self, documents: Documents, unfinished: Path) -> str:
        data = self.data
        encoder = WordEncoder(data.split)
        shards = _encode(encoder, documents, unfinished, data, self.say)
        counts = {part: words.count_words(shards.of(part)) for part in PARTS}
        if not counts[TRAIN]:
            raise _nothing(data)
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
            cut = words.longer_words(counts[part], data.max_characters)
            summary.append(
                f"{part}: {_sizes(TokenStore.open(path))}, {len(counts[part]):,} "
                f"types, {_share(num_unknown, num_tokens)} of the words unknown, "
                f"{len(cut):,} types cut to max_characters {data.max_characters}"
            )
        return "; ".join([*summary, f"a vocabulary of {len(vocabulary):,} words"])


@dataclasses.dataclass(frozen=True)
class _Pieces:
    data: PieceData
    say: Say
    given: pieces.Tokenizer | None

    def run(self, documents: Documents, unfinished: Path) -> str:
        data = self.data
        path = unfinished / pieces.TOKENIZER
        if not path.exists():
            pieces.save_tokenizer(self.given or self._train(documents, path), path)
        tokenizer = pieces.read_tokenizer(path)
        encoder = PieceEncoder(path)
        shards = _encode(encoder, documents, unfinished, data, self.say)
        pieces.save_tokenizer(tokenizer, data.directory / pieces.TOKENIZER)
        summary = []
        for part in PARTS:
            path = data.directory / part
            self.say(f"writing {path}")
            pieces.join_shards(shards.of(part), path, tokenizer)
            store = PieceStore.open(path)
            if part == TRAIN and not store.num_tokens:
                raise _nothing(data)
            num_unknown = pieces.count_unknown(store)
            summary.append(
                f"{part}: {_sizes(store)}, "
                f"{_share(num_unknown, store.num_tokens)} of the pieces unknown"
            )
        return "; ".join([*summary, f"a tokeniser of {tokenizer.vocab_size:,} pieces"])

    def _train(self, documents: Documents, path: Path) -> pieces.Tokenizer:
        data = self.data
        self.say(f"training a {data.kind} tokeniser on {len(documents):,} documents")
        texts = _TrainingTexts(documents, data.held_out_every)
        if data.kind == "wordpiece":
            return pieces.train_wordpiece(texts, data.vocab_size, cased=data.cased)
        return pieces.train_sentencepiece(
            texts,
            data.vocab_size,
            cased=data.cased,
            path=path.with_name("trained.model"),
        )


@dataclasses.dataclass(frozen=True)
class _TrainingTexts:
    """Paragraphs of what is not held out, as often as they are asked for."""

    documents: Documents
    held_out_every: int

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self.documents)):
            if not is_held_out(number, self.held_out_every):
                yield from self.documents.paragraphs(number)


def _encode(
    encoder: ShardEncoder,
    documents: Documents,
    unfinished: Path,
    data: WordData | PieceData,
    say: Say,
) -> Shards:
    """Write all shards, and tell from time to time how far it is."""
    shards = Shards(
        path=unfinished / "shards",
        documents=documents,
        held_out_every=data.held_out_every,
        encoder=encoder,
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
    return shards


def _sizes(store: TokenStore) -> str:
    return (
        f"{store.num_documents:,} documents, {store.num_sentences:,} sentences, "
        f"{store.num_tokens:,} tokens"
    )


def _share(part: int, whole: int) -> str:
    return f"{part / max(whole, 1):.2%}"


def _nothing(data: WordData | PieceData) -> ValueError:
    return ValueError(
        f"source: no text to train on in {data.source}; give more, or lower "
        "held_out_every"
    )


if __name__ == "__main__":
    sys.exit(main())
