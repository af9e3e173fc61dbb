# SPDX-License-Identifier: Apache-2.0
"""The ELMo family's `Encoder` record, its entry point for `embed_jax`."""

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN
from elmo_jax.corpus import CORPUS
from elmo_jax.discovery import claims
from elmo_jax.exported import exportable
from elmo_jax.load import load
from embed_jax.encoder import Encoder

ENCODER = Encoder(
    name="elmo",
    load=load,
    corpus=CORPUS,
    export=exportable,
    claims=claims,
    marks=("*options.json",),
    own_tokens=(BEGIN_TOKEN, END_TOKEN),
)
