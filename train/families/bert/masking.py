# SPDX-License-Identifier: Apache-2.0
"""Masking of tokens for a masked language model.

Devlin et al. 2019, section 3.1: of the chosen tokens 80 % become `[MASK]`, 10 % a
random piece, and 10 % stay unchanged. Masks are drawn for every batch (dynamic masking,
Liu et al. 2019).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

MASKED_SHARE, KEPT_SHARE = 0.8, 0.1


class Masked(NamedTuple):
    """A batch after masking.

    Attributes:
      ids: the model's input, int32.
      positions: of the chosen tokens in their row, ascending, then 0 for the rest of M.
      targets: the original pieces at these positions, int32.
      weights: 1 at chosen tokens, 0 for the rest of M.
    """

    ids: Int[np.ndarray, "B T"]
    positions: Int[np.ndarray, "B M"]
    targets: Int[np.ndarray, "B M"]
    weights: Float[np.ndarray, "B M"]


def quotas(
    lengths: Int[np.ndarray, "*shape"], rate: float
) -> Int[np.ndarray, "*shape"]:
    """Return the number of tokens to choose in each instance, at least one.

    Args:
      lengths: tokens with specials, as published.
      rate: 0.15 as published.
    """
    return np.maximum(1, np.rint(lengths * rate)).astype(np.int64)


def choose(
    sequences: Int[np.ndarray, "B T"],
    candidates: Bool[np.ndarray, "B T"],
    continues: Bool[np.ndarray, "B T"] | None,
    rate: float,
    keys: Float[np.ndarray, "B T"],
) -> Bool[np.ndarray, "B T"]:
    """Choose tokens, or whole words, of each instance at random.

    A word with more tokens than remain of the quota is skipped, as published.

    Args:
      sequences: for each token its instance in the row, from 1; 0 at padding.
      candidates: tokens that may be chosen.
      continues: tokens that belong to the word of the previous token; None chooses
        single tokens.
      rate: share of an instance's tokens.
      keys: uniform random numbers.
    """
    rows, columns = np.nonzero(candidates)
    instance = rows * (sequences.shape[1] + 1) + sequences[rows, columns]
    begins = np.ones(len(rows), bool)
    if continues is not None:
        begins = ~continues[rows, columns]
        # A passage that was cut may begin within a word: not the one before [SEP].
        begins[1:] |= (instance[1:] != instance[:-1]) | (np.diff(columns) != 1)
        begins[:1] = True
    heads = np.flatnonzero(begins)
    sizes = np.diff(np.append(heads, len(rows)))
    # Words of an instance side by side, in random order.
    order = np.lexsort((keys[rows[heads], columns[heads]], instance[heads]))
    of = instance[heads][order]
    firsts = np.flatnonzero(np.diff(of, prepend=-1))
    number = np.diff(np.append(firsts, len(of)))
    all_lengths = np.bincount(((sequences > 0) * instance_ids(sequences)).ravel())
    quota = quotas(all_lengths[of[firsts]], rate)
    taken = np.zeros(len(of), bool)
    filled = np.zeros(len(firsts), np.int64)
    if continues is None:
        place = np.arange(len(of)) - np.repeat(firsts, number)
        taken = place < np.repeat(quota, number)
    else:
        for place in range(int(number.max(initial=0))):
            open_ = np.flatnonzero((place < number) & (filled < quota))
            if not len(open_):
                break
            at = firsts[open_] + place
            size = sizes[order[at]]
            fits = filled[open_] + size <= quota[open_]
            taken[at[fits]] = True
            filled[open_[fits]] += size[fits]
    chosen_word = np.zeros(len(heads), bool)
    chosen_word[order] = taken
    chosen = np.zeros(sequences.shape, bool)
    chosen[rows, columns] = np.repeat(chosen_word, sizes)
    return chosen


def instance_ids(sequences: Int[np.ndarray, "B T"]) -> Int[np.ndarray, "B T"]:
    """Number the instances of a batch; padding has numbers of its own."""
    stride = sequences.shape[1] + 1
    return np.arange(len(sequences))[:, None] * stride + sequences


def mask(
    ids: Int[np.ndarray, "B T"],
    chosen: Bool[np.ndarray, "B T"],
    mask_id: int,
    vocab_size: int,
    max_predictions: int,
    coins: Float[np.ndarray, "B T"],
    random_ids: Int[np.ndarray, "B T"],
) -> Masked:
    """Mask the chosen tokens and return their original pieces as targets.

    Args:
      ids: the batch.
      chosen: at most `max_predictions` a row.
      mask_id: of `[MASK]`.
      vocab_size: random pieces are any of the vocabulary, specials included.
      max_predictions: M.
      coins: uniform random numbers, for the choice of the replacement.
      random_ids: uniform random pieces.
    """
    hidden = chosen & (coins < MASKED_SHARE)
    random = chosen & (coins >= MASKED_SHARE + KEPT_SHARE)
    seen = np.where(hidden, mask_id, np.where(random, random_ids % vocab_size, ids))
    shape = len(ids), max_predictions
    positions = np.zeros(shape, np.int32)
    targets = np.zeros(shape, np.int32)
    weights = np.zeros(shape, np.float32)
    rows, columns = np.nonzero(chosen)
    slots = np.arange(len(rows)) - np.searchsorted(rows, rows)
    positions[rows, slots] = columns
    targets[rows, slots] = ids[rows, columns]
    weights[rows, slots] = 1.0
    return Masked(seen.astype(np.int32), positions, targets, weights)
