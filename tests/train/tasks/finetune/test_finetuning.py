# SPDX-License-Identifier: Apache-2.0
"""A step is that of torch and transformers; a run learns and keeps its best epoch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
import elmo_jax
from tests.train.tasks.finetuning_data import (
    WordClassifier,
    labelled,
    make_bert,
    make_elmo,
    tagged,
)
from train.families.bert.finetuned import BertClassifier, fresh_classifier
from train.families.elmo.finetuned import ElmoClassifier, fresh_head
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import IGNORED, EpochBatches, padded_length
from train.tasks.finetune.classifier import predict_labels
from train.tasks.finetune.finetuning import (
    Finetuning,
    Stepper,
    collate_batch,
    finetune,
    learning_rate,
    learning_rates,
    make_optimizer,
    mean_loss,
)
from train.tasks.finetune.scoring import score_examples

TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
KINDS = ("bad", "good")
QUICK = Finetuning(
    batch_size=8, num_epochs=8, learning_rate=3e-3, dropout_rate=0.0, max_length=32
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return bert_jax.load(
        make_bert(tmp_path_factory.mktemp("models") / "bert", num_blocks=1)
    )


@pytest.fixture(scope="module")
def elmo(tmp_path_factory):
    return elmo_jax.load(make_elmo(tmp_path_factory.mktemp("models") / "elmo"))


def classify_bert(bert, task, labels, *, dropout_rate=0.0, **options):
    params, tokenizer = bert
    fresh = fresh_classifier(jax.random.key(0), params, task, labels, dropout_rate)
    return BertClassifier(fresh, tokenizer, **options)


def make_steps(stepper, batches):
    """Make a step of each batch; return the losses and the weights after them."""
    state, losses = stepper.init(), []
    for number, batch in enumerate(batches):
        state, loss = stepper(state, batch, number)
        losses.append(float(loss))
    return losses, stepper.weights(state.params)


def classify_elmo(elmo, task, labels, *, dropout_rate=0.0):
    params, tokenizer = elmo
    head = fresh_head(jax.random.key(0), params, "mix(all)", len(labels))
    return ElmoClassifier(
        params,
        tokenizer,
        head,
        task=task,
        labels=labels,
        layers="mix(all)",
        dropout_rate=dropout_rate,
    )


@pytest.mark.parity
@pytest.mark.parametrize(
    "task", ["token", "pairs", pytest.param("sequence", marks=pytest.mark.slow)]
)
def test_ten_steps_are_those_of_transformers(bert, tmp_path, task):
    transformers = pytest.importorskip("transformers")
    from tests.oracles.finetuning import TorchStepper

    if task == "token":
        classifier = classify_bert(bert, "token", TAGS, max_length=16)
        examples, name = tagged(80, 1, 8, 14), "BertForTokenClassification"
    else:
        pairs = task == "pairs"
        labels = ("other", "same") if pairs else KINDS
        classifier = classify_bert(bert, "sequence", labels)
        examples, name = labelled(80, 1, pairs=pairs), "BertForSequenceClassification"
    config = Finetuning(
        task=classifier.task,
        batch_size=8,
        learning_rate=1e-3,
        recipe="transformers",
        warmup_rate=0.3,
        weight_decay=0.1,
        max_gradient_norm=0.5,
        dropout_rate=0.0,
    )
    classifier.save(tmp_path / "model", classifier.weights)
    network = getattr(transformers, name).from_pretrained(
        tmp_path / "model", attn_implementation="eager"
    )
    theirs = TorchStepper(config, network.train(), 10)
    ours = Stepper(config, classifier, 10)
    rows = classifier.rows(examples)
    batches = EpochBatches([row.length for row in rows], 8, seed=0)
    given = [
        collate_batch(classifier, [rows[index] for index in batches[step]], 8)
        for step in range(10)
    ]
    losses, weights = make_steps(ours, given)
    np.testing.assert_allclose(losses, [theirs(*batch) for batch in given], atol=1e-4)
    # Something was learnt, so that a step that does nothing would be seen.
    before, after = (
        np.asarray(each["head"][classifier.task]["dense"]["kernel"])
        for each in (classifier.weights, weights)
    )
    assert np.abs(after - before).max() > 2e-3
    assert np.ptp(losses) > 0.05


def test_an_update_is_that_of_the_published_program():
    """The direction of a step: BERT's Adam, decay of matrices alone, no correction."""
    classifier = WordClassifier()
    config = Finetuning(
        task="sequence", warmup_rate=0.0, weight_decay=0.5, learning_rate=1e-3
    )
    tokens, labels = collate_batch(classifier, classifier.rows(labelled(8, 1)), 8)

    def loss(weights):
        return mean_loss(classifier.logits(weights, tokens), jnp.asarray(labels))

    before = jax.device_get(classifier.weights)
    gradient = jax.device_get(jax.grad(loss)(classifier.weights))
    norm = np.sqrt(sum(np.sum(g**2) for g in jax.tree.leaves(gradient)))
    stepper = Stepper(config, classifier, 10)
    after = jax.device_get(make_steps(stepper, [(tokens, labels)])[1])
    assert before["head"]["bias"].all()
    for place, decay in (("kernel", 0.5), ("bias", 0.0)):
        old, new, g = (tree["head"][place] for tree in (before, after, gradient))
        g = g / max(norm, 1.0)
        direction = 0.1 * g / (np.sqrt(0.001 * g * g) + 1e-6) + decay * old
        np.testing.assert_allclose(new, old - 1e-3 * direction, atol=1e-6)


