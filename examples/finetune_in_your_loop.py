# SPDX-License-Identifier: Apache-2.0
"""Fine-tune a whole BERT or ELMo in a training loop of your own.

    python examples/finetune_in_your_loop.py MODEL

`apply_encoder` and `apply_bilm` are the encoders as plain functions, with dropout where
you pass a key; `params` is a pytree, so optax trains it together with your head.
Without MODEL a tiny one of each family is trained, of random weights. The ready-made
command for tagging and for classifying texts is `python -m train.finetune`.
"""

import dataclasses
import string
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import bert_jax
import elmo_jax
import embed_jax

GOOD = ["a warm and funny film", "moving and well played", "a joy from the first scene"]
BAD = ["a dull and empty film", "slow and badly played", "a bore from the first scene"]


def tiny_models():
    """Make models with random weights; the word pieces of the BERT are letters."""
    letters = string.ascii_lowercase
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces, max_length=64)
    config = dataclasses.replace(bert_jax.TINY, vocab_size=len(pieces))
    yield bert_jax.init_params(jax.random.key(0), config), tokenizer
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
    yield params, elmo_jax.ElmoTokenizer(elmo_jax.TINY)


def last_layer(params, tokens, key=None):
    """Run the encoder: `[B T D]`; a key turns dropout on."""
    if isinstance(params, elmo_jax.ElmoParams):
        return elmo_jax.apply_bilm(params, tokens, dropout_key=key).layers[-1]
    return bert_jax.apply_encoder(params, tokens, dropout_key=key)[-1]


def logits_of(trained, tokens, key=None):
    """Classify the mean of a text's tokens; padding may hold anything."""
    real = tokens.mask[..., None]
    layer = jnp.where(real, last_layer(trained["params"], tokens, key), 0)
    mean = layer.sum(axis=1) / real.sum(axis=1)
    return mean @ trained["kernel"] + trained["bias"]


def train(params, tokenizer, learning_rate):
    """Train until the texts are told apart."""
    tokens = tokenizer(GOOD + BAD)
    labels = np.repeat([1, 0], [len(GOOD), len(BAD)])
    trained = {
        "params": params.replace(heads={}),
        "kernel": jnp.zeros((params.config.layer_dim, 2)),
        "bias": jnp.zeros(2),
    }
    optimizer = optax.adamw(learning_rate)
    state = optimizer.init(trained)

    @jax.jit
    def step(trained, state, tokens, labels, key):
        def loss_of(trained):
            return optax.softmax_cross_entropy_with_integer_labels(
                logits_of(trained, tokens, key), labels
            ).mean()

        loss, gradient = jax.value_and_grad(loss_of)(trained)
        update, state = optimizer.update(gradient, state, trained)
        return optax.apply_updates(trained, update), state, loss

    print(params)
    for number, key in enumerate(jax.random.split(jax.random.key(1), 60)):
        trained, state, loss = step(trained, state, tokens, labels, key)
        if number % 20 == 0:
            print(f"step {number}: loss {float(loss):.3f}")

    guesses = jax.jit(logits_of)(trained, tokens).argmax(axis=-1)
    print(f"accuracy on the texts it learnt from: {np.mean(guesses == labels):.2f}")
    # To keep it: save(folder, trained["params"], tokenizer).


def main(model: str | None = None) -> None:
    """Train a model of yours, or both tiny ones."""
    for params, tokenizer in [embed_jax.load(model)] if model else tiny_models():
        train(params, tokenizer, learning_rate=1e-4 if model else 3e-3)


if __name__ == "__main__":
    main(*sys.argv[1:])
