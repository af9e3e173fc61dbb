# SPDX-License-Identifier: Apache-2.0
"""How a command reads a text file and runs a model over it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax

from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.stream import Embedded
from embed_jax.corpus.text import Survey, read_lines
from embed_jax.devices.mesh import data_mesh
from embed_jax.encoder import Encoder
from embed_jax.files.checksum import checksum_weights
from embed_jax.layers.layer_spec import parse_layer_spec


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a text file is read with; its fields are options on the command line."""

    compute: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; bfloat16 is less exact, and what accelerators are fast in."""
    split: bool = False
    """The words are already split, by spaces; they are kept as they are."""
    long: Literal["window", "truncate", "error"] = "window"
    """What is done with a sentence that is longer than the model reads."""
    context: str = "0"
    """Pieces of the neighbouring sentences that each sentence is shown, or "document".
    A blank line ends a document."""
    max_length: int | None = None
    """Longest row in tokens; by default all that the model has."""
    token_budget: int | None = None
    """Positions a batch; lower it when memory runs out."""
    devices: int | None = None
    """How many devices of this host to use; by default all of them."""

    def check(self) -> None:
        """Refuse what can be refused without a model.

        Raises:
          ValueError: a context that is no number, more devices than there are.
        """
        if self.context != "document" and not self.context.isdecimal():
            raise ValueError(f'--context {self.context}: a number, or "document"')
        here = jax.local_device_count()
        if self.devices is not None and not 1 <= self.devices <= here:
            raise ValueError(f"--devices {self.devices}: here are {here}")

    @property
    def pieces_of_context(self) -> int | str:
        """The context as an encoder takes it: a number, or "document"."""
        return self.context if self.context == "document" else int(self.context)

    def stream(
        self,
        encoder: Encoder,
        params: Any,
        tokenizer: Any,
        corpus: Path,
        layers: str,
        *,
        level: Literal["words", "sentences"],
        pool: str,
        first: int = 0,
        stop: int | None = None,
        out_dtype: str = "float32",
        on_batch: Callable[[int], None] | None = None,
    ) -> Iterator[Embedded]:
        """Embed the lines of a file, from line `first` (counted from 0) to `stop`.

        Raises:
          ValueError: an option that the model cannot have; at once.
        """
        devices = jax.local_devices()[: self.devices]
        stream = {"words": encoder.stream_words, "sentences": encoder.stream_sentences}
        return stream[level](
            params,
            tokenizer,
            itertools.islice(self._sentences(corpus), first, stop),
            layers,
            pool=pool,
            long=self.long,
            context=self.pieces_of_context,
            max_length=self.max_length,
            token_budget=self.token_budget,
            dtype=self.compute,
            out_dtype=out_dtype,
            mesh=data_mesh(devices) if len(devices) > 1 else None,
            on_batch=on_batch,
        )

    def describe(
        self,
        model: str,
        params: Any,
        layers: str,
        *,
        level: Literal["words", "sentences"],
        pool: str,
        corpus: Path,
        text: Survey,
    ) -> dict[str, Any]:
        """Say what vectors are; those of equal descriptions belong together."""
        return {
            "model": model,
            "weights": checksum_weights(params),
            "layers": str(parse_layer_spec(layers)),
            "level": level,
            "pool": pool,
            "compute": self.compute,
            "split": self.split,
            "long": self.long,
            "context": self.context,
            "max_length": self.max_length,
            "corpus": corpus.name,
            "corpus_sha256": text.digest,
            "num_lines": text.num_lines,
        }

    def _sentences(self, corpus: Path) -> Iterator[Sentence]:
        for line in read_lines(corpus):
            yield [word for word in line.split(" ") if word] if self.split else line
