# SPDX-License-Identifier: Apache-2.0
"""Training of taggers on cached features, all seeds of one `layer_spec` at once."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from embed_jax.checks import (
    check_above,
    check_at_least,
    check_fields,
    check_rates,
    check_seed,
)
from embed_jax.devices.random_keys import random_key, same_draws
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.scalar_mix import mix_penalty
from train.divergence import diverging, lower_rate
from train.fit import State, best_labels, check_labels_found, clipped_adam, descend, fit
from train.tasks.features import Features
from train.tasks.ner.crf import Transitions, log_likelihood, viterbi
from train.tasks.ner.tag_batches import PADDING, TagRows, batches, lay_rows
from train.tasks.ner.tagger import Tagger, needed_layers
from train.tasks.results import Outcome
from train.tasks.spans import score_spans

# Rows are a multiple of this long.
ROW_STEP = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tagging:
    """The configuration of a tagger on frozen features, and of its training.

    Attributes:
      layers: the `layer_spec` of each row of the table; by default those of the paper
        on the model.
      num_seeds: runs of each spec; each has its own weights, order and dropout.
      seed: of the first run; the others follow.
      cell_dim: of each direction of a BiLSTM.
      num_layers: number of stacked BiLSTMs; 0 for a linear model.
      decoder: each tag independently, or a CRF over the tags of a sentence.
      dropout_rate: before and after each BiLSTM.
      mix_penalty: L2 on the weights of a `mix` or `mix_norm`, times the sum of their
        squares (Peters et al. 2018, section 3.3); a large one keeps the mix close to
        the mean of its layers.
      learning_rate: of Adam, at first; it falls linearly to a tenth.
      max_gradient_norm: the gradient is clipped to this global norm.
      batch_words: approximate words of a batch.
      num_epochs: maximal number of epochs.
      patience: epochs without a better dev score of any seed before training ends;
        they count once a score is above zero.
      context: pieces of neighbouring sentences to add as context, or "document", as
        many as fit.
      pool: the pooling of a word's pieces.
    """

    layers: tuple[str, ...] = ()
    num_seeds: int = 5
    seed: int = 0
    cell_dim: int = 384
    num_layers: int = 2
    decoder: Literal["softmax", "crf"] = "softmax"
    dropout_rate: float = 0.3
    mix_penalty: float = 0.0
    learning_rate: float = 1e-3
    max_gradient_norm: float = 5.0
    batch_words: int = 512
    num_epochs: int = 30
    patience: int = 5
    context: int | Literal["document"] = 0
    pool: str = "first"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self, large=["seed"])
        check_at_least(
            self, 1, "num_seeds", "cell_dim", "batch_words", "num_epochs", "patience"
        )
        check_at_least(self, 0, "num_layers", "mix_penalty")
        check_above(self, 0, "learning_rate", "max_gradient_norm")
        check_seed(self, self.num_seeds)
        check_rates(self, "dropout_rate")
        if self.context != "document":
            check_at_least(self, 0, "context")


class TaggedFeatures(NamedTuple):
    """Sentences with their features.

    Attributes:
      features: of all words.
      tags: of all sentences.
    """

    features: Features
    tags: Sequence[Sequence[str]]


class _Fixed(NamedTuple):
    """The static arguments of the jitted functions."""

    tagger: Tagger
    decoder: str
    max_gradient_norm: float
    mix_penalty: float


def tag_names(splits: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
    """List the tags of the training sentences, "O" first where there is one."""
    names = sorted({tag for tags in splits["train"] for tag in tags})
    return sorted(names, key=lambda name: name != "O")


@same_draws()
def train_taggers(
    config: Tagging, spec: str | LayerSpec, splits: Mapping[str, TaggedFeatures]
) -> Outcome:
    """Train all seeds of a spec at once, and score them.

    Args:
      config: of the taggers.
      spec: the layers and their combination.
      splits: train, dev and test.

    Raises:
      ValueError: the features lack a layer, or training has diverged.
    """
    began = time.monotonic()
    names = tag_names({name: split.tags for name, split in splits.items()})
    training = TaggerTraining(config, spec, splits["train"], names)
    row_length = _longest(splits["dev"], splits["test"])
    dev, test = (
        _HeldOut(training, splits[name], row_length) for name in ("dev", "test")
    )
    rates = {"learning-rate": lower_rate(config)}
    with diverging(rates, f"no scores of {spec} are kept"):
        fitted = fit(
            training.step,
            training.init(),
            map(training.batches, range(1, config.num_epochs + 1)),
            evaluate=lambda params: {"f1": dev.score(dev.predict(params))},
            metric="f1",
            patience=config.patience,
            # Where names are rare, taggers at first say "O" of everything, for epochs.
            patience_above=0.0,
        )
        predictions = test.predict(fitted.params)
    weights = fitted.params["params"]
    mixes = range(len(training.spec.mix_sizes(training.num_layers - 1)))
    return Outcome(
        dev=tuple(fitted.score.tolist()),
        test=tuple(test.score(predictions)),
        mixes=tuple(
            np.asarray(jax.nn.softmax(weights[f"mix_{number}_weights"], axis=-1))
            for number in mixes
        ),
        gammas=tuple(np.asarray(weights[f"mix_{number}_gamma"]) for number in mixes),
        epochs=tuple(fitted.epoch.tolist()),
        num_params=sum(leaf[0].size for leaf in jax.tree.leaves(fitted.params)),
        seconds=time.monotonic() - began,
        predictions=predictions,
    )


class TaggerTraining:
    """The training of the taggers of all seeds: initial weights, batches and steps.

    Attributes:
      config: of the taggers.
      names: of the tags.
      layers: the layers of the model that are needed.
      spec: the combination of these layers.
    """

    def __init__(
        self,
        config: Tagging,
        spec: str | LayerSpec,
        split: TaggedFeatures,
        names: list[str],
    ) -> None:
        """Read the features and plan the steps.

        Raises:
          ValueError: the features lack a layer.
        """
        self.config, self.names = config, names
        self.layers, self.spec = needed_layers(spec, split.features.num_blocks)
        self.num_layers = len(self.layers)
        tagger = Tagger(
            spec=self.spec,
            num_tags=len(names),
            cell_dim=config.cell_dim,
            num_layers=config.num_layers,
            dropout_rate=config.dropout_rate,
            has_crf=config.decoder == "crf",
        )
        self.fixed = _Fixed(
            tagger, config.decoder, config.max_gradient_norm, config.mix_penalty
        )
        index = {name: number for number, name in enumerate(names)}
        self._tags = np.array([index[tag] for tags in split.tags for tag in tags])
        self._offsets = split.features.offsets
        self._table = jnp.asarray(split.features.read(self.layers))
        self._row_length = _longest(split)
        seeds = config.seed + np.arange(config.num_seeds)
        self._weight_keys = jax.vmap(random_key)(seeds)
        self._keys = jax.vmap(partial(random_key, purpose="draws"))(seeds)
        # Packing differs by a row or two from epoch to epoch: about so many steps.
        num_batches = sum(1 for _ in self.batches(0))
        self._last_step = config.num_epochs * num_batches

    def init(self) -> State:
        """Initialise the weights; each leaf of the state is `[seeds, …]`."""
        return _init(self.fixed, self._table, self._weight_keys)

    def step(self, state: State, batch: TagRows, num_steps: int) -> tuple[State, None]:
        """Make a step of every seed; the state's buffers are donated."""
        rate = self._rate_of(num_steps)
        state = _step(
            self.fixed, state, self._table, batch, self._keys, num_steps, rate
        )
        # Never many steps ahead: with its queue full XLA:CPU stood still for good,
        # every thread idle, twice in some forty runs (docs/decisions/taggers.md).
        return jax.block_until_ready(state), None

    def _rate_of(self, step: int) -> float:
        """Return the learning rate, which falls linearly to a tenth."""
        done = min(step / self._last_step, 1.0)
        return self.config.learning_rate * (1 - 0.9 * done)

    def batches(self, epoch: int) -> Iterator[TagRows]:
        """Yield the batches of an epoch, in a random order for each epoch and seed."""
        rows = []
        for seed in range(self.config.num_seeds):
            random = np.random.default_rng((self.config.seed + seed, epoch))
            laid = lay_rows(
                self._offsets,
                self._tags,
                random.permutation(len(self._offsets) - 1),
                self._row_length,
                _sentences_a_row(self.config),
            )
            shuffled = random.permutation(len(laid.words))
            rows.append(TagRows(*(part[shuffled] for part in laid)))
        return batches(rows, self._batch_size)

    @property
    def _batch_size(self) -> int:
        words_a_row = float(self._row_length)
        if _sentences_a_row(self.config) == 1:
            words_a_row = float(np.diff(self._offsets).mean())
        return max(1, round(self.config.batch_words / words_a_row))


