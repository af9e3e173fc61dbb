# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning on sentence polarity, by ours and by transformers on torch.

    python -m benchmarks.finetune_polarity --model models/all-MiniLM-L6-v2 \
        --data sentence_polarity.zip --output docs/results

Both begin with the same weights, those of the fresh pooler and classifier included, and
read the same batches in the same order, padded alike. Both have AdamW with the same
constants, the same warm-up and fall, the same clipping and dropout as published; only
the masks of dropout differ. The epoch that is best on dev counts, on test.

The division into 80 % training, 5 % dev and 15 % test is the same for all seeds. What
is printed goes into OUTPUT/finetune-polarity-MODEL.json too.
"""

import dataclasses
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.files.output_file import open_output
from train.config import experiment_named
from train.finetune import make_classifier
from train.tasks.finetune.classification import SHARES, check_labels, read_text_splits
from train.tasks.finetune.classified_rows import EpochBatches, batches_in_order
from train.tasks.finetune.classifier import Classifier, Example
from train.tasks.finetune.finetuning import Finetuning, collate_batch, finetune
from train.tasks.finetune.scoring import score_examples

SPLIT_SEED = 0
OURS, THEIRS = "ours", "transformers"


@dataclasses.dataclass(frozen=True)
class Command:
    """Compare fine-tuning with transformers' on sentence polarity."""

    model: str
    """Directory of a BERT, such as python -m tests.pretrained fetches."""
    data: Path
    """The zip file of sentence polarity."""
    seeds: int = 3
    """Runs of each."""
    epochs: int = 3
    """Of each run."""
    learning_rate: float = 3e-5
    """The highest."""
    batch_size: int = 32
    """Rows of a batch."""
    max_length: int = 128
    """Tokens of a row; a longer text loses its end."""
    train_limit: int | None = None
    """Of the training texts only so many."""
    output: Path | None = None
    """A folder for the record."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One seed of one contender.

    Attributes:
      dev: accuracy of each epoch.
      test: accuracy of the epoch that is best on dev.
      seconds: of each epoch's steps.
    """

    dev: list[float]
    test: float
    seconds: list[float]


def main() -> None:
    """Run all seeds of both and print the comparison."""
    command = tyro.cli(Command, description=__doc__)
    keep_compilations()
    splits = read_text_splits(command.data, seed=SPLIT_SEED)
    splits["train"] = splits["train"][: command.train_limit]
    labels = check_labels(splits)
    runs: dict[str, list[Run]] = {OURS: [], THEIRS: []}
    for seed in range(command.seeds):
        config = dataclasses.replace(
            experiment_named("finetune_polarity", Finetuning),
            recipe="transformers",
            num_epochs=command.epochs,
            learning_rate=command.learning_rate,
            batch_size=command.batch_size,
            max_length=command.max_length,
            seed=seed,
        )
        classifier = make_classifier(config, command.model, labels)
        for name, contender in ((OURS, _run_ours), (THEIRS, _run_theirs)):
            run = contender(config, classifier, splits)
            runs[name].append(run)
            print(
                f"seed {seed}, {name}: dev {_listed(run.dev)}, test {run.test:.2f}, "
                f"seconds an epoch {_listed(run.seconds, '.1f')}",
                flush=True,
            )
    record = _summary(command, {name: len(part) for name, part in splits.items()}, runs)
    if command.output:
        command.output.mkdir(parents=True, exist_ok=True)
        stem = f"finetune-polarity-{Path(command.model).name}"
        with open_output(command.output / f"{stem}.json") as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())


def _run_ours(
    config: Finetuning, classifier: Classifier, splits: dict[str, list[Example]]
) -> Run:
    outcome = finetune(config, classifier, splits, lambda _: None)
    return Run(
        dev=[epoch.metrics["accuracy"] for epoch in outcome.fitted.history],
        test=outcome.scores["test"]["accuracy"],
        seconds=[epoch.seconds for epoch in outcome.fitted.history],
    )


