# SPDX-License-Identifier: Apache-2.0
"""The time that going on takes until the first step, by the epoch in which it goes on.

    python -m benchmarks.going_on

A text of random words is prepared for both families, and a run of a tiny model is begun
on each. Copies of it are then made to stand in later epochs: their checkpoint has the
step and the position that the run would have had there. For each epoch, in turn and
several times, processor time is taken of the planning alone, and of the whole call of
`pretrain` up to its first step. `counted` is the planning from a checkpoint of an
earlier version, which does not say where its epoch begins.
"""

import argparse
import dataclasses
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from bert_jax.config import BertConfig
from elmo_jax.config import CharCnnConfig, ElmoConfig
from embed_jax.devices.mesh import data_mesh
from embed_jax.files.run_directory import CHECKPOINTS, saved_steps
from train.config import Pretraining
from train.data.epochs import Epochs
from train.data.sources import TextSource
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.data import PieceData
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.loop.checkpoint import Checkpoints
from train.loop.phases import make_phased_optimizer
from train.loop.placement import place_state
from train.loop.progress import EPOCH, resume_epoch
from train.loop.setup import set_up
from train.loop.step import init_state
from train.prepare import prepare
from train.pretrain import pretrain

NUM_WORDS = 2000
# Of an epoch in which a run goes on, so many batches were made before.
WITHIN = 3


def write_text(path: Path, num_tokens: int, seed: int = 0) -> None:
    """Write documents of random words, a sentence a line."""
    rng = random.Random(seed)
    words = [f"w{number}" for number in range(NUM_WORDS)]
    weights = [1 / (rank + 3) for rank in range(NUM_WORDS)]
    with path.open("w", encoding="utf-8") as file:
        while num_tokens > 0:
            for _ in range(rng.randint(5, 60)):
                drawn = rng.choices(words, weights, k=rng.randint(4, 40))
                file.write(" ".join(drawn) + "\n")
                num_tokens -= len(drawn)
            file.write("\n")


def experiments(folder: Path, batch_size: int) -> dict[str, Pretraining]:
    """Return a tiny experiment of each family."""
    source = TextSource(patterns=(str(folder / "corpus.txt"),), form="documents")
    shared: dict[str, Any] = {
        "batch_size": batch_size,
        "num_steps": 100_000_000,
        "eval_every": 0,
        "save_every": 100_000_000,
    }
    elmo = ElmoConfig(
        char_cnn=CharCnnConfig(
            embedding_dim=4, filters=((1, 4),), num_highways=1, max_characters=12
        ),
        cell_dim=16,
        projection_dim=8,
    )
    bert = BertConfig(
        num_blocks=1, num_heads=1, layer_dim=16, mlp_dim=16, max_positions=128
    )
    return {
        "elmo": BilmPretraining(
            model=elmo,
            data=WordData(
                source=source,
                directory=folder / "words",
                source_directory=folder / "source",
                max_characters=12,
            ),
            num_negatives=64,
            **shared,
        ),
        "bert": MaskedLmPretraining(
            model=bert,
            data=PieceData(
                source=source,
                directory=folder / "pieces",
                source_directory=folder / "source",
                vocab_size=3000,
            ),
            objective=MaskedLmConfig(packed=True),
            **shared,
        ),
    }


def one_device() -> jax.sharding.Mesh:
    """Return a mesh of one device."""
    return data_mesh(jax.devices()[:1])


def epochs_of(experiment: Pretraining) -> tuple[Any, Epochs[Any]]:
    """Return fresh batches of an experiment, and their epochs."""
    batches = set_up(experiment, one_device()).objectives[0].batches
    return batches, batches.epochs


