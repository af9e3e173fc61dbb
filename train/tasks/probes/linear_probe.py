# SPDX-License-Identifier: Apache-2.0
"""A linear softmax probe that predicts tags from frozen vectors.

It is multinomial logistic regression, trained until its loss falls no more: for single
vectors there is one minimum, which no seed or order of words changes. The weights of a
mix's layers are learnt with it.
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
from jaxtyping import Array, Bool, Float, Int

from embed_jax.checks import check_above, check_at_least, check_fields, check_seed
from embed_jax.layers.scalar_mix import mix_layers

# Rows that are computed at once.
BLOCK = 4096
# The loss of a step that falls by less, as a share, is the same in float32; after so
# many such steps there is nothing to gain.
_FLAT, _MOST_FLAT_STEPS = 1e-7, 5

Terms = Sequence[Float[np.ndarray, "rows _ _"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """The configuration of the probes.

    Attributes:
      num_seeds: number of splits of a sense corpus.
      seed: of the first split, the others follow; and of the resamples.
      penalty: of the weights, half of it times the sum of their squares is added to the
        loss summed over the words; 1 / C of scikit-learn's logistic regression.
      tolerance: training ends where no slope of the mean loss is steeper, in nats.
      max_steps: of L-BFGS, at which training ends in any case.
      num_resamples: resamples of the held-out sentences, for the deviation of a score.
    """

    num_seeds: int = 5
    seed: int = 0
    penalty: float = 1.0
    tolerance: float = 1e-5
    max_steps: int = 1000
    num_resamples: int = 1000

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self, large=["seed"])
        check_at_least(self, 1, "num_seeds", "max_steps")
        check_at_least(self, 2, "num_resamples")
        check_above(self, 0, "penalty", "tolerance")
        check_seed(self, self.num_seeds)


class Examples(NamedTuple):
    """Words to be tagged.

    Attributes:
      terms: of a `layer_spec`, from `train.tasks.probes.terms.read_terms`.
      tags: one a word; -1 for a tag that the training words do not have.
    """

    terms: Terms
    tags: Int[np.ndarray, " rows"]


class Probed(NamedTuple):
    """What a probe found.

    Attributes:
      hits: for each split but train, whether each word got its tag.
      mixes: for each mix the layers' shares.
      num_steps: of L-BFGS.
      seconds: time of training.
      predictions: for each split but train, the tag of each word.
    """

    hits: dict[str, Bool[np.ndarray, " rows"]]
    mixes: tuple[Float[np.ndarray, " layers"], ...]
    num_steps: int
    seconds: float
    predictions: dict[str, Int[np.ndarray, " rows"]]

    def accuracy(self, split: str) -> float:
        """Return the accuracy on a split, in percent."""
        return 100 * float(self.hits[split].mean())


class _Probe(NamedTuple):
    """The weights of a probe: for each term one logit a layer, and a kernel [Y width].

    In this orientation the gradient's product is twice as fast.
    """

    mixes: list[Array]
    kernels: list[Array]
    bias: Array


class _Blocks(NamedTuple):
    """The training words, in blocks of rows; of the last, some are none.

    Attributes:
      terms: standardised.
      tags: one a word.
      weights: 1 for a word, 0 for none.
    """

    terms: list[Float[Array, "blocks rows _ _"]]
    tags: Int[Array, "blocks rows"]
    weights: Float[Array, "blocks rows"]


def train_probe(
    config: ProbeConfig, num_tags: int, splits: Mapping[str, Examples]
) -> Probed:
    """Train a probe on one split, and let it tag the others.

    The loss is the mean negative log-likelihood with an L2 penalty of the weights, as
    of scikit-learn's logistic regression.

    Args:
      config: of the training.
      num_tags: Y.
      splits: train, and others to tag.

    Raises:
      ValueError: a split has no words, or vectors are not finite.
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
    num_words = len(splits["train"].tags)
    blocks = _in_blocks(tables.pop("train"), splits["train"].tags)
    probe, num_steps = _minimise(
        blocks,
        config.penalty / num_words,
        config.tolerance,
        config.max_steps,
        num_tags=num_tags,
    )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(probe)):
        raise ValueError("the probe's weights are not finite; are the vectors?")
    predictions = {
        name: np.asarray(_predict(probe, table)) for name, table in tables.items()
    }
    return Probed(
        hits={name: found == splits[name].tags for name, found in predictions.items()},
        mixes=tuple(
            np.asarray(jax.nn.softmax(logits))
            for logits in probe.mixes
            if len(logits) > 1
        ),
        num_steps=int(num_steps),
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


def _in_blocks(terms: list[Array], tags: Int[np.ndarray, " rows"]) -> _Blocks:
    size = min(BLOCK, len(tags))
    missing = -len(tags) % size

    def divide(rows: Array) -> Array:
        padded = jnp.pad(rows, [(0, missing), *[(0, 0)] * (rows.ndim - 1)])
        return padded.reshape(-1, size, *rows.shape[1:])

    return _Blocks(
        terms=[divide(term) for term in terms],
        tags=divide(jnp.asarray(tags, jnp.int32)),
        weights=divide(jnp.ones(len(tags), jnp.float32)),
    )


@partial(jax.jit, static_argnames="num_tags")
def _minimise(
    blocks: _Blocks,
    penalty: Float[Array, ""] | float,
    tolerance: Float[Array, ""] | float,
    max_steps: Int[Array, ""] | int,
    *,
    num_tags: int,
) -> tuple[_Probe, Int[Array, ""]]:
    """Return the probe with the least loss, and the number of steps to it."""
    optimizer = optax.lbfgs()

    def loss(probe: _Probe) -> Array:
        return _loss(probe, blocks, jnp.asarray(penalty))

    value_and_gradient = optax.value_and_grad_from_state(loss)

    def goes_on(course: tuple) -> Array:
        _, state, _, num_flat, number = course
        gradient = optax.tree.get(state, "grad")
        slope = jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(gradient)])
        is_steep = (number == 0) | (slope.max() > tolerance)
        return is_steep & (num_flat < _MOST_FLAT_STEPS) & (number < max_steps)

    def step(course: tuple) -> tuple:
        probe, state, least, num_flat, number = course
        value, gradient = value_and_gradient(probe, state=state)
        update, state = optimizer.update(
            gradient, state, probe, value=value, grad=gradient, value_fn=loss
        )
        is_flat = value > least * (1 - _FLAT)
        return (
            optax.apply_updates(probe, update),
            state,
            jnp.minimum(value, least),
            jnp.where(is_flat, num_flat + 1, 0),
            number + 1,
        )

    probe = _Probe(
        mixes=[jnp.zeros(term.shape[2], jnp.float32) for term in blocks.terms],
        kernels=[
            jnp.zeros((num_tags, term.shape[3]), jnp.float32) for term in blocks.terms
        ],
        bias=jnp.zeros(num_tags, jnp.float32),
    )
    none = jnp.int32(0)
    start = probe, optimizer.init(probe), jnp.float32(jnp.inf), none, none
    probe, _, _, _, number = jax.lax.while_loop(goes_on, step, start)
    return probe, number


