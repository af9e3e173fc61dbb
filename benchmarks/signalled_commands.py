# SPDX-License-Identifier: Apache-2.0
"""The commands that `benchmarks.signals` disturbs, each as a process of its own."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import small_commands
from benchmarks.small_commands import Outcome
from embed_jax.files.run_directory import saved_steps
from tests.train.experiments import KINDS
from train.loop.log import read_metrics

ROOT = Path(__file__).parents[1]

# Steps that take some seconds, saved only by who is stopped.
_CONFIG = """
from pathlib import Path
from tests.train.experiments import make_experiment

def config():
    return make_experiment(
        {kind!r}, Path({folder!r}), num_steps=240, save_every=1000, eval_every=60
    )
"""

Line = Callable[[Path, Path], list[str]]
"""The words after `python`, given the folder of the inputs and the one to write to."""


def _nothing(out: Path) -> Outcome:
    del out
    return {}


def _nothing_left(out: Path, said: str, once: bool) -> tuple[bool, list[str]]:
    """Judge a stopped command that keeps nothing."""
    left = sorted(path.name for path in out.iterdir())
    # Who is told twice does not clean up; what it leaves has no name of an output.
    half_made = [name for name in left if not name.endswith((".new", ".claim"))]
    if left and (once or half_made) and "stopped at once" not in said:
        return False, [f"it leaves {', '.join(left)}"]
    return False, []


def _anything(out: Path, said: str, once: bool) -> tuple[bool, list[str]]:
    """Judge a stopped command whose leavings are looked at when it has gone on."""
    del out, said, once
    return False, []


def _run_is_saved(out: Path, said: str, once: bool) -> tuple[bool, list[str]]:
    """Judge a stopped pretraining: the last of its steps is saved."""
    run = out / "run"
    lines = read_metrics(run, "train") if run.exists() else []
    steps = [line["step"] for line in lines]
    if not steps or not once:
        return False, []
    told = re.search(r"stopped and saved at step (\d+)", said)
    if told is None:
        # A signal that comes in the first step, or after the last one, interrupts.
        return False, [] if len(steps) < 2 or steps[-1] == 240 else ["nothing is saved"]
    saved = saved_steps(run)
    if saved[-1:] != [int(told[1])]:
        return False, [f"said to be saved at step {told[1]}, it is at {saved}"]
    return True, []


@dataclasses.dataclass(frozen=True)
class Signalled:
    """A command.

    Attributes:
      name: for the table.
      line: makes its command line.
      outcome: what it wrote into a folder.
      saved: given the folder, what it said, and whether it was told once: whether it
        had something to save and has, and what is wrong.
      goes_on: whether it goes on after a stop.
      resume: what to add to the line for that.
      stdin: what it reads, in the folder of the inputs.
      without_stdout: its status where there is none.
      is_long: whether it is never waited for until its end.
      is_brief: whether there is little in it to be disturbed.
      most_seconds: from which the moments of a long one are drawn.
    """

    name: str
    line: Line
    outcome: Callable[[Path], Outcome] = _nothing
    saved: Callable[[Path, str, bool], tuple[bool, list[str]]] = _nothing_left
    goes_on: bool = False
    resume: tuple[str, ...] = ()
    stdin: str | None = None
    without_stdout: int = 0
    is_long: bool = False
    is_brief: bool = False
    most_seconds: float = 600.0


def environment() -> dict[str, str]:
    """Return the environment of a command."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "",  # As for users.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


def make_inputs(inputs: Path) -> None:
    """Write what the commands read, in a process of its own."""
    code = (
        "import sys; from pathlib import Path; "
        "from benchmarks.signalled_commands import write_inputs; "
        "write_inputs(Path(sys.argv[1]))"
    )
    line = [sys.executable, "-c", code, str(inputs)]
    subprocess.run(line, env=environment(), check=True, capture_output=True)


def write_inputs(inputs: Path) -> None:
    """Write models, texts, prepared data, a store, and an artefact."""
    from embed_jax import __main__ as embed
    from embed_jax.export import __main__ as export

    small_commands.make_inputs(inputs)
    for kind in KINDS:
        content = _CONFIG.format(kind=kind, folder=str(inputs))
        (inputs / f"{kind}.py").write_text(content, encoding="utf-8")
    names = [str(inputs / name) for name in ("bert", "lines.txt", "vectors.h5")]
    export_line = [str(inputs / "bert"), str(inputs / "artefact")]
    statuses = embed.main(names), export.main(export_line)
    assert statuses == (0, 0), statuses


def _module(module: str, *given: str | Path) -> Line:
    """Return the line of a module; `IN/` and `OUT/` stand for the two folders."""

    def line(inputs: Path, out: Path) -> list[str]:
        words = [str(word) for word in given]
        words = [word.replace("IN/", f"{inputs}/") for word in words]
        return ["-m", module, *(word.replace("OUT/", f"{out}/") for word in words)]

    return line


