# SPDX-License-Identifier: Apache-2.0
"""How far a score would lie from itself, had other sentences been held out."""

import numpy as np
from jaxtyping import Bool, Int


def deviation_of_share(
    hits: Bool[np.ndarray, " words"],
    offsets: Int[np.ndarray, " boundaries"],
    *,
    num_resamples: int,
    seed: int,
) -> float:
    """Return the standard deviation of a share over resamples of the sentences.

    The bootstrap of Efron: as many sentences are drawn as there are, with replacement.
    Words of a sentence stay together, for they are not independent.

    Args:
      hits: of each word whether it is right.
      offsets: the first word of each sentence, and the number of words.
      num_resamples: at least two.
      seed: of the draws.

    Returns:
      The deviation, in percent.

    Example:
      >>> hits = np.array([True, True, False, False])
      >>> offsets = np.arange(5)
      >>> round(deviation_of_share(hits, offsets, num_resamples=4000, seed=0))
      25
    """
    rng = np.random.default_rng(seed)
    lengths = np.diff(offsets)
    running = np.concatenate([[0], np.cumsum(hits)])
    right = running[offsets[1:]] - running[offsets[:-1]]
    number = len(lengths)
    shares = []
    for _ in range(num_resamples):
        drawn = rng.integers(number, size=number)
        shares.append(right[drawn].sum() / lengths[drawn].sum())
    return 100 * float(np.std(shares, ddof=1))
