# SPDX-License-Identifier: Apache-2.0
"""The written-out form of attention, and rows to hold kernels against it."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.attention import SelfAttention, attention_mask

KEY = jax.random.key(5)
"""Of the coins of dropout."""


def make_sequences(length, row_lengths, *, packed):
    """Number the tokens of rows whose padding begins after `row_lengths`."""
    rng = np.random.default_rng(0)
    sequences = np.sort(rng.integers(1, 4, (len(row_lengths), length)), axis=1)
    for row, row_length in enumerate(row_lengths):
        sequences[row, row_length:] = 0
    return jnp.asarray(sequences if packed else np.minimum(sequences, 1), jnp.int32)


def written_out(config, sequences, *, packed, rate=0.0):
    """Return the plain form as a function of unsplit operands, with KEY's coins."""
    config = dataclasses.replace(config, attention_dropout_rate=rate)

    def split_heads(states):
        heads = config.num_heads, config.head_dim
        return states.reshape(*states.shape[:2], *heads).transpose(0, 2, 1, 3)

    def attend(query, key, value):
        class Probe(SelfAttention):
            @nn.compact
            def __call__(self):
                seen = attention_mask(sequences > 0, sequences if packed else None)
                split = map(split_heads, (query, key, value))
                context = self.attend(*split, seen.bias, deterministic=not rate)
                return context.transpose(0, 2, 1, 3).reshape(query.shape)

        return Probe(config, jnp.dtype("float32")).apply({}, rngs={"dropout": KEY})

    return attend
