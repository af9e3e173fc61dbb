# SPDX-License-Identifier: Apache-2.0
"""Labels come back in the order of the examples; what is too long is cut."""

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from tests.train import quick_models
from train.families.bert.finetuned import BertClassifier, fresh_classifier
from train.families.elmo.finetuned import ElmoClassifier, fresh_head
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import ClassifiedRow, batches_in_order
from train.tasks.finetune.classifier import predict_labels


class Echo:
    """A `Classifier` whose words are numbers, that of their label; 9 has no place."""

    task = "token"
    longest = None

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.weights = {"encoder": {}, "head": {}}

    def rows(self, examples):
        found = []
        for index, example in enumerate(examples):
            read = [place for place, word in enumerate(example.words) if word != "9"]
            numbers = [int(example.words[place]) for place in read]
            # [CLS], as it were.
            words = np.array([-1, *read])
            content = [0, *numbers]
            found.append(
                ClassifiedRow(
                    content, len(words), np.zeros(len(words), int), index, words
                )
            )
        return found

    def collate(self, rows, length, size):
        tokens = np.zeros((size, length), np.int32)
        for index, row in enumerate(rows):
            tokens[index, : row.length] = row.content
        return tokens

    def logits(self, weights, tokens, dropout_key=None):
        return jax.nn.one_hot(tokens, len(self.labels))

    def mixes(self, weights):
        return ()

    def save(self, directory, weights):
        raise NotImplementedError


def sentence(*words: str) -> TaggedSentence:
    return TaggedSentence(words, ("O",) * len(words))


@pytest.mark.parametrize("size", [1, 7, 32])
def test_labels_stand_at_the_words_they_are_of(size, monkeypatch):
    monkeypatch.setattr(
        "train.tasks.finetune.classifier.batches_in_order",
        lambda lengths, _: batches_in_order(lengths, size),
    )
    draw = np.random.default_rng(0)
    # More than one batch, of many lengths.
    numbers = [draw.integers(0, 3, draw.integers(1, 12)) for _ in range(70)]
    examples = [sentence(*map(str, each)) for each in numbers]
    found = predict_labels(Echo("O", "B-A", "B-B"), examples)
    assert found == [["O B-A B-B".split()[n] for n in each] for each in numbers]


def test_a_word_that_cannot_be_read_is_no_name():
    examples = [sentence("1", "9", "2"), sentence("9")]
    assert predict_labels(Echo("B-A", "O", "B-B"), examples) == [
        ["O", "O", "B-B"],
        ["O"],
    ]
    assert predict_labels(Echo("NOUN", "DET", "VERB"), examples) == [
        ["DET", "NOUN", "VERB"],
        ["NOUN"],
    ]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return bert_jax.load(quick_models.save_bert(tmp_path_factory.mktemp("m") / "bert"))


@pytest.mark.parametrize(
    ("asked", "longest"), [({}, 64), ({"max_length": 9}, 9), ({"max_length": 99}, 64)]
)
def test_a_row_of_a_bert_is_no_longer_than_the_model_reads(bert, asked, longest):
    params, tokenizer = bert
    fresh = fresh_classifier(jax.random.key(0), params, "token", ("O", "B-A"))
    lines = [sentence(*["the"] * 100), sentence("a")]
    classifier = BertClassifier(fresh, tokenizer, **asked)
    assert classifier.longest == longest
    rows = classifier.rows(lines)
    assert max(row.length for row in rows) == longest
    assert [row.length for row in rows if row.example == 1] == [3]
    # A document shows as much as there is room for.
    shown = BertClassifier(fresh, tokenizer, context="document", **asked).rows(lines)
    assert [row.length for row in shown if row.example == 1] == [longest]


def test_a_bilm_cuts_texts_and_no_sentence(tmp_path):
    params, tokenizer = elmo_jax.load(quick_models.save_elmo(tmp_path / "elmo"))
    head = fresh_head(jax.random.key(0), params, "last", 2)

    def lengths(task, *examples):
        classifier = ElmoClassifier(
            params,
            tokenizer,
            head,
            task=task,
            labels=("O", "B-A"),
            layers="last",
            max_length=4,
        )
        return [row.length for row in classifier.rows(examples)]

    texts = LabelledText("O", "a b c"), LabelledText("O", "a b c d e f")
    assert lengths("sequence", *texts) == [3, 4]
    assert lengths("token", sentence(*"abcdef")) == [6]
