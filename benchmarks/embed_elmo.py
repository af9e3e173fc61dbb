# SPDX-License-Identifier: Apache-2.0
"""ELMo inference against what else there is, on the same weights and sentences.

    pip install -e '.[benchmarks]'
    python -m benchmarks.embed_elmo

The published shapes (LSTM 4096/512, 2,048 filters, two highways) with random weights,
real sentences whose words are split already, the top layer's vectors of all words. What
the contenders are says benchmarks/elmo_contenders.py; simple_elmo is left out where its
environment is not named. Every contender runs in a process of its own, several rounds
in turn, and the median counts. Loading, compilation and the choice of a batch size
happen before the clock starts.

Ours is also timed in parts, and set against the rate of the machine's own matrix
product: arithmetic is counted as 151 MFLOP a word for the LSTMs and 53 for the
character CNN of each distinct word, though the first layer's input is multiplied once a
distinct word too.
"""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from benchmarks.elmo_contenders import (
    find_environment,
    measure_torch,
    random_model,
    read_tokenised_sentences,
    simple_elmo_words_per_second,
)

CONTENDERS = ("ours", "torch", "simple_elmo")
BATCH_SIZES = (32, 64, 128, 256)

# Multiplications and additions, reference: Peters et al. 2018's published shapes.
LSTM_FLOP_A_WORD = 2 * 2 * 2 * (1024 * 16384 + 4096 * 512)
CNN_FLOP_A_TYPE = 2 * (8_810_000 + 2 * 2 * 2048 * 2048 + 2048 * 512)


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the speed of ELMo inference on this machine's CPU."""

    sentences: int = 1024
    """How many sentences."""
    rounds: int = 3
    """How often each contender runs."""
    contenders: tuple[str, ...] = CONTENDERS
    """Which ones to run."""
    only: Literal["ours", "torch", "simple_elmo"] | None = None
    """Run one contender in this process and print its figures as JSON."""
    batch_size: int | None = None
    """Sentences in a batch of the others; by default the best of several."""
    token_budget: int | None = None
    """Positions in a batch of ours."""


def main() -> None:
    """Run the rounds and print the table, or run one contender."""
    command = tyro.cli(Command)
    directory = random_model()
    if command.only:
        sentences = read_tokenised_sentences(command.sentences)
        print(json.dumps(measure(command, directory, sentences)))
        return
    names = [name for name in command.contenders if _is_here(name)]
    sizes = {name: best_batch_size(name) for name in names if name != "ours"}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(command.rounds):
        for name in names:
            options = ["--sentences", str(command.sentences)]
            if name in sizes:
                options += ["--batch-size", str(sizes[name])]
            elif command.token_budget:
                options += ["--token-budget", str(command.token_budget)]
            rounds[name].append(run_alone(name, options))
    print_table(command.sentences, rounds, sizes)


def run_alone(name: str, options: list[str]) -> dict[str, float]:
    """Run one contender in a process of its own."""
    line = [sys.executable, "-m", "benchmarks.embed_elmo", "--only", name, *options]
    run = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    print(name, options, figures, file=sys.stderr)
    return figures


def best_batch_size(name: str) -> int:
    """Try 256 sentences at several batch sizes."""
    speeds = {
        size: run_alone(name, ["--sentences", "256", "--batch-size", str(size)])
        for size in BATCH_SIZES
    }
    return max(speeds, key=lambda size: speeds[size]["words_per_second"])


def measure(
    command: Command, directory: Path, sentences: list[list[str]]
) -> dict[str, Any]:
    """Run one contender."""
    size = command.batch_size or 128
    if command.only == "ours":
        return measure_ours(directory, sentences, command.token_budget)
    if command.only == "torch":
        return measure_torch(directory, sentences, size)
    environment = find_environment()
    if environment is None:
        sys.exit("simple_elmo needs its environment, named by SIMPLE_ELMO_VENV")
    speed = simple_elmo_words_per_second(directory, sentences, size, environment)
    return {"words_per_second": speed, "batch_size": size}


