# SPDX-License-Identifier: Apache-2.0
"""The BERT family's `Encoder` record, its entry point for `embed_jax`."""

from bert_jax.corpus import CORPUS
from bert_jax.exported import exportable
from bert_jax.load import claims, load
from embed_jax.encoder import Encoder

ENCODER = Encoder(
    name="bert",
    load=load,
    corpus=CORPUS,
    export=exportable,
    claims=claims,
    marks=("bert_config.json",),
    own_tokens=("[CLS]", "[SEP]", "[MASK]", "[PAD]"),
)
