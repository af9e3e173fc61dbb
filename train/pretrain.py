# SPDX-License-Identifier: Apache-2.0
"""Pretrains a model: THE loop, for an ELMo biLM and a BERT encoder alike.

    python -m train.pretrain elmo_tiny --workdir runs/elmo_tiny
    python -m train.pretrain bert_tiny --workdir runs/bert_tiny --num-steps 2000

Any field of the configuration can be changed on the command line; `--help` after the
name lists them. A run that was stopped or killed goes on when the same command is given
again, as if nothing had happened. While it runs, `load(RUN)` gives its latest weights.
"""

import dataclasses
import json
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from jax.sharding import Mesh

from embed_jax.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.mesh import data_mesh
from embed_jax.output_file import open_output
from embed_jax.run_directory import EXPERIMENT, MODEL
from train.checkpoint import Checkpoints
from train.config import Experiment, check_same, read_command, to_json
from train.data.loader import load_batches
from train.hardware import peak_flops
from train.log import Clock, Interval, RunLog, duration
from train.memory import describe_memory
from train.objectives.objective import Batch, Means, Objective
from train.optimizer import make_optimizer
from train.placement import place_batch, place_state
from train.setup import set_up, write_model
from train.step import TrainState, init_state, make_step


def pretrain(
    experiment: Experiment,
    run: Path,
    *,
    mesh: Mesh | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainState:
    """Train until the last step, or until it is told to stop.

    Args:
      experiment: the configuration.
      run: the directory of the run; if it holds a checkpoint, the run goes on from it.
      mesh: the devices; by default all.
      stop: asked after every step; True saves and returns.

    Returns:
      The last state.

    Raises:
      ValueError: data, configuration and run do not belong together; or the loss is no
        longer a number, and the message says where.
      OSError: a file cannot be written; the last checkpoint is whole.
    """
    mesh = data_mesh() if mesh is None else mesh
    if experiment.batch_size % (mesh.size * experiment.num_parts):
        raise ValueError(
            f"batch_size {experiment.batch_size} is not a multiple of {mesh.size} "
            f"devices times num_parts {experiment.num_parts}"
        )
    optimizer, rate = make_optimizer(experiment.optimizer, experiment.num_steps)
    _check_run(experiment, run)
    objective, params, tokenizer = set_up(experiment)
    _begin_run(experiment, run, params, tokenizer)
    state = place_state(init_state(objective, params, optimizer), mesh)
    step_function = _Compiled(
        make_step(
            objective, optimizer, seed=experiment.seed, num_parts=experiment.num_parts
        ),
        state,
    )

    with Checkpoints(run, keep_last=experiment.keep_last) as checkpoints:
        position: dict[str, Any] = {"step": 0, "interval": {}}
        if checkpoints.latest() is not None:
            state, position = checkpoints.restore(state)
        first = int(position["step"])
        log = RunLog(run, first)
        try:
            if first:
                log.say(f"going on from the checkpoint of step {first}")
            progress = _Progress(experiment, objective, log, mesh, position["interval"])
            batches = load_batches(
                objective.batches, first, experiment.num_steps, experiment.num_threads
            )
            step = first
            for batch in batches:
                state, means = step_function(state, place_batch(batch, mesh), log.say)
                step += 1
                progress.note(step, means, float(rate(step - 1)))

                is_last = step == experiment.num_steps
                stopping = stop()
                measures = _is_due(step, experiment.eval_every) or is_last
                if measures or stopping or _is_due(step, experiment.save_every):
                    # Only a state whose loss is a number is worth keeping.
                    progress.settle()
                    figures = None
                    if measures and experiment.eval_every:
                        figures = objective.measure(
                            state.params, partial(place_batch, mesh=mesh)
                        )
                        if figures:  # none where no text is held out
                            progress.measured(step, figures)
                    checkpoints.save(state, progress.position(step), figures)
                    progress.pause()
                if stopping and not is_last:
                    checkpoints.wait()
                    log.say(f"stopped and saved at step {step}")
                    break
            checkpoints.wait()
        except FloatingPointError as error:
            kept = checkpoints.latest()
            raise ValueError(
                f"{error}; the checkpoint of step {kept} is kept. Lower the learning "
                "rate or clip more, and start again from there"
                if kept is not None
                else f"{error}, before the first checkpoint; lower the learning rate"
            ) from error
        finally:
            log.close()
    return state


class _Progress:
    """Reads a step's figures one step late, so that the device never waits."""

    def __init__(
        self,
        experiment: Experiment,
        objective: Objective,
        log: RunLog,
        mesh: Mesh,
        interval: Mapping[str, Sequence[float]],
    ) -> None:
        self._every, self._num_steps = experiment.log_every, experiment.num_steps
        self._objective, self._log = objective, log
        self._peak = peak_flops(list(mesh.devices.flat))
        self._interval, self._clock = Interval(interval), Clock()
        self._pending: tuple[int, Means, float] | None = None

    def note(self, step: int, means: Means, rate: float) -> None:
        self.settle()
        self._pending = step, means, rate

    def settle(self) -> None:
        if self._pending is None:
            return
        step, means, rate = self._pending
        self._pending = None
        means = jax.device_get(means)
        for name, (total, _) in means.items():
            if not np.isfinite(total):
                raise FloatingPointError(f"{name} is {total} at step {step}")
        self._clock.tick()
        self._interval.add(means)
        if _is_due(step, self._every):
            figures = {**self._interval.take(), "learning_rate": rate}
            self._log.write(step, figures, kind="train")
            self._say(step, figures)

    def measured(self, step: int, figures: Mapping[str, float]) -> None:
        self._log.write(step, figures, kind="held_out")
        shown = ", ".join(_shown(name, value) for name, value in figures.items())
        self._log.say(f"step {step}, held out: {shown}")

    def position(self, step: int) -> dict[str, Any]:
        return {"step": step, "interval": self._interval.sums}

    def pause(self) -> None:
        self._clock.pause()

    def _say(self, step: int, figures: Mapping[str, float]) -> None:
        parts = [f"step {step} of {self._num_steps}"]
        parts += [
            _shown(name, value)
            for name, value in figures.items()
            if name not in ("learning_rate", "gradient_norm")
        ]
        seconds = self._clock.seconds_a_step()
        if seconds:
            parts.append(f"{self._objective.tokens_per_batch / seconds:,.0f} tokens/s")
            if self._peak:
                used = self._objective.flops_per_batch / seconds / self._peak
                parts.append(f"{used:.0%} of peak")
            parts.append(f"{duration((self._num_steps - step) * seconds)} left")
        parts.append(f"epoch {step / self._objective.epoch_steps:.2f}")
        self._log.say(" · ".join(parts))


class _Compiled:
    """The step, compiled once for each shape of batch; the state is given up to it."""

    def __init__(self, step: Callable, state: TrainState) -> None:
        leaves, self._tree = jax.tree.flatten(state)
        shardings = [leaf.sharding for leaf in leaves]

        def flat(state: TrainState, batch: Batch) -> tuple[list, Means]:
            # A tree of shardings would be a state that its own annotations refuse.
            state, means = step(state, batch)
            return jax.tree.leaves(state), means

        self._step = jax.jit(flat, donate_argnums=0, out_shardings=(shardings, None))
        self._programs: dict[Any, Callable] = {}

    def __call__(
        self, state: TrainState, batch: Batch, say: Callable[[str], None]
    ) -> tuple[TrainState, Means]:
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(batch))
        if shapes not in self._programs:
            program = self._step.lower(state, batch).compile()
            if not self._programs:
                say(describe_memory(program, state))
            self._programs[shapes] = program
        leaves, means = self._programs[shapes](state, batch)
        return jax.tree.unflatten(self._tree, leaves), means


