import dataclasses
import itertools

import numpy as np
import pytest

from embed_jax.store import StoreWriter
from tests.train.tasks.tagged_features import SMALL, make_splits
from train.tasks.features import Features
from train.tasks.ner.tagger import needed_layers
from train.tasks.ner.tagging import TaggedFeatures, tag_names, train_taggers

# Without BiLSTMs, whose steps take seconds to compile.
LINEAR = dataclasses.replace(SMALL, num_layers=0)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TaggedFeatures]:
    return make_splits(tmp_path_factory.mktemp("features"))


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_the_layer_that_tells_wins(splits, decoder: str):
    config = dataclasses.replace(SMALL, decoder=decoder)
    told = train_taggers(config, "last", splits)
    partly = train_taggers(config, "1", splits)
    nothing = train_taggers(config, "embeddings", splits)
    assert min(told.test) > 97
    assert max(nothing.test) < min(partly.test) < max(partly.test) < min(told.test)
    assert len(told.predictions) == 2
    assert list(map(len, told.predictions[0])) == list(map(len, splits["test"].tags))


def test_a_crf_answers_with_the_best_path(tmp_path):
    """The second word looks the same in both kinds of sentence; the first tells."""
    kinds = {"B-PER": ["B-PER", "I-PER"], "O": ["O", "O"]}
    splits = {}
    for name, count in (("train", 80), ("dev", 20), ("test", 20)):
        path = tmp_path / f"{name}.h5"
        tags = [kinds["O" if index % 2 else "B-PER"] for index in range(count)]
        with StoreWriter(path, dim=2, metadata={"num_layers": 1}) as writer:
            for first, _ in tags:
                rows = np.array([[1.0, first == "O"], [0.0, 0.0]], np.float32)
                writer.append(rows, ["w", "w"])
        splits[name] = TaggedFeatures(Features(path, [False] * count), tags)
    config = dataclasses.replace(LINEAR, decoder="crf", num_epochs=12, patience=12)
    outcome = train_taggers(config, "0", splits)
    for predicted in outcome.predictions:
        assert predicted == splits["test"].tags


def test_a_mix_learns_which_layer_tells(splits):
    mixed = train_taggers(SMALL, "mix(all)", splits)
    (shares,) = mixed.mixes
    assert shares.shape == (2, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares.argmax(axis=1) == 2).all()
    assert mixed.gammas[0].shape == (2,)
    assert min(mixed.test) > 90


def test_a_penalty_keeps_the_mean_of_the_layers(splits):
    free, kept, weak = (
        train_taggers(
            dataclasses.replace(LINEAR, mix_penalty=penalty), "mix(all),last", splits
        ).mixes[0]
        for penalty in (0.0, 10.0, 0.001)
    )
    assert (free.argmax(axis=1) == 2).all()
    assert np.abs(kept - 1 / 3).max() < 0.05 < np.abs(free - 1 / 3).max()
    assert np.abs(free - weak).max() > 1e-4


def test_a_norm_is_of_each_sentence(splits, tmp_path):
    """Sentences of any scale are tagged alike, whatever stands beside them."""
    config = dataclasses.replace(LINEAR, num_epochs=3, patience=3)
    scaled = {}
    for name, split in splits.items():
        path = tmp_path / f"{name}.h5"
        layers = split.features.read((0, 1, 2))
        with StoreWriter(path, dim=24, metadata={"num_layers": 3}) as writer:
            for index, (begin, end) in enumerate(
                itertools.pairwise(split.features.offsets)
            ):
                rows = layers[begin:end].reshape(end - begin, -1).astype(np.float32)
                writer.append(rows * 2.0 ** (index % 5), ["w"] * len(rows))
        scaled[name] = TaggedFeatures(
            Features(path, [False] * len(split.tags)), split.tags
        )
    plain = train_taggers(config, "mix_norm(last)", splits)
    assert train_taggers(config, "mix_norm(last)", scaled).predictions == (
        plain.predictions
    )
    assert min(plain.test) > 50


def test_seeds_differ_and_repeat(splits):
    config = dataclasses.replace(SMALL, num_epochs=1)
    once, again = (train_taggers(config, "1", splits) for _ in range(2))
    assert once.predictions == again.predictions
    assert once.predictions[0] != once.predictions[1]
    # The second seed is what the first one is of a run that begins with it.
    later = train_taggers(dataclasses.replace(config, seed=1), "1", splits)
    agreement = np.mean(
        [
            a == b
            for ours, theirs in zip(
                later.predictions[0], once.predictions[1], strict=True
            )
            for a, b in zip(ours, theirs, strict=True)
        ]
    )
    assert agreement > 0.99


