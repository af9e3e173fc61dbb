# SPDX-License-Identifier: Apache-2.0
"""A linear softmax probe on frozen vectors: how much of the tags can be read off them.

The layers of a mix are weighted by shares that are learnt with the probe. All seeds run
in one compiled program, each with its own weights, order of words, and best epoch.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from embed_jax.layers.scalar_mix import mix_layers

# Rows that are predicted at once.
BLOCK = 4096
# Standard deviation of the first weights.
INIT_SCALE = 0.01

Terms = Sequence[Float[np.ndarray, "rows _ _"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How a probe is trained.

    Attributes:
      num_seeds: runs, trained at once.
      seed: of the first; the others follow.
      num_epochs: the one that is best on dev is kept, for each seed.
      batch_words: of a step.
      learning_rate: of Adam, at first; it falls to zero, in a line.
    """

    num_seeds: int = 5
    seed: int = 0
    num_epochs: int = 8
    batch_words: int = 512
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        """Refuse values that no run could have.

        Raises:
          ValueError: names the field.
        """
        for name in ("num_seeds", "num_epochs", "batch_words"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


class Examples(NamedTuple):
    """Words to be tagged.

    Attributes:
      terms: of a `layer_spec`, as `train.tasks.probes.terms.read_terms` gives them.
      tags: one a word; -1 for a tag that the training words do not have.
    """

    terms: Terms
    tags: Int[np.ndarray, " rows"]


class ProbeOutcome(NamedTuple):
    """What training gave, one value a seed.

    Attributes:
      dev: accuracy in percent at the epoch that was kept.
      test: that of the same weights.
      epochs: the epoch that was kept, from 1.
      mixes: for each mix the layers' shares `[seeds, layers]`.
      seconds: that training took.
      predictions: the test tags `[seeds, rows]`.
    """

    dev: tuple[float, ...]
    test: tuple[float, ...]
    epochs: tuple[int, ...]
    mixes: tuple[Float[np.ndarray, "seeds _"], ...]
    seconds: float
    predictions: Int[np.ndarray, "seeds rows"]


class _Probe(NamedTuple):
    """Weights. For each term one logit a layer, and a kernel [Y width].

    The kernels lie that way round because the gradient's product is then twice as fast.
    """

    mixes: list[Array]
    kernels: list[Array]
    bias: Array


def train_probes(
    config: ProbeConfig, num_tags: int, splits: Mapping[str, Examples]
) -> ProbeOutcome:
    """Train all seeds of a probe, and measure them.

    The objective is the mean negative log-likelihood, with no penalty: what keeps the
    probe from learning the training words by heart is the choice of the epoch on dev.

    Args:
      config: how it is trained.
      num_tags: Y.
      splits: train, dev and test.

    Raises:
      ValueError: a split has no words.
    """
    began = time.monotonic()
    for name, split in splits.items():
        if not len(split.tags):
            raise ValueError(f"there are no words in {name}")
    scaling = [mean_and_deviation(jnp.asarray(term)) for term in splits["train"].terms]
    tables = {
        name: [
            _standardise(jnp.asarray(term), *by)
            for term, by in zip(split.terms, scaling, strict=True)
        ]
        for name, split in splits.items()
    }
    keys = jax.vmap(jax.random.key)(config.seed + jnp.arange(config.num_seeds))
    probes, dev, epochs = _train(
        config,
        num_tags,
        tables["train"],
        jnp.asarray(splits["train"].tags, jnp.int32),
        tables["dev"],
        jnp.asarray(splits["dev"].tags, jnp.int32),
        keys,
    )
    predictions = np.asarray(_predict(probes, tables["test"]))
    hits = predictions == splits["test"].tags
    return ProbeOutcome(
        dev=tuple((100 * np.asarray(dev, np.float64)).tolist()),
        test=tuple((100 * hits.mean(axis=1)).tolist()),
        epochs=tuple(np.asarray(epochs).tolist()),
        mixes=tuple(
            np.asarray(jax.nn.softmax(logits, axis=-1))
            for logits in probes.mixes
            if logits.shape[-1] > 1
        ),
        seconds=time.monotonic() - began,
        predictions=predictions,
    )


@jax.jit
def mean_and_deviation(
    term: Float[Array, "rows layers width"],
) -> tuple[Float[Array, "layers width"], Float[Array, " width"]]:
    """Return each layer's mean, and the deviation of all layers together.

    One scale for all layers: the probe's weights then make up for mean and scale, so
    that what is learnt are the shares of the layers as they are.
    """
    term = term.astype(jnp.float32)
    mean = term.mean(axis=0)
    deviation = jnp.sqrt(jnp.square(term - mean[None]).mean(axis=(0, 1)))
    # What is the same for every word stays so.
    return mean, jnp.where(deviation > 0, deviation, 1)


@jax.jit
def _standardise(
    term: Float[Array, "rows layers width"],
    mean: Float[Array, "layers width"],
    deviation: Float[Array, " width"],
) -> Float[Array, "rows layers width"]:
    scaled = (term.astype(jnp.float32) - mean[None]) / deviation[None, None]
    return scaled.astype(jnp.float16)


@partial(jax.jit, static_argnames=("config", "num_tags"))
def _train(
    config: ProbeConfig,
    num_tags: int,
    train: list[Array],
    tags: Int[Array, " rows"],
    dev: list[Array],
    dev_tags: Int[Array, " dev_rows"],
    keys: Array,
) -> tuple[_Probe, Float[Array, " seeds"], Int[Array, " seeds"]]:
    """Return the best weights of each seed, their accuracy on dev and their epoch."""
    num_words = len(tags)
    batch_words = min(config.batch_words, num_words)
    # The words of an incomplete batch wait for the next epoch, which has another order.
    num_batches = num_words // batch_words
    rate = optax.linear_schedule(
        config.learning_rate, 0, config.num_epochs * num_batches
    )
    optimizer = optax.adam(rate)

    def init(key: Array) -> _Probe:
        folded = (jax.random.fold_in(key, number) for number in range(len(train)))
        return _Probe(
            mixes=[jnp.zeros(term.shape[1]) for term in train],
            kernels=[
                INIT_SCALE * jax.random.normal(own, (num_tags, term.shape[2]))
                for own, term in zip(folded, train, strict=True)
            ],
            bias=jnp.zeros(num_tags),
        )

    def step(state: tuple[_Probe, Any], rows: Array) -> tuple[tuple[_Probe, Any], None]:
        def loss(probe: _Probe) -> Array:
            scores = _score(probe, [term[rows] for term in train])
            each = optax.softmax_cross_entropy_with_integer_labels(scores, tags[rows])
            return each.mean()

        probe, moments = state
        update, moments = optimizer.update(jax.grad(loss)(probe), moments)
        return (cast(_Probe, optax.apply_updates(probe, update)), moments), None

    def epoch(state: tuple, number: Array) -> tuple[tuple, None]:
        probes, moments, best, best_hits, best_epochs = state
        orders = jax.vmap(
            lambda key: jax.random.permutation(
                jax.random.fold_in(key, number), num_words
            )
        )(keys)
        batches = orders[:, : num_batches * batch_words]
        batches = batches.reshape(len(keys), num_batches, batch_words).swapaxes(0, 1)
        (probes, moments), _ = jax.lax.scan(jax.vmap(step), (probes, moments), batches)
        hits = (_predict(probes, dev) == dev_tags[None]).mean(axis=1)
        better = hits > best_hits
        best = jax.tree.map(
            lambda new, old: jnp.where(
                better.reshape(-1, *[1] * (new.ndim - 1)), new, old
            ),
            probes,
            best,
        )
        best_hits = jnp.where(better, hits, best_hits)
        best_epochs = jnp.where(better, number, best_epochs)
        return (probes, moments, best, best_hits, best_epochs), None

    probes = jax.vmap(init)(keys)
    state = (
        probes,
        jax.vmap(optimizer.init)(probes),
        probes,
        jnp.full(len(keys), -1.0),
        jnp.zeros(len(keys), jnp.int32),
    )
    numbers = jnp.arange(1, config.num_epochs + 1, dtype=jnp.int32)
    (_, _, best, best_hits, best_epochs), _ = jax.lax.scan(epoch, state, numbers)
    return best, best_hits, best_epochs


def _score(
    probe: _Probe, terms: Sequence[Float[Array, "B _ _"]]
) -> Float[Array, "B Y"]:
    scores = probe.bias[None]
    for logits, kernel, term in zip(probe.mixes, probe.kernels, terms, strict=True):
        # Not a product over the layers: a sum is fused with what reads them.
        layers = [term[:, layer].astype(jnp.float32) for layer in range(len(logits))]
        vectors = layers[0]
        if len(layers) > 1:
            vectors = mix_layers(layers, logits, jnp.float32(1))
        scores = scores + jnp.einsum("BD,YD->BY", vectors, kernel)
    return scores


@jax.jit
def _predict(
    probes: _Probe, terms: list[Float[Array, "rows _ _"]]
) -> Int[Array, "seeds rows"]:
    """Return the likeliest tag of each word, for each seed."""

    def predict(terms: list[Float[Array, "_ _"]]) -> Int[Array, " seeds"]:
        words = [term[None] for term in terms]
        return jax.vmap(lambda probe: _score(probe, words)[0].argmax())(probes)

    return jax.lax.map(predict, terms, batch_size=BLOCK).T
