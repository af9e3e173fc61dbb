# SPDX-License-Identifier: Apache-2.0
"""The configuration of a biLM, frozen and hashable (static for jit)."""

import dataclasses
from typing import Literal

from embed_jax.checks import check_above, check_at_least, check_fields, check_rates

Activation = Literal["relu", "tanh"]

# Symbols of the published character input: 256 bytes, the beginning and end of a
# sentence and of a word, and the character that fills a word up.
NUM_CHARACTERS = 261


@dataclasses.dataclass(frozen=True, kw_only=True)
class CharCnnConfig:
    """The configuration of the character CNN (Kim et al. 2015).

    The defaults are those of the published models, except that the small and medium
    ones have one highway layer.

    Attributes:
      embedding_dim: width of a character's vector.
      filters: pairs of width in characters and number of filters.
      activation: after the maximum over a word; the highways always use relu.
      num_highways: highway layers after the convolutions.
      max_characters: longest word in bytes, its two marks included; further bytes are
        cut off.
    """

    embedding_dim: int = 16
    filters: tuple[tuple[int, int], ...] = (
        (1, 32),
        (2, 32),
        (3, 64),
        (4, 128),
        (5, 256),
        (6, 512),
        (7, 1024),
    )
    activation: Activation = "relu"
    num_highways: int = 2
    max_characters: int = 50

    def __post_init__(self) -> None:
        """Refuse values that cannot be a model's.

        Raises:
          ValueError: a field is out of range; the message names it.
        """
        check_fields(self)
        check_at_least(self, 1, "embedding_dim")
        check_at_least(self, 0, "num_highways")
        if not self.filters:
            raise ValueError("filters are empty; give pairs of width and number")
        for width, number in self.filters:
            if width < 1 or number < 1:
                raise ValueError(f"a filter of width {width} and number {number}")
        if self.max_characters < max(3, self.max_width):
            raise ValueError(
                f"max_characters {self.max_characters} leaves no room for a byte "
                f"between its marks, or for a filter of width {self.max_width}"
            )

    @property
    def max_width(self) -> int:
        """Width of the widest filter, in characters."""
        return max(width for width, _ in self.filters)

    @property
    def num_filters(self) -> int:
        """Width of all filters side by side."""
        return sum(number for _, number in self.filters)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElmoConfig:
    """Sizes and constants of one biLM (Peters et al. 2018).

    The defaults are those of the published "original" model.

    Attributes:
      char_cnn: the character CNN; None for a table of `vocab_size` words.
      vocab_size: rows of the word table; only without `char_cnn`.
      num_blocks: LSTM layers; layers 1 to `num_blocks` of a `layer_spec`.
      cell_dim: width of an LSTM's cell state.
      projection_dim: width of its output, at most `cell_dim`; if both are equal there
        is no projection, and so no `projection_clip`.
      cell_clip: bound of the cell state, or None.
      projection_clip: bound of the projected values, or None.
      skip_connections: whether layers from the second on add their input.
      bidirectional: whether there is a backward stack.
      dropout_rate: before every LSTM layer and after the last one.
    """

    char_cnn: CharCnnConfig | None = CharCnnConfig()
    vocab_size: int = 0
    num_blocks: int = 2
    cell_dim: int = 4096
    projection_dim: int = 512
    cell_clip: float | None = 3.0
    projection_clip: float | None = 3.0
    skip_connections: bool = True
    bidirectional: bool = True
    dropout_rate: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values that cannot be a model's.

        Raises:
          ValueError: a field is out of range; the message names it.
        """
        check_fields(self)
        check_at_least(self, 1, "num_blocks", "cell_dim", "projection_dim")
        check_at_least(self, 0, "vocab_size")
        if self.projection_dim > self.cell_dim:
            raise ValueError(
                f"projection_dim {self.projection_dim} is above "
                f"cell_dim {self.cell_dim}; the LSTM projects downwards or not at all"
            )
        if (self.char_cnn is None) != (self.vocab_size > 0):
            raise ValueError(
                "words are read by a char_cnn or from a table of vocab_size words: "
                f"one of both, not char_cnn {self.char_cnn} and {self.vocab_size} words"
            )
        check_above(self, 0, "cell_clip", "projection_clip", why="or None")
        check_rates(self, "dropout_rate")

    @property
    def num_directions(self) -> int:
        """2, or 1 for a forward language model."""
        return 2 if self.bidirectional else 1

    @property
    def layer_dim(self) -> int:
        """Width of every layer, the directions concatenated."""
        return self.num_directions * self.projection_dim

    @property
    def has_projection(self) -> bool:
        """Whether an LSTM's output is projected."""
        return self.projection_dim < self.cell_dim


TINY = ElmoConfig(
    char_cnn=CharCnnConfig(
        embedding_dim=4, filters=((1, 4), (2, 8), (3, 16)), num_highways=1
    ),
    cell_dim=32,
    projection_dim=16,
)
"""A very small configuration for tests and examples."""
