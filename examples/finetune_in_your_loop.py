# SPDX-License-Identifier: Apache-2.0
"""Fine-tune a whole BERT in a training loop of your own.

    python examples/finetune_in_your_loop.py MODEL

`apply_encoder` is the encoder as a plain function, with dropout where you pass a key;
`params` is a pytree, so optax trains it together with your head. Without MODEL a tiny
BERT with random weights is trained. `python -m train.finetune` is the ready-made
command for tagging and for classifying texts.
"""

import dataclasses
import string
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import bert_jax

GOOD = ["a warm and funny film", "moving and well played", "a joy from the first scene"]
BAD = ["a dull and empty film", "slow and badly played", "a bore from the first scene"]


def tiny_model() -> tuple[bert_jax.BertParams, bert_jax.Tokenizer]:
    """Make a BERT with random weights, whose word pieces are letters."""
    letters = string.ascii_lowercase
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces, max_length=64)
    config = dataclasses.replace(bert_jax.TINY, vocab_size=len(pieces))
    return bert_jax.init_params(jax.random.key(0), config), tokenizer


def main(model: str | None = None) -> None:
    """Train until the texts are told apart."""
    params, tokenizer = bert_jax.load(model) if model else tiny_model()
    tokens = tokenizer(GOOD + BAD, pad_to=32)
    labels = np.repeat([1, 0], [len(GOOD), len(BAD)])

    trained = {
        "encoder": params.encoder,
        "kernel": jnp.zeros((params.config.layer_dim, 2)),
        "bias": jnp.zeros(2),
    }
    optimizer = optax.adamw(1e-4 if model else 3e-3)
    state = optimizer.init(trained)

    def logits_of(trained, tokens, key=None):
        whole = params.replace(encoder=trained["encoder"])
        layers = bert_jax.apply_encoder(whole, tokens, dropout_key=key)
        first = layers[-1][:, 0]  # [B D], the vector of [CLS]
        return first @ trained["kernel"] + trained["bias"]

    @jax.jit
    def step(trained, state, tokens, labels, key):
        def loss_of(trained):
            return optax.softmax_cross_entropy_with_integer_labels(
                logits_of(trained, tokens, key), labels
            ).mean()

        loss, gradient = jax.value_and_grad(loss_of)(trained)
        update, state = optimizer.update(gradient, state, trained)
        return optax.apply_updates(trained, update), state, loss

    for number, key in enumerate(jax.random.split(jax.random.key(1), 60)):
        trained, state, loss = step(trained, state, tokens, labels, key)
        if number % 20 == 0:
            print(f"step {number}: loss {float(loss):.3f}")

    guesses = jax.jit(logits_of)(trained, tokens).argmax(axis=-1)
    print(f"accuracy on the texts it learnt from: {np.mean(guesses == labels):.2f}")
    # To keep it: save(folder, params with the trained encoder, tokenizer).


if __name__ == "__main__":
    main(*sys.argv[1:])
