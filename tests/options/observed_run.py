# SPDX-License-Identifier: Apache-2.0
"""What is seen of the pretraining commands, without computing a single step.

The commands run as they are, from their arguments to the files that they write. In
place of a compiled step stands one that notes what it is given; what it would compute
is told by the text of its program.
"""

import contextlib
import functools
import hashlib
import io
import itertools
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
import train.config
import train.families.bert.objective
import train.families.elmo.objective
import train.pretrain
from embed_jax.files.run_directory import EXPERIMENT, MODEL, saved_steps
from tests.train.experiments import write_corpus
from train.config import NoOptions, read_command
from train.data.config import describe, fingerprint
from train.data.prepared import Prepared
from train.data.sources import TextSource
from train.families.bert.batches import MaskedLmBatches
from train.families.bert.data import PieceData
from train.families.elmo.batches import BilmBatches
from train.families.elmo.data import WordData
from train.loop.checkpoint import Checkpoints
from train.loop.compiled import CompiledStep
from train.loop.log import read_metrics
from train.loop.setup import set_up
from train.objectives.objective import Mean
from train.prepare import prepare

_SHORT = """
    --batch-size 8 --num-steps 4 --log-every 1 --eval-every 2 --eval-batches 1
    --save-every 4 --dtype float32
"""
_OF_KINDS = {
    "elmo": """
        --model.char-cnn.embedding-dim 4 --model.char-cnn.filters 1 4 2 4
        --model.char-cnn.max-characters 12 --model.cell-dim 8 --model.projection-dim 4
        --unroll-steps 6 --num-negatives 5 --data.directory text --data.vocab-size 40
        --data.max-characters 12 --data.held-out-every 3
    """,
    "bert": """
        --model.num-blocks 1 --model.num-heads 2 --model.layer-dim 8 --model.mlp-dim 12
        --model.max-positions 32 --objective.length 24 --data.directory text
        --data.vocab-size 90 --data.held-out-every 3
    """,
}
_LONGER = """
    --long-phase.num-steps 2 --long-phase.length 32 --long-phase.batch-size 8
    --long-phase.learning-rate 0.25 --long-phase.warmup-steps 0
"""
# A warm-up is longer than a short run, and Adagrad has none.
_OF_CONFIGS = {"elmo_original": "--optimizer.learning-rate 0.5"}
_OTHERWISE = "--optimizer.learning-rate 0.5 --optimizer.warmup-steps 0"

# Every weight of the model that lies there.
CONSTANT = 0.25
# What an optimiser is tried on.
WEIGHTS = {"kernel": np.float32([2.0, -1.0]), "bias": np.float32([0.5])}
GRADIENTS = (
    {"kernel": np.float32([0.15, -0.2]), "bias": np.float32([0.02])},
    {"kernel": np.float32([0.3, 0.12]), "bias": np.float32([-0.01])},
)


def small(config: str) -> list[str]:
    """Return the arguments that make a configuration small and its run short."""
    kind, _, _ = config.partition("_")
    longer = _LONGER if config in ("bert_large_lamb", "bert_base") else ""
    of_config = _OF_CONFIGS.get(config, _OTHERWISE)
    return f"{_SHORT} {_OF_KINDS[kind]} {longer} {of_config}".split()


class Seen(Mapping[str, Any]):
    """What is seen, by name; each looked at when it is asked for."""

    def __init__(self, error: str = "", **looks: Callable[[], Any]) -> None:
        """Take what the command said where it failed; then nothing else is seen."""
        self._looks = {"error": lambda: error, **looks}
        self._error, self._found = error, dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        assert not self._error or name in ("error", "refused"), self._error
        if name not in self._found:
            self._found[name] = self._looks[name]()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._looks)

    def __len__(self) -> int:
        return len(self._looks)


class Corpora:
    """A small text, prepared for both kinds of model, and a model of each kind."""

    def __init__(self, root: Path) -> None:
        self.root, self._numbers = root, itertools.count()
        text = write_corpus(root / "corpus.txt", 24)
        source = TextSource(patterns=(str(text),), form="documents")
        small: dict[str, Any] = {"vocab_size": 40, "held_out_every": 3}
        small |= {"source": source, "num_workers": 1}
        for data in (
            WordData(directory=root / "elmo", max_characters=12, **small),
            PieceData(directory=root / "bert", **small),
        ):
            prepare(data, lambda line: None)

    def directory_for(self, config: str) -> Path:
        """Make a directory whose text is prepared as a small configuration wants it."""
        held = self.root / "of_configs" / config
        if not held.exists():
            _, experiment = read_command([config, *small(config)], "", NoOptions, "")
            data = experiment.data
            settings = describe(data), fingerprint(data)
            for name in ("text", "other"):
                shutil.copytree(self.root / experiment.kind, held / name)
                Prepared(*settings, "of the test", "made").write(held / name)
            # Another text: what is trained on and what is held out change places.
            parts = [held / "other" / part for part in ("train", "held_out", "last")]
            for part, then in zip(parts, [parts[2], *parts[:2]], strict=True):
                part.rename(then)
            with contextlib.chdir(held):
                save_model(experiment, held / "model")
        directory = self.root / f"run_{next(self._numbers)}"
        directory.mkdir()
        for path in held.iterdir():
            (directory / path.name).symlink_to(path)
        return directory


