# SPDX-License-Identifier: Apache-2.0
"""A frozen encoder, a learnt mix of its layers, and a classifier of words on top.

    python examples/layer_mix.py

`embed` runs inside a jitted step of optax. Only the mix and the classifier are trained.
The task is a toy, to tell words with an ending from those without, and the ELMo has
random weights; put `elmo_jax.load` and words with tags of yours in their place.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import elmo_jax
from embed_jax import ScalarMix
from embed_jax.layers.scalar_mix import mix_penalty

SPEC = "mix(all)"
STEMS = ["walk", "talk", "jump", "open", "close", "paint", "visit", "help"]


class Trained(NamedTuple):
    """What learns: how much of each layer, and a linear classifier."""

    mix: ScalarMix
    kernel: jax.Array
    bias: jax.Array


def draw(rng: np.random.Generator, number: int) -> tuple[list[list[str]], np.ndarray]:
    """Draw sentences of eight words, and for each word whether it ends in -ing."""
    stems = rng.choice(STEMS, size=(number, 8))
    tags = rng.integers(2, size=stems.shape)
    words = [
        [stem + "ing" * tag for stem, tag in zip(*row, strict=True)]
        for row in zip(stems, tags, strict=True)
    ]
    return words, tags


def main() -> None:
    """Train, and print the accuracy and the weight of each layer."""
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
    tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
    width = elmo_jax.vector_width(params, SPEC, "first")
    trained = Trained(
        mix=ScalarMix.init(params.config.num_blocks + 1),
        kernel=jnp.zeros((width, 2)),
        bias=jnp.zeros(2),
    )
    optimizer = optax.adam(0.03)
    state = optimizer.init(trained)

    def logits_of(trained: Trained, tokens: elmo_jax.ElmoTokens) -> jax.Array:
        vectors = elmo_jax.embed(params, tokens, SPEC, mix=trained.mix)
        return vectors @ trained.kernel + trained.bias

    def loss_of(trained: Trained, tokens, tags) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits_of(trained, tokens), tags
        )
        # The penalty of the ELMo paper keeps the mix near the plain mean.
        return losses.mean() + mix_penalty(trained.mix, 0.001)

    @jax.jit
    def step(trained, state, tokens, tags):
        loss, gradient = jax.value_and_grad(loss_of)(trained, tokens, tags)
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(trained, update), state, loss

    # One batch of text; batches of other shapes would compile once each.
    sentences, tags = draw(np.random.default_rng(0), 32)
    tokens = tokenizer(sentences)
    for number in range(100):
        trained, state, loss = step(trained, state, tokens, tags)
        if number % 25 == 0:
            print(f"step {number}: loss {float(loss):.3f}")

    sentences, tags = draw(np.random.default_rng(1), 32)
    guesses = logits_of(trained, tokenizer(sentences)).argmax(axis=-1)
    print("weights of the layers:", jax.nn.softmax(trained.mix.weights).round(2))
    print(f"accuracy on new sentences: {np.mean(guesses == tags):.2f}")


if __name__ == "__main__":
    main()
