# SPDX-License-Identifier: Apache-2.0
"""Options of commands that embed a text file, and the function that embeds it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from jax.sharding import Mesh

from embed_jax.checks import check_at_least, check_fields
from embed_jax.corpus.arrivals import AtHand
from embed_jax.corpus.layout import Layout
from embed_jax.corpus.options import Options, TextOptions
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.stream import Embedded
from embed_jax.corpus.text import Survey, read_sentences
from embed_jax.corpus.words import split_at_spaces
from embed_jax.devices.mesh import local_mesh
from embed_jax.encoder import Encoder
from embed_jax.files.weights_checksum import checksum_weights
from embed_jax.layers.layer_spec import parse_layer_spec
from embed_jax.model_identity import identify_model
from embed_jax.store.layout import IDENTITY, MODEL


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running(Layout):
    """Command-line options for running a model over the sentences of a file."""

    compute: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the computation; bfloat16 is less exact, but faster on accelerators."""
    split: bool = False
    """The words are already split, by white space; they are kept as they are."""
    devices: int | None = None
    """Number of devices of this host to use; by default all of them."""

    def __post_init__(self) -> None:
        """Check the fields, without a model and without devices.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "devices")

    def check(self) -> None:
        """Check the values, as far as possible without a model.

        Raises:
          ValueError: more devices than there are.
        """
        self.mesh()

    def mesh(self) -> Mesh | None:
        """Return the mesh to shard batches over; None for one device."""
        return local_mesh(self.devices)

    def sentences(self, corpus: Path) -> Iterator[Sentence]:
        """Read the sentences of a file, as the tokeniser takes them."""
        return map(self.sentence, read_sentences(corpus, self))

    def sentence(self, line: Sentence) -> Sentence:
        """Return a line as the tokeniser takes it: a str, or words if `split`."""
        if isinstance(line, str) and self.split:
            return split_at_spaces(line)
        return line


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading(Running, TextOptions):
    """Command-line options for reading a text file and running a model over it."""

    def __post_init__(self) -> None:
        """Check the fields, without a model and without devices.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        TextOptions.check(self)

    def check(self) -> None:
        """Check the values, as far as possible without a model.

        Raises:
          ValueError: an invalid option, or more devices than there are.
        """
        TextOptions.check(self)
        Running.check(self)

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
          ValueError: an option that is invalid for the model; raised at once.
        """
        how = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(TextOptions)
        }
        options = Options(
            **how,
            pool=pool,
            dtype=self.compute,
            out_dtype=out_dtype,
            mesh=self.mesh(),
            on_batch=on_batch,
            # What is left of a text, or its last share, may be two odd words.
            unknown="warn" if first else "error",
        )
        sentences = AtHand(itertools.islice(self.sentences(corpus), first, stop))
        stream = encoder.stream_words if level == "words" else encoder.stream_sentences
        return stream(params, tokenizer, sentences, layers, options)

    def describe(
        self,
        model: str,
        params: Any,
        tokenizer: Any,
        layers: str,
        *,
        level: Literal["words", "sentences"],
        pool: str,
        corpus: Path,
        text: Survey,
    ) -> dict[str, Any]:
        """Return the metadata of the vectors; equal metadata, equal settings."""
        return {
            MODEL: model,
            "weights": checksum_weights(params),
            IDENTITY: identify_model(params, tokenizer),
            "layers": str(parse_layer_spec(layers)),
            "level": level,
            "pool": pool,
            "compute": self.compute,
            "split": self.split,
            "long": self.long,
            "context": str(self.context),
            "max_length": self.max_length,
            "corpus": corpus.name,
            "corpus_sha256": text.digest,
            "num_lines": text.num_lines,
            **self.settings(),
        }
