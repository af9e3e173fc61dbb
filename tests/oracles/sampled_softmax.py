# SPDX-License-Identifier: Apache-2.0
"""Full and sampled softmax over a vocabulary, slowly and in float64.

An oracle of TensorFlow's `sampled_softmax_loss` with its defaults, as ELMo's training
uses it: negatives of a log-uniform distribution without repetition, one set for all
positions, log expected counts subtracted, accidental hits removed. Words are numbered
by falling frequency.

One deviation, as the project's facts have it: TensorFlow takes `num_tries * p` for the
expected count where no draw was rejected (`num_tries == K`); here the formula for
unique draws holds always.
"""

from typing import NamedTuple

import numpy as np


class Gradients(NamedTuple):
    """Gradients of a mean loss, dense: of weights [V, P], bias [V], contexts [N, P]."""

    weights: np.ndarray
    bias: np.ndarray
    contexts: np.ndarray


# Sampling


def log_uniform_probabilities(V: int) -> np.ndarray:
    """The probability [V] of each word at one draw; they sum to one."""
    k = np.arange(V)
    return (np.log(k + 2.0) - np.log(k + 1.0)) / np.log(V + 1.0)


def expected_counts(num_tries: int, V: int) -> np.ndarray:
    """The chance [V] of each word to be among the draws of `num_tries` tries."""
    return -np.expm1(num_tries * np.log1p(-log_uniform_probabilities(V)))


def sample_unique(
    rng: np.random.Generator, num_sampled: int, V: int
) -> tuple[np.ndarray, int]:
    """Draw until `num_sampled` different words are found, repetitions rejected.

    Returns:
      The words [K] in the order of their finding, and the number of all draws.
    """
    if num_sampled > V:
        raise ValueError(f"{num_sampled} different words of {V}")
    cumulative = np.cumsum(log_uniform_probabilities(V))
    found = []
    num_tries = 0
    while len(found) < num_sampled:
        word = min(int(np.searchsorted(cumulative, rng.random(), side="right")), V - 1)
        num_tries += 1
        if word not in found:
            found.append(word)
    return np.array(found), num_tries


# Losses


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax over the last axis; -inf is a class left out."""
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def sampled_logits(
    weights: np.ndarray,
    bias: np.ndarray,
    contexts: np.ndarray,
    targets: np.ndarray,
    sampled: np.ndarray,
    num_tries: int,
) -> np.ndarray:
    """Corrected logits [N, 1 + K]: the target's, then the sampled words'."""
    log_counts = np.log(expected_counts(num_tries, len(weights)))
    rows = []
    for context, target in zip(contexts, targets, strict=True):
        row = [weights[target] @ context + bias[target] - log_counts[target]]
        for word in sampled:
            logit = weights[word] @ context + bias[word] - log_counts[word]
            row.append(-np.inf if word == target else logit)
        rows.append(row)
    return np.array(rows)


def sampled_softmax_losses(
    weights: np.ndarray,
    bias: np.ndarray,
    contexts: np.ndarray,
    targets: np.ndarray,
    sampled: np.ndarray,
    num_tries: int,
) -> np.ndarray:
    """Cross-entropy [N] of each target among itself and the sampled words.

    Args:
      weights: A row per word [V, P].
      bias: A number per word [V].
      contexts: What predicts [N, P].
      targets: The words to be predicted [N].
      sampled: The negatives, different words [K].
      num_tries: Draws that their sampling took.
    """
    logits = sampled_logits(weights, bias, contexts, targets, sampled, num_tries)
    return -log_softmax(logits)[:, 0]


def full_softmax_losses(
    weights: np.ndarray, bias: np.ndarray, contexts: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Cross-entropy [N] of each target among all words; shapes as above."""
    log_probs = log_softmax(contexts @ weights.T + bias)
    return -log_probs[np.arange(len(targets)), targets]


# Gradients


def position_shares(n: int, position_weights: np.ndarray | None) -> np.ndarray:
    """The share [N] of each position in the mean loss."""
    if position_weights is None:
        return np.full(n, 1.0 / n)
    return position_weights / np.sum(position_weights)


def sampled_softmax_gradients(
    weights: np.ndarray,
    bias: np.ndarray,
    contexts: np.ndarray,
    targets: np.ndarray,
    sampled: np.ndarray,
    num_tries: int,
    position_weights: np.ndarray | None = None,
) -> Gradients:
    """Gradients of the mean of `sampled_softmax_losses`.

    `position_weights` [N] make it a weighted mean, sum(w * loss) / sum(w). The expected
    counts are constants.
    """
    logits = sampled_logits(weights, bias, contexts, targets, sampled, num_tries)
    probabilities = np.exp(log_softmax(logits))
    shares = position_shares(len(targets), position_weights)

    of_weights = np.zeros(weights.shape)
    of_bias = np.zeros(bias.shape)
    of_contexts = np.zeros(contexts.shape)
    for n, target in enumerate(targets):
        for place, word in enumerate([target, *sampled]):
            of_logit = probabilities[n, place] - (1.0 if place == 0 else 0.0)
            of_logit = of_logit * shares[n]
            of_weights[word] += of_logit * contexts[n]
            of_bias[word] += of_logit
            of_contexts[n] += of_logit * weights[word]
    return Gradients(of_weights, of_bias, of_contexts)


def full_softmax_gradients(
    weights: np.ndarray,
    bias: np.ndarray,
    contexts: np.ndarray,
    targets: np.ndarray,
    position_weights: np.ndarray | None = None,
) -> Gradients:
    """Gradients of the mean of `full_softmax_losses`, weighted by [N] if given."""
    of_logits = np.exp(log_softmax(contexts @ weights.T + bias))
    of_logits[np.arange(len(targets)), targets] -= 1.0
    of_logits = of_logits * position_shares(len(targets), position_weights)[:, None]
    return Gradients(
        of_logits.T @ contexts, np.sum(of_logits, axis=0), of_logits @ weights
    )
