# SPDX-License-Identifier: Apache-2.0
"""A linear softmax probe that predicts tags from frozen vectors.

The weights of a mix's layers are learnt with the probe. An epoch of all seeds is one
compiled program; each seed has its own weights, order of words, and best epoch.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from embed_jax.checks import check_above, check_at_least
from embed_jax.devices.random_keys import random_key, same_draws
from embed_jax.layers.scalar_mix import mix_layers
from train.fit import State, fit
from train.tasks.results import Outcome

# Rows that are predicted at once.
BLOCK = 4096
# Standard deviation of the first weights.
INIT_SCALE = 0.01

Terms = Sequence[Float[np.ndarray, "rows _ _"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """The configuration of a probe's training.

    Attributes:
      num_seeds: number of runs, trained at once.
      seed: of the first run; the others follow.
      num_epochs: number of epochs; each seed keeps the one that is best on dev.
      batch_words: words of a step.
      learning_rate: of Adam, at first; it falls linearly to zero.
    """

    num_seeds: int = 5
    seed: int = 0
    num_epochs: int = 8
    batch_words: int = 512
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_at_least(self, 1, "num_seeds", "num_epochs", "batch_words")
        check_above(self, 0, "learning_rate")


class Examples(NamedTuple):
    """Words to be tagged.

    Attributes:
      terms: of a `layer_spec`, from `train.tasks.probes.terms.read_terms`.
      tags: one a word; -1 for a tag that the training words do not have.
    """

    terms: Terms
    tags: Int[np.ndarray, " rows"]


class _Probe(NamedTuple):
    """The weights of a probe: for each term one logit a layer, and a kernel [Y width].

    In this orientation the gradient's product is twice as fast.
    """

    mixes: list[Array]
    kernels: list[Array]
    bias: Array


@same_draws()
def train_probes(
    config: ProbeConfig, num_tags: int, splits: Mapping[str, Examples]
) -> Outcome:
    """Train all seeds of a probe, and score them.

    The loss is the mean negative log-likelihood, without a penalty; the choice of the
    epoch on dev prevents overfitting.

    Args:
      config: of the training.
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
    seeds = config.seed + np.arange(config.num_seeds)
    weight_keys = jax.vmap(random_key)(seeds)
    keys = jax.vmap(partial(random_key, purpose="draws"))(seeds)
    tags = {name: jnp.asarray(split.tags, jnp.int32) for name, split in splits.items()}

    def step(state: State, epoch: int, _: int) -> tuple[State, None]:
        terms, right = tables["train"], tags["train"]
        return _train_epoch(config, state, terms, right, keys, epoch), None

    fitted = fit(
        step,
        _init(config, num_tags, tables["train"], weight_keys),
        # An epoch is one program, and so one step.
        ([epoch] for epoch in range(1, config.num_epochs + 1)),
        evaluate=lambda probes: {
            "accuracy": _accuracy(probes, tables["dev"], tags["dev"])
        },
        metric="accuracy",
    )
    probes = cast(_Probe, fitted.params)
    predictions = np.asarray(_predict(probes, tables["test"]))
    hits = predictions == splits["test"].tags
    return Outcome(
        dev=tuple((100 * fitted.score).tolist()),
        test=tuple((100 * hits.mean(axis=1)).tolist()),
        epochs=tuple(fitted.epoch.tolist()),
        mixes=tuple(
            np.asarray(jax.nn.softmax(logits, axis=-1))
            for logits in probes.mixes
            if logits.shape[-1] > 1
        ),
        num_params=sum(leaf[0].size for leaf in jax.tree.leaves(probes)),
        seconds=time.monotonic() - began,
        predictions=predictions,
    )


@jax.jit
def mean_and_deviation(
    term: Float[Array, "rows layers width"],
) -> tuple[Float[Array, "layers width"], Float[Array, " width"]]:
    """Return each layer's mean, and the deviation of all layers together.

    With one scale for all layers, the probe's weights can undo mean and scale, so the
    learnt shares are those of the original layers.
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
def _init(config: ProbeConfig, num_tags: int, terms: list[Array], keys: Array) -> State:
    """Initialise the weights of each seed."""
    optimizer = _optimizer(config, len(terms[0]))

    def init(key: Array) -> State:
        folded = (jax.random.fold_in(key, number) for number in range(len(terms)))
        probe = _Probe(
            mixes=[jnp.zeros(term.shape[1]) for term in terms],
            kernels=[
                INIT_SCALE
                * jax.random.normal(own, (num_tags, term.shape[2]), jnp.float32)
                for own, term in zip(folded, terms, strict=True)
            ],
            bias=jnp.zeros(num_tags),
        )
        return State(probe, optimizer.init(probe))

    return jax.vmap(init)(keys)


@partial(jax.jit, static_argnames="config")
def _train_epoch(
    config: ProbeConfig,
    state: State,
    terms: list[Array],
    tags: Int[Array, " rows"],
    keys: Array,
    epoch: Int[Array, ""] | int,
) -> State:
    """Train for one epoch, in a random order for each epoch and seed."""
    num_words = len(tags)
    batch_words, num_batches = _batching(config, num_words)
    optimizer = _optimizer(config, num_words)

    def step(state: State, rows: Array) -> tuple[State, None]:
        def loss(probe: _Probe) -> Array:
            scores = _score(probe, [term[rows] for term in terms])
            each = optax.softmax_cross_entropy_with_integer_labels(scores, tags[rows])
            return each.mean()

        gradient = jax.grad(loss)(state.params)
        update, opt_state = optimizer.update(gradient, state.opt_state)
        return State(optax.apply_updates(state.params, update), opt_state), None

    orders = jax.vmap(
        lambda key: jax.random.permutation(jax.random.fold_in(key, epoch), num_words)
    )(keys)
    batches = orders[:, : num_batches * batch_words]
    batches = batches.reshape(len(keys), num_batches, batch_words).swapaxes(0, 1)
    state, _ = jax.lax.scan(jax.vmap(step), state, batches)
    return state


def _batching(config: ProbeConfig, num_words: int) -> tuple[int, int]:
    """Return the number of words of a batch, and of batches of an epoch.

    An incomplete last batch is dropped; the next epoch has another order.
    """
    batch_words = min(config.batch_words, num_words)
    return batch_words, num_words // batch_words


def _optimizer(config: ProbeConfig, num_words: int) -> optax.GradientTransformation:
    num_steps = config.num_epochs * _batching(config, num_words)[1]
    return optax.adam(optax.linear_schedule(config.learning_rate, 0, num_steps))


@jax.jit
def _accuracy(
    probes: _Probe, terms: list[Array], tags: Int[Array, " rows"]
) -> Float[Array, " seeds"]:
    return (_predict(probes, terms) == tags[None]).mean(axis=1)


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
    """Return the most probable tag of each word, for each seed."""

    def predict(terms: list[Float[Array, "_ _"]]) -> Int[Array, " seeds"]:
        words = [term[None] for term in terms]
        return jax.vmap(lambda probe: _score(probe, words)[0].argmax())(probes)

    return jax.lax.map(predict, terms, batch_size=BLOCK).T
