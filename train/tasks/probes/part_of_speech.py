# SPDX-License-Identifier: Apache-2.0
"""Parts of speech by layer, predicted by a linear probe on the words' vectors.

The baseline is the most frequent tag of each word, without its context.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embed_jax.corpus.conll import NOTHING, analysed, read_conll_u_rows
from embed_jax.corpus.lines import read_lines
from train.tasks.probes.linear_probe import (
    Examples,
    ProbeConfig,
    Probed,
    train_probe,
)
from train.tasks.probes.probing import (
    Measured,
    Subject,
    panel_of,
    say,
)
from train.tasks.probes.resampling import deviation_of_share
from train.tasks.probes.terms import read_terms
from train.tasks.results import NOTHING_FOUND, Row

SPLITS = ("train", "dev", "test")
SCORED = SPLITS[1:]
TAG_SETS = ("upos", "xpos")
"""The universal tags, 17 of them, and those of the Penn Treebank, about 50."""


@dataclass(frozen=True)
class PosSentence:
    """A sentence with tags.

    Attributes:
      words: its words.
      upos: their universal tags.
      xpos: their tags in the language's own scheme.
    """

    words: tuple[str, ...]
    upos: tuple[str, ...]
    xpos: tuple[str, ...]

    def tags(self, kind: str) -> tuple[str, ...]:
        """Return the tags of one of `TAG_SETS`."""
        return self.xpos if kind == "xpos" else self.upos


class PosTask:
    """The task of parts of speech, by a linear probe on the words' vectors."""

    def __init__(
        self, data: Path, tag_sets: Sequence[str], config: ProbeConfig
    ) -> None:
        """Read the three splits, see `find_tagged_words`.

        Raises:
          ValueError: a malformed line, a split that is missing, or tags of which
            nothing can be learnt; says why.
          OSError: a file cannot be read.
        """
        self._name = data.name
        self._tag_sets = tag_sets
        self._config = config
        self._corpus = {
            split: read_tagged_words(find_tagged_words(data, split)) for split in SPLITS
        }
        self._remarks: list[str] = []
        for tag_set in tag_sets:
            found = {split: {*self._flat(split, tag_set)} for split in SPLITS}
            self._remarks += _check_learnable(data, tag_set, found)

    def measure(self, subject: Subject) -> Measured:
        """Train a probe for each layer, spec and tag set."""
        began = time.monotonic()
        features = {
            split: subject.features(
                f"{self._name}-{split}", [sentence.words for sentence in sentences]
            )
            for split, sentences in self._corpus.items()
        }
        caching = time.monotonic() - began
        outcomes: dict[str, dict[str, Probed]] = {}
        for spec in (*subject.layers, *subject.specs):
            terms = {split: read_terms(held, spec) for split, held in features.items()}
            outcomes[spec] = {}
            for tag_set in self._tag_sets:
                names, tags = self._numbered(tag_set)
                outcome = train_probe(
                    self._config,
                    len(names),
                    {split: Examples(terms[split], tags[split]) for split in SPLITS},
                )
                outcomes[spec][tag_set] = outcome
                scores = [outcome.accuracy("test")]
                say(subject, f"pos {tag_set}", spec, scores, outcome.seconds)
        rows = [
            self._row(
                subject.title_of(spec),
                {tag_set: outcome.hits for tag_set, outcome in of_spec.items()},
                self._note(of_spec),
            )
            for spec, of_spec in outcomes.items()
        ]
        baseline = self._row("most frequent tag", self._baseline())
        metrics = [f"{tag_set.upper()} test" for tag_set in self._tag_sets]
        every = [one for of_spec in outcomes.values() for one in of_spec.values()]
        steps = [outcome.num_steps for outcome in every]
        config = self._config
        sizes = (
            f"{split} {len(self._corpus[split]):,} sentences, "
            f"{features[split].offsets[-1]:,} words"
            for split in SPLITS
        )
        facts = {
            "data": f"{self._name}: {'; '.join(sizes)}",
            "metric": "accuracy in percent",
            "probe": "a linear softmax on a word's standardised vector (of its first "
            f"piece), with an L2 penalty of {config.penalty:g} (scikit-learn's C is 1 "
            "over it), trained until its loss falls no more: there is one such probe",
            "±": f"the standard deviation of the score over {config.num_resamples:,} "
            "resamples of the held-out sentences",
            "steps": f"{min(steps)} to {max(steps)} of L-BFGS, at most "
            f"{config.max_steps:,}",
            "most frequent tag": "that of the word in training; of an unknown word the "
            "most frequent one of all",
            "seconds": f"{caching:.0f} for all features (few if they were cached), "
            f"{sum(outcome.seconds for outcome in every):.0f} for all probes",
        }
        if self._remarks:
            facts[NOTHING_FOUND] = "; ".join(self._remarks)
        return Measured(
            f"Parts of speech by layer of {subject.name}",
            [baseline, *rows],
            facts,
            panel_of(subject, "parts of speech, accuracy", metrics, rows, baseline),
            metrics,
        )

    def _flat(self, split: str, tag_set: str) -> list[str]:
        sentences = self._corpus[split]
        return [tag for sentence in sentences for tag in sentence.tags(tag_set)]

    def _numbered(self, tag_set: str) -> tuple[list[str], dict[str, np.ndarray]]:
        names = sorted(set(self._flat("train", tag_set)))
        index = {name: number for number, name in enumerate(names)}
        return names, {
            split: np.array([index.get(tag, -1) for tag in self._flat(split, tag_set)])
            for split in SPLITS
        }

    def _row(
        self, name: str, hits: Mapping[str, Mapping[str, np.ndarray]], note: str = ""
    ) -> Row:
        """Return the row of what is right, for each tag set and split."""
        named = {
            f"{tag_set.upper()} {split}": (split, found[split])
            for tag_set, found in hits.items()
            for split in SCORED
        }
        return Row(
            name,
            {
                metric: (100 * float(found.mean()),)
                for metric, (_, found) in named.items()
            },
            note,
            {
                metric: deviation_of_share(
                    found,
                    self._offsets(split),
                    num_resamples=self._config.num_resamples,
                    seed=self._config.seed,
                )
                for metric, (split, found) in named.items()
            },
        )

    def _offsets(self, split: str) -> np.ndarray:
        """Return the first word of each sentence, and the number of words."""
        lengths = [len(sentence.words) for sentence in self._corpus[split]]
        return np.concatenate([[0], np.cumsum(lengths)])

    def _note(self, outcomes: Mapping[str, Probed]) -> str:
        """Format the layers' shares in each mix."""
        notes = [
            f"{tag_set.upper()} shares "
            + " ".join(f"{share:.2f}"[1:] for share in shares)
            for tag_set, outcome in outcomes.items()
            for shares in outcome.mixes
        ]
        return "; ".join(notes)

    def _baseline(self) -> dict[str, dict[str, np.ndarray]]:
        """Return for each tag set and split which words got their tag."""
        words = {
            split: [word for sentence in sentences for word in sentence.words]
            for split, sentences in self._corpus.items()
        }
        hits: dict[str, dict[str, np.ndarray]] = {}
        for tag_set in self._tag_sets:
            tags = {split: self._flat(split, tag_set) for split in SPLITS}
            hits[tag_set] = {}
            for split in SCORED:
                found = most_frequent_tags(words["train"], tags["train"], words[split])
                right = [a == b for a, b in zip(found, tags[split], strict=True)]
                hits[tag_set][split] = np.array(right)
        return hits


