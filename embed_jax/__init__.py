# SPDX-License-Identifier: Apache-2.0
"""Code shared by all families of encoders: layers, pooling, text, files and stores.

For example::

    params, tokenizer = embed_jax.load("models/all-MiniLM-L6-v2")  # of any family
    with embed_jax.VectorStore("vectors.h5") as store: …

Letters for shapes, in annotations and in einsum alike::

    B batch · T tokens · S tokens as keys · W words · L layers · D layer width
    N heads · K width of a head · F feed-forward width · V vocabulary
    M masked positions · U distinct word types · C characters a word
    E character embedding · H LSTM cell · P LSTM projection · Y tags

A NumPy array is on the host, a `jax.Array` on the device.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embed_jax.corpus.batching import BatchShapes, bucket_length
    from embed_jax.corpus.loading import Tokenize
    from embed_jax.corpus.options import Options
    from embed_jax.corpus.stream import Embedded
    from embed_jax.devices.compilation_cache import keep_compilations
    from embed_jax.devices.mesh import data_mesh
    from embed_jax.encoder import Encoder, find_encoder, load
    from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
    from embed_jax.layers.scalar_mix import ScalarMix
    from embed_jax.store import VectorStore

__all__ = [
    "BatchShapes",
    "Embedded",
    "Encoder",
    "LayerSpec",
    "Options",
    "ScalarMix",
    "Tokenize",
    "VectorStore",
    "bucket_length",
    "data_mesh",
    "find_encoder",
    "keep_compilations",
    "load",
    "parse_layer_spec",
]

_HOMES = {
    "BatchShapes": "corpus.batching",
    "Embedded": "corpus.stream",
    "Encoder": "encoder",
    "LayerSpec": "layers.layer_spec",
    "Options": "corpus.options",
    "ScalarMix": "layers.scalar_mix",
    "Tokenize": "corpus.loading",
    "VectorStore": "store",
    "bucket_length": "corpus.batching",
    "data_mesh": "devices.mesh",
    "find_encoder": "encoder",
    "keep_compilations": "devices.compilation_cache",
    "load": "encoder",
    "parse_layer_spec": "layers.layer_spec",
}


def __getattr__(name: str) -> Any:
    # Late, so that text can be split by a process that has not loaded jax.
    if name in _HOMES:
        return getattr(importlib.import_module(f"embed_jax.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
