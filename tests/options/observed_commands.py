# SPDX-License-Identifier: Apache-2.0
"""What is seen of the commands around pretraining: before it, after it, instead of it.

They run as they are but for what takes long, which is noted and not done.
"""

import contextlib
import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
import train.evaluate
import train.export
import train.families.bert.objective
import train.families.elmo.objective
import train.plan
import train.planning.abstract
import train.pretrain
import train.quickstart
from tests.options.observed_run import (
    Corpora,
    Run,
    Seen,
    digest,
    plain,
    small,
    values,
)
from train.data import builders
from train.data.prepared import PREPARED
from train.loop.compiled import CompiledStep
from train.planning.abstract import Abstract
from train.planning.hardware import Chip
from train.prepare import main as prepare_main

PACKAGES = {"elmo": elmo_jax, "bert": bert_jax}
CHIP = Chip(flops=1e12, memory=1e9, bandwidth=1e10, interconnect=1e9)

PROGRAM = """ENTRY %main () -> f32[] {
  %p = f32[3125000]{0} parameter(0)
  ROOT %c = f32[6250000]{0} add(%p, %p)
}
"""

# Documents of which some words occur once, with capitals and stops that join words.
DOCUMENTS = (
    "The cat sees the river.\nThe cat likes bread.",
    "A dog finds the house.\nThe dog runs to the river, again.",
    "No walrus sees money.\nThe walrus likes the river.",
    "Every child sees the cat.\nA child likes the dog.",
    "The old bank has money.\nThe river has a bank.",
    "My sister likes the bank.\nThe sister sees the old dog.",
)
# What makes the text of a configuration that small.
_TEXT = "--data.directory made --data.held-out-every 3 --data.num-workers 1"
_OF_KINDS = {
    "elmo": "--data.vocab-size 30 --data.max-characters 12",
    "bert": "--data.vocab-size 60",
}
_OF_SOURCES = {
    "elmo_novels": "--data.source.patterns *.text --data.source.form documents",
    "bert_novels": "--data.source.patterns *.text --data.source.form documents",
    "elmo_original": "--data.source.name text --data.source.data-dir sets",
    "bert_large_lamb": "--data.source.name text --data.source.data-dir sets",
    "elmo_tiny": "--data.source.packages one",
    "elmo_small": "--text text.text --form documents",
}


@contextlib.contextmanager
def in_directory(path: Path) -> Iterator[tuple[pytest.MonkeyPatch, Callable]]:
    """Give what patches, and what runs a command there and returns what it said."""

    def call(main: Callable[[list[str]], int], line: list[str]) -> tuple[str, str]:
        said, error = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(error),
            contextlib.suppress(SystemExit),
        ):
            main(line)
        return said.getvalue(), error.getvalue()

    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(path):
        yield patch, call


class Directories:
    """Directories of their own, and what was seen in each."""

    def __init__(self, root: Path) -> None:
        self.root, self._numbers = root, itertools.count()
        self._seen: dict[tuple[str, ...], Seen] = {}

    def new(self) -> Path:
        """Make one in which the text lies."""
        path = self.root / f"run_{next(self._numbers)}"
        path.mkdir()
        return path

    def once(self, line: tuple[str, ...], look: Callable[[], Seen]) -> Seen:
        """Look, or return what was seen for the same arguments."""
        if line not in self._seen:
            self._seen[line] = look()
        return self._seen[line]