def find_tagged_words(folder: Path, split: str) -> Path:
    """Return the file of a split: train.tsv, or CoNLL-U of any name with its ending.

    Universal Dependencies calls it en_ewt-ud-train.conllu. Any may end in .gz.

    Raises:
      ValueError: there is none, or more than one.
    """
    patterns = f"{split}.tsv", f"{split}.conllu", f"*-{split}.conllu"
    found = [
        path
        for pattern in patterns
        for path in sorted([*folder.glob(pattern), *folder.glob(f"{pattern}.gz")])
    ]
    if len(found) != 1:
        held = ", ".join(path.name for path in found) or "no file"
        raise ValueError(
            f"{folder} has {held} for {split}; it needs one of {', '.join(patterns)}"
        )
    return found[0]


def _check_learnable(
    data: Path, tag_set: str, tags: Mapping[str, set[str]]
) -> list[str]:
    """Refuse tags that nothing can be learnt of.

    Returns:
      Why nothing can be found in dev or test, a line each; none where something can.

    Raises:
      ValueError: the training words have no tags, or one only.
    """
    if tags["train"] == {NOTHING}:
        raise ValueError(
            f"{data}: no word of train has a tag, all are {NOTHING!r}; --tags chooses "
            f"another column than {tag_set}"
        )
    if len(tags["train"]) < 2:
        (only,) = tags["train"]
        raise ValueError(
            f"{data}: every word of train has the same tag of {tag_set}, {only!r}; "
            "there is nothing to tell apart"
        )
    return [
        f"no tag of {split} is one of train ({_few(tags[split])}; "
        f"{_few(tags['train'])}), so none can be found"
        for split in ("dev", "test")
        if tags["train"].isdisjoint(tags[split])
    ]


