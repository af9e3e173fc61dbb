# SPDX-License-Identifier: Apache-2.0
"""Which encoder a model belongs to, found without this package knowing any of them.

An encoder is a module that registers under the entry point "embed_jax.encoders"; see
docs/adding-an-encoder.md.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from embed_jax.corpus.stream import Embedded
from embed_jax.export.spec import Exportable
from embed_jax.layers.layer_spec import LayerSpec

GROUP = "embed_jax.encoders"


@runtime_checkable
class Encoder(Protocol):
    """What a module must offer for the command to embed with it."""

    def recognises(self, path: str) -> bool:
        """Tell whether a path or hub id looks like one of its models."""
        ...

    def load(self, path: str) -> tuple[Any, Any]:
        """Load `(params, tokenizer)`.

        Where sentences can be shown their neighbours, `tokenizer.max_length` bounds
        how many pieces of these there are.
        """
        ...

    def vector_width(self, params: Any, layer_spec: str | LayerSpec, pool: str) -> int:
        """Compute the width of a pooled vector without running."""
        ...

    def stream_words(
        self,
        params: Any,
        tokenizer: Any,
        sentences: Iterable[str | Sequence[str]],
        layer_spec: str | LayerSpec,
        **options: Any,
    ) -> Iterator[Embedded]:
        """Embed words, in order and in bounded memory."""
        ...

    def stream_sentences(
        self,
        params: Any,
        tokenizer: Any,
        sentences: Iterable[str | Sequence[str]],
        layer_spec: str | LayerSpec,
        **options: Any,
    ) -> Iterator[Embedded]:
        """Embed sentences, in order and in bounded memory."""
        ...

    def exportable(self, params: Any, spec: LayerSpec, dtype: Any) -> Exportable:
        """Return what `embed_jax.export` lowers."""
        ...

    def save_text_files(self, tokenizer: Any, directory: Path) -> dict[str, Any]:
        """Write what makes tokens of text beside it; return what JSON can hold."""
        ...


def find_encoder(path: str) -> Encoder:
    """Return the installed encoder that recognises a model.

    Raises:
      ValueError: none does.
    """
    entry_points = importlib.metadata.entry_points(group=GROUP)
    for entry_point in entry_points:
        encoder = entry_point.load()
        if encoder.recognises(path):
            return encoder
    known = ", ".join(sorted(entry_point.name for entry_point in entry_points))
    raise ValueError(
        f"{path} is not a model that is known here (encoders: {known or 'none'}); "
        "pass the directory that holds config.json and the weights, or a hub id"
    )