def test_schedules():
    def rates(recipe):
        rate = learning_rate(Finetuning(recipe=recipe), 1.0, 20)
        return [round(float(rate(step)), 3) for step in (0, 1, 2, 11, 20)]

    assert rates("transformers") == [0.0, 0.5, 1.0, 0.5, 0.0]
    assert rates("published") == [0.0, 0.5, 0.9, 0.45, 0.0]


@pytest.mark.parametrize(
    ("encoder", "task"),
    [
        ("bert", "token"),
        ("elmo", "sequence"),
        pytest.param("bert", "sequence", marks=pytest.mark.slow),
        pytest.param("elmo", "token", marks=pytest.mark.slow),
    ],
)
def test_a_tiny_model_learns(encoder, task, request):
    model = request.getfixturevalue(encoder)
    labels = TAGS if task == "token" else KINDS
    make = classify_bert if encoder == "bert" else classify_elmo
    classifier = make(model, task, labels)
    draw = tagged if task == "token" else labelled
    splits = {"train": draw(120, 1), "dev": draw(30, 2), "test": draw(30, 3)}
    config = dataclasses.replace(
        QUICK,
        task=task,
        learning_rate=QUICK.learning_rate * (1 + 3 * (encoder == "elmo")),
    )
    said = []
    outcome = finetune(config, classifier, splits, said.append)
    epochs = outcome.fitted.history
    assert len(said) == len(epochs) == 8
    assert epochs[-1].loss < epochs[0].loss / 2
    assert outcome.scores["test"][config.decisive] > 90
    # What it says of itself is what its weights do.
    found = predict_labels(classifier, splits["test"], outcome.weights)
    assert found == outcome.predictions["test"]
    assert score_examples(splits["test"], found) == outcome.scores["test"]
    best = epochs[int(outcome.fitted.epoch) - 1].metrics[config.decisive]
    assert best == max(epoch.metrics[config.decisive] for epoch in epochs)
    assert outcome.scores["dev"][config.decisive] == best


