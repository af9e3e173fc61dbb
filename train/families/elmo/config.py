# SPDX-License-Identifier: Apache-2.0
"""The configuration of biLM pretraining."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from elmo_jax.config import ElmoConfig
from embed_jax.checks import check_at_least
from train.config import Pretraining
from train.families.elmo.data import WordData
from train.loop.optimizer import Adagrad, Optimizer

WordInput = Literal["characters", "ids", "tied_ids"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BilmPretraining(Pretraining):
    """Pretraining of an ELMo biLM.

    Attributes:
      model: the model.
      word_input: what the model reads of a word: its characters, by `model.char_cnn`;
        its id, from a table with a row for each word of the vocabulary, instead of the
        `char_cnn`; or its id from a table that is also the softmax's weights.
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
    word_input: WordInput = "characters"
    unroll_steps: int = 20
    num_negatives: int = 8192
    reset_state: bool = False
    optimizer: Optimizer = dataclasses.field(default_factory=Adagrad)

    @property
    def has_tied_softmax(self) -> bool:
        """Whether the softmax's weights are the word table."""
        return self.word_input == "tied_ids"

    def model_for(self, num_words: int) -> ElmoConfig:
        """Return the model for a vocabulary, with a row a word if it reads ids."""
        if self.word_input == "characters":
            return self.model
        return dataclasses.replace(self.model, char_cnn=None, vocab_size=num_words)
