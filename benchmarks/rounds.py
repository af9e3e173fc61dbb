# SPDX-License-Identifier: Apache-2.0
"""Contenders in processes of their own, in turn, several rounds; the median counts."""

import dataclasses
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any


def compare(
    module: str, contenders: Sequence[str], command: Any, packages: Sequence[str]
) -> None:
    """Run all rounds of a benchmark and print its table.

    Args:
      module: of the benchmark, whose `--only NAME` runs one contender.
      contenders: ours first.
      command: its dataclass; all fields but `rounds` and `only` are handed on.
      packages: whose versions are printed.
    """
    arguments = [
        item
        for name, value in dataclasses.asdict(command).items()
        if name not in ("rounds", "only")
        for item in (f"--{name.replace('_', '-')}", str(value))
    ]
    print_table(run_rounds(module, contenders, arguments, command.rounds), packages)


def run_rounds(
    module: str, contenders: Sequence[str], arguments: Sequence[str], rounds: int
) -> dict[str, float]:
    """Run `python -m module --only NAME …`, whose last line is tokens a second as JSON.

    Returns:
      For each contender the median of its rounds.
    """
    results: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in contenders:
            command = [sys.executable, "-m", module, "--only", name, *arguments]
            finished = subprocess.run(
                command, capture_output=True, text=True, check=False
            )
            if finished.returncode:
                raise SystemExit(finished.stderr)
            last = json.loads(finished.stdout.strip().splitlines()[-1])
            results[name].append(last["tokens_per_second"])
            print(f"  {name}: {results[name][-1]:,.0f} tokens/s", flush=True)
    return {name: statistics.median(values) for name, values in results.items()}


def print_table(medians: dict[str, float], packages: Sequence[str]) -> None:
    """Print each contender and how many times as fast the first one is."""
    ours = next(iter(medians.values()))
    for name, rate in medians.items():
        print(f"{name:28} {rate:10,.0f} tokens/s   {ours / rate:5.2f}x")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"{versions}; Python {platform.python_version()}, {platform.processor()}")