def test_order_and_dropout_are_functions_of_seed_and_step():
    splits = {"train": labelled(40, 1), "dev": labelled(10, 2)}

    def losses(seed, dropout_rate):
        config = dataclasses.replace(QUICK, task="sequence", seed=seed)
        outcome = finetune(config, WordClassifier(dropout_rate), splits, str)
        return [epoch.loss for epoch in outcome.fitted.history]

    assert losses(3, 0.5) == losses(3, 0.5)
    assert losses(3, 0.0) != losses(3, 0.5) != losses(4, 0.5)
    # Dropout alone: the same batch, twice.
    classifier = WordClassifier(0.5)
    batch = collate_batch(classifier, classifier.rows(splits["train"][:8]), 8)
    config = Finetuning(task="sequence")
    drawn: set[float] = set()
    for seed in (3, 4):
        stepper = Stepper(dataclasses.replace(config, seed=seed), classifier, 20)
        drawn.update(make_steps(stepper, [batch, batch])[0])
    # The first step's rate is zero, so that the second differs by its masks alone.
    assert len(drawn) == 4
    again, once = EpochBatches([3, 5, 4], 2, 1), EpochBatches([3, 5, 4], 2, 1)
    for step in (5, 0, 3):
        np.testing.assert_array_equal(once[step], again[step])


def test_early_stopping_and_the_epoch_that_is_kept(monkeypatch):
    scores = iter([50.0, 70.0, 60.0, 70.0, 99.0])

    def score(examples, predicted):
        return {"accuracy": next(scores)}

    monkeypatch.setattr("train.tasks.finetune.finetuning.score_examples", score)
    config = dataclasses.replace(QUICK, task="sequence", num_epochs=5, patience=2)
    splits = {"train": labelled(16, 1), "dev": labelled(4, 2)}
    outcome = finetune(config, WordClassifier(), splits, str)
    assert len(outcome.fitted.history) == 4
    assert outcome.fitted.epoch == 2
    # The weights are those after the second epoch, of the same five.
    stepper = Stepper(config, classifier := WordClassifier(), 5 * 2)
    rows = classifier.rows(splits["train"])
    batches = EpochBatches([row.length for row in rows], 8, config.seed)
    given = (
        collate_batch(classifier, [rows[i] for i in batches[step]], 8)
        for step in range(4)
    )
    _, weights = make_steps(stepper, given)
    jax.tree.map(np.testing.assert_array_equal, outcome.weights, weights)


def test_a_frozen_encoder_stays_until_it_thaws():
    classifier = WordClassifier()
    tokens, labels = collate_batch(classifier, classifier.rows(labelled(8, 1)), 8)
    table = np.asarray(classifier.weights["encoder"]["table"])

    def moved(weights):
        return np.abs(weights["encoder"]["table"] - table).max()

    def after(config, num_steps):
        stepper = Stepper(config, classifier, 10)
        return make_steps(stepper, [(tokens, labels)] * num_steps)[1]

    config = Finetuning(task="sequence", warmup_rate=0.0, frozen_steps=None)
    weights = after(config, 1)
    assert moved(weights) == 0
    kernel = classifier.weights["head"]["kernel"]
    assert np.abs(weights["head"]["kernel"] - kernel).max() > 0
    thawing = dataclasses.replace(config, frozen_steps=1, encoder_learning_rate=1e-5)
    assert moved(after(thawing, 1)) == 0
    assert 0 < moved(after(thawing, 2)) < 5e-5


def test_every_epoch_reads_every_row_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(3, 60, 203)
    batches = EpochBatches(lengths.tolist(), 8, seed=5)
    assert batches.steps_an_epoch == 26
    epochs = []
    for epoch in range(2):
        steps = range(epoch * 26, (epoch + 1) * 26)
        drawn = [batches[step] for step in steps]
        assert sorted(np.concatenate(drawn).tolist()) == list(range(203))
        padded = sum(len(b) * padded_length(int(lengths[b].max())) for b in drawn)
        assert padded < 1.35 * lengths.sum()
        epochs.append(np.concatenate(drawn).tolist())
    assert epochs[0] != epochs[1]


