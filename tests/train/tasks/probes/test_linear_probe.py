# SPDX-License-Identifier: Apache-2.0
import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from train.tasks.probes import linear_probe
from train.tasks.probes.linear_probe import Examples, ProbeConfig, train_probes

CONFIG = ProbeConfig(num_seeds=3, num_epochs=6, batch_words=64, learning_rate=3e-2)


def examples(
    num_words: int,
    seed: int,
    *,
    num_tags: int = 3,
    width: int = 5,
    noise: float = 1.0,
    layers: int = 1,
    informative: int = 0,
    spread: float = 1.0,
) -> Examples:
    """Tags that one layer tells, up to noise; the others are random."""
    kernel = np.random.default_rng(9).normal(size=(width, num_tags))
    random = np.random.default_rng(seed)
    term = random.normal(size=(num_words, layers, width))
    scores = term[:, informative] @ kernel
    tags = (scores + noise * random.gumbel(size=scores.shape)).argmax(axis=1)
    return Examples([(spread * term + 3).astype(np.float16)], tags)


def splits(**options) -> dict[str, Examples]:
    sizes = {"train": 2000, "dev": 500, "test": 1500}
    return {
        name: examples(size, seed, **options)
        for seed, (name, size) in enumerate(sizes.items())
    }


def best_linear(train: Examples, test: Examples, num_tags: int) -> np.ndarray:
    """Predict by the likeliest softmax, found by L-BFGS in float64."""

    def features(given: Examples) -> np.ndarray:
        flat = given.terms[0][:, 0].astype(np.float64)
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)

    inputs, ones = features(train), np.eye(num_tags)[train.tags]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scores = inputs @ flat.reshape(-1, num_tags)
        logs = scores - logsumexp(scores, axis=1, keepdims=True)
        gradient = inputs.T @ (np.exp(logs) - ones) / len(ones)
        return -(logs * ones).sum() / len(ones), gradient.ravel()

    start = np.zeros(inputs.shape[1] * num_tags)
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return (features(test) @ found.reshape(-1, num_tags)).argmax(axis=1)


@pytest.mark.parametrize("spread", [1.0, 0.02])
def test_the_likeliest_linear_classifier(spread: float):
    given = splits(spread=spread)
    outcome = train_probes(CONFIG, 3, given)
    expected = best_linear(given["train"], given["test"], 3)
    accuracy = 100 * (expected == given["test"].tags).mean()
    assert accuracy > 65
    for score, predictions in zip(outcome.test, outcome.predictions, strict=True):
        assert (predictions == expected).mean() > 0.94
        assert score == pytest.approx(accuracy, abs=1)
        assert score == 100 * (predictions == given["test"].tags).mean()
    assert outcome.mixes == ()


def test_a_mix_finds_the_layer_that_tells():
    given = splits(layers=3, informative=1, noise=0.5)
    outcome = train_probes(dataclasses.replace(CONFIG, num_epochs=12), 3, given)
    (shares,) = outcome.mixes
    assert shares.shape == (3, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert shares[:, 1].min() > 0.8
    alone = train_probes(CONFIG, 3, splits(layers=3, informative=2, noise=0.5))
    assert alone.mixes[0].argmax(axis=1).tolist() == [2, 2, 2]


def test_several_terms_are_concatenated():
    """What neither half tells, both together do."""
    given = splits(noise=0.1, width=6)
    halved = {
        name: Examples([split.terms[0][..., :3], split.terms[0][..., 3:]], split.tags)
        for name, split in given.items()
    }
    half = {name: Examples(s.terms[:1], s.tags) for name, s in halved.items()}
    both, one = (train_probes(CONFIG, 3, each) for each in (halved, half))
    assert np.mean(both.test) > 90
    assert np.mean(one.test) < 80


def test_layers_share_a_scale_and_not_a_mean():
    term = examples(300, 0, layers=3).terms[0].astype(np.float32)
    term *= np.array([1, 2, 4], np.float32)[:, None]
    term[..., 4] = 7
    mean, deviation = linear_probe.mean_and_deviation(jnp.asarray(term))
    np.testing.assert_allclose(mean, term.mean(axis=0), rtol=1e-5)
    pooled = np.sqrt(term.var(axis=0).mean(axis=0))
    pooled[4] = 1
    np.testing.assert_allclose(deviation, pooled, rtol=1e-4)


def test_a_seed_does_not_depend_on_its_mates():
    given = splits()
    together = train_probes(CONFIG, 3, given)
    alone = train_probes(dataclasses.replace(CONFIG, num_seeds=1, seed=1), 3, given)
    assert (together.predictions[1] == alone.predictions[0]).mean() > 0.999
    assert together.predictions.shape == (3, 1500)
    assert not np.array_equal(together.predictions[0], together.predictions[1])


def test_what_is_kept_is_what_dev_was_measured_with():
    given = splits(noise=2)
    outcome = train_probes(
        dataclasses.replace(CONFIG, learning_rate=0.3),
        3,
        {**given, "test": given["dev"]},
    )
    np.testing.assert_allclose(outcome.test, outcome.dev, rtol=1e-6)
    assert min(outcome.epochs) >= 1
    # With steps so long the last epoch is not always the best.
    assert min(outcome.epochs) < CONFIG.num_epochs


def test_tags_that_training_lacks_are_wrong():
    given = splits()
    unknown = given["test"]._replace(tags=np.full(1500, -1))
    assert train_probes(CONFIG, 3, {**given, "test": unknown}).test == (0, 0, 0)


def test_fewer_words_than_a_batch():
    given = {name: examples(20, 0) for name in ("train", "dev", "test")}
    assert len(train_probes(CONFIG, 3, given).test) == 3


def test_what_cannot_be():
    given = splits()
    empty = Examples([np.zeros((0, 1, 5), np.float16)], np.zeros(0, int))
    with pytest.raises(ValueError, match="no words in dev"):
        train_probes(CONFIG, 3, {**given, "dev": empty})
    with pytest.raises(ValueError, match="num_epochs must be at least 1, not 0"):
        ProbeConfig(num_epochs=0)
    with pytest.raises(ValueError, match="learning_rate"):
        ProbeConfig(learning_rate=0.0)


def test_dev_and_test_are_standardised_as_train_was():
    """Tag 1 is above zero in training; what is shifted is all above it, or below."""
    values = np.array([-2, -1, 1, 2] * 4, np.float16)[:, None, None]
    tags = np.array([0, 0, 1, 1] * 4)
    mostly_one = np.array([0, 1, 1, 1] * 4)
    given = {
        "train": Examples([values], tags),
        "dev": Examples([values + 9], mostly_one),
        "test": Examples([values - 9], mostly_one),
    }
    outcome = train_probes(dataclasses.replace(CONFIG, learning_rate=0.3), 2, given)
    assert outcome.dev == (75, 75, 75)
    assert outcome.test == (25, 25, 25)


def test_of_epochs_that_are_equal_on_dev_the_first_is_kept():
    given = splits()
    unknown = given["dev"]._replace(tags=np.full(500, -1))
    outcome = train_probes(CONFIG, 3, {**given, "dev": unknown})
    assert outcome.epochs == (1, 1, 1)
    assert outcome.dev == (0, 0, 0)
