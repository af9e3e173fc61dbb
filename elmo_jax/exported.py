# SPDX-License-Identifier: Apache-2.0
"""A biLM in the form that `embed_jax.export` writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from elmo_jax import text_reader
from elmo_jax.embed import compute_vectors
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer, split_words
from elmo_jax.tokens import ElmoTokens
from elmo_jax.vocabulary import write_vocabulary
from embed_jax.corpus.combining import MARK
from embed_jax.corpus.words import split_at_spaces
from embed_jax.devices.platform import tracing_for
from embed_jax.export.spec import Exportable
from embed_jax.layers.layer_spec import LayerSpec


def exportable(
    params: ElmoParams, tokenizer: ElmoTokenizer, spec: LayerSpec, dtype: jnp.dtype
) -> Exportable:
    """Return the biLM up to the highest layer of a spec, ready for export.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      spec: the layers and their combination.
      dtype: of the products.
    """
    config = params.config
    highest = spec.highest_layer(config.num_blocks)
    words = "char_cnn" if config.char_cnn else "words"
    encoder = {
        name: weights
        for name, weights in params.encoder.items()
        if name == words or int(name.rsplit("_", 1)[1]) < highest
    }

    def function(weights: dict, inputs: Mapping[str, Any]) -> Float[Array, "B T _"]:
        model = ElmoParams(
            encoder=weights["encoder"], heads={}, config=config, start=weights["start"]
        )
        tokens = ElmoTokens(**inputs)
        # An accelerator's form, whatever this program is exported on.
        with tracing_for("tpu"):
            return compute_vectors(model, tokens, (spec,), (None,), dtype)[0][0]

    rows = dict.fromkeys(("mask", "starts", "ends"), ("B, T", "bool"))
    constraints = ["B >= 1", "T >= 1", "U >= 2"]
    if config.char_cnn:
        constraints.append(f"C >= {config.char_cnn.max_width}")

    def save_text(directory: Path) -> dict[str, Any]:
        """Write the vocabulary of a word table; character models need no file."""
        text: dict[str, Any] = {}
        if tokenizer.split is split_words:
            text = {"split": "moses", "mark": MARK}
        elif tokenizer.split in (str.split, split_at_spaces):
            text = {"split": "spaces"}
        if config.char_cnn:
            return {"max_characters": config.char_cnn.max_characters, **text}
        assert tokenizer.vocabulary is not None  # a word table has one
        write_vocabulary(directory / "vocab.txt", tokenizer.vocabulary)
        return text

    return Exportable(
        function=function,
        weights={"encoder": encoder, "start": params.start},
        inputs={
            "types": ("U, C" if config.char_cnn else "U,", "int32"),
            "words": ("B, T", "int32"),
            **rows,
        },
        constraints=constraints,
        save_text=save_text,
        reader=Path(text_reader.__file__),
    )