def test_training_stops_when_dev_does_not_improve(splits):
    config = dataclasses.replace(SMALL, num_epochs=60, patience=1)
    outcome = train_taggers(config, "last", splits)
    assert max(outcome.epochs) < 40


def test_patience_begins_with_the_first_name_found(splits, monkeypatch):
    scores = iter([0.0] * 6 + [1.0, 0.5, 0.5, 0.5])
    monkeypatch.setattr(
        "train.tasks.ner.tagging._HeldOut.score", lambda self, found: [next(scores)] * 2
    )
    config = dataclasses.replace(SMALL, num_epochs=20, patience=2)
    # Three dev scores after the six zeros, then one of test.
    outcome = train_taggers(config, "last", splits)
    assert outcome.epochs == (7, 7)
    assert next(scores, None) is None


def test_equal_work_is_one_program():
    assert needed_layers("last", 2)[1] == needed_layers("1", 2)[1]
    assert needed_layers("mix(last4)", 12) == (
        (9, 10, 11, 12),
        needed_layers("mix(all)", 3)[1],
    )
    assert needed_layers("second_to_last,0", 2)[0] == (0, 1)
    assert str(needed_layers("second_to_last,0", 2)[1]) == "first,embeddings"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_seeds", 0),
        ("cell_dim", 0),
        ("dropout_rate", 1.0),
        ("num_layers", -1),
        ("context", -1),
    ],
)
def test_what_no_tagger_can_have(field: str, value: object):
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(SMALL, **{field: value})


def test_a_layer_that_is_not_there(splits):
    with pytest.raises(ValueError, match=r"layers 0\.\.2"):
        train_taggers(SMALL, "mix(last4)", splits)


def test_of_epochs_that_are_equal_on_dev_the_first_is_kept(splits):
    nameless = [["O"] * len(tags) for tags in splits["dev"].tags]
    given = {**splits, "dev": splits["dev"]._replace(tags=nameless)}
    config = dataclasses.replace(LINEAR, num_epochs=3)
    outcome = train_taggers(config, "last", given)
    assert outcome.epochs == (1, 1)
    assert outcome.dev == (0, 0)


def test_what_is_kept_is_what_dev_was_measured_with(splits):
    # Noise, so that a later epoch is no better than an earlier one.
    config = dataclasses.replace(LINEAR, learning_rate=0.3)
    outcome = train_taggers(config, "embeddings", {**splits, "test": splits["dev"]})
    assert outcome.test == outcome.dev
    assert min(outcome.epochs) < SMALL.num_epochs


def test_a_crf_sees_no_other_sentence(splits, tmp_path):
    """The sentences of test in reverse order, so that others are their neighbours."""
    test = splits["test"]
    ends = test.features.offsets
    rows = test.features.read(range(3)).reshape(ends[-1], -1)
    path = tmp_path / "reversed.h5"
    with StoreWriter(path, dim=rows.shape[1], metadata={"num_layers": 3}) as writer:
        for start, end in reversed([*itertools.pairwise(ends)]):
            writer.append(rows[start:end], ["w"] * (end - start))
    turned = TaggedFeatures(Features(path, [False] * len(test.tags)), test.tags[::-1])
    config = dataclasses.replace(LINEAR, decoder="crf", num_epochs=3)
    ours, theirs = (
        train_taggers(config, "1", {**splits, "test": each}).predictions[0]
        for each in (test, turned)
    )
    assert ours == theirs[::-1]


def test_weights_are_counted_of_one_tagger(splits):
    config = dataclasses.replace(LINEAR, num_epochs=1)
    # An affine map from eight numbers to four tags, and a mix of three layers.
    assert train_taggers(config, "last", splits).num_params == 8 * 4 + 4
    assert train_taggers(config, "mix(all)", splits).num_params == 8 * 4 + 4 + 3 + 1


def test_tags_are_those_of_training_and_o_is_the_first():
    splits = {"train": [["B-A", "O"], ["I-A"]], "dev": [["B-Z"]]}
    assert tag_names(splits) == ["O", "B-A", "I-A"]
    assert tag_names({"train": [["B-Z", "B-A"]]}) == ["B-A", "B-Z"]


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_no_score_depends_on_the_words_of_a_batch(splits, decoder: str):
    """Of taggers that learn nothing, so that their weights are the same."""
    still = {"decoder": decoder, "num_epochs": 1, "learning_rate": 1e-30}
    found = []
    for batch_words in (16, 200, 5000):
        config = dataclasses.replace(SMALL, **still, batch_words=batch_words)
        outcome = train_taggers(config, "last", splits)
        found.append((outcome.dev, outcome.test, outcome.predictions))
    assert found[1] == found[0]
    assert found[2] == found[0]