def measure_ours(
    directory: Path, sentences: list[list[str]], token_budget: int | None
) -> dict[str, Any]:
    """Time ours, whole and in parts."""
    import jax
    import jax.numpy as jnp

    import elmo_jax
    from elmo_jax.type_table import TypeTable

    params, tokenizer = elmo_jax.load(directory)
    num_words = sum(map(len, sentences))
    types = sorted({word for sentence in sentences for word in sentence})

    def embed() -> list[np.ndarray]:
        return elmo_jax.embed_words(
            params, tokenizer, sentences, "last", token_budget=token_budget
        )

    def embed_characters() -> None:
        table = TypeTable(
            params, tokenizer, dtype=jnp.dtype(jnp.float32), capacity=2**16
        )
        table.find(types)
        jax.block_until_ready(table.vectors)

    vectors = embed()
    end_to_end = min(seconds(embed) for _ in range(2))
    embed_characters()
    characters = min(seconds(embed_characters) for _ in range(2))
    product = product_rate()
    work = num_words * LSTM_FLOP_A_WORD + len(types) * CNN_FLOP_A_TYPE
    return {
        "words_per_second": num_words / end_to_end,
        "num_words": num_words,
        "num_types": len(types),
        "seconds": end_to_end,
        "seconds_characters": characters,
        "seconds_rest": end_to_end - characters,
        "product_gflops": product / 1e9,
        "share_of_product": work / end_to_end / product,
        "share_of_product_lstm": num_words
        * LSTM_FLOP_A_WORD
        / (end_to_end - characters)
        / product,
        "checksum": float(np.mean([np.abs(v).mean() for v in vectors])),
    }


def product_rate() -> float:
    """Measure the matrix product that a step of the LSTM makes, in FLOP a second."""
    import jax
    import jax.numpy as jnp

    rates = []
    for rows in (128, 256, 1024):
        left = jnp.ones((rows, 1024), jnp.float32)
        right = jnp.ones((1024, 16384), jnp.float32)
        multiply = jax.jit(jnp.dot)
        multiply(left, right).block_until_ready()

        def run(left: Any = left, right: Any = right, multiply: Any = multiply) -> None:
            for _ in range(5):
                multiply(left, right).block_until_ready()

        best = min(seconds(run) for _ in range(5))
        rates.append(5 * 2 * rows * 1024 * 16384 / best)
    return max(rates)


def seconds(run: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def print_table(
    count: int, rounds: dict[str, list[dict[str, float]]], sizes: dict[str, int]
) -> None:
    """Print medians, and how many times as fast ours is."""
    print(f"{describe_machine()}\n{count} sentences, median of rounds\n")
    print("| contender | batch | words/s | ours is |\n|---|---|---|---|")
    speeds = {
        name: statistics.median(run["words_per_second"] for run in runs)
        for name, runs in rounds.items()
    }
    for name, speed in speeds.items():
        ratio = f"{speeds['ours'] / speed:.2f}x" if "ours" in speeds else ""
        print(f"| {name} | {sizes.get(name, 'packed')} | {speed:,.0f} | {ratio} |")
    for figures in rounds.get("ours", [])[-1:]:
        print("\nours, last round:")
        for name, value in figures.items():
            print(f"  {name} {value:,.3f}")


def describe_machine() -> str:
    """Name the processor and the versions of everything that competes."""
    info = Path("/proc/cpuinfo")
    names = info.read_text().split("\n") if info.exists() else []
    model = next((n.split(":")[1].strip() for n in names if "model name" in n), "")
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "flax", "torch"))
    return f"{model or platform.processor()}, {os.cpu_count()} cores; {versions}"


def _is_here(name: str) -> bool:
    if name == "simple_elmo" and find_environment() is None:
        print("simple_elmo is left out: SIMPLE_ELMO_VENV is not set", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    main()
