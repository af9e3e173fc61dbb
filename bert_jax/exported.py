# SPDX-License-Identifier: Apache-2.0
"""A BERT encoder in the form that `embed_jax.export` writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from bert_jax import text_reader
from bert_jax.embed import compute_vectors
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer
from bert_jax.tokens import BertTokens
from embed_jax.devices.platform import tracing_for
from embed_jax.export.spec import Exportable
from embed_jax.layers.layer_spec import LayerSpec


def exportable(
    params: BertParams, tokenizer: Tokenizer, spec: LayerSpec, dtype: jnp.dtype
) -> Exportable:
    """Return the encoder up to the highest layer of a spec, ready for export.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      spec: the layers and their combination.
      dtype: of the computation.
    """
    config = params.config
    highest = spec.highest_layer(config.num_blocks)
    names = ("embeddings", *(f"layer_{index}" for index in range(highest)))

    def function(encoder: dict, inputs: Mapping[str, Any]) -> Float[Array, "B T _"]:
        mask = inputs["mask"]
        # What only pooling reads has no part in the vectors.
        tokens = BertTokens(inputs["ids"], inputs["segment_ids"], mask, mask, mask)
        model = BertParams(encoder=encoder, heads={}, config=config)
        # One program for all platforms: the form that none of them lacks.
        with tracing_for("cpu"):
            return compute_vectors(model, tokens, (spec,), (None,), dtype)[0]

    def save_text(directory: Path) -> dict[str, Any]:
        tokenizer.save(directory)
        return {
            "max_length": config.max_positions,
            "cls_id": tokenizer.cls_id,
            "sep_id": tokenizer.sep_id,
            "pad_id": tokenizer.pad_id,
        }

    return Exportable(
        function=function,
        weights={name: params.encoder[name] for name in names},
        inputs={
            "ids": ("B, T", "int32"),
            "segment_ids": ("B, T", "int32"),
            "mask": ("B, T", "bool"),
        },
        constraints=("B >= 1", "T >= 1", f"T <= {config.max_positions}"),
        save_text=save_text,
        reader=Path(text_reader.__file__),
    )
