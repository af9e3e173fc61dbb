# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of a pretrained encoder together with a new classifier.

Batch size, rate and epochs are of the grid in appendix A.3 of Devlin et al. 2019, all
else as in their run_classifier.py, or with Adam and the schedule of transformers.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from embed_jax.checks import (
    check_above,
    check_at_least,
    check_fields,
    check_rates,
    check_seed,
)
from embed_jax.devices.random_keys import random_key, same_draws
from embed_jax.layers.scalar_mix import mix_penalty
from train.divergence import diverging, lower_rate
from train.fit import Epoch, Fitted, State, clipped_adam, descend, fit
from train.loop.optimizer import (
    UNDECAYED,
    Schedule,
    scale_by_bert_adam,
    warm_up_and_decay,
)
from train.tasks.finetune.classified_rows import (
    IGNORED,
    ClassifiedRow,
    EpochBatches,
    judge_rows,
    padded_length,
    stack_labels,
)
from train.tasks.finetune.classifier import (
    Classifier,
    Example,
    Task,
    Weights,
    compiled_predict,
    predict_labels,
)
from train.tasks.finetune.scoring import Scores, score_examples

Recipe = Literal["published", "transformers"]
Metric = Literal["auto", "f1", "accuracy", "macro_f1"]

BETAS = 0.9, 0.999
EPSILONS: dict[Recipe, float] = {"published": 1e-6, "transformers": 1e-8}

# The weights of a mix are no more pulled towards zero than normalisations are.
_UNDECAYED = (*UNDECAYED, "weights", "gamma")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finetuning:
    """The configuration of fine-tuning.

    Attributes:
      task: whether words are labelled, or texts and pairs of texts.
      batch_size: rows of a batch.
      num_epochs: maximal passes over the training examples.
      learning_rate: of Adam, the peak of the schedule.
      encoder_learning_rate: that of the encoder; by default the same.
      frozen_steps: number of first steps that do not train the encoder; None, all.
      recipe: "published", as in run_classifier.py, has no bias correction of Adam, and
        after the warm-up the learning rate falls on the line that begins at step 0;
        "transformers" has bias correction, and the rate falls from its peak, as there.
      warmup_rate: share of all steps in which the learning rate rises.
      weight_decay: times the learning rate, of all but biases and normalisations.
      max_gradient_norm: the gradient is clipped to this global norm.
      dropout_rate: BERT: of the encoder and before the classifier, by default the
        model's own. ELMo: of the vectors that are classified, by default 0.5.
      max_length: BERT: tokens of a row. A longer sentence whose words are labelled is
        cut into several rows, a longer text is truncated. ELMo: words of a text.
      context: BERT, words: pieces of neighbouring sentences to add as context, or
        "document", as many as fit.
      layers: ELMo: the layers and their combination.
      mix_penalty: ELMo: L2 on the weights of a `mix` or `mix_norm` of `layers`, times
        the sum of their squares (Peters et al. 2018, section 3.3); a large one keeps
        the mix close to the mean of its layers.
      metric: the score of dev that selects the best epoch; by default f1 where words
        are labelled, and accuracy where texts are.
      patience: epochs without a better one before training ends; 0, never.
      seed: of the classifier's weights, the order and dropout; and of the division of
        data that are not divided.
    """

    task: Task = "token"
    batch_size: int = 32
    num_epochs: int = 3
    learning_rate: float = 5e-5
    encoder_learning_rate: float | None = None
    frozen_steps: int | None = 0
    recipe: Recipe = "published"
    warmup_rate: float = 0.1
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    dropout_rate: float | None = None
    max_length: int = 128
    context: int | Literal["document"] = 0
    layers: str = "mix(all)"
    mix_penalty: float = 0.0
    metric: Metric = "auto"
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self, large=["seed"])
        check_at_least(self, 1, "batch_size", "num_epochs")
        check_at_least(self, 3, "max_length")
        check_at_least(self, 0, "patience", "weight_decay", "mix_penalty")
        check_seed(self)
        if self.frozen_steps is not None:
            check_at_least(self, 0, "frozen_steps")
        if self.context != "document":
            check_at_least(self, 0, "context")
        check_rates(self, "warmup_rate", "dropout_rate")
        check_above(
            self, 0, "learning_rate", "encoder_learning_rate", "max_gradient_norm"
        )
        scores = ("accuracy", "macro_f1") if self.task == "sequence" else ("f1",)
        if self.metric not in ("auto", "accuracy", *scores):
            raise ValueError(f"metric {self.metric} is not one of {self.task} labels")

    @property
    def decisive(self) -> str:
        """The score that selects the best epoch."""
        if self.metric != "auto":
            return self.metric
        return "f1" if self.task == "token" else "accuracy"


