# SPDX-License-Identifier: Apache-2.0
"""The whole of a biLM's experiment."""

import dataclasses
from typing import ClassVar

from elmo_jax.config import ElmoConfig
from train.config import Pretraining
from train.families.elmo.data import WordData
from train.loop.optimizer import Adagrad, Optimizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class BilmPretraining(Pretraining):
    """An ELMo biLM.

    Attributes:
      model: its shape.
      data: its corpus.
      unroll_steps: positions that a row gives to a batch, as in bilm-tf.
      num_negatives: words of the sampled softmax for each direction; 0 scores the whole
        vocabulary.
      reset_state: whether sentences start from zeros, as they are served, or from the
        state that the one before left, as published.
      optimizer: how weights change.
    """

    kind: ClassVar[str] = "elmo"

    def __post_init__(self) -> None:
        """Refuse what a biLM has no form of.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        if self.remat == "elementwise":
            raise ValueError('remat "elementwise" is of BERT; a biLM takes "blocks"')

    model: ElmoConfig
    data: WordData
    unroll_steps: int = 20
    num_negatives: int = 8192
    reset_state: bool = False
    optimizer: Optimizer = dataclasses.field(default_factory=Adagrad)
