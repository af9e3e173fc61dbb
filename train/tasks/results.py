# SPDX-License-Identifier: Apache-2.0
"""Writing of results as a Markdown table, as JSON, as a plot, and as CSV."""

import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from embed_jax.files.claim import claim
from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.kinds import FileKind, holding, json_with, text_with
from embed_jax.files.output_file import check_output, open_output
from embed_jax.files.outputs import output_file
from embed_jax.files.separated import write_csv

# In a picture, what says that it was drawn here.
PICTURE = {"Software": "contextual-jax"}

NOTHING_FOUND = "nothing found"
"""The fact of a table that says why there is nothing to find."""


class Outcome(NamedTuple):
    """The result of training on frozen vectors, one value a seed.

    Attributes:
      dev: the dev score of the best epoch.
      test: the test score of the best epoch.
      epochs: the best epoch, from 1.
      mixes: for each mix the layers' shares `[seeds, layers]`.
      num_params: number of weights of one seed.
      seconds: time of training.
      predictions: of test, for each seed.
      gammas: for each mix the scale `[seeds]`, if it is learnt.
    """

    dev: tuple[float, ...]
    test: tuple[float, ...]
    epochs: tuple[int, ...]
    mixes: tuple[Float[np.ndarray, "seeds _"], ...]
    num_params: int
    seconds: float
    predictions: Any
    gammas: tuple[Float[np.ndarray, " seeds"], ...] = ()


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
      name: a layer or a `layer_spec`.
      scores: for each metric one value a seed; higher is better.
      note: a remark, such as the learnt weights of a mix.
      deviations: of a metric, where it is not that of the seeds.
    """

    name: str
    scores: Mapping[str, tuple[float, ...]]
    note: str = ""
    deviations: Mapping[str, float] = field(default_factory=dict)

    def deviation(self, metric: str) -> float | None:
        """Return the deviation of a metric, None where nothing tells it."""
        values = self.scores.get(metric, ())
        given = self.deviations.get(metric)
        return statistics.stdev(values) if given is None and len(values) > 1 else given


def write_results(
    directory: Path,
    stem: str,
    *,
    title: str,
    command: str,
    rows: Sequence[Row],
    facts: Mapping[str, Any],
    plot: bool = True,
) -> str:
    """Write `stem`.md, `stem`.json and `stem`.png; return the Markdown table.

    Args:
      directory: made if it is missing; files of the same names are replaced.
      stem: name of the files.
      title: of the table.
      command: the command that reproduces the table.
      rows: of the table, in order; all have the same metrics.
      facts: conditions of the measurement: data, model, versions, times.
      plot: whether to draw a picture.
    """
    directory.mkdir(parents=True, exist_ok=True)
    table = format_table(rows)
    page = f"# {title}\n\n```sh\n{command}\n```\n\n{table}\n"
    page += "".join(f"- {name}: {value}\n" for name, value in facts.items())
    if plot:
        page += f"\n![{title}]({stem}.png)\n"
        _write(directory / f"{stem}.png", _draw(title, rows))
    record = {
        "title": title,
        "command": command,
        "rows": [asdict(row) for row in rows],
        "facts": dict(facts),
    }
    text = json_text(record, indent=1, ensure_ascii=False, default=str)
    _write(directory / f"{stem}.json", f"{text}\n".encode())
    _write(directory / f"{stem}.md", page.encode())
    return table


@contextmanager
def results_output(
    directory: Path, stems: Sequence[str], *, inputs: Sequence[Path | str | None] = ()
) -> Iterator[None]:
    """Check the files of results that a block will write, and claim them.

    Results of an earlier run are replaced, and nothing else.

    Args:
      directory: of the results.
      stems: the `stem` of each `write_results`; the first is what is claimed.
      inputs: what the block reads.

    Raises:
      FileExistsError: a file of such a name is no result; names it.
      BlockingIOError: another process is writing the same results.
      ValueError: a file of such a name is one of the inputs.
    """
    with claim(directory / stems[0]):
        for stem in stems:
            for suffix, kind in _KINDS.items():
                path = directory / f"{stem}{suffix}"
                if path.exists():
                    check_output(path, replace=True, kind=kind, inputs=inputs)
        yield


def _beside_record(path: Path) -> bool:
    """Return whether the record that is written before a file is there."""
    return _is_record(path.with_name(path.name.removesuffix(path.suffix) + ".json"))


_SEED_COLUMNS = ("task", "spec", "seed")
_SEEDS = FileKind("a table of seeds", text_with(",".join([*_SEED_COLUMNS, ""])))

_is_record = json_with("title", "command", "rows", "facts")
_is_titled = text_with("# ")
_is_marked = holding(*PICTURE.values())
_KINDS = {
    ".json": FileKind("the record of a result", _is_record),
    ".md": FileKind(
        "the table of a result", lambda path: _is_titled(path) and _beside_record(path)
    ),
    ".png": FileKind(
        "the picture of a result",
        lambda path: _is_marked(path) or _beside_record(path),
    ),
}


def write_seeds(
    path: Path, tables: Mapping[str, tuple[Sequence[Row], int | None]]
) -> None:
    """Write one line a row and seed between commas, as pandas reads it.

    The columns are task, spec, seed, and each metric; a cell is empty where a task has
    no such metric, or fewer values of it than seeds.

    Args:
      path: the file; it appears when it is complete, in place of an earlier one.
      tables: for each task its rows, and the seed of the first value; None for a task
        without seeds.

    Raises:
      OSError: the disk is full or fails.
    """
    everything = [row for rows, _ in tables.values() for row in rows]
    metrics = list(dict.fromkeys(metric for row in everything for metric in row.scores))

    def lines() -> Iterator[list[object]]:
        for task, (rows, seed) in tables.items():
            for row in rows:
                for place in range(max(map(len, row.scores.values()), default=0)):
                    values = (row.scores.get(metric, ()) for metric in metrics)
                    cells = (each[place : place + 1] for each in values)
                    yield [
                        task,
                        row.name.removeprefix("layer "),
                        "" if seed is None else seed + place,
                        *(cell[0] if cell else "" for cell in cells),
                    ]

    write_csv(path, [*_SEED_COLUMNS, *metrics], lines())


@contextmanager
def seeds_output(
    path: Path | None, inputs: Sequence[Path | str | None] = ()
) -> Iterator[None]:
    """Check a file that a block will write with `write_seeds`, and claim it.

    Args:
      path: the file; None where none is asked for.
      inputs: what the block reads.

    Raises:
      ValueError: its name does not end in .csv, or it is one of the inputs.
      FileExistsError: a file of such a name is no such table.
      BlockingIOError: another process is writing it.
    """
    if path is not None and path.suffix != ".csv":
        raise ValueError(f"--csv {path}: its name must end in .csv")
    with output_file(path, _SEEDS, replace=True, inputs=inputs):
        yield


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a JSON file that `write_results` wrote.

    Raises:
      ValueError: there is none, or it holds no rows.
    """
    record = read_json(path)
    try:
        return [
            Row(
                row["name"],
                {metric: _scores(values) for metric, values in row["scores"].items()},
                row["note"],
                # Records of earlier versions have none.
                row.get("deviations", {}),
            )
            for row in record["rows"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no rows of results ({error!r}); remove it, and run the "
            "command that wrote it again"
        ) from error


def _scores(values: Sequence[float | None]) -> tuple[float, ...]:
    """Return the values of the seeds; JSON has null for one that is no number."""
    return tuple(math.nan if value is None else value for value in values)


def format_table(rows: Sequence[Row]) -> str:
    """Format rows as Markdown; several seeds as mean ± sample deviation.

    Example:
      >>> print(format_table([Row("last", {"dev": (1.0, 3.0), "test": (2.0, 2.0)})]))
      |  | dev | test |
      |---|---|---|
      | last | 2.00 ± 1.41 | 2.00 ± 0.00 |
      <BLANKLINE>
    """
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.scores))
    with_notes = any(row.note for row in rows)
    header = ["", *metrics, *(["note"] if with_notes else [])]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        cells = [
            format_score(row.scores.get(metric, ()), row.deviations.get(metric))
            for metric in metrics
        ]
        lines.append([row.name, *cells, *([row.note] if with_notes else [])])
    text = ["| " + " | ".join(cells) + " |" for cells in lines]
    text[1] = text[1].replace(" ", "")
    return "\n".join(text) + "\n"


