# SPDX-License-Identifier: Apache-2.0
"""The configuration of a BERT encoder, frozen and hashable (static for jit)."""

import dataclasses
from typing import Literal

from embed_jax.checks import check_above, check_at_least, check_fields, check_rates

# "gelu" is the exact (erf) form of the first released checkpoints, "gelu_new" the tanh
# approximation that replaced it in February 2019. They are different models.
HiddenAct = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh"]

_SIZES = (
    "vocab_size",
    "num_blocks",
    "num_heads",
    "layer_dim",
    "mlp_dim",
    "max_positions",
    "num_segments",
)
_RATES = ("dropout_rate", "attention_dropout_rate", "classifier_dropout_rate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes and constants of one encoder (Devlin et al. 2019, section 3).

    The defaults are those of BERT-base, uncased.

    Attributes:
      vocab_size: word pieces in the embedding table.
      num_blocks: transformer blocks; layers 1 to `num_blocks` of a `layer_spec`.
      num_heads: attention heads a block.
      layer_dim: width of every layer, a multiple of `num_heads`.
      mlp_dim: width between the two feed-forward products.
      max_positions: rows of the position table, the maximal input length in tokens.
      num_segments: rows of the segment ("token type") table.
      hidden_act: activation of the feed-forward part and of the MLM head.
      norm_epsilon: added to the variance in every layer normalisation.
      dropout_rate: after the embeddings and after both products of a block.
      attention_dropout_rate: on the attention probabilities.
      classifier_dropout_rate: before a classification head; None means `dropout_rate`.
      init_std: standard deviation of the truncated normal initialisation.
      pad_id: the padding piece; masked, so any valid piece works.
      tied_decoder: whether the MLM head shares the token table.
      labels: names of the classes of a classification head, in order.
    """

    vocab_size: int = 30522
    num_blocks: int = 12
    num_heads: int = 12
    layer_dim: int = 768
    mlp_dim: int = 3072
    max_positions: int = 512
    num_segments: int = 2
    hidden_act: HiddenAct = "gelu"
    norm_epsilon: float = 1e-12
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1
    classifier_dropout_rate: float | None = None
    init_std: float = 0.02
    pad_id: int = 0
    tied_decoder: bool = True
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: a field is out of range; the message names it.
        """
        check_fields(self)
        check_at_least(self, 1, *_SIZES)
        if self.layer_dim % self.num_heads:
            raise ValueError(
                f"layer_dim {self.layer_dim} is not a multiple of "
                f"num_heads {self.num_heads}"
            )
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(
                f"pad_id {self.pad_id} is outside the vocabulary of {self.vocab_size}"
            )
        check_rates(self, *_RATES)
        check_above(self, 0, "norm_epsilon")
        check_at_least(self, 0, "init_std")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.layer_dim // self.num_heads


TINY = BertConfig(
    vocab_size=1000,
    num_blocks=2,
    num_heads=2,
    layer_dim=32,
    mlp_dim=64,
    max_positions=64,
)
"""A very small configuration for tests and examples."""
