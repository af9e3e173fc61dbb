# SPDX-License-Identifier: Apache-2.0
"""Tokenise in Grain's worker processes, and train a head on sharded vectors.

python examples/grain_workers.py                # a tiny BERT, or: --family elmo
python examples/grain_workers.py --workers 0    # the step's own process, to compare

`embed_jax.Tokenize` gives every batch one shape, so that the step is compiled once.
"""

import argparse
import dataclasses
import itertools
import time

import grain
import jax
import jax.numpy as jnp
import optax
from absl import flags

import bert_jax
import elmo_jax
from embed_jax import Tokenize, data_mesh
from embed_jax.devices.mesh import replicate, shard_rows

GOOD, BAD = ["warm", "funny", "bright"], ["dull", "empty", "slow"]
THINGS = ["film", "book", "play", "song", "story", "evening"]
BATCH = 32


def tiny_model(family: str):
    """Make a model with random weights; `load` gives a trained one."""
    if family == "elmo":
        params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
        return elmo_jax, params, elmo_jax.ElmoTokenizer(elmo_jax.TINY)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "and", *GOOD, *BAD, *THINGS]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces, max_length=64)
    config = dataclasses.replace(bert_jax.TINY, vocab_size=len(pieces))
    return bert_jax, bert_jax.init_params(jax.random.key(0), config), tokenizer


def batches(tokenizer, workers: int):
    """Return an endless iterator of batches: tokens, and the labels of the texts."""
    records = [
        {"text": f"a {word} {first} and a {word} {second}", "label": int(word in GOOD)}
        for word in GOOD + BAD
        for first, second in itertools.permutations(THINGS, 2)
    ]
    tokenize = Tokenize(tokenizer, "text", pad_to=16, long="truncate")
    data = grain.MapDataset.source(records).shuffle(seed=0).repeat().batch(BATCH)
    data = data.map(tokenize).to_iter_dataset(grain.ReadOptions(num_threads=0))
    if workers:
        data = data.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(data)


def main(family: str, workers: int, steps: int) -> None:
    """Train a head."""
    package, params, tokenizer = tiny_model(family)
    head = {"kernel": jnp.zeros((params.config.layer_dim, 2)), "bias": jnp.zeros(2)}
    optimizer, mesh = optax.adam(0.1), data_mesh()
    params, head, state = replicate((params, head, optimizer.init(head)), mesh)

    @jax.jit
    def step(head, state, params, tokens, label):
        vectors = package.embed(params, tokens, "mean(all)")  # [B T D]
        means = vectors.mean(axis=1, where=tokens.mask[..., None])

        def loss_of(head):
            logits = means @ head["kernel"] + head["bias"]
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
            return losses.mean(), (logits.argmax(axis=-1) == label).mean()

        gradient, accuracy = jax.grad(loss_of, has_aux=True)(head)
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(head, update), state, accuracy

    data = batches(tokenizer, workers)
    try:
        for number in range(steps):
            batch = shard_rows(next(data), mesh)  # rows over all devices
            head, state, accuracy = step(head, state, params, **batch)
            if number == 0:  # compiled by now, and the workers are there
                accuracy.block_until_ready()
                began = time.perf_counter()
        accuracy = float(accuracy)
        rate = (steps - 1) * BATCH / (time.perf_counter() - began)
    finally:
        data.close()  # ends the workers, and frees the memory that they share
    print(f"{rate:,.0f} texts a second with {workers} workers, {mesh.size} devices")
    print(f"accuracy on the last batch: {accuracy:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, default in {"family": "bert", "workers": 2, "steps": 60}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    flags.FLAGS.mark_as_parsed()  # Grain's own, which it looks at for its workers
    main(**vars(parser.parse_args()))
