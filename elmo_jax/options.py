# SPDX-License-Identifier: Apache-2.0
"""Conversion between options.json, the published form, and `ElmoConfig`.

bilm-tf writes options.json in training and reads it for embedding; AllenNLP reads it
too. Keys about training are ignored. A key of the architecture that is not known is
refused, since its meaning may be another model; elsewhere, an unknown one is logged.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elmo_jax.config import Activation, CharCnnConfig, ElmoConfig
from embed_jax.files.json_file import read_json

Options = dict[str, Any]

TIED = "share_embedding_softmax"

# bilm-tf wants the first where it trains and the second where it embeds; the weights
# have a row for each of the first. AllenNLP reads neither.
NUMBERS_OF_CHARACTERS = (261, 262)

MOST_CHARACTERS = 1 << 16
"""Every word has a row of so many characters, and no weight tells their number."""

_REQUIRED = object()

# What decides on the vectors; everything there is read.
_LSTM = {
    "cell_clip",
    "dim",
    "n_layers",
    "proj_clip",
    "projection_dim",
    "use_skip_connections",
}
_CHAR_CNN = {
    "activation",
    "embedding",
    "filters",
    "max_characters_per_token",
    "n_characters",
    "n_highway",
    "projection_after_highway",
}
# What bilm-tf's training writes beside it, and that changes no vector.
_TRAINING = {
    "all_clip_norm_val",
    "batch_size",
    "clip_norm",
    "learning_rate",
    "n_epochs",
    "n_gpus",
    "n_negative_samples_batch",
    "n_train_tokens",
    "sample_softmax",
    "unroll_steps",
}
_WHOLE = {
    "bidirectional",
    "char_cnn",
    "dropout",
    "lstm",
    "n_tokens_vocab",
    "reverse",
    TIED,
}


def read_options(path: Path) -> Options:
    """Read an options file.

    Raises:
      ValueError: no such file, or it is not a JSON object.
    """
    return read_json(path)


def parse_options(
    options: Mapping[str, Any],
    source: str,
    *,
    vocab_size: int = 0,
    bidirectional: bool = True,
) -> ElmoConfig:
    """Convert options to a configuration.

    Args:
      options: the content of the file.
      source: the file, for messages.
      vocab_size: rows of the word table, for options without `char_cnn`.
      bidirectional: the default for options without the key. In bilm-tf, embedding
        always has two directions, and the default of training is one.

    Raises:
      ValueError: a key is missing, or has an invalid value; names the key.

    Example:
      >>> lstm = {"dim": 8, "projection_dim": 4, "n_layers": 1}
      >>> parse_options({"lstm": lstm}, "options.json", vocab_size=9)
      Traceback (most recent call last):
      ValueError: options.json: no lstm.use_skip_connections; add true, as in all \
published models, or false if bilm-tf trained it without that key
    """
    whole = _Section(options, "", source)
    lstm = whole.section("lstm")
    lstm.only(_LSTM)
    if whole.flag("reverse", default=False):
        raise ValueError(
            f"{source}: reverse is true, a model that reads from right to left only, "
            "which is not read here"
        )
    others = sorted(options.keys() - _WHOLE - _TRAINING)
    if others:
        logging.getLogger(__name__).warning(
            "%s: %s is not known here and not read; does it change the vectors?",
            source,
            ", ".join(others),
        )
    cell_dim = lstm.integer("dim")
    projection_dim = lstm.integer("projection_dim")
    if projection_dim > cell_dim:
        raise ValueError(
            f"{source}: lstm.projection_dim {projection_dim} is above lstm.dim "
            f"{cell_dim}; the LSTM projects downwards or not at all"
        )
    if "use_skip_connections" not in lstm.values:
        # Guessing gives other vectors: bilm-tf trains without the connections then, and
        # stops where it embeds.
        raise ValueError(
            f"{source}: no lstm.use_skip_connections; add true, as in all published "
            "models, or false if bilm-tf trained it without that key"
        )
    has_characters = "char_cnn" in options
    try:
        return ElmoConfig(
            char_cnn=_parse_char_cnn(whole.section("char_cnn"))
            if has_characters
            else None,
            vocab_size=0 if has_characters else vocab_size,
            num_blocks=lstm.integer("n_layers"),
            cell_dim=cell_dim,
            projection_dim=projection_dim,
            cell_clip=lstm.bound("cell_clip"),
            projection_clip=lstm.bound("proj_clip"),
            skip_connections=lstm.flag("use_skip_connections"),
            bidirectional=whole.flag("bidirectional", bidirectional),
            dropout_rate=whole.number("dropout", ElmoConfig.dropout_rate),
        )
    except ValueError as error:
        message = str(error)
        if message.startswith(source):
            raise
        raise ValueError(f"{source}: {message}") from error


def _parse_char_cnn(char_cnn: "_Section") -> CharCnnConfig:
    char_cnn.only(_CHAR_CNN)
    char_cnn.section("embedding").only({"dim"})
    if not char_cnn.flag("projection_after_highway", default=True):
        raise ValueError(
            f"{char_cnn.source}: char_cnn.projection_after_highway is false, a model "
            "that projects before its highways, which is not read here"
        )
    known = char_cnn.values.get("n_characters", NUMBERS_OF_CHARACTERS[0])
    if known not in NUMBERS_OF_CHARACTERS:
        raise ValueError(
            f"{char_cnn.source}: char_cnn.n_characters is {known!r}, but bytes and "
            "marks are 261 symbols, or 262 with the absence of a word"
        )
    return CharCnnConfig(
        embedding_dim=char_cnn.section("embedding").integer("dim"),
        filters=char_cnn.filters("filters"),
        activation=char_cnn.activation("activation"),
        num_highways=char_cnn.integer("n_highway", 0, least=0),
        max_characters=char_cnn.integer(
            "max_characters_per_token", most=MOST_CHARACTERS
        ),
    )


def format_options(
    config: ElmoConfig, num_words: int | None = None, *, tied: bool = False
) -> Options:
    """Convert a configuration to the options that bilm-tf and AllenNLP read.

    Args:
      config: of the model.
      num_words: words of the softmax, if there is one.
      tied: whether its weights are the word table.
    """
    options: Options = {
        "bidirectional": config.bidirectional,
        "dropout": config.dropout_rate,
        "lstm": {
            "dim": config.cell_dim,
            "projection_dim": config.projection_dim,
            "n_layers": config.num_blocks,
            "cell_clip": config.cell_clip,
            "proj_clip": config.projection_clip,
            "use_skip_connections": config.skip_connections,
        },
    }
    if config.char_cnn:
        options["char_cnn"] = {
            "embedding": {"dim": config.char_cnn.embedding_dim},
            "filters": [list(pair) for pair in config.char_cnn.filters],
            "activation": config.char_cnn.activation,
            "n_highway": config.char_cnn.num_highways,
            "n_characters": NUMBERS_OF_CHARACTERS[1],
            "max_characters_per_token": config.char_cnn.max_characters,
        }
    num_words = num_words or config.vocab_size
    if num_words:
        options["n_tokens_vocab"] = num_words
    if tied:
        options[TIED] = True
    return options


def has_tied_softmax(options: Mapping[str, Any]) -> bool:
    """Return whether the softmax's weights are the word table, by the options."""
    return "char_cnn" not in options and options.get(TIED) is True