def _run_theirs(
    config: Finetuning, classifier: Classifier, splits: dict[str, list[Example]]
) -> Run:
    # Where anything else runs beside it, torch's threads spin for each other instead of
    # working: ten times as slow on two busy cores. ACTIVE is its default.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    import transformers

    from tests.oracles.finetuning import TorchStepper

    torch.manual_seed(config.seed)
    with tempfile.TemporaryDirectory() as folder:
        # Our fresh weights of pooler and classifier are theirs too.
        classifier.save(Path(folder, "model"), classifier.weights)
        network: Any = transformers.BertForSequenceClassification.from_pretrained(
            Path(folder, "model")
        )
    rows = classifier.rows(splits["train"])
    batches = EpochBatches([row.length for row in rows], config.batch_size, config.seed)
    steps_an_epoch = batches.steps_an_epoch
    step = TorchStepper(config, network, config.num_epochs * steps_an_epoch)
    dev: list[float] = []
    seconds: list[float] = []
    kept: dict[str, Any] = {}
    for epoch in range(config.num_epochs):
        network.train()
        began = time.perf_counter()
        for number in range(epoch * steps_an_epoch, (epoch + 1) * steps_an_epoch):
            chosen = [rows[index] for index in batches[number].tolist()]
            step(*collate_batch(classifier, chosen, config.batch_size))
        seconds.append(time.perf_counter() - began)
        score = _accuracy(classifier, network, splits["dev"])
        if score > max(dev, default=-1.0):
            kept = {name: leaf.clone() for name, leaf in network.state_dict().items()}
        dev.append(score)
    network.load_state_dict(kept)
    return Run(dev, _accuracy(classifier, network, splits["test"]), seconds)


def _accuracy(
    classifier: Classifier, network: Any, examples: Sequence[Example]
) -> float:
    import torch

    from tests.oracles.finetuning import to_tensors

    network.eval()
    rows = classifier.rows(examples)
    found = [[""]] * len(rows)
    for batch in batches_in_order([row.length for row in rows], 32):
        chosen = [rows[index] for index in batch.tolist()]
        tokens, _ = collate_batch(classifier, chosen, len(chosen))
        with torch.no_grad():
            best = network(**to_tensors(tokens)).logits.argmax(-1).tolist()
        for index, label in zip(batch.tolist(), best, strict=True):
            found[index] = [classifier.labels[label]]
    return score_examples(examples, found)["accuracy"]


def _summary(
    command: Command, sizes: dict[str, int], runs: dict[str, list[Run]]
) -> dict[str, Any]:
    """Print means, difference and times; return all there is to keep."""
    means, seconds = {}, {}
    for name, of_name in runs.items():
        scores = [run.test for run in of_name]
        means[name] = statistics.fmean(scores)
        # The first epoch of ours compiles; it counts where there is no other.
        times = [time for run in of_name for time in run.seconds[1:] or run.seconds]
        seconds[name] = statistics.median(times)
        first = statistics.median(run.seconds[0] for run in of_name)
        deviation = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
        print(
            f"{name:14} test {means[name]:.2f} ± {deviation:.2f} ({_listed(scores)}), "
            f"{seconds[name]:.1f} s an epoch, the first {first:.1f} s"
        )
    difference = means[OURS] - means[THEIRS]
    ratio = seconds[THEIRS] / seconds[OURS]
    print(f"difference {difference:+.2f} points; ours is {ratio:.2f} times as fast")
    versions = {name: version(name) for name in ("jax", "torch", "transformers")}
    listed = ", ".join(f"{name} {value}" for name, value in versions.items())
    device = jax.devices()[0].device_kind
    print(f"{listed}; Python {platform.python_version()}, {device}; {sizes}")
    return {
        "command": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(command).items()
        },
        "division": {"seed": SPLIT_SEED, "shares": SHARES, "sizes": sizes},
        "runs": {
            name: [dataclasses.asdict(run) for run in of_name]
            for name, of_name in runs.items()
        },
        "mean_test": means,
        "difference": difference,
        "seconds_an_epoch": seconds,
        "versions": versions,
    }


def _listed(values: Sequence[float], form: str = ".2f") -> str:
    return " ".join(f"{value:{form}}" for value in values)


if __name__ == "__main__":
    main()
