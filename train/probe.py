# SPDX-License-Identifier: Apache-2.0
"""Probes each layer of a frozen model: parts of speech, word senses, similarity.

    python -m train.probe --model MODEL --output docs/results/NAME

Parts of speech by a linear probe, word senses by the nearest sense vector (Peters et
al. 2018, section 5.3), and sentence similarity by cosine; each for every single layer
and for every `layer_spec` asked for. Each task gets a table, NAME-pos.md, NAME-wsd.md
and NAME-sts.md, and all together the table NAME.md and the picture NAME.png.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import jax

from embed_jax.checks import check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.files.local_path import local_path, with_local_paths
from embed_jax.suggest import suggest
from train.called import called
from train.tasks.probes.layer_curves import draw_layers
from train.tasks.probes.linear_probe import ProbeConfig
from train.tasks.probes.part_of_speech import TAG_SETS, PosTask
from train.tasks.probes.probing import Measured, Subject, Task
from train.tasks.probes.senses_by_layer import WsdTask
from train.tasks.probes.similarity_by_layer import StsTask
from train.tasks.results import (
    NOTHING_FOUND,
    Row,
    results_output,
    seeds_output,
    write_results,
    write_seeds,
)

TASKS = ("pos", "wsd", "sts")
FOLDERS = {
    "pos": "pos_ud_english_ewt",
    "wsd": "wsd_semcor_masc",
    "sts": "sts_benchmark",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Probe every layer of a frozen model."""

    model: str
    """Directory of a model or of a run, or an id on the Hugging Face hub."""
    output: Path
    """FOLDER/NAME of the files to write."""
    tasks: str = ",".join(TASKS)
    """The tasks, separated by commas."""
    layers: tuple[str, ...] = ()
    """Specs besides the single layers; by default mean(last4), concat(last4) and
    mix(blocks), and for a model of fewer than four blocks mean(all) and mix(all)."""
    cache: Path = Path("data/features")
    """The folder that caches the vectors of words."""
    pos_data: Path | None = None
    """A folder of train.tsv, dev.tsv and test.tsv: word, universal and language's tag;
    or of CoNLL-U, as train.conllu or as Universal Dependencies names it. By default
    pos_ud_english_ewt under CONTEXTUAL_DATA, or under ../shared/data."""
    wsd_data: Path | None = None
    """A folder of semcor_wn30.jsonl.gz, masc_noad.jsonl.gz, or both; by default
    wsd_semcor_masc, likewise."""
    sts_data: Path | None = None
    """A folder of sts-dev.csv and sts-test.csv; by default sts_benchmark, likewise."""
    tags: tuple[Literal["upos", "xpos"], ...] = ("upos",)
    """The tag sets to probe."""
    csv: Path | None = None
    """A file for the scores of all tasks too, one line a task, spec and seed, between
    commas."""
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    """The probe of parts of speech. Its seeds set the splits of sense corpora."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        if not self.tags:
            raise ValueError(f"tags must name at least one of {', '.join(TAG_SETS)}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    prog = called("probe")

    def action() -> None:
        command = parse_command(Command, given, prog=prog, description=__doc__)
        keep_compilations()
        measure_layers(command, f"{prog} {shlex.join(given)}")

    return exit_status(
        "train.probe",
        action,
        "tables that are finished and vectors that were computed are kept",
    )


def measure_layers(command: Command, shown: str) -> None:
    """Run the tasks and write their tables.

    Args:
      command: the options.
      shown: the command line, so that it can be repeated.

    Raises:
      ValueError: an invalid model, spec or data file; raised before any computation.
      OSError: a file cannot be read or written.
    """
    command = with_local_paths(command)
    tasks = {name: _make_task(command, name) for name in _names(command.tasks)}
    stem = command.output.name
    stems = [stem, *(f"{stem}-{name}" for name in tasks)]
    inputs = (command.model, command.pos_data, command.wsd_data, command.sts_data)
    with (
        results_output(command.output.parent, stems, inputs=inputs),
        seeds_output(command.csv, inputs),
    ):
        _measure(command, tasks, shown)


def _measure(command: Command, tasks: Mapping[str, Task], shown: str) -> None:
    subject = Subject.load(command.model, command.layers, command.cache)
    directory, stem = command.output.parent, command.output.name
    directory.mkdir(parents=True, exist_ok=True)
    on = f"{jax.devices()[0].device_kind}, jax {jax.__version__}"
    measured: list[Measured] = []
    began = time.monotonic()
    for name, task in tasks.items():
        found = task.measure(subject)
        if why := found.facts.get(NOTHING_FOUND):
            sys.stderr.write(f"{name}: {why}\n")
        # Each at once: what comes later may be stopped.
        table = write_results(
            directory,
            f"{stem}-{name}",
            title=found.title,
            command=shown,
            rows=found.rows,
            facts={**found.facts, "on": on},
            plot=False,
        )
        sys.stdout.write(f"{found.title}\n\n{table}\n")
        measured.append(found)
    title = f"What the layers of {subject.name} are worth"
    draw_layers(directory / f"{stem}.png", title, [found.panel for found in measured])
    table = write_results(
        directory,
        stem,
        title=title,
        command=shown,
        rows=combine_rows(measured),
        facts={
            "tables": ", ".join(f"[{name}]({stem}-{name}.md)" for name in tasks),
            "by layer": f"![{title}]({stem}.png)",
            "seconds": f"{time.monotonic() - began:.0f}",
            "on": on,
        },
        plot=False,
    )
    if command.csv:
        # Of the other tasks nothing is drawn.
        seeds = {name: command.probe.seed if name == "wsd" else None for name in tasks}
        rows = {
            name: (found.rows, seeds[name])
            for name, found in zip(tasks, measured, strict=True)
        }
        write_seeds(command.csv, rows)
    sys.stdout.write(f"{title}\n\n{table}\n{command.output}.md\n")


def combine_rows(measured: Sequence[Measured]) -> list[Row]:
    """Combine the headline metrics of several tasks into rows, the baselines first."""
    scores: dict[str, dict[str, tuple[float, ...]]] = {}
    deviations: dict[str, dict[str, float]] = {}
    for found in measured:
        panel = found.panel
        named = [(row.name, row) for row in (*panel.layers, *panel.specs)]
        if panel.baseline:
            named.insert(0, ("baseline", panel.baseline))
        for name, row in named:
            chosen = {
                metric: row.scores[metric]
                for metric in found.headlines
                if metric in row.scores
            }
            scores.setdefault(name, {}).update(chosen)
            deviations.setdefault(name, {}).update(
                (metric, row.deviations[metric])
                for metric in chosen
                if metric in row.deviations
            )
    notes = [found.panel.baseline.name for found in measured if found.panel.baseline]
    rows = [
        Row(name, of_row, "", deviations[name])
        for name, of_row in scores.items()
        if name != "baseline"
    ]
    if notes:
        told = scores["baseline"], ", ".join(notes), deviations["baseline"]
        rows.insert(0, Row("baseline", *told))
    return rows


def _names(tasks: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in tasks.split(",")))
    for name in names:
        if name not in TASKS:
            raise ValueError(f"no task {name!r}; {suggest(name, TASKS, 'tasks')}")
    return names


def _make_task(command: Command, name: str) -> Task:
    given: Path | None = getattr(command, f"{name}_data")
    root = local_path(os.environ.get("CONTEXTUAL_DATA", "../shared/data"))
    data = given or root / FOLDERS[name]
    if not data.is_dir():
        raise ValueError(
            f"{data}: no such folder; name the data of {name} with --{name}-data, or "
            "the folder of all data with CONTEXTUAL_DATA"
        )
    make: dict[str, Callable[[], Task]] = {
        "pos": lambda: PosTask(data, command.tags, command.probe),
        "wsd": lambda: WsdTask(data, command.probe.num_seeds, command.probe.seed),
        "sts": lambda: StsTask(data),
    }
    return make[name]()


if __name__ == "__main__":
    sys.exit(main())
