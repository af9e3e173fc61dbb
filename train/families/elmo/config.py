# SPDX-License-Identifier: Apache-2.0
"""The configuration of biLM pretraining."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from elmo_jax.config import ElmoConfig
from embed_jax.checks import check_at_least
from train.config import Pretraining
from train.families.elmo.data import WordData
from train.loop.optimizer import Adagrad, Optimizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class BilmPretraining(Pretraining):
    """Pretraining of an ELMo biLM.

    Attributes:
      model: the model.
      data: the prepared text.
      unroll_steps: positions of a row in a batch, as in bilm-tf.
      num_negatives: negative samples of the softmax for each direction; 0 for the full
        softmax.
      reset_state: whether each sentence starts from the zero state, as in embedding, or
        from the final state of the previous sentence, as published.
      optimizer: the optimiser.
    """

    kind: ClassVar[str] = "elmo"
    former_names: ClassVar[Mapping[str, str]] = {
        **Pretraining.former_names,
        "restarts": "reset_state",
        "window": "unroll_steps",
    }

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        if self.remat == "elementwise":
            raise ValueError('remat "elementwise" is of BERT; a biLM takes "blocks"')
        if not self.model.bidirectional:
            raise ValueError(
                "model.bidirectional must be true: both directions are trained on a "
                "batch, and a model of one direction can only be loaded"
            )
        check_at_least(self, 1, "unroll_steps")
        check_at_least(self, 0, "num_negatives", why="0 for the full softmax")

    model: ElmoConfig
    data: WordData
    unroll_steps: int = 20
    num_negatives: int = 8192
    reset_state: bool = False
    optimizer: Optimizer = dataclasses.field(default_factory=Adagrad)