def _check_run(experiment: Experiment, run: Path) -> None:
    held = run / EXPERIMENT
    if held.is_file():
        check_same(experiment, held)
    elif run.exists() and not all(
        entry.name.startswith((MODEL, EXPERIMENT)) for entry in run.iterdir()
    ):  # Those alone are what a run leaves that is killed while it begins.
        raise ValueError(f"{run} is no run and not empty; give another directory")


def _begin_run(experiment: Experiment, run: Path, params: Any, tokenizer: Any) -> None:
    """Write what `load` reads beside the weights, before the first of them."""
    run.mkdir(parents=True, exist_ok=True)
    if not (run / EXPERIMENT).is_file():
        write_model(run / MODEL, params, tokenizer)
        with open_output(run / EXPERIMENT) as file:
            text = json.dumps(to_json(experiment), indent=2) + "\n"
            file.write(text.encode("utf-8"))


def _is_due(step: int, every: int) -> bool:
    return bool(every) and step % every == 0


def _shown(name: str, value: float) -> str:
    label = name.replace("_", " ")
    if name.endswith("accuracy"):
        return f"{label} {value:.1%}"
    if float(value).is_integer() and abs(value) >= 1000:
        return f"{label} {value:,.0f}"
    return f"{label} {value:.4g}" if math.isfinite(value) else f"{label} -"


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGTERM or Ctrl-C has come."""
    received: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        del frame
        if received:
            raise KeyboardInterrupt  # a second one does not wait for the save
        received.append(signum)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the command takes besides the configuration."""

    workdir: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """The directory of the run: checkpoints, figures, curves."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    prog = "python -m train.pretrain"

    def action() -> None:
        options, experiment = read_command(given, prog, Options, __doc__ or "")
        keep_compilations()
        with stop_signal() as stop:
            pretrain(experiment, options.workdir, stop=stop)

    return exit_status(
        "train.pretrain", action, "the same command goes on from the last checkpoint"
    )


if __name__ == "__main__":
    sys.exit(main())
