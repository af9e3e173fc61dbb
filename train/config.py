# SPDX-License-Identifier: Apache-2.0
"""Experiment configurations and their command line; `configs/` has the instances."""

import dataclasses
import importlib
import json
import pkgutil
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, overload

import tyro

from embed_jax.checks import check_at_least, check_fields, check_seed
from embed_jax.commands.parsing import parse_command
from embed_jax.files.bucket import RUN_PATH
from embed_jax.files.json_file import json_text
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.run_directory import read_experiment
from embed_jax.suggest import suggest
from train.data.config import DataConfig
from train.former_names import with_current_names
from train.from_plain import completed
from train.loop.optimizer import Optimizer
from train.new_run import command_from
from train.own_file import is_file_name, load_file
from train.own_text import OwnText, read_own_text, with_own_text
from train.plain import to_plain

DType = Literal["auto", "float32", "bfloat16"]
Remat = Literal["none", "elementwise", "blocks"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Base class of pretraining configurations; each family of models derives its own.

    Attributes:
      kind: the name of the family.
      batch_size: rows of a batch, over all devices.
      num_steps: steps of the run.
      seed: of weights, order, masks, negatives and dropout.
      grad_accum_steps: parts of a batch, run one after the other to save memory. The
        step is that of the whole batch; only dropout has other coins.
      dtype: of products; auto is bfloat16 on accelerators and float32 on CPU. Weights
        are float32.
      remat: values to recompute in the backward pass, to save memory: none, those
        between the matrix products (BERT only), or whole blocks.
      init_from: a model or a run to take the initial weights from, here or in a bucket.
      log_every: steps between two lines of metrics.
      eval_every: steps between two evaluations on held-out text; 0 for none.
      eval_batches: held-out batches of an evaluation, each of the phase's batch_size;
        None for all.
      save_every: steps between two checkpoints; evaluated steps are saved too.
      keep_last: number of latest checkpoints to keep, besides the best.
      num_threads: threads that make batches ahead.
      data: the prepared text.
      optimizer: the optimiser.
    """

    kind: ClassVar[str]
    former_names: ClassVar[Mapping[str, str]] = {"num_parts": "grad_accum_steps"}
    """Names of fields, here and in what they hold, in runs of earlier versions."""

    batch_size: int = 256
    num_steps: int = 1_000_000
    seed: int = 0
    grad_accum_steps: int = 1
    dtype: DType = "auto"
    remat: Remat = "none"
    init_from: Path | None = dataclasses.field(default=None, metadata=RUN_PATH)
    log_every: int = 10
    eval_every: int = 1000
    eval_batches: int | None = None
    save_every: int = 1000
    keep_last: int = 2
    num_threads: int = 1
    data: DataConfig
    optimizer: Optimizer

    @property
    def may_grow(self) -> bool:
        """Whether a longer run makes the same steps, so that a run can be lengthened.

        Not where the learning rate falls to zero at its end, or a phase ends with it.
        """
        return len(self.phases()) == 1 and not self.optimizer.rate_has_an_end

    def phases(self) -> "list[Phase]":
        """Return the phases of the run; here there is only one."""
        return [Phase(0, self.num_steps, self)]

    def rate_field(self, phase: "Phase") -> str:
        """Return the field with the learning rate of one of the phases."""
        del phase
        return "optimizer.learning_rate"

    def place_of(self, phase: "Phase") -> str:
        """Return what stands before the name of a field of one of the phases."""
        del phase
        return ""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self, large=["seed"])
        check_at_least(
            self, 1, "batch_size", "num_steps", "grad_accum_steps", "log_every"
        )
        check_at_least(self, 1, "save_every", "keep_last", "num_threads")
        check_at_least(self, 0, "eval_every")
        check_at_least(self, 1, "eval_batches")
        check_seed(self)
        if self.batch_size % self.grad_accum_steps:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of "
                f"grad_accum_steps {self.grad_accum_steps}"
            )


class Phase(NamedTuple):
    """A phase of a run: steps with one batch size and row length.

    Attributes:
      first: number of steps before the phase.
      last: number of steps at its end.
      experiment: the configuration as if the whole run were this phase.
      schedule: the optimiser whose learning rate warms up and decays from this phase
        on; None continues the schedule of the previous phase.
    """

    first: int
    last: int
    experiment: "Pretraining"
    schedule: Optimizer | None = None


# What may differ between a run and its continuation without changing its numbers.
FREE_FIELDS = (
    "log_every",
    "eval_every",
    "eval_batches",
    "save_every",
    "keep_last",
    "num_threads",
    "data.num_workers",
    "data.source_directory",
)


# What experiment.json holds besides the configuration, see `Begun`.
PREPARED_TEXT, FIRST_WEIGHTS = "prepared_text", "first_weights"

Kind = TypeVar("Kind")


def config_names(kind: type | tuple[type, ...] = Pretraining) -> list[str]:
    """List the configurations in `configs/` of a class.

    Args:
      kind: the class, or the classes, that their `config()` is annotated to return.
    """
    package = importlib.import_module("configs")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [name for name in names if issubclass(_returned_by(name), kind)]


def _returned_by(name: str) -> type:
    """Return the annotated return type of `config()` in a module of `configs/`."""
    module = importlib.import_module(f"configs.{name}")
    returned = typing.get_type_hints(module.config)["return"]
    assert isinstance(returned, type), f"configs.{name}.config returns one class"
    return returned


@overload
def experiment_named(name: str) -> Pretraining: ...
@overload
def experiment_named(name: str, kind: type[Kind]) -> Kind: ...


def experiment_named(name: str, kind: type = Pretraining) -> Any:
    """Return an experiment of `configs/`, or of a file of the user's own.

    Args:
      name: of its module; or the path of a file with a function `config()`.
      kind: its class.

    Raises:
      ValueError: there is none of that name and kind; names the closest.
    """
    if is_file_name(name):
        found = load_file(name).config()
        if not isinstance(found, kind):
            wanted = _class_names(kind)
            raise ValueError(
                f"{name}: config() returns a {type(found).__name__}, and this command "
                f"takes a {wanted}"
            )
        return found
    names = config_names(kind)
    if name in names:
        return importlib.import_module(f"configs.{name}").config()
    hint = suggest(name, names, "experiments")
    if name in config_names(object):
        raise ValueError(f"configs/{name}.py is for another command; {hint}")
    raise ValueError(f"no experiment {name!r} in configs/; {hint}")


def _class_names(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(each.__name__ for each in kinds)


def _record_of(name: str) -> str:
    """Return the docstring of a configuration's file."""
    if is_file_name(name):
        return load_file(name).__doc__ or ""
    return importlib.import_module(f"configs.{name}").__doc__ or ""


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The options of a command that takes only a configuration."""


Options = TypeVar("Options")
OfRun = Callable[[list[str]], tuple[str, Pretraining]]


@overload
def read_command(
    arguments: list[str],
    prog: str,
    options: type[Options],
    description: str,
    *,
    of_run: OfRun | None = None,
) -> tuple[Options, Pretraining]: ...
@overload
def read_command(
    arguments: list[str],
    prog: str,
    options: type[Options],
    description: str,
    kind: type[Kind],
) -> tuple[Options, Kind]: ...


def read_command(
    arguments: list[str],
    prog: str,
    options: type[Options],
    description: str,
    kind: type = Pretraining,
    *,
    of_run: OfRun | None = None,
) -> tuple[Options, Any]:
    """Parse `CONFIG` and the command's options and changed fields after it.

    Args:
      arguments: such as `elmo_tiny --workdir runs/a --num-steps 9 --model.cell-dim 64`.
      prog: the command, for its help.
      options: a dataclass of the command's own options.
      description: of the command, for its help.
      kind: of the configurations that the command takes.
      of_run: gives name and configuration of a run that is named by the options, where
        no CONFIG stands before them.

    Raises:
      ValueError: there is no such experiment; names the closest. Or a field has a
        value without a meaning; or a path is an address of elsewhere.
      SystemExit: after --help, or for a wrong field or value, with a message.
    """
    names = config_names(kind)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(
            f"usage: {prog} CONFIG [--help] [options]\n\n{description.strip()}\n\n"
            f"CONFIG is one of {', '.join(names)}.\n"
            "Or it is the path of a file of your own with a function config().\n"
            f"{prog} CONFIG --help lists every field that can be changed.\n"
        )
        raise SystemExit(0 if arguments else 2)
    name, *rest = arguments
    if of_run and name.startswith("-"):
        rest = arguments
        name, default = of_run(arguments)
        record = "as it was begun"
    else:
        default = experiment_named(name, kind)
        record = _record_of(name)
    fields: list[Any] = []
    if isinstance(default, Pretraining):
        data = with_own_text(default.data, name, read_own_text(rest))
        default = dataclasses.replace(default, data=data)
        fields = [("own_text", Annotated[OwnText, tyro.conf.arg(name="")])]
    no_prefix = tyro.conf.arg(name="")
    both = dataclasses.make_dataclass(
        "Command",
        [
            ("options", Annotated[options, no_prefix]),
            *fields,
            (
                "experiment",
                Annotated[type(default), no_prefix],
                dataclasses.field(default=default),
            ),
        ],
        frozen=True,
    )
    command = parse_command(
        both,
        rest,
        prog=f"{prog} {name}",
        description=f"{description.strip()}\n\n{name}: {record}",
        config=(tyro.conf.AvoidSubcommands,),
    )
    return with_local_paths(command.options), with_local_paths(command.experiment)


def to_json(experiment: Pretraining) -> dict[str, Any]:
    """Return the content of a run's experiment.json: all fields, nested."""
    return {"kind": experiment.kind, **to_plain(experiment)}


class Begun(NamedTuple):
    """What a run was begun with, beside its configuration.

    Attributes:
      prepared: digests of the prepared text, see `train.data.identity`; None in a run
        of an earlier version.
      init_from: the model that the first weights were taken from, as it was named.
      first_weights: a checksum of the first weights, if they are of another model.
    """

    prepared: Any
    init_from: str | None
    first_weights: str | None


def read_begun(run: Path) -> Begun:
    """Read what a run was begun with.

    Raises:
      ValueError: its experiment.json is damaged.
    """
    held = read_experiment(run)
    return Begun(
        held.get(PREPARED_TEXT), held.get("init_from"), held.get(FIRST_WEIGHTS)
    )


def check_same(experiment: Pretraining, run: Path) -> None:
    """Refuse to resume a run with a configuration that would change its results.

    Names of directories may differ where the run knows their content: the prepared text
    is then held against its digests, and the model to begin from against its weights.
    There may be more steps where they change none of the earlier ones.

    Args:
      experiment: the configuration asked for.
      run: the directory of the run.

    Raises:
      ValueError: names the fields that differ and both values; or the run's file is
        damaged.
    """
    written = read_experiment(run)
    prepared = written.pop(PREPARED_TEXT, None)
    weights = written.pop(FIRST_WEIGHTS, None)
    written = with_current_names(written, experiment.former_names)
    held = _flatten(completed(experiment, written))
    asked = _flatten(json.loads(json_text(to_json(experiment))))
    free: set[str] = set(FREE_FIELDS)
    if prepared is not None:
        free |= {name for name in held.keys() | asked.keys() if _is_text(name)}
    if weights is not None and experiment.init_from is not None:
        free.add("init_from")
    if experiment.may_grow and is_longer(experiment, held.get("num_steps")):
        free.add("num_steps")
    different = [
        name
        for name in sorted(held.keys() | asked.keys())
        if held.get(name) != asked.get(name)
        and name not in free
        and not is_same_place(held.get(name), asked.get(name))
    ]
    if different:
        told = "; ".join(
            f"{name} is {asked.get(name)!r} and was {held.get(name)!r}"
            for name in different
        )
        command = command_from(run, {name: asked.get(name) for name in different})
        raise ValueError(
            f"{run} is a run of another configuration: {told}. Give it the same one, "
            "or another directory"
            + (f"; from its weights a new run begins by: {command}" if command else "")
        )


def is_same_place(one: object, other: object) -> bool:
    """Return whether two names lead to the same place, one of them perhaps from here.

    Example:
      >>> is_same_place("runs/a", str(Path("runs/a").absolute()))
      True
    """
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(is_same_place, one, other))
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    return Path(one).absolute() == Path(other).absolute()


def is_longer(experiment: Pretraining, num_steps: object) -> bool:
    """Return whether a run has more steps than it was recorded with."""
    return isinstance(num_steps, int) and experiment.num_steps > num_steps


def _is_text(name: str) -> bool:
    """Return whether a field says what the text is, so that its digest does too."""
    return name.startswith("data.")


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flatten(value, f"{prefix}.{name}" if prefix else name)
    return flat
