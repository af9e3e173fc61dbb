# SPDX-License-Identifier: Apache-2.0
"""What was fine-tuned is opened by other tools, and by us, and says the same."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
import elmo_jax
from tests.families import family_of
from tests.train.tasks.finetuning_data import labelled, make_bert, make_elmo, tagged
from train.families.bert.finetuned import (
    BertClassifier,
    fresh_classifier,
    load_bert_classifier,
)
from train.families.elmo.finetuned import (
    ElmoClassifier,
    fresh_head,
    load_elmo_classifier,
)
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classifier import predict_labels
from train.tasks.finetune.finetuning import (
    Finetuning,
    Stepper,
    collate_batch,
    finetune,
)

TAGS = ("O", "B-LOC", "B-PER")
KINDS = ("bad", "good", "neither")


def labels_of(task):
    return TAGS if task == "token" else KINDS


def examples_of(task):
    return tagged(9, 5) if task == "token" else labelled(9, 5, pairs=task == "pairs")


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    return bert_jax.load(make_bert(path, num_blocks=1))


@pytest.fixture(scope="module")
def elmo(tmp_path_factory):
    return elmo_jax.load(make_elmo(tmp_path_factory.mktemp("models") / "elmo"))


def spread(weights):
    """Make the differences between the labels large, and biases not zero."""
    head = jax.tree.map(lambda leaf: 9 * leaf + 0.1, weights["head"])
    return jax.device_get({**weights, "head": head})


@pytest.mark.parity
@pytest.mark.parametrize("task", ["token", "sequence", "pairs"])
def test_transformers_opens_it_and_says_the_same(bert, tmp_path, task):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from tests.oracles.finetuning import to_tensors

    params, tokenizer = bert
    kind = "token" if task == "token" else "sequence"
    fresh = fresh_classifier(jax.random.key(2), params, kind, labels_of(task))
    classifier = BertClassifier(fresh, tokenizer)
    weights = spread(classifier.weights)
    classifier.save(tmp_path / "model", weights)
    auto = {
        "token": transformers.AutoModelForTokenClassification,
        "sequence": transformers.AutoModelForSequenceClassification,
    }[kind]
    network, info = auto.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    name = f"BertFor{kind.title()}Classification"
    assert type(network).__name__ == name == network.config.architectures[0]
    labels = labels_of(task)
    assert network.config.id2label == dict(enumerate(labels))
    assert network.config.label2id == {label: i for i, label in enumerate(labels)}
    examples = examples_of(task)
    rows = classifier.rows(examples)
    tokens = classifier.collate(rows, 24, len(rows))
    with torch.no_grad():
        theirs = network.eval()(**to_tensors(tokens)).logits.numpy()
    ours = np.asarray(jax.jit(classifier.logits)(weights, tokens))
    real = tokens.mask if kind == "token" else np.ones(len(rows), bool)
    np.testing.assert_allclose(ours[real], theirs[real], atol=1e-5)
    # And its predictions, from the files alone, are those of ours.
    loaded = load_bert_classifier(tmp_path / "model")
    found = predict_labels(loaded, examples)
    assert found == predict_labels(classifier, examples, weights)
    for row, scores in zip(rows, theirs, strict=True):
        best = [labels[i] for i in np.atleast_1d(scores.argmax(axis=-1))]
        if kind == "token":
            best = [best[position] for position in np.flatnonzero(row.words >= 0)]
        assert found[row.example] == best


@pytest.mark.parametrize("task", ["token", "sequence"])
def test_an_elmo_comes_back(elmo, tmp_path, task):
    params, tokenizer = elmo
    labels, layers = labels_of(task), "mix(all),embeddings,mix(blocks)"
    classifier = ElmoClassifier(
        params,
        tokenizer,
        fresh_head(jax.random.key(0), params, layers, len(labels)),
        task=task,
        labels=labels,
        layers=layers,
        max_length=5,
    )
    weights = spread(classifier.weights)
    path = tmp_path / "model"
    classifier.save(path, weights)
    loaded = load_elmo_classifier(path)
    jax.tree.map(np.testing.assert_array_equal, loaded.weights, weights)
    # Words of a text beyond the fifth are not read; those of a sentence all are.
    words = ("river",) * 9
    (row,) = loaded.rows(
        [TaggedSentence(words, ("O",) * 9)]
        if task == "token"
        else [LabelledText("bad", " ".join(words))]
    )
    assert row.length == (9 if task == "token" else 5)
    examples = examples_of(task)
    found = predict_labels(loaded, examples)
    assert found == predict_labels(classifier, examples, weights)
    # A random biLM finds the same label nearly everywhere; so the scores themselves.
    rows = loaded.rows(examples)
    tokens = loaded.collate(rows, 16, 9)
    scores = [
        np.asarray(jax.jit(each.logits)(loaded.weights, tokens))
        for each in (loaded, classifier)
    ]
    np.testing.assert_array_equal(*scores)
    assert np.ptp(scores[0].reshape(9, -1), axis=0)[:3].min() > 1e-5
    # The biLM itself is there for everybody.
    assert family_of(path) == "elmo"
    with pytest.raises(FileExistsError):
        classifier.save(path, weights)


def test_logits_of_an_elmo_are_those_of_its_vectors(elmo):
    """Mix, mean over the words, affine map: written out with the public functions."""
    params, tokenizer = elmo
    head = fresh_head(jax.random.key(0), params, "mix(all)", 3)
    head["mix_0"] = {"weights": jnp.array([0.0, 2.0, -1.0]), "gamma": jnp.float32(3)}
    classifier = ElmoClassifier(
        params, tokenizer, head, task="sequence", labels=KINDS, layers="mix(all)"
    )
    texts = labelled(4, 1)
    rows = classifier.rows(texts)
    tokens = classifier.collate(rows, 16, 6)
    logits = jax.jit(classifier.logits)(classifier.weights, tokens)[:4]
    shares = np.exp([0.0, 2.0, -1.0]) / np.exp([0.0, 2.0, -1.0]).sum()
    layers = [
        elmo_jax.embed_sentences(params, tokenizer, [t.text for t in texts], str(layer))
        for layer in range(3)
    ]
    mixed = 3 * sum(share * layer for share, layer in zip(shares, layers, strict=True))
    expected = mixed @ np.asarray(head["dense"]["kernel"])
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_norm_of_an_elmo_does_not_depend_on_the_batch(elmo):
    params, tokenizer = elmo
    classifier = ElmoClassifier(
        params,
        tokenizer,
        fresh_head(jax.random.key(0), params, "mix_norm(all)", 3),
        task="sequence",
        labels=KINDS,
        layers="mix_norm(all)",
    )
    texts = labelled(4, 1)
    rows = classifier.rows(texts)
    tokens = classifier.collate(rows, 16, 6)
    logits = classifier.logits(classifier.weights, tokens)[:4]
    vectors = elmo_jax.embed_sentences(
        params, tokenizer, [text.text for text in texts], "mix_norm(all)"
    )
    expected = vectors @ np.asarray(classifier.weights["head"]["dense"]["kernel"])
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_the_penalty_is_added_to_the_loss(elmo, bert):
    params, tokenizer = elmo
    layers = "mix(all),mix_norm(blocks)"
    head = fresh_head(jax.random.key(0), params, layers, 3)
    head["mix_0"]["weights"] = jnp.array([1.0, -2.0, 0.0])
    head["mix_1"]["weights"] = jnp.array([0.0, 3.0])
    classifier = ElmoClassifier(
        params, tokenizer, head, task="sequence", labels=KINDS, layers=layers
    )
    rows = classifier.rows(labelled(4, 1))
    batch = collate_batch(classifier, rows, 4)
    losses = []
    for penalty in (0.0, 0.5):
        config = Finetuning(
            task="sequence", frozen_steps=None, mix_penalty=penalty, layers=layers
        )
        stepper = Stepper(config, classifier, 10)
        losses.append(float(stepper(stepper.init(), batch, 0)[1]))
    # 1 + 4 + 9, halved.
    assert losses[1] - losses[0] == pytest.approx(7.0, abs=1e-5)
    config = Finetuning(mix_penalty=0.1)
    of_bert = BertClassifier(
        fresh_classifier(jax.random.key(0), bert[0], "token", TAGS), bert[1]
    )
    with pytest.raises(ValueError, match=r"mix_penalty 0.1: .* has no mix of layers"):
        finetune(config, of_bert, {"train": examples_of("token"), "dev": []})


def test_what_a_loader_refuses(elmo, bert, tmp_path):
    params, tokenizer = elmo
    elmo_jax.save(tmp_path / "bare", params, tokenizer)
    with pytest.raises(ValueError, match=r"head.json: no such file"):
        load_elmo_classifier(tmp_path / "bare")
    classifier = ElmoClassifier(
        params,
        tokenizer,
        fresh_head(jax.random.key(0), params, "last", 2),
        task="sequence",
        labels=("a", "b"),
        layers="last",
    )
    path = tmp_path / "model"
    classifier.save(path, classifier.weights)
    (path / "checksums.json").unlink()
    settings = json.loads((path / "head.json").read_text())
    (path / "head.json").write_text(json.dumps({**settings, "labels": ["a"]}))
    with pytest.raises(ValueError, match=r"head.safetensors is not the head that"):
        load_elmo_classifier(path)
    (path / "head.json").write_text(json.dumps(settings))
    (path / "head.safetensors").write_bytes(b"xxxxxxxxxxxxxxx")
    with pytest.raises(ValueError, match=r"the head in .*model is damaged"):
        load_elmo_classifier(path)
    with pytest.raises(ValueError, match=r"pair of texts.*a BERT reads both"):
        classifier.rows(labelled(2, 1, pairs=True))
    with pytest.raises(ValueError, match="no classifier; fine-tune it first"):
        BertClassifier(*bert)


def test_a_pooler_that_is_there_is_kept(bert):
    params, _ = bert
    fresh = fresh_classifier(jax.random.key(0), params, "sequence", ("a", "b"), 0.25)
    assert set(fresh.heads) == {"pooler", "sequence"}
    assert fresh.config.attention_dropout_rate == 0.25
    pooler = jax.tree.map(lambda w: w + 1, fresh.heads["pooler"])
    given = params.replace(heads={"pooler": pooler, "mlm": {}})
    kept = fresh_classifier(jax.random.key(0), given, "sequence", ("a", "b"))
    jax.tree.map(np.testing.assert_array_equal, kept.heads["pooler"], pooler)
    assert kept.config.dropout_rate == params.config.dropout_rate
    token = fresh_classifier(jax.random.key(0), given, "token", ("a", "b"))
    assert set(token.heads) == {"token"}
