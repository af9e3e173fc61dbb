# SPDX-License-Identifier: Apache-2.0
"""Tiny models, and examples that a tiny model learns in a second."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import bert_jax
import elmo_jax
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import ClassifiedRow

WORDS = ("the", "a", "good", "bad", "bank", "river", "was", "saw", "Ann", "Bob", "York")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str.lower, WORDS), "##s")
NAMES = {"Ann": "PER", "Bob": "PER", "York": "LOC"}


def make_bert(path: Path, **changes) -> Path:
    """Save a BERT without a pooler, as sentence encoders are published."""
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(
        PIECES, cased=False, max_length=64
    )
    config = dataclasses.replace(
        bert_jax.TINY, vocab_size=len(PIECES), init_std=0.1, **changes
    )
    # Compiled, it takes a fraction of the time.
    init = jax.jit(partial(bert_jax.init_params, config=config, heads=()))
    params = init(jax.random.key(1))
    bert_jax.save(path, params, tokenizer)
    return path


def make_elmo(path: Path) -> Path:
    params = elmo_jax.init_params(jax.random.key(1), elmo_jax.TINY)
    elmo_jax.save(path, params, elmo_jax.ElmoTokenizer(elmo_jax.TINY))
    return path


def tagged(
    number: int, seed: int, shortest: int = 3, longest: int = 6
) -> list[TaggedSentence]:
    """Draw sentences whose names are tagged, four sentences a document."""
    random = np.random.default_rng(seed)
    sentences = []
    for index in range(number):
        words = random.choice(WORDS, random.integers(shortest, longest + 1)).tolist()
        tags = [f"B-{NAMES[word]}" if word in NAMES else "O" for word in words]
        sentences.append(
            TaggedSentence(
                words=tuple(words), tags=tuple(tags), line=1, document=index // 4
            )
        )
    return sentences


def labelled(number: int, seed: int, *, pairs: bool = False) -> list[LabelledText]:
    """Draw texts that are good or bad, or pairs that are alike or not in that."""
    random = np.random.default_rng(seed)
    texts = []
    for _ in range(number):
        kinds = random.choice(["good", "bad"], 2 if pairs else 1).tolist()
        drawn = [
            " ".join([*random.choice(WORDS[4:], random.integers(1, 7)), kind])
            for kind in kinds
        ]
        label = kinds[0] if not pairs else ("same", "other")[kinds[0] != kinds[-1]]
        texts.append(LabelledText(label, *drawn))
    return texts


def write_tagged(path: Path, sentences: list[TaggedSentence]) -> None:
    lines = [
        "".join(f"{word} {tag}\n" for word, tag in zip(s.words, s.tags, strict=True))
        for s in sentences
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_labelled(path: Path, texts: list[LabelledText]) -> None:
    lines = [
        "\t".join(filter(None, (text.label, text.text, text.pair))) for text in texts
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class WordClassifier:
    """A `Classifier` that compiles at once: a text is the mean of its words' rows."""

    task = "sequence"
    labels = ("bad", "good")
    longest = None

    def __init__(self, dropout_rate: float = 0.0) -> None:
        random = np.random.default_rng(0)
        self._dropout_rate = dropout_rate
        table = random.normal(size=(len(WORDS) + 1, 4))
        kernel = random.normal(size=(4, 2))
        self.weights = {
            "encoder": {"table": jnp.asarray(table)},
            "head": {"kernel": jnp.asarray(kernel), "bias": jnp.array([0.5, -0.5])},
        }

    def rows(self, examples):
        rows = []
        for index, example in enumerate(examples):
            words = [WORDS.index(word) + 1 for word in example.text.split()]
            label = np.array(self.labels.index(example.label), np.int32)
            none = np.zeros(0, np.int64)
            rows.append(ClassifiedRow(words, len(words), label, index, none))
        return rows

    def collate(self, rows, length, size):
        tokens = np.zeros((size, length), np.int32)
        for index, row in enumerate(rows):
            tokens[index, : row.length] = row.content
        return tokens

    def logits(self, weights, tokens, dropout_key=None):
        vectors = weights["encoder"]["table"][tokens].mean(axis=1)
        if dropout_key is not None:
            rate = 1 - self._dropout_rate
            kept = jax.random.bernoulli(dropout_key, rate, vectors.shape)
            vectors = vectors * kept
        head = weights["head"]
        return vectors @ head["kernel"] + head["bias"][None]

    def mixes(self, weights):
        return ()

    def save(self, directory, weights):
        raise NotImplementedError