class Finetuned(NamedTuple):
    """The result of fine-tuning.

    Attributes:
      weights: of the best epoch, frozen weights included.
      fitted: the number of that epoch, and the scores of dev after each.
      scores: of dev and test, with these weights.
      predictions: the labels of dev and test, a list for each example.
    """

    weights: Weights
    fitted: Fitted
    scores: dict[str, Scores]
    predictions: dict[str, list[list[str]]]


Batch = tuple[Any, Int[np.ndarray, "B ..."]]
"""Tokens, and the labels of tokens or rows."""


@same_draws()
def finetune(
    config: Finetuning,
    classifier: Classifier,
    splits: Mapping[str, Sequence[Example]],
    say: Callable[[str], None] = print,
) -> Finetuned:
    """Fine-tune a classifier; keep the epoch that is best on dev.

    Args:
      config: of the fine-tuning.
      classifier: with a newly initialised head.
      splits: the examples of train, dev and test; test may be absent.
      say: takes a line after each epoch.

    Raises:
      ValueError: there are no usable training examples, or none has a known word; or
        training has diverged.
    """
    if config.mix_penalty and not classifier.mixes(classifier.weights):
        raise ValueError(
            f"mix_penalty {config.mix_penalty}: the classifier has no mix of layers; "
            "it is for an ELMo whose layers are a mix(…) or mix_norm(…)"
        )
    rows = classifier.rows(splits["train"])
    if not rows:
        raise ValueError("there are no training examples")
    judge_rows(rows, "the training examples", "error")
    batches = EpochBatches([row.length for row in rows], config.batch_size, config.seed)
    num_steps = config.num_epochs * batches.steps_an_epoch
    stepper = Stepper(config, classifier, num_steps)
    predict = compiled_predict(classifier)

    def predictions(name: str, params: Weights) -> list[list[str]]:
        return predict_labels(
            classifier, splits[name], stepper.weights(params), predict
        )

    def report(number: int, epoch: Epoch) -> None:
        metrics = ", ".join(
            f"{name} {value:.2f}" for name, value in epoch.metrics.items()
        )
        loss, seconds = epoch.loss, epoch.seconds
        say(f"epoch {number}: loss {loss:.4f}, dev {metrics}, {seconds:.0f} s")

    with diverging(_lower_rates(config), "no model is kept"):
        fitted = fit(
            stepper,
            stepper.init(),
            (
                _collated(config, classifier, rows, batches, epoch)
                for epoch in range(config.num_epochs)
            ),
            evaluate=lambda params: score_examples(
                splits["dev"], predictions("dev", params)
            ),
            metric=config.decisive,
            patience=config.patience,
            report=report,
        )
        found = {
            name: predictions(name, fitted.params)
            for name in ("dev", "test")
            if name in splits
        }
    return Finetuned(
        stepper.weights(fitted.params),
        fitted,
        {name: score_examples(splits[name], labels) for name, labels in found.items()},
        found,
    )


def _lower_rates(config: Finetuning) -> dict[str, float]:
    """Return learning rates to try where those of a configuration were too high."""
    rates = {"learning-rate": lower_rate(config)}
    if config.encoder_learning_rate is not None:
        of_encoder = dataclasses.replace(
            config, learning_rate=config.encoder_learning_rate
        )
        rates["encoder-learning-rate"] = lower_rate(of_encoder)
    return rates


def _collated(
    config: Finetuning,
    classifier: Classifier,
    rows: Sequence[ClassifiedRow],
    batches: EpochBatches,
    epoch: int,
) -> Iterator[Batch]:
    """Yield tokens and labels of an epoch's batches."""
    first = epoch * batches.steps_an_epoch
    for step in range(first, first + batches.steps_an_epoch):
        chosen = [rows[index] for index in batches[step].tolist()]
        yield collate_batch(classifier, chosen, config.batch_size)


def collate_batch(
    classifier: Classifier, rows: Sequence[ClassifiedRow], size: int
) -> Batch:
    """Pad rows into tokens and labels of one of few shapes."""
    length = padded_length(max(row.length for row in rows), classifier.longest)
    return (
        classifier.collate(rows, length, size),
        stack_labels(rows, length, size),
    )


class Stepper:
    """The steps of a run, compiled for each shape of batch."""

    def __init__(
        self, config: Finetuning, classifier: Classifier, num_steps: int
    ) -> None:
        """Plan the steps.

        Args:
          config: of the fine-tuning.
          classifier: the model to train, with its initial weights.
          num_steps: total number of steps, after which the learning rate is zero.
        """
        self._learnt, self._fixed = dict(classifier.weights), {}
        if config.frozen_steps is None:
            self._fixed = {"encoder": self._learnt.pop("encoder")}
        self._frozen_steps = config.frozen_steps or 0
        self._key = random_key(config.seed, "draws")
        self._rates = learning_rates(config, num_steps)
        self._optimizer = make_optimizer(config)
        self._thawed, self._frozen = (
            jax.jit(
                _make_step(
                    classifier,
                    self._optimizer,
                    frozen=frozen,
                    penalty=config.mix_penalty,
                ),
                donate_argnames="state",
            )
            for frozen in (False, True)
        )

    def init(self) -> State:
        """Return the initial state, with a copy of the classifier's weights."""
        # Copies, for each step gives the state before it up.
        params = jax.tree.map(jnp.array, self._learnt)
        return State(params, jax.jit(self._optimizer.init)(params))

    def weights(self, params: Weights) -> Weights:
        """Return all weights, those that are trained and those that are not."""
        return {**self._fixed, **params}

    def __call__(
        self, state: State, batch: Batch, num_steps: int
    ) -> tuple[State, Float[Array, ""]]:
        """Make a step after `num_steps` steps; also return the loss before it."""
        step = self._frozen if num_steps < self._frozen_steps else self._thawed
        rates = {name: each[num_steps] for name, each in self._rates.items()}
        return step(state, self._fixed, *batch, self._key, num_steps, rates)


