# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning: a pretrained encoder and a fresh classifier, trained together.

The recipe of Devlin et al. 2019, appendix A.3, or the one that transformers made of it.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from train.loop.optimizer import (
    UNDECAYED,
    Schedule,
    scale_by_bert_adam,
    warm_up_and_decay,
)
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import (
    IGNORED,
    ClassifiedRow,
    EpochBatches,
    padded_length,
    stack_labels,
)
from train.tasks.finetune.classifier import (
    Classifier,
    Example,
    Predict,
    Task,
    Weights,
    compiled_predict,
    predict_labels,
)
from train.tasks.finetune.label_scores import score_labels
from train.tasks.spans import score_spans

Recipe = Literal["published", "transformers"]
Metric = Literal["auto", "f1", "accuracy", "macro_f1"]

BETAS = 0.9, 0.999
EPSILONS: dict[Recipe, float] = {"published": 1e-6, "transformers": 1e-8}

# The weights of a mix are no more pulled towards zero than normalisations are.
_UNDECAYED = (*UNDECAYED, "weights", "gamma")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finetuning:
    """What is learnt, and how.

    Attributes:
      task: whether words are labelled, or texts and pairs of texts.
      batch_size: rows of a batch.
      num_epochs: passes over the training examples, at most.
      learning_rate: of Adam, the highest.
      encoder_learning_rate: that of the encoder; by default the same.
      frozen_steps: so many first steps leave the encoder as it is; None, all of them.
      recipe: "published" does not correct the means of Adam for starting from zero,
        and after the warm-up the learning rate falls on the line that begins at step
        0; "transformers" corrects them and falls from the top.
      warmup_rate: part of all steps in which the learning rate rises.
      weight_decay: times the learning rate, of all but biases and normalisations.
      max_gradient_norm: a longer gradient is shortened.
      dropout_rate: BERT: of the encoder and before the classifier, by default the
        model's own. ELMo: of the vectors that are classified, by default 0.5.
      max_length: BERT: tokens of a row. A sentence whose words are labelled is cut
        into several rows, a text that is labelled loses its end. ELMo: words of a text.
      context: BERT, words: pieces of the neighbouring sentences that a sentence is
        shown, or "document", as many as fit.
      layers: ELMo: the layers that are read, and how they are combined.
      metric: the score of dev that decides which epoch is kept; by default f1 where
        words are labelled, and accuracy where texts are.
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
    context: str = "0"
    layers: str = "mix(all)"
    metric: Metric = "auto"
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no run could have.

        Raises:
          ValueError: names the field.
        """
        for name, least in (
            ("batch_size", 1),
            ("num_epochs", 1),
            ("max_length", 3),
            ("patience", 0),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be at least {least}, not {getattr(self, name)}"
                )
        if self.frozen_steps is not None and self.frozen_steps < 0:
            raise ValueError(f"frozen_steps is 0 or more, not {self.frozen_steps}")
        for name in ("warmup_rate", "dropout_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate < 1:
                raise ValueError(f"{name} must be in [0, 1), not {rate}")
        for name in ("learning_rate", "encoder_learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        if self.context != "document" and not self.context.isdecimal():
            raise ValueError(f'context {self.context}: a number, or "document"')
        scores = ("accuracy", "macro_f1") if self.task == "sequence" else ("f1",)
        if self.metric not in ("auto", "accuracy", *scores):
            raise ValueError(f"metric {self.metric} is not one of {self.task} labels")

    @property
    def decisive(self) -> str:
        """The score by which epochs are compared."""
        if self.metric != "auto":
            return self.metric
        return "f1" if self.task == "token" else "accuracy"


Scores = dict[str, float]


class Epoch(NamedTuple):
    """One pass over the training examples.

    Attributes:
      loss: mean over its steps.
      dev: the scores after it.
      seconds: that its steps took, without measuring; the first ones compile.
    """

    loss: float
    dev: Scores
    seconds: float


class Outcome(NamedTuple):
    """What fine-tuning gave.

    Attributes:
      weights: of the epoch that is kept.
      best_epoch: which, from 1.
      epochs: all of them.
      scores: of dev and test, with those weights.
      predictions: the labels of dev and test, a list for each example.
    """

    weights: Weights
    best_epoch: int
    epochs: list[Epoch]
    scores: dict[str, Scores]
    predictions: dict[str, list[list[str]]]


class State(NamedTuple):
    """What a step changes.

    Attributes:
      step: steps that were made.
      weights: those that are learnt.
      moments: what the optimiser remembers.
    """

    step: Int[Any, ""]
    weights: Weights
    moments: Any


class Settings(NamedTuple):
    """What is not the same in every run, so that runs share their programs.

    Attributes:
      key: of all dropout of a run.
      rates: the learning rates of this step, of encoder and head.
    """

    key: jax.Array
    rates: Mapping[str, Any]


Step = Callable[[State, Weights, Any, Any, Settings], tuple[State, Float[Array, ""]]]


def finetune(
    config: Finetuning,
    classifier: Classifier,
    splits: Mapping[str, Sequence[Example]],
    say: Callable[[str], None] = print,
) -> Outcome:
    """Train; keep the epoch that is best on dev.

    Args:
      config: how.
      classifier: with fresh weights of its head.
      splits: the examples of train, dev and test; test may be absent.
      say: is given a line after each epoch.

    Raises:
      ValueError: there are no training examples that can be read.
    """
    rows = classifier.rows(splits["train"])
    if not rows:
        raise ValueError("there are no training examples")
    batches = EpochBatches([row.length for row in rows], config.batch_size, config.seed)
    num_steps = config.num_epochs * batches.steps_an_epoch
    stepper = Stepper(config, classifier, num_steps)
    predict = compiled_predict(classifier)
    kept: tuple[float, int, Weights] | None = None
    epochs: list[Epoch] = []
    for number in range(1, config.num_epochs + 1):
        began = time.perf_counter()
        losses = [
            stepper(*batch)
            for batch in _collated(config, classifier, rows, batches, number - 1)
        ]
        loss = float(np.mean(jax.device_get(losses)))
        seconds = time.perf_counter() - began
        found = predict_labels(classifier, splits["dev"], stepper.weights, predict)
        dev = score_examples(splits["dev"], found)
        epochs.append(Epoch(loss, dev, seconds))
        figures = ", ".join(f"{name} {value:.2f}" for name, value in dev.items())
        say(f"epoch {number}: loss {loss:.4f}, dev {figures}, {seconds:.0f} s")
        score = dev[config.decisive]
        if kept is None or score > kept[0]:
            # The step is given the state up, so what is kept is a copy.
            kept = score, number, jax.tree.map(jnp.copy, stepper.weights)
        elif config.patience and number - kept[1] >= config.patience:
            break
    assert kept is not None  # there is an epoch at least
    return _outcome(classifier, splits, kept[2], kept[1], epochs, predict)


def _outcome(
    classifier: Classifier,
    splits: Mapping[str, Sequence[Example]],
    weights: Weights,
    best_epoch: int,
    epochs: list[Epoch],
    predict: Predict,
) -> Outcome:
    predictions = {
        name: predict_labels(classifier, splits[name], weights, predict)
        for name in ("dev", "test")
        if name in splits
    }
    scores = {
        name: score_examples(splits[name], found) for name, found in predictions.items()
    }
    return Outcome(weights, best_epoch, epochs, scores, predictions)


def _collated(
    config: Finetuning,
    classifier: Classifier,
    rows: Sequence[ClassifiedRow],
    batches: EpochBatches,
    epoch: int,
) -> Iterator[tuple[Any, Int[np.ndarray, "B ..."]]]:
    """Yield tokens and labels of an epoch's batches."""
    first = epoch * batches.steps_an_epoch
    for step in range(first, first + batches.steps_an_epoch):
        chosen = [rows[index] for index in batches[step].tolist()]
        yield collate_batch(classifier, chosen, config.batch_size)


def collate_batch(
    classifier: Classifier, rows: Sequence[ClassifiedRow], size: int
) -> tuple[Any, Int[np.ndarray, "B ..."]]:
    """Pad rows into tokens and labels of one of few shapes."""
    length = padded_length(max(row.length for row in rows), classifier.longest)
    return (
        classifier.collate(rows, length, size),
        stack_labels(rows, length, size),
    )


def score_examples(
    examples: Sequence[Example], predicted: Sequence[Sequence[str]]
) -> Scores:
    """Score labels: of words, by the spans they make; of texts, one by one."""
    if isinstance(examples[0], TaggedSentence):
        gold = [list(sentence.tags) for sentence in cast(Sequence, examples)]
        spans = score_spans(gold, predicted)
        right = score_labels(
            list(chain.from_iterable(gold)), list(chain.from_iterable(predicted))
        )
        return {
            "f1": spans.f1,
            "precision": spans.precision,
            "recall": spans.recall,
            "accuracy": right["accuracy"],
        }
    texts = cast(Sequence[LabelledText], examples)
    return score_labels(
        [text.label for text in texts], [label for (label,) in predicted]
    )


class Stepper:
    """The state, and the step that changes it, compiled for each shape of batch."""

    def __init__(
        self, config: Finetuning, classifier: Classifier, num_steps: int
    ) -> None:
        """Begin with the classifier's weights, which stay as they are.

        Args:
          config: how steps are made.
          classifier: whose loss falls.
          num_steps: after which the learning rate is zero.
        """
        learnt, self._fixed = dict(classifier.weights), {}
        if config.frozen_steps is None:
            self._fixed = {"encoder": learnt.pop("encoder")}
        optimizer = make_optimizer(config)
        # Copies, for each step gives the state before it up.
        learnt = jax.tree.map(jnp.array, learnt)
        self._state = State(
            jnp.zeros((), jnp.int32), learnt, jax.jit(optimizer.init)(learnt)
        )
        self._frozen_steps = config.frozen_steps or 0
        self._num_made = 0
        self._key = jax.random.key(config.seed)
        self._rates = learning_rates(config, num_steps)
        self._thawed, self._frozen = (
            jax.jit(make_step(classifier, optimizer, frozen=frozen), donate_argnums=0)
            for frozen in (False, True)
        )

    @property
    def weights(self) -> Weights:
        """The present ones; the next step uses their memory."""
        return {**self._fixed, **self._state.weights}

    def __call__(self, tokens: Any, labels: Int[Any, "B ..."]) -> Float[Array, ""]:
        """Make a step; return the loss before it."""
        is_frozen = self._num_made < self._frozen_steps
        step = self._frozen if is_frozen else self._thawed
        rates = {name: each[self._num_made] for name, each in self._rates.items()}
        settings = Settings(self._key, rates)
        self._state, loss = step(self._state, self._fixed, tokens, labels, settings)
        self._num_made += 1
        return loss


def make_step(
    classifier: Classifier, optimizer: optax.GradientTransformation, *, frozen: bool
) -> Step:
    """Make the function that is compiled.

    Args:
      classifier: whose loss falls.
      optimizer: gives the direction, whose length the learning rates are.
      frozen: whether the encoder stays as it is.
    """

    def loss_of(
        learnt: Weights, fixed: Weights, tokens: Any, labels: Array, key: Array
    ) -> Float[Array, ""]:
        weights = {**fixed, **learnt}
        if frozen:
            weights["encoder"] = jax.lax.stop_gradient(weights["encoder"])
        return mean_loss(classifier.logits(weights, tokens, key), labels)

    def step(
        state: State,
        fixed: Weights,
        tokens: Any,
        labels: Int[Any, "B ..."],
        settings: Settings,
    ) -> tuple[State, Float[Array, ""]]:
        key = jax.random.fold_in(settings.key, state.step)
        loss, gradient = jax.value_and_grad(loss_of)(
            state.weights, fixed, tokens, jnp.asarray(labels), key
        )
        update, moments = optimizer.update(gradient, state.moments, state.weights)
        direction = cast(Weights, update)
        weights = {
            branch: leaves
            if frozen and branch == "encoder"
            else _moved(leaves, direction[branch], settings.rates[branch])
            for branch, leaves in state.weights.items()
        }
        return State(state.step + 1, weights, moments), loss

    return step


def _moved(leaves: Any, direction: Any, rate: Float[Any, ""]) -> Any:
    return jax.tree.map(lambda leaf, way: leaf - rate * way, leaves, direction)


def mean_loss(
    logits: Float[Array, "B *T Y"], labels: Int[Array, "B ..."]
) -> Float[Array, ""]:
    """Return the cross entropy of the labels that are not `IGNORED`, on average."""
    counted = labels != IGNORED
    each = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(counted, labels, 0)
    )
    return jnp.sum(jnp.where(counted, each, 0)) / jnp.maximum(jnp.sum(counted), 1)


def make_optimizer(config: Finetuning) -> optax.GradientTransformation:
    """Build what gives the direction of a step; the learning rate is not in it."""
    adam = scale_by_bert_adam if config.recipe == "published" else optax.scale_by_adam
    return optax.chain(
        optax.clip_by_global_norm(config.max_gradient_norm),
        adam(*BETAS, EPSILONS[config.recipe]),
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
    """Return the schedule of a learning rate: a rise, then a fall to zero.

    Args:
      config: of the recipe and of the warm-up.
      highest: learning rate.
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
