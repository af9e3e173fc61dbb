# SPDX-License-Identifier: Apache-2.0
"""A run's states on disk, written while it goes on, each whole or not there at all.

A checkpoint is four Orbax items: `params`, which serving reads; `moments` and `carry`,
which only training reads; and `position`, the data position and what was not yet
logged, as JSON. A measured one has `metrics` besides, its held-out figures.
"""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from embed_jax.files.run_directory import CHECKPOINTS, FIGURES, PARAMS
from embed_jax.hosts.consensus import from_first
from embed_jax.messages import first_line
from embed_jax.tree import map_named, name_leaves
from train.loop.placement import place_whole
from train.loop.step import TrainState

# A checkpoint takes this many bytes of disk for each of the state's, at most.
_ROOM = 1.1


class Checkpoints:
    """Saves and restores the states of one run."""

    def __init__(self, run: Path, *, keep_last: int) -> None:
        """Open a run's directory.

        Args:
          run: the directory of the run; it is made.
          keep_last: how many of the latest checkpoints are kept, besides the best.
        """
        self._directory = (run / CHECKPOINTS).absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        policy = managers.AnyPreservationPolicy(
            [
                managers.LatestN(n=max(keep_last, 1)),
                managers.BestN(
                    get_metric_fn=_goodness,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
            ),
            item_names=(PARAMS, "moments", "carry", "position"),
        )

    def latest(self) -> int | None:
        """Return the step of the latest whole checkpoint."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        position: Mapping[str, Any],
        figures: Mapping[str, float] | None,
    ) -> None:
        """Begin to write a checkpoint; returns when the state may change.

        Args:
          state: after `position["step"]` steps.
          position: what JSON can hold.
          figures: held-out figures of this step, whose "loss" decides which is best.

        Raises:
          OSError: the disk has no room for it; nothing is written.
        """
        step = int(position["step"])
        if self._manager.latest_step() == step:
            return
        self.wait()
        self._check_room(state)
        # Given as an item too: without a `best_fn`, which would warn at every save
        # without figures, Orbax only remembers them while the process lives.
        measured = {} if not figures else {FIGURES: ocp.args.JsonSave(dict(figures))}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(_stored(state.params)),
                moments=ocp.args.StandardSave(_stored(state.moments)),
                carry=ocp.args.StandardSave(_stored(state.carry)),
                position=ocp.args.JsonSave(dict(position)),
                **measured,
            ),
            metrics=dict(figures) if figures else None,
        )

    def restore(self, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Return the latest state, with the shapes and shardings of the one given.

        Raises:
          ValueError: the checkpoint is of another shape, or damaged.
        """
        step = self._manager.latest_step()
        parts = {
            name: _stored(getattr(state, name))
            for name in ("params", "moments", "carry")
        }
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, parts)
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    **{
                        name: ocp.args.StandardRestore(tree)
                        for name, tree in abstract.items()
                    },
                    position=ocp.args.JsonRestore(),
                ),
            )
        except Exception as error:
            raise ValueError(
                f"{self._directory / str(step)} cannot be read: {first_line(error)}; "
                "if it is damaged, remove it, and the run goes on from the one before"
            ) from error
        position = dict(restored["position"])
        fields = {
            name: _like(getattr(state, name), restored[name])
            for name in ("params", "moments", "carry")
        }
        count = place_whole(
            np.asarray(position["step"], state.step.dtype), state.step.sharding
        )
        return TrainState(step=count, **fields), position

    def wait(self) -> None:
        """Wait until what is being written is there.

        Raises:
          OSError: it could not be written.
        """
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            raise OSError(
                f"{self._directory}: the last checkpoint could not be written: "
                f"{error}; the one before it is whole"
            ) from error

    def __enter__(self) -> "Checkpoints":
        """Return this."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, after what is being written is there."""
        del kind, traceback
        # To close is to wait for all processes, of which one may be gone.
        if error is None or jax.process_count() == 1:
            self._manager.close()

    def _check_room(self, state: TrainState) -> None:
        needed = _ROOM * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._directory).free
        if from_first(int(free < needed)):
            raise OSError(
                f"{self._directory}: a checkpoint needs {needed / 1e6:.0f} MB and the "
                f"disk has {free / 1e6:.0f} MB; make room and start the run again, it "
                "goes on from its last checkpoint"
            )


def _goodness(figures: Mapping[str, float]) -> float:
    """Rank held-out figures: the least loss is best, what is no number the worst.

    Nothing is above or below NaN, so that it could be taken for the best.
    """
    return -figures["loss"] if math.isfinite(figures["loss"]) else -math.inf


def _stored(tree: Any) -> dict[str, Any]:
    """Return the leaves by name, and one number for an empty tree.

    Orbax stores no empty ones.
    """
    return name_leaves(tree) or {"empty": np.zeros((), np.float32)}


def _like(tree: Any, named: Mapping[str, Any]) -> Any:
    """Put named leaves into the places that they have in a tree."""
    return map_named(lambda name, _: named[name], tree)