def _few(names: set[str], most: int = 5) -> str:
    shown = sorted(names)
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def read_tagged_words(path: Path) -> list[PosSentence]:
    """Read words with a universal tag and the language's tag, sentence by sentence.

    Args:
      path: UTF-8; `.gz` is decompressed. Lines of word, universal tag and language's
        tag, separated by tabs, blank between sentences; columns after the third are
        ignored, and there are no comments: "#" is a word. Or CoNLL-U by its name, of
        which the words that are analysed are read.

    Raises:
      ValueError: a line is malformed; names it.
      OSError: the file cannot be read.
    """
    is_conll_u = path.name.removesuffix(".gz").endswith(".conllu")
    lines = _conll_u_rows(path) if is_conll_u else _table_rows(path)
    sentences: list[PosSentence] = []
    rows: list[list[str]] = []
    for cells in lines:
        if cells is None:
            sentences += _sentence(rows)
            rows = []
        else:
            rows.append(cells)
    sentences += _sentence(rows)
    if not sentences:
        raise ValueError(f"{path} has no sentences")
    return sentences


def _table_rows(path: Path) -> Iterator[list[str] | None]:
    """Yield word and two tags of each line; None where a sentence ends."""
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t")
        if not line.strip():
            yield None
            continue
        if len(fields) < 3 or not all(fields[:3]):
            raise ValueError(
                f"{path}:{number}: expected a word and two tags between tabs, or a "
                f"blank line, found {line.rstrip()[:40]!r}"
            )
        yield fields[:3]


def _conll_u_rows(path: Path) -> Iterator[list[str] | None]:
    for row in analysed(read_conll_u_rows(read_lines(path), path)):
        if row is None or row.begins_document:
            yield None
        else:
            _, form, _, universal, own, *_ = row.cells
            yield [form, universal, own]


def _sentence(rows: list[list[str]]) -> list[PosSentence]:
    return [PosSentence(*zip(*rows, strict=True))] if rows else []


def most_frequent_tags(
    train_words: Sequence[str], train_tags: Sequence[str], words: Sequence[str]
) -> list[str]:
    """Return for each word its most frequent tag in training.

    A word that training lacks gets the most frequent tag of all; of equally frequent
    tags, the one seen first counts.

    Example:
      >>> most_frequent_tags(["a", "cat", "a"], ["DET", "NOUN", "DET"], ["cat", "dog"])
      ['NOUN', 'DET']
    """
    counts: dict[str, Counter[str]] = {}
    for word, tag in zip(train_words, train_tags, strict=True):
        counts.setdefault(word, Counter())[tag] += 1
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    ((default, _),) = Counter(train_tags).most_common(1)
    return [best.get(word, default) for word in words]
