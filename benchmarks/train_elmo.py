# SPDX-License-Identifier: Apache-2.0
"""Training a biLM against torch, with the same sampled softmax on the same batches.

    python -m benchmarks.train_elmo

The published "small" shapes (LSTM 1024/128, 2,048 filters, one highway), 128 rows of 20
positions, 8,192 negatives of 30,000 words, Adagrad as published, dropout 0.1, float32.
torch's time loop is in Python, as bilm-tf's and AllenNLP's are: clip and projection
leave no fused LSTM. "torch" reads every word's characters where it stands, as both do;
"torch, tuned" reads each distinct word once, multiplies the inputs before the loop and
updates only the rows of the softmax that were drawn.
"""

import dataclasses
import json
import time
from typing import Literal

import numpy as np
import tyro

from benchmarks.random_text import random_word_store
from benchmarks.rounds import compare
from elmo_jax.characters import character_rows
from elmo_jax.config import CharCnnConfig, ElmoConfig
from train.families.elmo.batches import BOUNDARIES, BilmBatch, BilmBatches

CONTENDERS = ("ours", "torch, tuned", "torch")
VOCAB_SIZE = 30_000
MODEL = ElmoConfig(
    char_cnn=CharCnnConfig(num_highways=1), cell_dim=1024, projection_dim=128
)


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the speed of training a biLM on this machine's CPU."""

    batch_size: int = 128
    """Rows of a batch."""
    unroll_steps: int = 20
    """Positions of a row."""
    negatives: int = 8192
    """Words of the sampled softmax."""
    steps: int = 5
    """Steps that are measured; two more come before them."""
    rounds: int = 3
    """How often each contender runs."""
    only: Literal["ours", "torch, tuned", "torch"] | None = None
    """Run one contender in this process."""


def main() -> None:
    """Run the rounds and print the table, or run one contender."""
    command = tyro.cli(Command, description=__doc__)
    if command.only is None:
        compare("benchmarks.train_elmo", CONTENDERS, command, ("jax", "torch"))
        return
    batches = BilmBatches(
        random_word_store(1_000_000, VOCAB_SIZE),
        batch_size=command.batch_size,
        unroll_steps=command.unroll_steps,
        num_negatives=command.negatives,
    )
    chosen = [batches[number] for number in range(2 + command.steps)]
    measure = _measure_ours if command.only == "ours" else _measure_torch
    seconds = measure(command, chosen)
    tokens = command.batch_size * command.unroll_steps * command.steps
    print(json.dumps({"tokens_per_second": tokens / seconds}))


def _measure_ours(command: Command, batches: list[BilmBatch]) -> float:
    import jax
    import jax.numpy as jnp

    import elmo_jax
    from train.families.elmo.objective import BilmObjective
    from train.loop.optimizer import Adagrad, make_optimizer
    from train.loop.step import init_state, make_step

    objective = BilmObjective(
        config=MODEL,
        batches=None,
        held_out=None,
        num_words=VOCAB_SIZE,
        batch_size=command.batch_size,
        unroll_steps=command.unroll_steps,
        reset_state=False,
        dtype=jnp.dtype(jnp.float32),
    )
    params = elmo_jax.init_params(jax.random.key(0), MODEL, VOCAB_SIZE)
    optimizer, _ = make_optimizer(Adagrad(), 1000)
    state = init_state(objective, params, optimizer)
    step = make_step(objective, optimizer, seed=0, sparse_update=True)
    step = jax.jit(step, donate_argnums=0)
    shapes = {tuple(leaf.shape for leaf in jax.tree.leaves(b)): b for b in batches}
    for batch in [*shapes.values(), *batches[:2]]:
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    began = time.perf_counter()
    for batch in batches[2:]:
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    return time.perf_counter() - began


def _measure_torch(command: Command, batches: list[BilmBatch]) -> float:
    import jax
    import torch

    import elmo_jax
    from elmo_jax.options import format_options
    from elmo_jax.weights import disassemble
    from tests.oracles.torch_bilm import TorchBiLm, total_loss

    tuned = command.only == "torch, tuned"
    params = elmo_jax.init_params(jax.random.key(0), MODEL, VOCAB_SIZE)
    encoder, softmax = disassemble(params)
    model = TorchBiLm(
        {**encoder, **softmax},
        format_options(MODEL, VOCAB_SIZE),
        dropout=MODEL.dropout_rate,
        dedupe=tuned,
        hoist=tuned,
        sparse=tuned,
    )
    optimizer = torch.optim.Adagrad(
        model.parameters(), lr=0.2, initial_accumulator_value=1.0, eps=0.0
    )
    carry = model.zero_carry(command.batch_size)
    boundaries = torch.from_numpy(character_rows(BOUNDARIES))
    dense = [p for n, p in model.weights.items() if not (tuned and n == "softmax/W")]

    def step(batch: BilmBatch) -> None:
        nonlocal carry
        length = batch.types.shape[1]
        types = np.full((len(batch.types), 50), 261, np.int32)
        types[:, :length] = batch.types
        types[:2] = boundaries
        characters = torch.from_numpy(types).long()
        words = torch.from_numpy(batch.rows.words).long()
        targets = torch.from_numpy(batch.rows.targets).long()
        optimizer.zero_grad()
        forward, backward, carry = model.losses(
            characters[words[:, 0]],
            targets[:, 0],
            characters[words[:, 1]],
            targets[:, 1],
            carry,
            mode="sampled",
            sampled=tuple(
                (torch.from_numpy(ids).long(), int(tries))
                for ids, tries in zip(*batch.negatives, strict=True)
            ),
        )
        (total_loss(forward, backward) * command.unroll_steps).backward()
        torch.nn.utils.clip_grad_norm_(dense, 10.0)
        optimizer.step()

    for batch in batches[:2]:
        step(batch)
    began = time.perf_counter()
    for batch in batches[2:]:
        step(batch)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
