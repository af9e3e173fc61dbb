# SPDX-License-Identifier: Apache-2.0
"""The tagger of BERT's feature-based approach: two BiLSTMs and a classifier.

Devlin et al. 2019, section 5.3: frozen layers are the input of a randomly initialised
two-layer BiLSTM before the classification layer.
"""

from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.scalar_mix import ScalarMix
from embed_jax.layers.select import select_layers
from train.tasks.ner.bilstm import BiLstm
from train.tasks.ner.crf import Transitions


class Tagger(nn.Module):
    """Computes tag scores of words from their layers.

    Attributes:
      spec: the combination of the given layers, from `needed_layers`.
      num_tags: Y.
      cell_dim: of each direction of a BiLSTM.
      num_layers: number of stacked BiLSTMs; 0 for a linear model.
      dropout_rate: of the inputs and of each BiLSTM's outputs; one mask for all
        positions of a row (Gal and Ghahramani 2016).
      has_crf: whether a CRF's transitions belong to the weights.
    """

    spec: LayerSpec
    num_tags: int
    cell_dim: int
    num_layers: int
    dropout_rate: float
    has_crf: bool

    @nn.compact
    def __call__(
        self,
        layers: Float[Array, "B T L D"],
        mask: Bool[Array, "B T"],
        first: Bool[Array, "B T"],
        last: Bool[Array, "B T"],
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B T Y"], Transitions | None]:
        """Return the tag scores, and the transitions of the CRF if there is one.

        Args:
          layers: those of `needed_layers`, in its order.
          mask: True at words.
          first: True at the first word of a sentence.
          last: True at the last word of a sentence.
          deterministic: whether dropout is off.
        """
        num_blocks = layers.shape[2] - 1
        states = select_layers(
            {layer: layers[:, :, layer] for layer in range(num_blocks + 1)},
            self.spec,
            num_blocks,
            mask,
            self._mixes(num_blocks),
            # A row holds several sentences, other ones in every epoch.
            texts=jnp.cumsum(first, axis=1),
        )
        for layer in range(self.num_layers):
            states = self._drop(states, deterministic)
            states = BiLstm(self.cell_dim, name=f"bilstm_{layer}")(states, first, last)
        states = self._drop(states, deterministic)
        scores = nn.Dense(self.num_tags, name="scores")(states)
        return scores, self._transitions() if self.has_crf else None

    def _mixes(self, num_blocks: int) -> Sequence[ScalarMix]:
        zeros, ones = nn.initializers.zeros, nn.initializers.ones
        return [
            ScalarMix(
                self.param(f"mix_{number}_weights", zeros, (size,)),
                self.param(f"mix_{number}_gamma", ones, ()),
            )
            for number, size in enumerate(self.spec.mix_sizes(num_blocks))
        ]

    def mixes_of(self, params: Any, num_blocks: int) -> list[ScalarMix]:
        """Return the mixes among the weights.

        Args:
          params: as `init` gave them.
          num_blocks: one less than the layers that are given.
        """
        held = params["params"]
        return [
            ScalarMix(held[f"mix_{number}_weights"], held[f"mix_{number}_gamma"])
            for number in range(len(self.spec.mix_sizes(num_blocks)))
        ]

    def _drop(self, states: Array, deterministic: bool) -> Array:
        dropout = nn.Dropout(self.dropout_rate, broadcast_dims=(1,))
        return cast(Array, dropout(states, deterministic=deterministic))

    def _transitions(self) -> Transitions:
        zeros, num_tags = nn.initializers.zeros, self.num_tags
        return Transitions(
            between=self.param("transitions", zeros, (num_tags, num_tags)),
            start=self.param("transitions_start", zeros, (num_tags,)),
            end=self.param("transitions_end", zeros, (num_tags,)),
        )


def needed_layers(
    spec: LayerSpec | str, num_blocks: int
) -> tuple[tuple[int, ...], LayerSpec]:
    """Return the layers that a spec needs, and the spec rewritten for these layers.

    Specs that combine different layers in the same way become equal, so that they share
    one compiled program.

    Args:
      spec: for the model.
      num_blocks: L of the model.

    Raises:
      ValueError: the model lacks a layer.

    Example:
      >>> layers, restated = needed_layers("mix(last4),0", 12)
      >>> layers, str(restated)
      ((0, 9, 10, 11, 12), 'mix(first,2,3,4),embeddings')
    """
    parsed = parse_layer_spec(spec)
    layers = parsed.layers(num_blocks)
    place = {layer: index for index, layer in enumerate(layers)}
    terms = [
        f"{function}({','.join(str(place[layer]) for layer in indices)})"
        for function, indices in parsed.resolve(num_blocks)
    ]
    return layers, parse_layer_spec(",".join(terms))
