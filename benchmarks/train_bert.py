# SPDX-License-Identifier: Apache-2.0
"""Pretraining BERT against transformers on torch, on the same batches.

    python -m benchmarks.train_bert
    python -m benchmarks.train_bert --model base --batch-size 8

MLM and NSP, dropout 0.1, Adam, float32, the same rows: pairs of random sentences. Both
make whole steps: forward, backward, clipping, update. transformers scores the
vocabulary at every position, as its class does; "scores gathered first" gives it the
hidden states of the masked positions alone.
"""

import dataclasses
import json
import time
from typing import Literal

import tyro

from benchmarks.random_text import random_piece_store
from benchmarks.rounds import compare
from bert_jax.config import BertConfig
from train.families.bert.batches import MaskedLmBatch, MaskedLmBatches, MaskedLmConfig

CONTENDERS = ("ours", "transformers", "scores gathered first")
MODELS = {
    "mini": BertConfig(num_blocks=4, num_heads=4, layer_dim=256, mlp_dim=1024),
    "small": BertConfig(num_blocks=4, num_heads=8, layer_dim=512, mlp_dim=2048),
    "base": BertConfig(),
}


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the speed of pretraining BERT on this machine's CPU."""

    model: Literal["mini", "small", "base"] = "small"
    """The shape, as published."""
    batch_size: int = 16
    """Rows of a batch."""
    length: int = 128
    """Tokens of a row."""
    steps: int = 5
    """Steps that are measured; two more come before them."""
    rounds: int = 3
    """How often each contender runs."""
    only: Literal["ours", "transformers", "scores gathered first"] | None = None
    """Run one contender in this process."""


def main() -> None:
    """Run the rounds and print the table, or run one contender."""
    command = tyro.cli(Command, description=__doc__)
    if command.only is None:
        compare(
            "benchmarks.train_bert",
            CONTENDERS,
            command,
            ("jax", "torch", "transformers"),
        )
        return
    model = MODELS[command.model]
    batches = MaskedLmBatches(
        random_piece_store(500_000, model.vocab_size),
        MaskedLmConfig(length=command.length, short_rate=0.0),
        batch_size=command.batch_size,
    )
    chosen = [batches[number] for number in range(2 + command.steps)]
    measure = _measure_ours if command.only == "ours" else _measure_torch
    seconds = measure(command, chosen)
    tokens = command.batch_size * command.length * command.steps
    print(json.dumps({"tokens_per_second": tokens / seconds}))


def _measure_ours(command: Command, batches: list[MaskedLmBatch]) -> float:
    import jax
    import jax.numpy as jnp

    import bert_jax
    from train.families.bert.objective import MaskedLmObjective
    from train.loop.optimizer import BertAdam, make_optimizer
    from train.loop.step import init_state, make_step

    model = MODELS[command.model]
    objective = MaskedLmObjective(
        config=model,
        data=MaskedLmConfig(length=command.length),
        batches=None,
        held_out=None,
        batch_size=command.batch_size,
        dtype=jnp.dtype(jnp.float32),
    )
    params = bert_jax.init_params(jax.random.key(0), model)
    optimizer, _ = make_optimizer(BertAdam(warmup_steps=10), 1000)
    state = init_state(objective, params, optimizer)
    step = jax.jit(make_step(objective, optimizer, seed=0), donate_argnums=0)
    for batch in batches[:2]:
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    began = time.perf_counter()
    for batch in batches[2:]:
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    return time.perf_counter() - began


def _measure_torch(command: Command, batches: list[MaskedLmBatch]) -> float:
    import torch
    import transformers

    from tests.oracles.masked_lm import pretraining_loss

    model = MODELS[command.model]
    network = transformers.BertForPreTraining(
        transformers.BertConfig(
            vocab_size=model.vocab_size,
            hidden_size=model.layer_dim,
            num_hidden_layers=model.num_blocks,
            num_attention_heads=model.num_heads,
            intermediate_size=model.mlp_dim,
        )
    )
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, eps=1e-6)
    gather = command.only == "scores gathered first"

    def step(batch: MaskedLmBatch) -> None:
        rows = batch.rows
        arrays = {
            "ids": rows.ids,
            "segment_ids": rows.segment_ids,
            "mask": rows.sequences,
            "masked_positions": rows.predicted,
            "masked_ids": rows.targets,
            "masked_weights": rows.weights,
            "next_sentence_labels": rows.labels[:, 0],
        }
        tensors = {
            name: torch.from_numpy(array.copy()).to(
                torch.float32 if array.dtype.kind == "f" else torch.int64
            )
            for name, array in arrays.items()
        }
        optimizer.zero_grad()
        loss, *_ = pretraining_loss(network, tensors, gather_first=gather)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    for batch in batches[:2]:
        step(batch)
    began = time.perf_counter()
    for batch in batches[2:]:
        step(batch)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