class Preparing(Directories):
    """Runs `train.prepare` on six documents."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        for name, documents in (("text", DOCUMENTS), ("other", DOCUMENTS[:4])):
            (root / f"{name}.text").write_text("\n\n".join(documents) + "\n")
            path = root / "sets" / name / "1.0.0"
            builders.build(path, list(documents), "for the tests")
        lines = (json.dumps({"text": d, "body": d.lower()}) for d in DOCUMENTS)
        (root / "records.jsonl").write_text("\n".join(lines))
        builders.build(root / "more" / "text" / "1.0.0", ["No more."], "for the tests")
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "bread"]
        (root / "pieces").mkdir()
        (root / "pieces" / "vocab.txt").write_text("\n".join(pieces) + "\n")
        words = ["<S>", "</S>", "<UNK>", "the", "river"]
        (root / "words.txt").write_text("\n".join(words) + "\n")
        for package, sentence in (("one", "cat"), ("two", "walrus")):
            (root / "site" / package).mkdir(parents=True)
            text = (
                f'"""The {sentence} of this package has a docstring, a long one."""\n'
            )
            (root / "site" / package / "module.py").write_text(text)
        (root / "stdlib").mkdir()
        (root / "stdlib" / "first.py").write_text(
            '"""This is a sentence that is long enough to be kept."""\n'
        )

    def observe(self, config: str, given: list[str]) -> Seen:
        """Run a configuration with arguments after those that make it small."""
        return self.once((config, *given), lambda: self._look(config, given))

    def _look(self, config: str, given: list[str]) -> Seen:
        path = self.new()
        files = "text.text", "other.text", "records.jsonl", "words.txt"
        for entry in (*files, "sets", "more", "pieces"):
            (path / entry).symlink_to(self.root / entry)

        def executor(number: int, *_: Any, **__: Any) -> Any:
            raise ValueError(f"asked for {number} processes")

        kind, _, _ = config.partition("_")
        base = f"{_TEXT} {_OF_KINDS[kind]} {_OF_SOURCES[config]}".split()
        with in_directory(path) as (patch, call):
            patch.setattr("concurrent.futures.ProcessPoolExecutor", executor)
            stdlib = str(self.root / "stdlib")
            patch.setattr("sysconfig.get_path", lambda name: stdlib)
            patch.setattr(sys, "path", [*sys.path, str(self.root / "site")])
            _, error = call(prepare_main, [config, *base, *given])

        def files() -> dict[str, bytes]:
            return {
                str(file.relative_to(path / "made")): file.read_bytes()
                for file in sorted((path / "made").rglob("*"))
                if file.is_file() and file.name != PREPARED
                if "source" not in file.parts
            }

        def train_words() -> int:
            return len(files()["train/types.txt"].split())

        return Seen(
            error,
            files=files,
            directory=lambda: [file.parent.name for file in path.glob(f"*/{PREPARED}")],
            sets=lambda: {
                file.relative_to(path).parts[0]
                for file in path.rglob("dataset_info.json")
            },
            vocabulary=lambda: (path / "made" / "vocab.txt").read_text().split(),
            num_words=lambda: len(files()["vocab.txt"].splitlines()),
            types=train_words,
            width=lambda: np.load(path / "made/train/characters.npy").shape[1],
        )


class Planning(Directories):
    """Runs `train.plan` for a slice that is not there."""

    def observe(self, config: str, given: list[str]) -> Seen:
        """Run a configuration with arguments after those that make it small."""
        return self.once((config, *given), lambda: self._look(config, given))

    def _look(self, config: str, given: list[str]) -> Seen:
        path, asked, steps, shapes, specs = self.new(), [], [], [], []
        program = SimpleNamespace(
            memory_analysis=lambda: SimpleNamespace(
                output_size_in_bytes=0,
                alias_size_in_bytes=0,
                temp_size_in_bytes=0,
                # A batch of 16 fits, and one of 32 does not.
                argument_size_in_bytes=0 if len(shapes) < 2 else 2_000_000_000,
            ),
            cost_analysis=lambda: {"flops": 1e9, "bytes accessed": 1e9},
            as_text=lambda: PROGRAM,
        )

        def devices(name: str) -> list[Any]:
            asked.append(name)
            return jax.devices()[:2]

        def make_step(objective: Any, optimizer: Any, **how: Any) -> Callable:
            steps.append(plain(f"{objective} {how}"))
            return lambda state, batch: (state, {})

        def compile(noted: Any, state: Any, batch: Any) -> Any:
            leaves = jax.tree.leaves((state, batch))
            shapes.append([(leaf.shape, leaf.dtype) for leaf in leaves])
            return program

        def embedding(experiment: Any, mesh: Any, dtype: Any, spec: str) -> Abstract:
            specs.append(spec)
            shapes.append([])
            return Abstract(lambda: program, {}, lambda: 0, 1.0, 1)

        with in_directory(path) as (patch, call):
            patch.setattr("train.plan.topology_devices", devices)
            patch.setattr("train.plan.chip_of", lambda kind: CHIP)
            patch.setattr("train.plan.abstract_embedding", embedding)
            patch.setattr("train.planning.abstract.make_step", make_step)
            patch.setattr("train.planning.abstract.kept_bytes_of", lambda *_: 0)
            patch.setattr(CompiledStep, "__init__", lambda *_: None)
            patch.setattr(CompiledStep, "compile", compile)
            keys = "phase", "config", "for", "topology", "chips", "fits"
            earlier = json.dumps([dict.fromkeys(keys)])
            path.with_name("taken.json").write_text(earlier, encoding="utf-8")
            line = [config, "--topology", "v5e:4x4", *small(config), *given]
            text, error = call(train.plan.main, line)
        return Seen(
            error,
            text=lambda: text,
            topology=lambda: asked,
            step=lambda: steps,
            shapes=lambda: shapes,
            num_plans=lambda: len(shapes),
            layers=lambda: specs,
            files=lambda: [file.name for file in path.iterdir()],
        )


class Trained:
    """A run of each kind, every weight of a checkpoint the number of its step."""

    def __init__(self, root: Path) -> None:
        self._corpora = Corpora(root)
        self._paths: dict[str, Path] = {}
        self._numbers = itertools.count()

    def path(self, kind: str) -> Path:
        """Return where `run` lies, with checkpoints of steps 1 and 2, and `model`."""
        if kind not in self._paths:
            config = f"{kind}_tiny"
            run = Run(self._corpora.directory_for(config))
            line = [config, "--workdir", "run", *small(config), "--eval-every", "0"]
            line += ["--num-steps", "2", "--save-every", "1"]
            if kind == "bert":
                line += ["--objective.pairs", "nsp"]
            run.call(train.pretrain.main, line, kept=True)
            assert not run.error
            with in_directory(run.path) as (_, call):
                call(train.export.main, ["run", "exported"])
            self._paths[kind] = run.path
        return self._paths[kind]

    def observe_evaluate(self, kind: str, model: str, given: list[str]) -> Seen:
        """Run `train.evaluate` on a run or on a model."""
        measured: list[Any] = []
        objectives = {
            "elmo": train.families.elmo.objective,
            "bert": train.families.bert.objective,
        }
        module = objectives[kind]
        measure = module.measure_batch

        def note(objective: Any, params: Any, *of: Any) -> Any:
            measured.append((objective, params, of))
            return (np.ones((1, 2, 2)), of[0]) if len(of) > 1 else np.ones((1, 4, 2))

        with in_directory(self.path(kind)) as (patch, call):
            patch.setattr(module, "measure_batch", note)
            line = [model, "--data", "text", *given]
            _, said = call(train.evaluate.main, line)
        # The bar of progress is no error.
        error = "".join(part for part in re.split(r"[\r\n]", said) if "%|" not in part)

        def program() -> str:
            objective, params, of = measured[0]
            forward = jax.make_jaxpr(lambda *of: measure(objective, *of))
            return plain(str(forward(params, *of)))

        def rows() -> tuple[int, ...]:
            return measured[0][2][-1].rows[0].shape

        return Seen(
            error,
            batches=lambda: [digest(of[-1]) for _, _, of in measured],
            num_batches=lambda: len(measured),
            num_rows=lambda: rows()[0],
            length=lambda: rows()[-1],
            program=program,
            values=lambda: values(measured[0][1]),
        )

    def observe_export(self, kind: str, given: list[str]) -> Seen:
        """Run `train.export` twice, the second time where a model lies already."""
        with in_directory(self.path(kind)) as (_, call):
            path = Path(f"exported_{next(self._numbers)}").absolute()
            line = ["run", str(path), *given]
            call(train.export.main, line)
            _, again = call(train.export.main, line)
        return Seen(
            values=lambda: values(PACKAGES[kind].load(path)[0].encoder),
            again=lambda: again.replace(str(path), "MODEL"),
        )


class Quickstart(Directories):
    """Runs `train.quickstart` without anything that takes long."""

    def observe(self, given: list[str]) -> Seen:
        """Run it with arguments in a directory of its own."""
        path = self.new()
        experiments, runs, models = [], [], []

        def pretrain(experiment: Any, run: Path, **_: Any) -> None:
            experiments.append(experiment)
            runs.append(str(run))

        def export(run: Path, model: Path) -> None:
            models.append(str(model))

        with in_directory(path) as (patch, call):
            patch.setattr("train.quickstart.prepare", lambda *_: None)
            patch.setattr("train.quickstart.pretrain", pretrain)
            patch.setattr("train.quickstart.export", export)
            patch.setattr("train.quickstart._look", lambda *_: [])
            patch.setattr("train.quickstart.draw_contexts", lambda *_: None)
            said, _ = call(train.quickstart.main, given)
        return Seen(
            said=lambda: said,
            runs=lambda: runs,
            models=lambda: models,
            texts=lambda: [str(each.data.directory) for each in experiments],
            steps=lambda: [each.num_steps for each in experiments],
            warmups=lambda: [each.optimizer.warmup_steps for each in experiments],
        )
