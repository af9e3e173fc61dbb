# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run, written atomically and asynchronously.

A checkpoint is four Orbax items: `params`, which serving reads; `opt_state` and
`carry`, which only training reads; and `position`, the data position and the metrics
not yet logged, as JSON. An evaluated one also has `metrics`, its held-out metrics. A
sixth, `checksums`, has what all of them are held against when they are read.
"""

import copy
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as managers

from embed_jax.files.bucket import in_bucket
from embed_jax.files.leaf_checksum import check_leaves, describe_leaves
from embed_jax.files.restoring import check_fits, why_not_read
from embed_jax.files.run_directory import (
    CHECKPOINTS,
    CHECKSUMS_ITEM,
    EXPERIMENT,
    METRICS_ITEM,
    PARAMS,
    checksum_item,
    read_checksum,
    read_item,
    saved_steps,
)
from embed_jax.hosts.consensus import from_first
from embed_jax.messages import first_line
from embed_jax.tree import map_named, name_leaves
from train.loop.placement import place_whole
from train.loop.said_once import said_once
from train.loop.soundness import no_number
from train.loop.step import TrainState

POSITION = "position"
"""The item with the data position, a JSON object."""

_TREES = (PARAMS, "opt_state", "carry")
_REMEDY = "remove it, and the run goes on from the one before"
# A checkpoint takes this many bytes of disk for each of the state's, at most.
_ROOM = 1.1
_FULL = "No space left on device"
# What earlier versions called an item.
_FORMER_NAMES = {"opt_state": "moments"}


def check_name(run: Path) -> None:
    """Refuse a run's directory in which Orbax could not find what it has written.

    It looks for its parts with patterns that begin with the path as it stands.

    Raises:
      ValueError: the path has a character of patterns; names it.
    """
    if found := next((each for each in str(run.absolute()) if each in "*?["), None):
        raise ValueError(
            f"{run}: checkpoints in a folder with {found!r} in its path could not be "
            "read again; give another --workdir"
        )


class Checkpoints:
    """Saves and restores the states of one run."""

    def __init__(
        self, run: Path, *, keep_last: int, phase_ends: Sequence[int] = ()
    ) -> None:
        """Open a run's directory.

        Args:
          run: the directory of the run; it is made.
          keep_last: number of latest checkpoints to keep, besides the best.
          phase_ends: the last step of each phase, each of which has a best one.

        Raises:
          ValueError: the metrics of a checkpoint are damaged.
        """
        self._quiet = ExitStack()
        self._directory = (run / CHECKPOINTS).absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        # Orbax reads them too, to find the best, and believes what it reads.
        for step in saved_steps(run):
            read_item(self._directory / str(step), METRICS_ITEM)
        policy = managers.AnyPreservationPolicy(
            [
                managers.LatestN(n=max(keep_last, 1)),
                _BestOfEachPhase(phase_ends),
            ]
        )
        self._manager = ocp.CheckpointManager(
            epath.Path(str(self._directory)),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
            ),
            item_names=(
                *_TREES,
                POSITION,
                CHECKSUMS_ITEM,
                *_FORMER_NAMES.values(),
            ),
        )

    def latest(self) -> int | None:
        """Return the step of the latest complete checkpoint, or None."""
        return self._manager.latest_step()

    def last_sound(self, diverged: int) -> int | None:
        """Return the last step whose checkpoint is sound; None if there is none.

        The checkpoint of the state that gave no number is removed, unless its held-out
        loss was one.

        Args:
          diverged: the number of steps after which the state was not sound.
        """
        self.wait()
        step = self.latest()
        if step is None or step < diverged:
            return step
        if self._is_measured(step):
            return step  # Then the fault is of one batch, or of its gradient.
        self._manager.delete(step)
        return self.latest()

    def _is_measured(self, step: int) -> bool:
        metrics = read_item(self._directory / str(step), METRICS_ITEM)
        return metrics is not None and no_number(metrics) is None

    def save(
        self,
        state: TrainState,
        position: Mapping[str, Any],
        metrics: Mapping[str, float] | None,
    ) -> None:
        """Begin to write a checkpoint; return when the state's buffers may be reused.

        Args:
          state: after `position["step"]` steps.
          position: a JSON object.
          metrics: held-out metrics of this step; their "loss" selects the best one of
            its phase.

        Raises:
          OSError: the disk has no room for it, and nothing is written; or the one
            before could not be written.
        """
        step = int(position["step"])
        if self._manager.latest_step() == step:
            return
        self.wait()
        self._check_room(state)
        # Written while training goes on, and changes the sums that it holds.
        objects = {POSITION: copy.deepcopy(dict(position))}
        # Given as an item too: without a `best_fn`, which would warn at every save
        # without metrics, Orbax only remembers them while the process lives.
        # What is no number is left out: it has none in JSON.
        metrics = {
            name: value for name, value in (metrics or {}).items() if isfinite(value)
        }
        if metrics:
            objects[METRICS_ITEM] = metrics
        trees = {name: _stored(getattr(state, name)) for name in _TREES}
        checksums = {
            **{name: describe_leaves(tree) for name, tree in trees.items()},
            **{name: checksum_item(content) for name, content in objects.items()},
        }
        objects[CHECKSUMS_ITEM] = checksums
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    **{
                        name: ocp.args.StandardSave(tree)
                        for name, tree in trees.items()
                    },
                    **{name: ocp.args.JsonSave(held) for name, held in objects.items()},
                ),
                metrics=metrics or None,
            )

    def restore(self, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Return the latest state and its position.

        Args:
          state: has the shapes and shardings to restore.

        Raises:
          ValueError: the checkpoint has other shapes, or is damaged.
          OSError: memory or permission is lacking.
        """
        step = self._manager.latest_step()
        checkpoint = self._directory / str(step)
        parts = {name: _stored(getattr(state, name)) for name in _TREES}
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, parts)
        position = read_item(checkpoint, POSITION)
        if position is None or "step" not in position:
            raise ValueError(f"{checkpoint} lacks {POSITION}; {_REMEDY}")
        items = {name: self._item(step, name) for name in _TREES}
        for name, item in items.items():
            if not (checkpoint / item).is_dir():
                raise ValueError(f"{checkpoint} lacks {item}; {_REMEDY}")
            self._check_fits(checkpoint / item, abstract[name])
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    **{
                        items[name]: ocp.args.StandardRestore(tree)
                        for name, tree in abstract.items()
                    },
                ),
            )
        except Exception as error:
            raise why_not_read(checkpoint, error, _REMEDY) from error
        for name, item in items.items():
            held = read_checksum(checkpoint, name)
            if held is not None:
                try:
                    check_leaves(restored[item], held, str(checkpoint / item))
                except ValueError as error:
                    raise ValueError(f"{error}; {_REMEDY}") from error
        fields = {
            name: _like(getattr(state, name), restored[item])
            for name, item in items.items()
        }
        count = place_whole(
            np.asarray(position["step"], state.step.dtype), state.step.sharding
        )
        return TrainState(step=count, **fields), position

    def wait(self) -> None:
        """Wait until all checkpoints are written.

        Raises:
          OSError: it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Translate what Orbax raises of a checkpoint that could not be written."""
        try:
            yield
        except Exception as error:
            # TensorStore tells of the same file by three names, on one line.
            told = str(error)
            reason = _FULL if _FULL in told else first_line(error)
            kept = self._manager.latest_step()
            raise OSError(
                f"{self._directory}: the last checkpoint could not be written: "
                f"{reason}; the same command goes on from "
                + (f"that of step {kept}" if kept else "the beginning")
            ) from error

    def __enter__(self) -> "Checkpoints":
        """Return the object itself; until the end, failures are said once."""
        self._quiet.enter_context(said_once())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until all checkpoints are written, and close.

        Not after an error with several processes, one of which may be lost.
        """
        try:
            # To close is to wait for all processes, of which one may be gone.
            if error is None:
                with self._writing():
                    self._manager.close()
            elif jax.process_count() == 1:
                # What it raises would hide the error.
                with suppress(Exception):
                    self._manager.close()
        finally:
            self._quiet.__exit__(kind, error, traceback)

    def _item(self, step: int | None, name: str) -> str:
        """Return the name of an item in a checkpoint, which may be a former name."""
        former = _FORMER_NAMES.get(name, name)
        return former if (self._directory / str(step) / former).is_dir() else name

    def _check_fits(self, item: Path, wanted: Mapping[str, Any]) -> None:
        try:
            path = epath.Path(str(item))
            held = dict(ocp.StandardCheckpointHandler().metadata(path).tree)
        except Exception as error:
            raise why_not_read(item, error, _REMEDY) from error
        shapes = [(name, leaf.shape) for name, leaf in wanted.items()]
        check_fits(held, shapes, item, self._directory.parent / EXPERIMENT)

    def _check_room(self, state: TrainState) -> None:
        if in_bucket(self._directory):
            return  # which has room
        needed = _ROOM * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._directory).free
        if from_first(int(free < needed)):
            raise OSError(
                f"{self._directory}: a checkpoint needs {needed / 1e6:,.1f} MB and the "
                f"disk has {free / 1e6:,.1f} MB; make room and start the run again, it "
                "goes on from its last checkpoint"
            )


class _BestOfEachPhase(managers.PreservationPolicy):
    """Preserves the checkpoint with the lowest held-out loss of each phase.

    The losses of two phases are of other rows, and do not compare.
    """

    def __init__(self, phase_ends: Sequence[int]) -> None:
        self._ends = list(phase_ends)

    def should_preserve(
        self,
        checkpoints: Sequence[Any],
        *,
        context: Any,
    ) -> Sequence[bool]:
        """Return for each checkpoint whether it is the best of its phase."""
        del context
        best: dict[int, tuple[float, int]] = {}
        for place, info in enumerate(checkpoints):
            loss = (info.metrics or {}).get("loss")
            # NaN, which earlier versions kept, compares with nothing.
            if loss is not None and isfinite(loss):
                phase = bisect_left(self._ends, info.step)
                before, _ = best.get(phase, (loss, 0))
                if loss <= before:
                    best[phase] = loss, place
        kept = {place for _, place in best.values()}
        return [place in kept for place in range(len(checkpoints))]


def _stored(tree: Any) -> dict[str, Any]:
    """Return the leaves by name, and a single number for an empty tree.

    Orbax cannot store empty trees.
    """
    return name_leaves(tree) or {"empty": np.zeros((), np.float32)}


def _like(tree: Any, named: Mapping[str, Any]) -> Any:
    """Return a tree of the given structure with the named leaves."""
    return map_named(lambda name, _: named[name], tree)
