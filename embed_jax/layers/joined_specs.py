# SPDX-License-Identifier: Apache-2.0
"""Several layer specs as one: computed in one run, and their vectors divided again.

Terms of a spec stand side by side on the feature axis, and so do those of several specs
in one. Whatever computes one spec thus computes a tuple of them.
"""

from typing import NamedTuple

import numpy as np

from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.select import Mix, Specs, mix_of_each_term, pair_mixes


class JoinedSpecs(NamedTuple):
    """Specs that are computed as one.

    Attributes:
      spec: the terms of all of them, in order.
      mix: of all their mix terms, in order.
      widths: of each spec's vectors before pooling.
    """

    spec: LayerSpec
    mix: Mix
    widths: tuple[int, ...]

    def divide(self, vectors: np.ndarray) -> list[np.ndarray]:
        """Return the vectors of each spec, each an array of its own.

        Args:
          vectors: `[N width]` of all specs together, or `[N k·width]` where pooling
            put k vectors of that width side by side.
        """
        if len(self.widths) == 1:
            return [vectors]
        total = sum(self.widths)
        # No -1 among the sizes, for there may be no vector.
        side_by_side = vectors.reshape(len(vectors), vectors.shape[1] // total, total)
        parts = np.split(side_by_side, np.cumsum(self.widths)[:-1], axis=-1)
        # Copied, so that what is kept of one spec does not hold the others.
        return [
            part.reshape(len(part), part.shape[1] * part.shape[2]).copy()
            for part in parts
        ]


def join_specs(
    layer_spec: Specs, mix: Mix | tuple[Mix, ...], num_blocks: int, dim: int
) -> JoinedSpecs:
    """Make one spec of a spec or of a tuple of them.

    Args:
      layer_spec: one spec, or a tuple.
      mix: of one spec, or a tuple with one entry a spec.
      num_blocks: of the model.
      dim: the width of a layer.

    Raises:
      ValueError: a malformed spec, a layer that the model lacks, no spec at all, or
        mixes that do not fit.

    Example:
      >>> joined = join_specs(("last", "mean(all)", "0,1"), None, num_blocks=2, dim=4)
      >>> str(joined.spec), joined.widths
      ('last,mean(all),embeddings,first', (4, 4, 8))
    """
    specs, mixes = pair_mixes(layer_spec, mix)
    widths = tuple(spec.width(num_blocks, dim) for spec in specs)
    if len(specs) == 1:
        return JoinedSpecs(specs[0], mixes[0], widths)
    terms = tuple(term for spec in specs for term in spec.terms)
    together = None
    if any(each is not None for each in mixes):
        together = tuple(
            term
            for spec, each in zip(specs, mixes, strict=True)
            for term in mix_of_each_term(spec, num_blocks, each)
        )
    text = ",".join(spec.text for spec in specs)
    return JoinedSpecs(LayerSpec(terms, text), together, widths)