def _artefact(inputs: Path, out: Path) -> list[str]:
    del out
    return [str(inputs / "artefact/serve.py")]


def _written(name: str) -> Callable[[Path], Outcome]:
    """Return how to read what a command writes, by its name in `small_commands`."""
    (small,) = (each for each in small_commands.COMMANDS if each.name == name)
    return small.outcome


_HELPS = (
    *("embed_jax", "embed_jax.nearest", "embed_jax.contexts", "embed_jax.word_types"),
    *("embed_jax.export", "embed_jax.quickstart", "elmo_jax.score"),
    *(f"train.{name}" for name in ("prepare", "pretrain", "evaluate", "export")),
    *(f"train.{name}" for name in ("finetune", "ner", "probe", "plan", "quickstart")),
)

COMMANDS = (
    *(
        Signalled(
            f"pretrain, {kind}",
            _module("train.pretrain", f"IN/{kind}.py", "--workdir", "OUT/run"),
            _written(f"pretrain, {kind}"),
            _run_is_saved,
            goes_on=True,
        )
        for kind in KINDS
    ),
    *(
        Signalled(
            f"prepare, {kind}",
            _module(
                *("train.prepare", f"IN/{kind}.py", "--data.directory", "OUT/data"),
                *("--data.source-directory", "OUT/source", "--data.num-workers", "2"),
            ),
            _written(f"prepare, {kind}"),
            _anything,
            goes_on=True,
        )
        for kind in KINDS
    ),
    *(
        Signalled(
            f"embed, {kind}",
            _module(
                *("embed_jax", f"IN/{kind}", "IN/lines.txt", "OUT/vectors.h5"),
                *("--token-budget", "512"),
            ),
            _written(f"embed, {kind}"),
            _anything,
            goes_on=True,
            resume=("--resume",),
        )
        for kind in KINDS
    ),
    Signalled(
        "word_types",
        _module(
            *("embed_jax.word_types", "IN/bert", "IN/lines.txt", "OUT/types.h5"),
            *("--word2vec", "OUT/types.txt"),
        ),
        _written("word_types"),
    ),
    Signalled(
        "contexts",
        _module(
            *("embed_jax.contexts", "IN/bert", "IN/lines.txt", "--word", "river"),
            *("--output", "OUT/page.html", "--max-contexts", "40"),
        ),
        _written("contexts"),
    ),
    Signalled("nearest", _module("embed_jax.nearest", "IN/vectors.h5", "river")),
    Signalled(
        "export",
        _module("embed_jax.export", "IN/bert", "OUT/artefact"),
        _written("export"),
    ),
    Signalled(
        "serve",
        _artefact,
        stdin="lines.txt",
        without_stdout=2,
    ),
    Signalled(
        "score",
        _module("elmo_jax.score", "IN/scorer", "IN/lines.txt", "OUT/scores.tsv"),
        _written("score"),
    ),
    Signalled(
        "evaluate", _module("train.evaluate", "IN/run_bert", "--data", "IN/pieces")
    ),
    Signalled(
        "train.export",
        _module("train.export", "IN/run_bert", "OUT/model"),
        _written("train.export"),
    ),
    Signalled(
        "finetune",
        _module(
            *("train.finetune", "finetune_polarity", "--model", "IN/bert"),
            *("--data", "IN/texts", "--output", "OUT/tuned", "--num-epochs", "2"),
            *("--max-length", "32"),
        ),
        _written("finetune"),
    ),
    Signalled(
        "ner",
        _module(
            *("train.ner", "ner_small", "--model=IN/bert", "--data=IN/tagged"),
            *("--output=OUT/", "--cache=OUT/cache", "--jobs=2", "--cell-dim=4"),
            *("--num-epochs=2", "--num-seeds=2", "--layers", "0", "mix(all)"),
        ),
        _written("probe"),
        _anything,
        goes_on=True,
    ),
    Signalled(
        "probe",
        _module(
            *("train.probe", "--model", "IN/bert", "--output", "OUT/probe"),
            *("--tasks", "sts", "--sts-data", "IN/pairs"),
        ),
        _written("probe"),
        _anything,
    ),
    Signalled(
        "quickstart",
        _module(
            *("embed_jax.quickstart", "--model", "IN/bert", "--directory", "OUT/q"),
        ),
        saved=_anything,
        is_long=True,
        most_seconds=20,
    ),
    Signalled(
        "train.quickstart",
        _module("train.quickstart", "--directory", "OUT/q", "--steps", "2"),
        saved=_anything,
        is_long=True,
        most_seconds=40,
    ),
    *(
        Signalled(f"{module} --help", _module(module, "--help"), is_brief=True)
        for module in _HELPS
    ),
)
