# SPDX-License-Identifier: Apache-2.0
"""Tokenisation inside a data loader, such as the worker processes of Grain.

Grain need not be installed.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np


class Tokenize:
    """A step of a data loader: batches of texts become batches of tokens.

    It is a `grain.transforms.Map` where Grain is installed, and a plain function of a
    batch for other loaders. It holds nothing but the tokeniser and its options, so it
    can be pickled, as whoever starts worker processes must. Give rows one length, by
    `pad_to`, so that the step which takes the tokens is compiled once.

    Attributes:
      tokenizer: of either family.
      field: the column of the texts; None for batches that are lists of texts.
      into: the column of the tokens, in its place.
      options: of the tokeniser.

    Example:
      >>> import elmo_jax
      >>> tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
      >>> tokenize = Tokenize(tokenizer, "text", pad_to=32, long="truncate")
      >>> batch = tokenize({"text": ["a bank", "a river"], "label": [0, 1]})
      >>> batch["tokens"].mask.shape, batch["label"]
      ((2, 32), [0, 1])
    """

    def __init__(
        self,
        tokenizer: Callable[..., Any],
        field: str | None = None,
        *,
        into: str = "tokens",
        **options: Any,
    ) -> None:
        """Keep the tokeniser and what it is called with.

        Args:
          tokenizer: what `load` gave.
          field: the column of the texts; None for batches that are lists of texts.
          into: the column of the tokens, in its place.
          **options: of the tokeniser, such as `pad_to=32, long="truncate"`.

        Raises:
          ValueError: an option that the tokeniser refuses.
        """
        tokenizer([], **options)
        self.tokenizer = tokenizer
        self.field = field
        self.into = into
        self.options = options

    def __call__(self, batch: Any) -> Any:
        """Tokenise a batch; see `map`."""
        return self.map(batch)

    def map(self, element: Any) -> Any:
        """Tokenise a batch.

        Args:
          element: a mapping of columns, of which `field` holds texts; without a field,
            a list or an array of texts. UTF-8 bytes are texts here, as TFDS gives them.

        Returns:
          The mapping with tokens in place of the texts, or the tokens.

        Raises:
          ValueError: no such column, one text in place of a batch, or what the
            tokeniser refuses.
        """
        if self.field is None:
            return self._tokens(element)
        if not isinstance(element, Mapping) or self.field not in element:
            is_mapping = isinstance(element, Mapping)
            held = ", ".join(element) if is_mapping else type(element).__name__
            raise ValueError(f"no column {self.field!r} in a batch of {held}")
        rest = {name: value for name, value in element.items() if name != self.field}
        return rest | {self.into: self._tokens(element[self.field])}

    def _tokens(self, texts: Any) -> Any:
        if isinstance(texts, str | bytes) or np.ndim(texts) == 0:
            raise ValueError(
                "one text in place of a batch of texts; tokenise after the batches are "
                "made: dataset.batch(32).map(Tokenize(…))"
            )
        if multiprocessing.parent_process() is not None:
            # Each worker is one of several: threads of its own would be too many.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        return self.tokenizer(_decoded(texts), **self.options)


def _decoded(texts: Iterable[Any]) -> list[Any]:
    return [text.decode("utf-8") if isinstance(text, bytes) else text for text in texts]


# Where there is no Grain, nobody asks whether this is a Map of it.
with contextlib.suppress(ImportError):
    from grain.transforms import Map

    Map.register(Tokenize)
