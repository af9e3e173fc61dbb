# SPDX-License-Identifier: Apache-2.0
"""Perplexity of the counted trigram on a prepared corpus, what a biLM has to beat.

    python -m benchmarks.novels_baseline DATA_DIR

DATA_DIR holds the stores `train` and `held_out` of one preparation. The trigrams of
benchmarks/kneser_ney.py are counted on the first and scored on the second, over the
same vocabulary, sentences and targets that a biLM is trained on: perplexity is over
words, `<UNK>` and one boundary a sentence, forward and backward.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from benchmarks.kneser_ney import KneserNeyTrigram
from train.families.elmo.words import WordStore


@dataclasses.dataclass(frozen=True)
class Command:
    """Print the perplexity of a modified Kneser-Ney trigram, forward and backward.

    Attributes:
      data: the directory of prepared data, with `train` and `held_out` in it.
    """

    data: Annotated[Path, tyro.conf.Positional]


def main(arguments: list[str] | None = None) -> None:
    data = tyro.cli(Command, args=arguments).data
    train, held_out = (WordStore.open(data / name) for name in ("train", "held_out"))
    vocabulary = train.vocabulary
    if held_out.vocabulary.words != vocabulary.words:
        raise ValueError(f"{data}: train and held_out have different vocabularies")
    print(f"vocabulary {len(vocabulary):,}")
    for name, store in (("train", train), ("held out", held_out)):
        print(describe(name, store))
    for backward in (False, True):
        start = time.perf_counter()
        model = KneserNeyTrigram.fit(
            word_sentences(train),
            len(vocabulary),
            vocabulary.begin_id,
            vocabulary.end_id,
            backward=backward,
        )
        fitted = time.perf_counter()
        log_probs = model.log_probs(word_sentences(held_out))
        scored = time.perf_counter()
        direction = "backward" if backward else "forward"
        print(
            f"{direction}: perplexity {np.exp(-log_probs.mean()):.2f} over "
            f"{len(log_probs):,} words and boundaries; {len(model.bigrams.keys):,} "
            f"bigrams, {len(model.trigrams.keys):,} trigrams; fitted in "
            f"{fitted - start:.1f} s, scored in {scored - fitted:.1f} s"
        )
        for order, discounts, estimated in model.describe_discounts():
            values = ", ".join(f"{discount:.3f}" for discount in discounts)
            print(f"  {order} {values}{'' if estimated else ' (fallback)'}")


def word_sentences(store: WordStore) -> Iterator[np.ndarray]:
    """Yield each sentence's vocabulary ids, int32 [length], without boundaries."""
    words = np.asarray(store.targets)[np.asarray(store.tokens)]
    for begin, end in itertools.pairwise(np.asarray(store.sentence_starts).tolist()):
        yield words[begin:end]


def describe(name: str, store: WordStore) -> str:
    """Return how much text there is, and how much of it the vocabulary lacks."""
    counts = np.bincount(store.tokens, minlength=len(store.targets))
    unknown = counts[np.asarray(store.targets) == store.vocabulary.unknown_id].sum()
    total = counts.sum()
    return (
        f"{name}: {total:,} words in {len(store.sentence_starts) - 1:,} sentences, "
        f"{unknown:,} out of vocabulary ({unknown / max(total, 1):.2%})"
    )


if __name__ == "__main__":
    main()
