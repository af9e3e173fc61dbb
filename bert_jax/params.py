# SPDX-License-Identifier: Apache-2.0
"""A BERT's weights and configuration as one pytree."""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp

from bert_jax.config import BertConfig
from bert_jax.encoder import Encoder
from bert_jax.heads import HEADS, LABELLED, MlmHead
from embed_jax.devices.random_keys import same_draws
from embed_jax.equality import equal_by_value
from embed_jax.tree import summarise_model


@equal_by_value
class BertParams(flax.struct.PyTreeNode):
    """The weights of a BERT, a pytree of arrays, with the configuration as static data.

    jit, grad, vmap, sharding, optax and Orbax see a plain tree of arrays.

    Attributes:
      encoder: `{"embeddings": …, "layer_0": …, …}`, float32.
      heads: a branch for each head of the model, by the names of
        `bert_jax.heads.HEADS`: pooler, mlm, nsp, sequence, token, multiple_choice,
        question_answering.
      config: the frozen configuration.
    """

    encoder: dict
    heads: dict
    config: BertConfig = flax.struct.field(pytree_node=False)

    def __repr__(self) -> str:
        """Return one line without weights: `config` and the leaves have the rest."""
        return summarise_model(self)


@same_draws()
def init_params(
    key: jax.Array, config: BertConfig, heads: Sequence[str] = ("pooler", "mlm", "nsp")
) -> BertParams:
    """Initialise weights as published, from a truncated normal (`published_init`).

    Args:
      key: a `jax.random.key`.
      config: of the encoder.
      heads: the heads to add; "nsp", "sequence" and "multiple_choice" need the pooler.

    Returns:
      Float32 parameters. Biases are zero, normalisation scales one.

    Raises:
      ValueError: an unknown head, or a classification head without `config.labels`.

    Example:
      >>> import bert_jax
      >>> params = init_params(jax.random.key(0), bert_jax.TINY)
      >>> sum(leaf.size for leaf in jax.tree.leaves(params))
      54506
    """
    unknown = sorted(set(heads) - set(HEADS))
    if unknown:
        raise ValueError(f"no head {unknown[0]!r}; there are {', '.join(HEADS)}")
    if LABELLED & set(heads) and not config.labels:
        raise ValueError("a classification head needs config.labels, its class names")
    encoder_key, *head_keys = jax.random.split(key, 1 + len(HEADS))
    ids = jnp.zeros((1, 1), jnp.int32)
    encoder = dict(Encoder(config).init(encoder_key, ids, ids, ids == 0)["params"])
    state = jnp.zeros((1, 1, config.layer_dim))
    drawn = {}
    for name, head_key in zip(HEADS, head_keys, strict=True):
        if name in heads:
            head = HEADS[name](config)
            if isinstance(head, MlmHead):
                table = encoder["embeddings"]["token"]["embedding"]
                drawn[name] = head.init(head_key, state, table)["params"]
            else:
                drawn[name] = head.init(head_key, state)["params"]
    return BertParams(encoder=encoder, heads=drawn, config=config)