@jax.custom_vjp
def _loss(probe: _Probe, blocks: _Blocks, penalty: Float[Array, ""]) -> Array:
    return _loss_and_gradient(probe, blocks, penalty)[0]


def _loss_and_gradient(
    probe: _Probe, blocks: _Blocks, penalty: Float[Array, ""]
) -> tuple[Array, _Probe]:
    """Sum over the blocks, so that none but one is in float32 at a time."""

    def sum_of(probe: _Probe, block: _Blocks) -> Array:
        scores = _score(probe, block.terms)
        each = optax.softmax_cross_entropy_with_integer_labels(scores, block.tags)
        return jnp.sum(each * block.weights)

    def add(total: tuple, block: _Blocks) -> tuple[tuple, None]:
        found = jax.value_and_grad(sum_of)(probe, block)
        return jax.tree.map(jnp.add, total, found), None

    zeros = jnp.float32(0), jax.tree.map(jnp.zeros_like, probe)
    (total, gradient), _ = jax.lax.scan(add, zeros, blocks)
    num_words = jnp.sum(blocks.weights)
    squares = sum(jnp.sum(jnp.square(kernel)) for kernel in probe.kernels)
    gradient = jax.tree.map(lambda leaf: leaf / num_words, gradient)
    kernels = [
        slope + penalty * kernel
        for slope, kernel in zip(gradient.kernels, probe.kernels, strict=True)
    ]
    return total / num_words + penalty / 2 * squares, gradient._replace(kernels=kernels)


_loss.defvjp(
    _loss_and_gradient,
    lambda gradient, slope: (
        jax.tree.map(lambda leaf: slope * leaf, gradient),
        None,
        None,
    ),
)


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
    probe: _Probe, terms: list[Float[Array, "rows _ _"]]
) -> Int[Array, " rows"]:
    """Return the most probable tag of each word."""

    def predict(terms: list[Float[Array, "_ _"]]) -> Int[Array, ""]:
        words = [term[None] for term in terms]
        return cast(Array, _score(probe, words)[0].argmax())

    return jax.lax.map(predict, terms, batch_size=BLOCK)