def test_padding_changes_neither_loss_nor_gradient(bert):
    classifier = classify_bert(bert, "token", TAGS)
    rows = classifier.rows(tagged(3, 1))
    results = []
    for length, size in ((16, 3), (40, 7)):
        tokens = classifier.collate(rows, length, size)
        labels = np.full((size, length), IGNORED)
        for index, row in enumerate(rows):
            labels[index, : row.length] = row.labels

        def loss(weights, tokens=tokens, labels=labels):
            return mean_loss(classifier.logits(weights, tokens), jnp.asarray(labels))

        results.append(jax.jit(jax.value_and_grad(loss))(classifier.weights))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"max_length": 2}, "max_length must be at least 3"),
        ({"frozen_steps": -1}, "frozen_steps must be at least 0"),
        ({"warmup_rate": 1.0}, "warmup_rate must be at least 0 and below 1"),
        ({"dropout_rate": -0.1}, "dropout_rate must be at least 0 and below 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"context": -1}, "context must be at least 0, not -1"),
        ({"metric": "macro_f1"}, "metric macro_f1 is not one of token labels"),
        ({"task": "sequence", "metric": "f1"}, "metric f1 is not one of sequence"),
    ],
)
def test_values_that_no_run_could_have(change, message):
    with pytest.raises(ValueError, match=message):
        Finetuning(**change)


def test_decay_leaves_biases_normalisations_and_mixes_alone():
    weights = {
        "encoder": {"norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)}},
        "head": {
            "mix_0": {"weights": jnp.ones(3), "gamma": jnp.ones(())},
            "dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
        },
    }
    optimizer = make_optimizer(Finetuning(weight_decay=0.25))
    nothing = jax.tree.map(jnp.zeros_like, weights)
    direction, _ = optimizer.update(nothing, optimizer.init(weights), weights)
    expected = jax.tree.map(np.zeros_like, weights)
    expected["head"]["dense"]["kernel"] += 0.25
    jax.tree.map(np.testing.assert_array_equal, direction, expected)


def test_the_encoder_learns_as_fast_as_the_head_unless_told():
    rates = learning_rates(Finetuning(learning_rate=0.5, warmup_rate=0.0), 4)
    np.testing.assert_allclose(rates["head"], [0.5, 0.375, 0.25, 0.125])
    np.testing.assert_array_equal(rates["encoder"], rates["head"])
    config = Finetuning(learning_rate=0.5, encoder_learning_rate=0.05, warmup_rate=0.0)
    slower = learning_rates(config, 4)
    np.testing.assert_allclose(slower["encoder"], [0.05, 0.0375, 0.025, 0.0125])
    np.testing.assert_array_equal(slower["head"], rates["head"])


def test_examples_of_another_vocabulary_are_refused_or_said(bert, caplog):
    classifier = classify_bert(bert, "sequence", ("bad", "good"))
    foreign = [LabelledText("good", "ŁŁ ßß"), LabelledText("bad", "ßß")]
    splits = {"train": foreign, "dev": labelled(4, 1)}
    with pytest.raises(ValueError, match="not one of the 3 words of the training exam"):
        finetune(QUICK, classifier, splits)
    predict_labels(classifier, foreign)
    assert "not one of the 3 words of the examples is known" in caplog.text


def test_words_that_a_bilm_of_word_ids_lacks_are_counted():
    vocabulary = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "good", "bad"))
    config = dataclasses.replace(elmo_jax.TINY, char_cnn=None, vocab_size=5)
    params = elmo_jax.init_params(jax.random.key(0), config)
    tokenizer = elmo_jax.ElmoTokenizer(config, vocabulary)
    classifier = classify_elmo((params, tokenizer), "sequence", KINDS)
    rows = classifier.rows([LabelledText("good", "good ŁŁ bad ß ß")])
    assert [(row.num_words, row.num_unknown) for row in rows] == [(5, 3)]