def _make_step(
    classifier: Classifier,
    optimizer: optax.GradientTransformation,
    *,
    frozen: bool,
    penalty: float,
) -> Callable[..., tuple[State, Float[Array, ""]]]:
    """Make the training step, a function to be jitted.

    Args:
      classifier: computes the loss to minimise.
      optimizer: without learning rate, which is applied to its updates.
      frozen: whether the encoder is not trained.
      penalty: the coefficient of the L2 on the weights of mixes.
    """

    def loss_of(
        learnt: Weights, fixed: Weights, tokens: Any, labels: Array, key: Array
    ) -> Float[Array, ""]:
        weights = {**fixed, **learnt}
        if frozen:
            weights["encoder"] = jax.lax.stop_gradient(weights["encoder"])
        loss = mean_loss(classifier.logits(weights, tokens, key), labels)
        if not penalty:
            return loss
        return loss + mix_penalty(classifier.mixes(weights), penalty)

    def step(
        state: State,
        fixed: Weights,
        tokens: Any,
        labels: Int[Any, "B ..."],
        key: Array,
        num_steps: Int[Any, ""] | int,
        rates: Mapping[str, Any],
    ) -> tuple[State, Float[Array, ""]]:
        loss, gradient = jax.value_and_grad(loss_of)(
            state.params,
            fixed,
            tokens,
            jnp.asarray(labels),
            jax.random.fold_in(key, num_steps),
        )
        moved = {
            branch: None if frozen and branch == "encoder" else rates[branch]
            for branch in state.params
        }
        return descend(optimizer, state, gradient, moved), loss

    return step


def mean_loss(
    logits: Float[Array, "B *T Y"], labels: Int[Array, "B ..."]
) -> Float[Array, ""]:
    """Return the mean cross entropy of the labels that are not `IGNORED`."""
    counted = labels != IGNORED
    each = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(counted, labels, 0)
    )
    return jnp.sum(jnp.where(counted, each, 0)) / jnp.maximum(jnp.sum(counted), 1)


def make_optimizer(config: Finetuning) -> optax.GradientTransformation:
    """Build the optimiser, without the learning rate."""
    adam = scale_by_bert_adam if config.recipe == "published" else optax.scale_by_adam
    return optax.chain(
        clipped_adam(config.max_gradient_norm, adam(*BETAS, EPSILONS[config.recipe])),
        optax.add_decayed_weights(config.weight_decay, mask=_decay_mask),
    )


def _decay_mask(weights: Weights) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) not in _UNDECAYED, weights
    )


def learning_rates(
    config: Finetuning, num_steps: int
) -> dict[str, Float[np.ndarray, " steps"]]:
    """Compute the learning rates of encoder and head at every step."""
    highest = {
        "encoder": config.encoder_learning_rate or config.learning_rate,
        "head": config.learning_rate,
    }
    steps = jnp.arange(num_steps)
    return {
        branch: np.asarray(jax.vmap(learning_rate(config, rate, num_steps))(steps))
        for branch, rate in highest.items()
    }


def learning_rate(config: Finetuning, highest: float, num_steps: int) -> Schedule:
    """Return the schedule of a learning rate: warm-up, then linear decay to zero.

    Args:
      config: sets the recipe and the warm-up.
      highest: the peak learning rate.
      num_steps: of the run.

    Example:
      >>> rate = learning_rate(Finetuning(recipe="transformers"), 1.0, 100)
      >>> [round(float(rate(step)), 2) for step in (0, 5, 10, 55, 100)]
      [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    warmup_steps = int(config.warmup_rate * num_steps)
    if config.recipe == "published":
        return warm_up_and_decay(highest, warmup_steps, num_steps)

    def rate(step: Int[Any, ""] | int) -> Float[Array, ""]:
        step = jnp.asarray(step, jnp.float32)
        rising = step / max(warmup_steps, 1)
        falling = (num_steps - step) / max(num_steps - warmup_steps, 1)
        chosen = jnp.where(step < warmup_steps, rising, jnp.maximum(falling, 0.0))
        return highest * chosen

    return rate
