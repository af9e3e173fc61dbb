# SPDX-License-Identifier: Apache-2.0
"""Embed on all devices of a machine: rows spread over a mesh, weights on each device.

python examples/many_devices.py        # on the devices that are there
python examples/many_devices.py 4      # on four simulated CPU devices
"""

import dataclasses
import string
import sys

import jax
import numpy as np

import bert_jax
from embed_jax import data_mesh
from embed_jax.devices.mesh import replicate, shard_rows

SENTENCES = [
    "the boat lay at the bank",
    "the bank was closed",
    "it rained all day",
    "she paid the money into the bank",
]


def tiny_model() -> tuple[bert_jax.BertParams, bert_jax.Tokenizer]:
    """Make a BERT with random weights, whose word pieces are letters."""
    letters = string.ascii_lowercase
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces, max_length=64)
    config = dataclasses.replace(bert_jax.TINY, vocab_size=len(pieces))
    return bert_jax.init_params(jax.random.key(0), config), tokenizer


def main() -> None:
    """Embed on a mesh in two ways, and compare with one device."""
    mesh = data_mesh()  # one axis, "data", over all devices
    print(f"mesh: {dict(mesh.shape)}")
    params, tokenizer = tiny_model()  # or bert_jax.load(MODEL)
    expected = bert_jax.embed_words(params, tokenizer, SENTENCES, "mean(all)")

    # Sentences in any number and of any length: pass the mesh.
    spread = bert_jax.embed_words(params, tokenizer, SENTENCES, "mean(all)", mesh=mesh)
    for one, other in zip(spread, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)

    # In a program of yours: place weights and rows, and `embed` works where they are.
    # The number of rows must be a multiple of the number of devices.
    rows = SENTENCES * mesh.size
    tokens = shard_rows(tokenizer(rows, pad_to=32), mesh)
    vectors = bert_jax.embed(replicate(params, mesh), tokens, "mean(all)")  # [B T D]
    devices = vectors.sharding.device_set
    print(f"{vectors.shape} on {len(devices)} devices, {vectors.sharding.spec}")

    # A jitted function of yours keeps the rows where they are.
    @jax.jit
    def sentence_vectors(params, tokens):
        vectors = bert_jax.embed(params, tokens, "last")
        real = tokens.mask[..., None]
        return (vectors * real).sum(axis=1) / real.sum(axis=1)

    means = sentence_vectors(replicate(params, mesh), tokens)
    print(f"{means.shape} on {len(means.sharding.device_set)} devices")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        # Before JAX looks for its devices.
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
    main()