def make_runs(
    experiment: Pretraining, folder: Path, epochs: Sequence[int]
) -> dict[int, Path]:
    """Begin a run, and return copies of it that stand in later epochs."""
    begun = folder / "begun"
    pretrain(experiment, begun, mesh=one_device(), stop=lambda: True)
    _, counted = epochs_of(experiment)
    runs = {}
    for epoch in epochs:
        step = counted.end(epoch - 1) + WITHIN if epoch else WITHIN
        counted.locate(step - 1)
        position = {"step": step, "interval": {}}
        position[EPOCH] = {"phase": 0, **counted.whereabouts(step)}
        runs[epoch] = shutil.copytree(begun, folder / f"epoch-{epoch}")
        _move(experiment, runs[epoch], position)
    return runs


def _move(experiment: Pretraining, run: Path, position: dict[str, Any]) -> None:
    """Replace a run's checkpoint by one of the same state at another position."""
    setup = set_up(experiment, one_device())
    optimizer, _ = make_phased_optimizer(experiment)
    state = init_state(setup.objectives[0], setup.params, optimizer)
    (before,) = saved_steps(run)
    with Checkpoints(run, keep_last=9) as checkpoints:
        state, _ = checkpoints.restore(place_state(state, one_device()))
        checkpoints.save(state, position, None)
        checkpoints.wait()
    shutil.rmtree(run / CHECKPOINTS / str(before))


def planning(experiment: Pretraining, position: dict[str, Any]) -> float:
    """Return the seconds of a processor until a run has its first batch."""
    batches, _ = epochs_of(experiment)
    step = position["step"]
    began = time.process_time()
    resume_epoch(batches, step, 0, position)
    batches[step]
    return time.process_time() - began


def until_first_step(experiment: Pretraining, run: Path) -> float:
    """Return the seconds of a processor until a run has made its first step."""
    began, seconds = time.process_time(), 0.0

    def stop() -> bool:
        nonlocal seconds
        seconds = time.process_time() - began
        return True

    (before,) = saved_steps(run)
    pretrain(experiment, run, mesh=one_device(), stop=stop)
    shutil.rmtree(run / CHECKPOINTS / str(before + 1))
    return seconds


def position_of(run: Path) -> dict[str, Any]:
    """Read the position of a run's checkpoint."""
    (step,) = saved_steps(run)
    item = run / CHECKPOINTS / str(step) / "position/metadata"
    return json.loads(item.read_text(encoding="utf-8"))


def measure(
    experiment: Pretraining, runs: dict[int, Path], repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each epoch: median seconds of a processor."""
    seconds: dict[int, dict[str, list[float]]] = {
        epoch: {"planning": [], "first step": []} for epoch in runs
    }
    # The step is compiled once, and then found.
    until_first_step(experiment, next(iter(runs.values())))
    for _ in range(repeats):
        for epoch, run in runs.items():
            told = position_of(run)
            seconds[epoch]["planning"].append(planning(experiment, told))
            seconds[epoch]["first step"].append(until_first_step(experiment, run))
    for epoch, run in runs.items():
        told = position_of(run)
        counted = planning(experiment, {"step": told["step"]})
        medians = {
            name: statistics.median(all_) for name, all_ in seconds[epoch].items()
        }
        yield {"epoch": epoch, "step": told["step"], **medians, "counted": counted}


def main() -> None:
    """Prepare, measure and print a table for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=5_000_000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 10, 40])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        write_text(folder / "corpus.txt", given.tokens)
        for name, experiment in experiments(folder, given.batch_size).items():
            prepare(experiment.data, print)
            experiment = dataclasses.replace(experiment, seed=1)
            place = folder / name
            place.mkdir()
            runs = make_runs(experiment, place, given.epochs)
            rows = list(measure(experiment, runs, given.repeats))
            print(f"\n{name}, {given.tokens:,} tokens\n")
            print("| epoch | step | planning | first step | counted |")
            print("|---|---|---|---|---|")
            for row in rows:
                print(
                    f"| {row['epoch']} | {row['step']:,} | {row['planning']:.2f} s "
                    f"| {row['first step']:.2f} s | {row['counted']:.2f} s |"
                )
            for column in ("planning", "first step"):
                values = [row[column] for row in rows]
                ratio = max(values) / min(values)
                print(f"{column}: the slowest is {ratio:.2f} of the quickest")


if __name__ == "__main__":
    main()