def num_words_of(options: Mapping[str, Any], source: str) -> int | None:
    """Return the vocabulary size in the options, or None if they have none.

    Raises:
      ValueError: the value is not a number of words.
    """
    if "n_tokens_vocab" not in options:
        return None
    return _Section(options, "", source).integer("n_tokens_vocab")


@dataclasses.dataclass(frozen=True)
class _Section:
    """A JSON object with typed access; errors name the full key.

    Attributes:
      values: the object.
      prefix: the prefix of its keys in messages, such as "lstm.".
      source: the file.
    """

    values: Mapping[str, Any]
    prefix: str
    source: str

    def section(self, key: str) -> "_Section":
        values = self._value(key, _REQUIRED)
        if not isinstance(values, dict):
            self._refuse(key, "an object")
        return _Section(values, f"{self.prefix}{key}.", self.source)

    def only(self, known: set[str]) -> None:
        """Refuse keys that are not read."""
        for key in sorted(self.values.keys() - known):
            raise ValueError(
                f"{self.source}: {self.prefix}{key} is not known here, and ignoring it "
                "might give other vectors; leave it out if it changes nothing"
            )

    def integer(
        self,
        key: str,
        default: Any = _REQUIRED,
        *,
        least: int = 1,
        most: int | None = None,
    ) -> int:
        value = self._value(key, default)
        if not _is_integer(value) or value < least:
            self._refuse(key, f"a whole number of at least {least}")
        if most is not None and value > most:
            self._refuse(key, f"a whole number of at most {most}")
        return value

    def number(self, key: str, default: Any = _REQUIRED) -> float:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(key, "a number")
        return float(value)

    def bound(self, key: str) -> float | None:
        """Return the bound of a clip; None if the key is absent or null."""
        if self.values.get(key) is None:
            return None
        bound = self.number(key)
        if not 0 < bound < float("inf"):
            self._refuse(key, "a number above 0, or null")
        return bound

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            self._refuse(key, "true or false")
        return value

    def activation(self, key: str) -> Activation:
        value = self._value(key, _REQUIRED)
        if value not in ("relu", "tanh"):
            self._refuse(key, '"relu" or "tanh"')
        return value

    def filters(self, key: str) -> tuple[tuple[int, int], ...]:
        value = self._value(key, _REQUIRED)
        is_list = isinstance(value, list) and value
        if not is_list or not all(
            isinstance(pair, list) and len(pair) == 2 and all(map(_is_integer, pair))
            for pair in value
        ):
            self._refuse(key, "a list of pairs, a width and a number")
        return tuple((width, number) for width, number in value)

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if value is _REQUIRED:
            raise ValueError(
                f"{self.source}: no {self.prefix}{key}; it is part of the options that "
                "come with the weights"
            )
        return value

    def _refuse(self, key: str, wanted: str) -> None:
        raise ValueError(
            f"{self.source}: {self.prefix}{key} is {self.values[key]!r}, not {wanted}"
        )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
