# SPDX-License-Identifier: Apache-2.0
"""The interface of a family of encoders, and the lookup of a model's family.

A family registers under the entry point "embed_jax.encoders", whose name is the
`model_type` that it reads; see docs/adding-an-encoder.md. None is built in here.
"""

import dataclasses
import importlib.metadata
import inspect
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from embed_jax.corpus.embedder import CorpusEmbedder
from embed_jax.corpus.options import Options, make_options
from embed_jax.corpus.stream import Embedded
from embed_jax.devices.precision import float_dtype
from embed_jax.export.spec import Exportable
from embed_jax.files.bucket import local_copy, run_path
from embed_jax.files.hub import HUB_ID, fetch_snapshot
from embed_jax.files.json_file import parse_json
from embed_jax.files.run_directory import is_run, kind_of
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.select import Specs
from embed_jax.suggest import suggest

GROUP = "embed_jax.encoders"
CONFIG = "config.json"

# Of models further in, those that are named.
_SHOWN = 3

Loaded = tuple[Any, Any]
"""`(params, tokenizer)`. `params.config` has `num_blocks` and `layer_dim`; where
sentences can be shown their neighbours, `tokenizer.max_length` bounds how many pieces
of these there are."""


def _claims_nothing(path: Path) -> bool:
    del path
    return False


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A family of encoders: its functions for loading, embedding and export.

    Attributes:
      name: of the family; that of its entry point, or of its main one.
      load: loads `(params, tokenizer)` from a path or an id on the hub; takes the
        options `dtype` and `step` of `embed_jax.load`, if they are given.
      corpus: embeds text of any size.
      export: makes an `Exportable` of params, tokenizer, spec and dtype.
      claims: returns whether a directory, or a file in one, is a model of the family
        though no config.json has its `model_type`; reads no weights. Raises
        `ValueError` for a model of the family that is broken.
      marks: globs of the small files that `claims` reads, for models on the hub.
      own_tokens: tokens that the model adds to a sentence, or reads otherwise than as
        words; commands say how many sentences of a text hold one.
    """

    name: str
    load: Callable[..., Loaded]
    corpus: CorpusEmbedder
    export: Callable[[Any, Any, LayerSpec, jnp.dtype], Exportable]
    claims: Callable[[Path], bool] = _claims_nothing
    marks: Sequence[str] = ()
    own_tokens: Sequence[str] = ()

    def vector_width(self, params: Any, layer_spec: str | LayerSpec, pool: str) -> int:
        """Compute the width of a pooled vector without running the model."""
        return self.corpus.vector_width(params, layer_spec, pool)

    def stream_words(
        self,
        params: Any,
        tokenizer: Any,
        sentences: Any,
        layer_spec: Specs = "last",
        options: Options | None = None,
        **changes: Any,
    ) -> Generator[Embedded, None, None]:
        """Embed words; see `CorpusEmbedder.stream_words`."""
        chosen = make_options(options, changes)
        return self.corpus.stream(
            "words", params, tokenizer, sentences, layer_spec, chosen
        )

    def stream_sentences(
        self,
        params: Any,
        tokenizer: Any,
        sentences: Any,
        layer_spec: Specs = "last",
        options: Options | None = None,
        **changes: Any,
    ) -> Generator[Embedded, None, None]:
        """Embed sentences; see `CorpusEmbedder.stream_sentences`."""
        chosen = make_options(options, changes)
        return self.corpus.stream(
            "sentences", params, tokenizer, sentences, layer_spec, chosen
        )


def find_encoder(path: str | os.PathLike[str]) -> Encoder:
    """Return the family that a model belongs to; reads no weights.

    Of a model on the hub, only config.json and the files in the families' `marks` are
    fetched.

    Args:
      path: a directory, a file in one, here or in a bucket (gs://…), or an id on the
        Hugging Face hub.

    Raises:
      ValueError: the model is of no installed family, is broken, or does not exist.

    Example:
      >>> find_encoder("no/such/model/here")
      Traceback (most recent call last):
      ValueError: no/such/model/here: no such directory
    """
    local = run_path(path)
    if is_run(local):
        return encoder_named(kind_of(local), str(local))
    local = local_copy(local)
    if claimed := _claimed(local, os.fspath(path)):
        return claimed
    if local.exists() or HUB_ID.fullmatch(os.fspath(path)) is None:
        if not local.exists():
            raise ValueError(f"{path}: no such directory")
        raise _unknown(os.fspath(path), local)
    marks = [mark for encoder in _encoders() for mark in encoder.marks]
    directory = fetch_snapshot(os.fspath(path), [CONFIG, *marks])
    if claimed := _claimed(directory, os.fspath(path)):
        return claimed
    raise _unknown(os.fspath(path), directory)


def load(
    path: str | os.PathLike[str],
    *,
    dtype: DTypeLike = jnp.float32,
    step: int | None = None,
) -> Loaded:
    """Load a model of any family: `(params, tokenizer)`.

    Args:
      path: a directory of a published model or of a training run, here or in a bucket
        (gs://…), or an id on the Hugging Face hub; for the formats see the `load` of
        each family.
      dtype: of the parameters, such as "bfloat16".
      step: of a training run's checkpoint; by default its latest.

    Raises:
      ValueError: see `find_encoder` and the family's `load`.
    """
    dtype = float_dtype("load(): dtype", dtype)
    options: dict[str, Any] = {} if step is None else {"step": step}
    if dtype != jnp.float32:
        options["dtype"] = dtype
    encoder = find_encoder(path)
    lacked = [name for name in options if not _takes(encoder.load, name)]
    if lacked:
        raise ValueError(
            f"load(): models of {encoder.name!r} are loaded without {lacked[0]}; leave "
            "it out"
        )
    return encoder.load(os.fspath(path), **options)


def _takes(function: Callable[..., Any], option: str) -> bool:
    parameters = inspect.signature(function).parameters
    return option in parameters or any(
        each.kind is each.VAR_KEYWORD for each in parameters.values()
    )


def encoder_named(name: str, source: str) -> Encoder:
    """Return the family that reads a `model_type`.

    Args:
      name: the model type.
      source: where the model type was read, for the message.

    Raises:
      ValueError: no installed family does.
    """
    for entry_point in _entry_points():
        if entry_point.name == name:
            return entry_point.load()
    known = sorted({entry_point.name for entry_point in _entry_points()})
    raise ValueError(
        f"{source}: no installed encoder reads model type {name!r}; "
        f"{suggest(name, known, 'encoders')}"
    )


def _claimed(path: Path, name: str) -> Encoder | None:
    """Return the family of a local model, or None if no family recognises it."""
    model_type = _model_type(path)
    if model_type is not None:
        return encoder_named(model_type, name)
    reasons = []
    for encoder in _encoders():
        try:
            if encoder.claims(path):
                return encoder
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        raise ValueError("; ".join(reasons))
    return None


def _model_type(path: Path) -> str | None:
    """Return the `model_type` in a directory's config.json, or None."""
    config = path / CONFIG
    if not config.is_file():
        return None
    settings = parse_json(config.read_bytes(), str(config))
    model_type = settings.get("model_type") if isinstance(settings, dict) else None
    return None if model_type is None else str(model_type)


def _unknown(name: str, directory: Path) -> ValueError:
    known = sorted({entry_point.name for entry_point in _entry_points()})
    what = (
        f"its {CONFIG} names no model_type"
        if (directory / CONFIG).is_file()
        else f"it has no {CONFIG}"
    )
    inside = ", ".join(str(path) for path in _models_inside(directory))
    return ValueError(
        f"{name} is not a model that is known here: {what}, and nothing else says what "
        f"it is (encoders: {', '.join(known) or 'none'}); pass the directory that "
        f"holds the configuration and the weights, {inside or 'or a hub id'}"
    )


def _models_inside(directory: Path) -> list[Path]:
    """List the directories further in that look like models, as in the hub's cache."""
    if not directory.is_dir():
        return []
    found = [
        path.parent
        for pattern in (f"*/{CONFIG}", f"snapshots/*/{CONFIG}", "*/*options.json")
        for path in directory.glob(pattern)
    ]
    found += filter(is_run, directory.glob("*"))
    return sorted(set(found))[:_SHOWN]


def _entry_points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=GROUP)


def _encoders() -> list[Encoder]:
    """Return every family once, even if it has several entry points."""
    found: dict[str, Encoder] = {}
    for entry_point in _entry_points():
        encoder = entry_point.load()
        found.setdefault(encoder.name, encoder)
    return list(found.values())