def save_model(experiment: train.config.Pretraining, path: Path) -> None:
    """Write a model of a configuration's shape whose weights are all the same."""
    package = {"elmo": elmo_jax, "bert": bert_jax}[experiment.kind]
    init = package.init_params

    def filled(key: jax.Array, *arguments: Any, **options: Any) -> Any:
        return constant(drawing(init, *arguments, **options)[1], CONSTANT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "init_params", filled)
        setup = set_up(experiment)
    package.save(path, setup.params, setup.tokenizer)


class Pretraining:
    """Runs `train.pretrain`; each line of arguments once."""

    def __init__(self, corpora: Corpora) -> None:
        self._corpora, self._seen = corpora, dict[tuple[str, ...], Seen]()

    def observe(self, config: str, given: list[str]) -> Seen:
        """Run a configuration with arguments after those that make it small."""
        line = config, *given
        if line not in self._seen:
            self._seen[line] = self._look(config, given)
        return self._seen[line]

    def _look(self, config: str, given: list[str]) -> Seen:
        run = self._run(config, given)
        return Seen(
            run.error,
            refused=lambda: re.findall(r": another ([\w, ]+);", run.error),
            batches=lambda: [digest(batch) for _, _, batch in run.made],
            instances=lambda: max(num_instances(batch) for _, _, batch in run.made),
            weights=lambda: [*run.drawn, digest(run.made[0][1].params)],
            values=lambda: values(run.made[0][1].params),
            step=lambda: [program(*made) for made in run.first_of_phases()],
            update=lambda: updates(run.optimizer),
            rates=lambda: [round(x["learning_rate"], 5) for x in run.lines("train")],
            logged=lambda: [line["step"] for line in run.lines("train")],
            measured=lambda: [line["step"] for line in run.lines("held_out")],
            held_out=lambda: [digest(batch) for batch in run.held_out],
            num_held_out=lambda: len(run.held_out),
            saved=lambda: run.saved,
            mesh=lambda: run.mesh,
            joined=lambda: run.joined,
            directory=lambda: [p.parent.name for p in run.path.glob(f"*/{EXPERIMENT}")],
            model=lambda: run.settings(),
            threads=lambda: self._run(config, given, slow=True).threads,
            kept=lambda: saved_steps(self._run(config, given, kept=True).path / "run"),
        )

    def _run(self, config: str, given: list[str], **how: bool) -> "Run":
        run = Run(self._corpora.directory_for(config))
        line = [config, "--workdir", "run", *small(config), *given]
        run.call(train.pretrain.main, line, **how)
        return run


