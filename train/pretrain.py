# SPDX-License-Identifier: Apache-2.0
"""Pretrains a model of any family.

    python -m train.pretrain elmo_tiny --workdir runs/elmo_tiny
    python -m train.pretrain bert_tiny --workdir runs/bert_tiny --num-steps 2000

Any field of the configuration can be changed on the command line; `--help` after the
name lists them. A run that was stopped or killed goes on when the same command is given
again, or `--workdir RUN` alone, as if nothing had happened. While it runs, `load(RUN)`
gives its latest weights. `--init-from RUN` begins a run from the weights of another,
with its configuration if none is named.

On several hosts the same command is given on each, with RUN and the prepared text where
all see them:

    python -m train.pretrain bert_base --workdir RUN --coordinator HOST0:8476 \
      --num-processes 4 --process-id 0    # on the next host 1, and so on
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import jax
import optax
import tyro
from jax.sharding import Mesh

from embed_jax.checks import check_at_least, check_fields
from embed_jax.commands.starting import STOPPED
from embed_jax.commands.stopping import noting
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.devices.random_keys import same_draws
from embed_jax.exit_status import exit_status
from embed_jax.files.bucket import RUN_PATH, run_path
from embed_jax.files.checked_files import write_checksums
from embed_jax.files.claim import claim_directory, is_claim
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import open_output
from embed_jax.files.run_directory import (
    EXPERIMENT,
    MODEL,
    saved_steps,
    written_experiment,
)
from embed_jax.files.weights_checksum import checksum_weights
from embed_jax.hosts.consensus import all_or_none
from embed_jax.hosts.failure import (
    REMEDY,
    last_words,
    leave,
    noticing_lost_processes,
)
from embed_jax.hosts.processes import Processes, is_first
from train.called import called
from train.config import (
    FIRST_WEIGHTS,
    PREPARED_TEXT,
    Begun,
    Phase,
    Pretraining,
    check_same,
    is_same_place,
    read_begun,
    read_command,
    to_json,
)
from train.data.identity import check_identity, identify
from train.data.loader import load_batches
from train.data.prepared import check_prepared
from train.divergence import DivergedError, lower_rate
from train.families.family import Setup
from train.families.registry import family_of
from train.going_on import experiment_of_run, how_to_train_on
from train.loop.checkpoint import Checkpoints, check_name
from train.loop.compiled import CompiledStep
from train.loop.consistency import check_agreed, check_seen, not_shared
from train.loop.log import RunLog, SilentLog
from train.loop.optimizer import Schedule
from train.loop.phases import check_shared, make_phased_optimizer
from train.loop.placement import place_batch, place_state
from train.loop.preemption import AgreedStop
from train.loop.progress import Progress, is_due, resume_epoch
from train.loop.setup import set_up, write_model
from train.loop.sharding import training_mesh
from train.loop.soundness import check_state, no_number
from train.loop.step import TrainState, init_state, make_step
from train.loop.tracker import Track
from train.new_run import another_name, command_from, options_of
from train.objectives.objective import Objective
from train.own_file import load_file
from train.recorded import as_begun, lengthen

# So long a host may take to see what another one wrote.
_SECONDS_TO_BE_SEEN = 30

_LAST_WORDS = (
    "this process was ended, by jax if another one is gone; the last checkpoint is "
    f"whole: {REMEDY}"
)


def pretrain(
    experiment: Pretraining,
    run: Path,
    *,
    mesh: Mesh | None = None,
    stop: Callable[[], bool] = lambda: False,
    track: Track | None = None,
) -> TrainState:
    """Train until the last step, or until `stop` returns True.

    With several processes, all call it together, with a mesh of all devices.

    Args:
      experiment: the configuration.
      run: the directory of the run, here or in a bucket (gs://…); if it has a
        checkpoint, training resumes from it.
      mesh: the devices; by default all.
      stop: called after every step; True saves and returns. If one of several processes
        is asked to stop, all stop after the next step.
      track: called with a step and its metrics by name, such as {"train/loss": 2.5},
        wherever a line of them is logged; by the first process only. What it raises is
        said, and the run goes on. A run that was killed tells again the steps after its
        last checkpoint.

    Returns:
      The last state.

    Raises:
      ValueError: data, configuration and run do not match; or training has diverged,
        and the message names what is not finite, the last step that is kept, and the
        command that begins again from it.
      BlockingIOError: another command is training this run; names the process.
      OSError: a file cannot be written, or another process is lost; the last checkpoint
        is complete.
    """
    experiment, run = with_local_paths(experiment), run_path(run)
    check_name(run)
    with noticing_lost_processes(), same_draws(), ExitStack() as held:
        with all_or_none():
            # The other processes of this run write nothing.
            if is_first():
                held.enter_context(claim_directory(run))
        return _pretrain(experiment, run, mesh, stop, track)


def _pretrain(
    experiment: Pretraining,
    run: Path,
    mesh: Mesh | None,
    stop: Callable[[], bool],
    track: Track | None,
) -> TrainState:
    mesh = training_mesh() if mesh is None else mesh
    with all_or_none():
        experiment = as_begun(experiment, run)
    phases = experiment.phases()
    for phase in phases:
        check_shared(phase.experiment, mesh, experiment.place_of(phase))
    optimizer, rate = make_phased_optimizer(experiment)
    with all_or_none():
        begun = _check_run(experiment, run)
        setup = _set_up(experiment, run, begun, mesh)
        if setup.lacking and begun is None:
            raise ValueError(setup.lacking)
    check_agreed(experiment, setup.params, mesh)
    with all_or_none():
        if is_first():
            _begin_run(experiment, run, setup)
    with all_or_none():
        _wait_for(run / EXPERIMENT)
    state = init_state(setup.objectives[0], setup.params, optimizer)
    state = place_state(state, mesh)

    with Checkpoints(
        run,
        keep_last=experiment.keep_last,
        phase_ends=[phase.last for phase in phases],
    ) as checkpoints:
        position: dict[str, Any] = {"step": 0, "interval": {}}
        check_seen(run, checkpoints.latest())
        if checkpoints.latest() is not None:
            state, position = checkpoints.restore(state)
        first = int(position["step"])
        log = RunLog(run, first, track) if is_first() else SilentLog()
        progress = Progress(experiment, log, mesh, position["interval"])
        loop = _Loop(optimizer, rate, mesh, checkpoints, log, progress, stop)
        try:
            if first:
                log.say(f"going on from the checkpoint of step {first}")
            if first >= experiment.num_steps:
                log.say(f"it was the last one; {how_to_train_on(experiment, run)}")
            for phase, objective in zip(phases, setup.objectives, strict=True):
                if first < phase.last and not loop.stopped:
                    resume_epoch(objective.batches, first, phase.first, position)
                    state = loop.run(phase, objective, state, max(first, phase.first))
            checkpoints.wait()
        except DivergedError as error:
            remedy = _remedy(experiment, run, error, checkpoints.last_sound(error.step))
            raise ValueError(f"{error}{remedy}") from error
        finally:
            log.close()
    return state


def _remedy(
    experiment: Pretraining, run: Path, error: DivergedError, kept: int | None
) -> str:
    """Return what is kept of a run that has diverged, and what to do next."""
    phases = experiment.phases()
    # The one that made the state: after its last step it is still its own.
    phase = next((each for each in phases if error.step <= each.last), phases[-1])
    rate = lower_rate(phase.schedule or experiment.optimizer)
    lower = {experiment.rate_field(phase): rate}
    command = command_from(run, lower)
    if kept is not None and command is not None:
        return (
            f"; the checkpoint of step {kept} is the last sound one. From its weights, "
            f"a run with a lower learning rate begins by: {command}"
        )
    again = options_of({"workdir": another_name(run), **lower})
    return (
        f", before the first checkpoint that is sound; begin anew with a lower "
        f"learning rate: the same command with {again}"
    )


class _Loop:
    """Runs the steps of a phase."""

    def __init__(
        self,
        optimizer: optax.GradientTransformation,
        rate: Schedule,
        mesh: Mesh,
        checkpoints: Checkpoints,
        log: RunLog,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> None:
        self._optimizer, self._rate, self._mesh = optimizer, rate, mesh
        self._checkpoints, self._log, self._progress = checkpoints, log, progress
        self._stops = AgreedStop(stop, mesh)
        self.stopped = False

    def run(
        self, phase: Phase, objective: Objective, state: TrainState, step: int
    ) -> TrainState:
        """Train from a step to the end of its phase, or until asked to stop."""
        experiment, mesh = phase.experiment, self._mesh
        step_function = CompiledStep(
            make_step(
                objective,
                self._optimizer,
                seed=experiment.seed,
                grad_accum_steps=experiment.grad_accum_steps,
                mesh=mesh,
                sparse_update=experiment.optimizer.sparse_update,
            ),
            state,
        )
        self._progress.begin(objective, phase.first)
        batches = load_batches(
            objective.batches,
            step - phase.first,
            phase.last - phase.first,
            experiment.num_threads,
        )
        for batch in batches:
            known = step_function.num_compiled
            state, means = step_function(state, place_batch(batch, mesh), self._log.say)
            if step_function.num_compiled > known:
                self._progress.pause()
            step += 1
            self._progress.note(step, means, float(self._rate(step - 1)))

            is_last = step == experiment.num_steps
            stopping = self._stops()
            measures = is_due(step, experiment.eval_every) or is_last
            if measures or stopping or is_due(step, experiment.save_every):
                # Only a state that is sound is worth keeping.
                self._progress.settle()
                check_state(state, step)
                metrics: dict[str, float] = {}
                if measures and experiment.eval_every:
                    metrics = objective.measure(state.params)
                    if metrics:  # none where no text is held out
                        self._progress.measured(step, metrics)
                unsound = no_number(metrics)
                if unsound is None:
                    self._log.keep()
                    position = self._progress.position(step)
                    self._checkpoints.save(state, position, metrics)
                else:
                    said = f"held-out {unsound} is {metrics[unsound]} at step {step}"
                    if is_last or stopping:
                        raise DivergedError(said, step)
                    self._log.say(f"{said}, so it is not saved")
                self._progress.pause()
            if stopping and not is_last:
                self._checkpoints.wait()
                self._log.say(f"stopped and saved at step {step}")
                self.stopped = True
                break
        return state


def _check_run(experiment: Pretraining, run: Path) -> Begun | None:
    """Check that a run is of this configuration and text; None if it has not begun."""
    if (run / EXPERIMENT).is_file():
        check_same(experiment, run)
        begun = read_begun(run)
        if begun.prepared is not None and is_first():
            check_prepared(experiment.data, of_run=True)
            check_identity(begun.prepared, experiment.data, run)
        return begun
    if run.exists() and not all(
        entry.name == MODEL
        or entry.name.startswith((f".{MODEL}.", EXPERIMENT))
        or is_claim(entry)
        for entry in run.iterdir()
    ):  # Those alone are what a run leaves that is killed while it begins.
        raise ValueError(f"{run} is no run and not empty; give another directory")
    return None


def _set_up(
    experiment: Pretraining, run: Path, begun: Begun | None, mesh: Mesh
) -> Setup:
    """Open the data and make the first weights, which only a new run needs."""
    knows_text = begun is not None and begun.prepared is not None
    if experiment.init_from is None or begun is None:
        return set_up(experiment, mesh, of_run=knows_text)
    if saved_steps(run) and is_same_place(begun.init_from, str(experiment.init_from)):
        # The model may be gone by now; the weights come from the checkpoint.
        without = dataclasses.replace(experiment, init_from=None)
        return set_up(without, mesh, of_run=knows_text)
    setup = set_up(experiment, mesh, of_run=knows_text)
    held = begun.first_weights
    if held is not None and held != checksum_weights(setup.params):
        raise ValueError(
            f"{experiment.init_from} is another model than {begun.init_from}, from "
            f"which {run} began; give the same one, or another --workdir"
        )
    return setup


def _begin_run(experiment: Pretraining, run: Path, setup: Setup) -> None:
    """Write the files that `load` reads beside the weights, before the first step."""
    run.mkdir(parents=True, exist_ok=True)
    if not (run / EXPERIMENT).is_file():
        family = family_of(experiment)
        served = setup.params if setup.served is None else setup.served
        write_model(family, run / MODEL, served, setup.tokenizer)
        content = to_json(experiment) | {PREPARED_TEXT: identify(experiment.data)}
        if experiment.init_from is not None:
            content[FIRST_WEIGHTS] = checksum_weights(setup.params)
        with open_output(run / EXPERIMENT) as file:
            file.write(written_experiment(content))
        write_checksums(run, [EXPERIMENT])
    else:
        lengthen(experiment, run)


def _wait_for(path: Path) -> None:
    """Wait until this host sees the files that the first process has written."""
    deadline = time.monotonic() + _SECONDS_TO_BE_SEEN
    while not path.is_file():
        if time.monotonic() > deadline:
            raise not_shared(path.parent)
        time.sleep(0.1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command besides the configuration."""

    workdir: Annotated[Path, tyro.conf.arg(metavar="RUN")] = dataclasses.field(
        metadata=RUN_PATH
    )
    """The directory of the run: checkpoints, metrics, curves; it may be in a bucket,
    gs://BUCKET/RUN."""
    processes: Annotated[Processes, tyro.conf.arg(name="")]
    fsdp: int = 1
    """Devices that share one copy of the weights; may change when a run resumes."""
    tracker: Annotated[Path | None, tyro.conf.arg(metavar="FILE.py")] = None
    """A Python file of your own with a function track(step, metrics), which gets every
    point of the curves."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        check_at_least(self, 1, "fsdp")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    name = "train.pretrain"
    prog = called("pretrain")
    to_the_end = ExitStack()

    saved = False

    def action() -> int | None:
        nonlocal saved
        options, experiment = read_command(
            given, prog, Options, __doc__ or "", of_run=experiment_of_run
        )
        options.processes.join()
        if jax.process_count() > 1:
            to_the_end.enter_context(last_words(f"{name}: {_LAST_WORDS}"))
        track = None
        if options.tracker is not None and is_first():
            track = load_file(str(options.tracker), "track").track
        keep_compilations()
        mesh = training_mesh(options.fsdp)
        with noting() as stop:
            if jax.process_count() > 1:
                stop()  # From now on: all stop after the same step, none alone.
            state = pretrain(
                experiment, options.workdir, mesh=mesh, stop=stop, track=track
            )
            was_told = stop() or jax.process_count() > 1
        saved = was_told and int(state.step) < experiment.num_steps
        return STOPPED if saved else None

    with to_the_end:
        status = exit_status(
            name, action, "the same command goes on from the last checkpoint"
        )
    # What all have agreed on is no failure: they end together.
    return status if saved else leave(status)


if __name__ == "__main__":
    sys.exit(main())