class _HeldOut:
    """Held-out sentences that taggers are scored on."""

    def __init__(
        self, training: TaggerTraining, split: TaggedFeatures, row_length: int
    ) -> None:
        self._fixed, self._names = training.fixed, training.names
        self._gold = split.tags
        self._table = jnp.asarray(split.features.read(training.layers))
        self._offsets = split.features.offsets
        rows = lay_rows(
            self._offsets,
            # Anything but padding: the tags are not told.
            np.zeros(self._offsets[-1], int),
            np.arange(len(self._offsets) - 1),
            row_length,
            _sentences_a_row(training.config),
        )
        size = max(1, 4 * training.config.batch_words // row_length)
        self._batches = [
            TagRows(*(part[0] for part in batch)) for batch in batches([rows], size)
        ]

    def predict(self, params: Any) -> list[list[list[str]]]:
        """Return the tags of all sentences, for each seed."""
        decoded = [
            _decode(self._fixed, params, self._table, batch) for batch in self._batches
        ]
        num_seeds = jax.tree.leaves(params)[0].shape[0]
        found = np.zeros((num_seeds, self._offsets[-1]), int)
        for batch, tags in zip(self._batches, decoded, strict=True):
            mask = batch.tags != PADDING
            found[:, batch.words[mask]] = np.asarray(tags)[:, mask]
        check_labels_found(found)
        return [
            [
                list(map(self._names.__getitem__, sentence.tolist()))
                for sentence in np.split(of_seed, self._offsets[1:-1])
            ]
            for of_seed in found
        ]

    def score(self, predictions: list[list[list[str]]]) -> list[float]:
        """Return the span F1 of each seed."""
        return [score_spans(self._gold, of_seed).f1 for of_seed in predictions]


def _sentences_a_row(config: Tagging) -> int | None:
    """Return 1 for a CRF, which sums over the paths of a whole row; else None."""
    return 1 if config.decoder == "crf" else None


def _longest(*splits: TaggedFeatures) -> int:
    longest = max(int(np.diff(split.features.offsets).max()) for split in splits)
    return -(-longest // ROW_STEP) * ROW_STEP


@partial(jax.jit, static_argnames="fixed")
def _init(fixed: _Fixed, table: Array, keys: Array) -> State:
    def init(key: Array) -> State:
        layers = jnp.zeros((1, ROW_STEP, *table.shape[1:]))
        flags = jnp.zeros((1, ROW_STEP), bool)
        params = fixed.tagger.init(key, layers, flags, flags, flags)
        return State(params, clipped_adam(fixed.max_gradient_norm).init(params))

    return jax.vmap(init)(keys)


@partial(jax.jit, static_argnames="fixed", donate_argnames="state")
def _step(
    fixed: _Fixed,
    state: State,
    table: Float[Array, "words L D"],
    batch: TagRows,
    keys: Key[Array, " seeds"],
    step: Int[Array, ""] | int,
    rate: Float[Array, ""] | float,
) -> State:
    """Make one step of every seed, each with its own batch."""

    def step_of(state: State, batch: TagRows, key: Array) -> State:
        gradient = jax.grad(
            lambda params: _loss(
                fixed, params, table, batch, jax.random.fold_in(key, step)
            )
        )(state.params)
        return descend(clipped_adam(fixed.max_gradient_norm), state, gradient, rate)

    return jax.vmap(step_of)(state, batch, keys)


def _loss(
    fixed: _Fixed, params: Any, table: Array, batch: TagRows, key: Array
) -> Float[Array, ""]:
    """Return the mean negative log-likelihood of a word's tag, in nats, with the L2."""
    mask = batch.tags != PADDING
    scores, transitions = cast(
        tuple[Array, Transitions],
        fixed.tagger.apply(
            params,
            table[batch.words],
            mask,
            batch.first,
            batch.last,
            deterministic=False,
            rngs={"dropout": key},
        ),
    )
    tags = jnp.where(mask, batch.tags, 0)
    if fixed.decoder == "crf":
        total = -log_likelihood(scores, transitions, tags, mask).sum()
    else:
        each = optax.softmax_cross_entropy_with_integer_labels(scores, tags)
        total = jnp.where(mask, each, 0).sum()
    loss = total / jnp.maximum(mask.sum(), 1)
    if not fixed.mix_penalty:
        return loss
    mixes = fixed.tagger.mixes_of(params, table.shape[1] - 1)
    return loss + mix_penalty(mixes, fixed.mix_penalty)


@partial(jax.jit, static_argnames="fixed")
def _decode(
    fixed: _Fixed, params: Any, table: Array, batch: TagRows
) -> Int[Array, "seeds B T"]:
    mask = batch.tags != PADDING
    layers = table[batch.words]

    def decode(params: Any) -> Int[Array, "B T"]:
        scores, transitions = cast(
            tuple[Array, Transitions],
            fixed.tagger.apply(params, layers, mask, batch.first, batch.last),
        )
        best = best_labels(scores)
        if fixed.decoder == "crf":
            path = viterbi(scores, transitions, mask)
            return jnp.where(best < 0, best, path)
        return best

    return jax.vmap(decode)(params)
