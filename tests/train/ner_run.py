# SPDX-License-Identifier: Apache-2.0
"""A run of `train.ner` in this process, and all that can be seen of it.

What the command computes with, and what its trainer gives back, is taken at one place:
where the command calls its trainer.
"""

import contextlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
import pytest

from train import ner
from train.tasks.ner import trained_specs
from train.tasks.ner.tag_batches import TagRows
from train.tasks.ner.tagging import TaggedFeatures, TaggerTraining
from train.tasks.results import Outcome


class Run(NamedTuple):
    """One run of the command.

    Attributes:
      status: that it exited with.
      printed: on standard output.
      error: what it wrote on standard error.
      processes: for each time that it started some, how many.
      num_epochs: that taggers were trained for, all together.
      cache: the folder of the features that its trainer was given.
      vectors: of all words of each split `[words, layers, width]`.
      outcomes: what its trainer gave back, by spec.
    """

    status: int
    printed: str
    error: str
    processes: list[int]
    num_epochs: int
    cache: str
    vectors: dict[str, np.ndarray]
    outcomes: dict[str, Outcome]

    @property
    def trained(self) -> list[str]:
        """The specs that it says it trained."""
        lines = self.error.splitlines()
        return [line.split(":")[0].strip() for line in lines if ": dev " in line]


def run(arguments: Sequence[object], folder: Path, *, learns: bool = True) -> Run:
    """Run the command in a folder; nothing is drawn, and all is one process.

    Args:
      arguments: of the command.
      folder: where it runs.
      learns: whether taggers are trained; without, their steps are not compiled.
    """
    printed, error = io.StringIO(), io.StringIO()
    processes: list[int] = []
    epochs: list[int] = []
    caches: list[str] = []
    vectors: dict[str, np.ndarray] = {}
    outcomes: dict[str, Outcome] = {}

    class Pool(Executor):
        """Does the work at once, where it is."""

        def __init__(self, max_workers: int, **options: Any) -> None:
            processes.append(max_workers)

        def submit(self, function: Any, /, *given: Any, **named: Any) -> Future:
            done: Future = Future()
            done.set_result(function(*given, **named))
            return done

    train_specs, batches = ner.train_specs, TaggerTraining.batches

    def count_epoch(training: TaggerTraining, epoch: int) -> Iterable[TagRows]:
        # An epoch 0 is drawn to count its batches alone.
        if epoch:
            epochs.append(epoch)
        return batches(training, epoch) if learns else ()

    def train(
        config: Any, specs: Any, given: Mapping[str, TaggedFeatures], *rest: Any, **more
    ) -> dict[str, Outcome]:
        for name, (features, _) in given.items():
            caches.append(str(features.path.parent))
            vectors[name] = features.read(range(features.num_layers))
        found = train_specs(config, specs, given, *rest, **more)
        outcomes.update(found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(ner, "train_specs", train)
        patch.setattr(TaggerTraining, "batches", count_epoch)
        patch.setattr(trained_specs, "ProcessPoolExecutor", Pool)
        patch.setattr(
            matplotlib.figure.Figure,
            "savefig",
            lambda figure, file, **options: file.write(b"a picture"),
        )
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(error):
            status = ner.main([str(argument) for argument in arguments])
    said = printed.getvalue(), error.getvalue()
    cache = caches[0] if caches else ""
    return Run(status, *said, processes, len(epochs), cache, vectors, outcomes)


def written_files(folder: Path) -> list[str]:
    """List the files in a folder, but for those that a link leads to."""
    return sorted(
        str(Path(parent, name).relative_to(folder))
        for parent, _, names in os.walk(folder)
        for name in names
    )