def format_score(values: Sequence[float], deviation: float | None = None) -> str:
    """Format the values of the seeds: their mean, and ± their sample deviation.

    Args:
      values: one a seed.
      deviation: to be told instead of theirs.

    Example:
      >>> format_score([90.0, 92.0]), format_score([81.25]), format_score([])
      ('91.00 ± 1.41', '81.25', '-')
    """
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.2f}"
    if deviation is None and len(values) > 1:
        deviation = statistics.stdev(values)
    return mean if deviation is None else f"{mean} ± {deviation:.2f}"


def _draw(title: str, rows: Sequence[Row]) -> bytes:
    """Draw the rows as groups of dots, one colour a metric, with the mean as a bar."""
    from matplotlib.figure import Figure

    metrics = list(dict.fromkeys(metric for row in rows for metric in row.scores))
    figure = Figure(figsize=(7, 0.8 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    labelled: set[str] = set()
    for number, metric in enumerate(metrics):
        offset = (number - (len(metrics) - 1) / 2) * 0.25
        for place, row in enumerate(rows):
            values = list(row.scores.get(metric, ()))
            if not values:
                continue
            color = f"C{number}"
            height = [place + offset] * len(values)
            axes.scatter(values, height, s=9, alpha=0.5, color=color)
            axes.scatter(
                [statistics.fmean(values)],
                [place + offset],
                s=120,
                marker="|",
                linewidths=2.5,
                color=color,
                label=None if metric in labelled else metric,
            )
            labelled.add(metric)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(title)
    axes.legend(loc="best")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata=PICTURE)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with open_output(path) as file:
        file.write(content)