class Run:
    """One run of `train.pretrain`, and what it was about to compute.

    Attributes:
      path: the directory that it is started in.
      losses: of some steps; 1 of the others.
      status: of the command.
      error: what it said where it failed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status, self.error = 0, ""
        self.losses: dict[int, float] = {}
        self.drawn: list[str] = []
        self.made: list[tuple[Callable, Any, Any]] = []
        self.held_out: list[Any] = []
        self.saved: list[int] = []
        self.joined: list[Any] = []
        self.mesh: dict[str, int] = {}
        self.optimizer: Any = None
        self.threads = 0
        self._inside = 0

    def call(
        self,
        main: Callable[[list[str]], int],
        line: list[str],
        *,
        kept: bool = False,
        slow: bool = False,
    ) -> None:
        """Run the command; with `kept` its checkpoints are written."""
        said = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.path),
            contextlib.redirect_stderr(said),
        ):
            self._watch(patch, kept)
            if not kept:
                self._write_nothing(patch)
            if slow:
                for kind in (BilmBatches, MaskedLmBatches):
                    patch.setattr(kind, "__getitem__", self._slowly(kind.__getitem__))
            status: Any = 0
            try:
                status = main(line)
            except SystemExit as end:
                status = end.code
        self.status = status
        if status:
            self.error = said.getvalue()

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Return the figures that were written."""
        return read_metrics(self.path / "run", kind)

    def settings(self) -> dict[str, str]:
        """Return the configuration of the model that was written."""
        files = (self.path / "run" / MODEL).glob("*.json")
        return {file.name: file.read_text(encoding="utf-8") for file in files}

    def first_of_phases(self) -> list[tuple[Callable, Any, Any]]:
        """Return the first step of each phase, with what it was given."""
        return list(
            {id(step): (step, *of) for step, *of in reversed(self.made)}.values()
        )

    def _watch(self, patch: pytest.MonkeyPatch, kept: bool) -> None:
        """Put what notes in place of what computes."""
        watching, run = train.pretrain, self
        make_step, training_mesh = watching.make_step, watching.training_mesh

        def take(noted: Any, step: Callable, state: Any) -> None:
            noted.step = step

        def note(noted: Any, state: Any, batch: Any, say: Any) -> tuple[Any, Any]:
            run.made.append((noted.step, state, batch))
            if kept:  # every weight tells how many steps were made
                state = state.replace(params=constant(state.params, len(run.made)))
            loss = run.losses.get(len(run.made), 1.0)
            return state, {"loss": Mean(np.float32(loss), np.float32(1))}

        def noted_step(objective: Any, optimizer: Any, **how: Any) -> Callable:
            run.optimizer = optimizer
            return make_step(objective, optimizer, **how)

        def noted_mesh(fsdp: int) -> Any:
            mesh = training_mesh(fsdp, jax.devices()[:2])  # eight take longer
            run.mesh = dict(mesh.shape)
            return mesh

        def joined(*address: Any, **_: Any) -> None:
            run.joined = list(address)

        patch.setattr(CompiledStep, "__init__", take)
        patch.setattr(CompiledStep, "__call__", note)
        patch.setattr(watching, "make_step", noted_step)
        patch.setattr(watching, "training_mesh", noted_mesh)
        patch.setattr("train.loop.progress.peak_flops", lambda devices: None)
        patch.setattr(jax.distributed, "initialize", joined)
        for package in (bert_jax, elmo_jax):
            patch.setattr(package, "init_params", self._shapes(package.init_params))
        for family, shape in (("elmo", (1, 2, 2)), ("bert", (1, 4, 2))):
            measured = f"train.families.{family}.objective.measure_batch"
            patch.setattr(measured, self._measured(shape))

    def _write_nothing(self, patch: pytest.MonkeyPatch) -> None:
        """Note of which steps there would be a checkpoint."""

        def save(_: Any, state: Any, position: Mapping[str, Any], figures: Any) -> None:
            self.saved.append(int(position["step"]))

        for name in ("__init__", "latest", "last_sound", "wait", "__exit__"):
            patch.setattr(Checkpoints, name, lambda *_, **__: None)
        patch.setattr(Checkpoints, "__enter__", lambda itself: itself)
        patch.setattr(Checkpoints, "save", save)

    def _shapes(self, init: Callable) -> Callable:
        """Give zeros in place of drawn weights, which take long to compile."""

        def zeros(key: jax.Array, *arguments: Any, **options: Any) -> Any:
            text, shapes = drawing(init, *arguments, **options)
            self.drawn += [str(jax.random.key_data(key)), text]
            return constant(shapes, 0.0)

        return zeros

    def _measured(self, shape: tuple[int, ...]) -> Callable:
        def measure(objective: Any, params: Any, *of: Any) -> Any:
            self.held_out.append(of[-1])
            ones = np.ones(shape, np.float32)
            return (ones, of[0]) if len(of) > 1 else ones

        return measure

    def _slowly(self, make: Callable) -> Callable:
        """Make a batch slowly enough to see how many are made at a time."""
        lock = threading.Lock()

        def made(batches: Any, number: int) -> Any:
            if threading.current_thread() is threading.main_thread():
                return make(batches, number)  # asks how large a batch is
            with lock:
                self._inside += 1
                self.threads = max(self.threads, self._inside)
            time.sleep(0.05)
            with lock:
                self._inside -= 1
            return make(batches, number)

        return made


@functools.cache
def drawing(init: Callable, *arguments: Any, **options: Any) -> tuple[str, Any]:
    """Return the text of a function that draws weights, and their shapes."""
    made = jax.make_jaxpr(
        lambda key: init(key, *arguments, **options), return_shape=True
    )
    text, shapes = made(jax.random.key(0))
    return plain(str(text)), shapes


def plain(text: str) -> str:
    """Leave out addresses, which are others each time."""
    return re.sub(r"0x[0-9a-f]+", "", text)


def constant(tree: Any, value: float) -> Any:
    """Return arrays, or shapes of arrays, with one number everywhere."""

    def filled(leaf: Any) -> Any:
        array = np.full(leaf.shape, value, leaf.dtype)
        place = getattr(leaf, "sharding", None)
        return jax.device_put(array, place) if place else array

    return jax.tree.map(filled, tree)


def digest(tree: Any) -> str:
    """Return what tells arrays apart, with their shapes."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        found.update(f"{path} {array.shape} {array.dtype}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def program(step: Callable, *arguments: Any) -> str:
    """Return the text of what would be computed."""
    return plain(str(jax.make_jaxpr(step)(*arguments)))


def num_instances(batch: Any) -> int:
    """Return how many texts a row of a batch has at most; a biLM's have one."""
    sequences = getattr(batch.rows, "sequences", None)
    return 1 if sequences is None else int(np.max(sequences))


def values(tree: Any) -> list[float]:
    """Return the distinct numbers of arrays."""
    return sorted({float(x) for leaf in jax.tree.leaves(tree) for x in np.unique(leaf)})


def updates(optimizer: Any) -> list[list[float]]:
    """Return the changes of `WEIGHTS` by each of `GRADIENTS`, the bias last."""
    state = optimizer.init(WEIGHTS)
    found = []
    for gradient in GRADIENTS:
        update, state = optimizer.update(gradient, state, WEIGHTS)
        change = [*np.asarray(update["kernel"]), *np.asarray(update["bias"])]
        found.append([round(float(x), 4) for x in change])
    return found
