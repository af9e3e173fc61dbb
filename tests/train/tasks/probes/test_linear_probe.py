# SPDX-License-Identifier: Apache-2.0
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from train.tasks.probes import linear_probe
from train.tasks.probes.linear_probe import Examples, ProbeConfig, train_probe

CONFIG = ProbeConfig()


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


def best_linear(
    train: Examples, test: Examples, num_tags: int, penalty: float
) -> np.ndarray:
    """Predict by logistic regression, found by L-BFGS in float64, without mixes."""

    def flat(given: Examples) -> np.ndarray:
        parts = [term[:, 0].astype(np.float64) for term in given.terms]
        return np.concatenate(parts, axis=1)

    mean, deviation = flat(train).mean(axis=0), flat(train).std(axis=0)

    def features(given: Examples) -> np.ndarray:
        scaled = (flat(given) - mean) / deviation
        return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)

    inputs, ones = features(train), np.eye(num_tags)[train.tags]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, num_tags)
        scores = inputs @ weights
        logs = scores - logsumexp(scores, axis=1, keepdims=True)
        gradient = inputs.T @ (np.exp(logs) - ones)
        gradient[:-1] += penalty * weights[:-1]
        total = penalty / 2 * (weights[:-1] ** 2).sum() - (logs * ones).sum()
        return total / len(ones), gradient.ravel() / len(ones)

    start = np.zeros(inputs.shape[1] * num_tags)
    options = {"maxiter": 5000, "gtol": 1e-8, "ftol": 1e-14}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return (features(test) @ found.reshape(-1, num_tags)).argmax(axis=1)


@pytest.mark.parametrize("spread", [1.0, 0.02])
@pytest.mark.parametrize("penalty", [1.0, 300.0])
def test_the_probe_is_logistic_regression(spread: float, penalty: float):
    given = splits(spread=spread)
    found = train_probe(ProbeConfig(penalty=penalty), 3, given)
    for name in ("dev", "test"):
        expected = best_linear(given["train"], given[name], 3, penalty)
        assert (found.predictions[name] == expected).mean() > 0.998
        right = given[name].tags
        assert found.accuracy(name) > 65
        assert found.accuracy(name) == pytest.approx(
            100 * (expected == right).mean(), abs=0.2
        )
        np.testing.assert_array_equal(
            found.hits[name], found.predictions[name] == right
        )
    assert found.mixes == ()
    assert 1 < found.num_steps < CONFIG.max_steps


def encoders_words(num_words: int, seed: int) -> Examples:
    """Vectors as an encoder's: few directions are long, and the short ones tell.

    So few words in so many directions want hundreds of small steps.
    """
    width, num_tags = 96, 12
    fixed, random = np.random.default_rng(9), np.random.default_rng(seed)
    turned, _ = np.linalg.qr(fixed.normal(size=(width, width)))
    kernel = fixed.normal(size=(width, num_tags))
    inner = random.normal(size=(num_words, width))
    tags = (inner @ kernel + 3 * random.gumbel(size=(num_words, num_tags))).argmax(1)
    long = inner * np.geomspace(30, 0.3, width)
    return Examples([(long @ turned)[:, None].astype(np.float16)], tags)


def test_few_words_are_learnt_as_well_as_they_can_be():
    """Of 2,000 words, eight passes in steps of 512 words found some of it."""
    given = {
        name: encoders_words(size, seed)
        for seed, (name, size) in enumerate({"train": 2000, "test": 3000}.items())
    }
    found = train_probe(CONFIG, 12, given)
    expected = best_linear(given["train"], given["test"], 12, CONFIG.penalty)
    reached = 100 * (expected == given["test"].tags).mean()
    assert reached > 40
    assert found.accuracy("test") == pytest.approx(reached, abs=0.3)
    assert found.num_steps < CONFIG.max_steps
    hasty = train_probe(ProbeConfig(max_steps=8), 12, given)
    assert hasty.num_steps == 8
    assert hasty.accuracy("test") < reached - 3


def test_a_mix_finds_the_layer_that_tells():
    found = train_probe(CONFIG, 3, splits(layers=3, informative=1, noise=0.5))
    (shares,) = found.mixes
    assert shares.shape == (3,)
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-5)
    assert shares[1] > 0.8
    alone = train_probe(CONFIG, 3, splits(layers=3, informative=2, noise=0.5))
    assert alone.mixes[0].argmax() == 2


def test_several_terms_are_concatenated():
    """What neither half tells, both together do."""
    given = splits(noise=0.1, width=10)
    halved = {
        name: Examples([split.terms[0][..., :5], split.terms[0][..., 5:]], split.tags)
        for name, split in given.items()
    }
    half = {name: Examples(s.terms[:1], s.tags) for name, s in halved.items()}
    both, one = (train_probe(CONFIG, 3, each) for each in (halved, half))
    assert both.accuracy("test") > 90
    assert one.accuracy("test") < 80
    expected = best_linear(given["train"], given["test"], 3, CONFIG.penalty)
    assert (both.predictions["test"] == expected).mean() > 0.998


def test_layers_share_a_scale_and_not_a_mean():
    term = examples(300, 0, layers=3).terms[0].astype(np.float32)
    term *= np.array([1, 2, 4], np.float32)[:, None]
    term[..., 4] = 7
    mean, deviation = linear_probe.mean_and_deviation(jnp.asarray(term))
    np.testing.assert_allclose(mean, term.mean(axis=0), rtol=1e-5)
    pooled = np.sqrt(term.var(axis=0).mean(axis=0))
    pooled[4] = 1
    np.testing.assert_allclose(deviation, pooled, rtol=1e-4)


def test_neither_the_order_of_words_nor_their_blocks_change_it(monkeypatch):
    given = splits()
    found = train_probe(CONFIG, 3, given)
    train = given["train"]
    order = np.random.default_rng(0).permutation(len(train.tags))
    other = Examples([train.terms[0][order]], train.tags[order])
    monkeypatch.setattr(linear_probe, "BLOCK", 300)
    again = train_probe(CONFIG, 3, {**given, "train": other})
    for name in ("dev", "test"):
        assert (again.predictions[name] == found.predictions[name]).mean() > 0.999


def test_tags_that_training_lacks_are_wrong():
    given = splits()
    unknown = given["test"]._replace(tags=np.full(1500, -1))
    assert train_probe(CONFIG, 3, {**given, "test": unknown}).accuracy("test") == 0


def test_words_that_a_line_divides_are_told_apart():
    """Without a penalty the weights would grow for ever."""
    given = {name: examples(20, 0, noise=0.0) for name in ("train", "dev", "test")}
    found = train_probe(ProbeConfig(penalty=0.01), 3, given)
    assert found.accuracy("test") == 100
    assert found.num_steps < CONFIG.max_steps


def test_what_cannot_be():
    given = splits()
    empty = Examples([np.zeros((0, 1, 5), np.float16)], np.zeros(0, int))
    with pytest.raises(ValueError, match="no words in dev"):
        train_probe(CONFIG, 3, {**given, "dev": empty})
    with pytest.raises(ValueError, match="max_steps must be at least 1, not 0"):
        ProbeConfig(max_steps=0)
    with pytest.raises(ValueError, match="num_resamples must be at least 2, not 1"):
        ProbeConfig(num_resamples=1)
    for name in ("penalty", "tolerance"):
        with pytest.raises(ValueError, match=name):
            ProbeConfig(**{name: 0.0})


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
    found = train_probe(CONFIG, 2, given)
    assert found.accuracy("dev") == 75
    assert found.accuracy("test") == 25
