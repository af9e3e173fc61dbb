# SPDX-License-Identifier: Apache-2.0
"""The configuration that a run has recorded in its directory."""

from collections.abc import Iterator
from pathlib import Path

from embed_jax.files.checked_files import CHECKSUMS, write_checksums
from embed_jax.files.output_file import open_output
from embed_jax.files.run_directory import (
    EXPERIMENT,
    read_experiment,
    written_experiment,
)
from train.config import FIRST_WEIGHTS, PREPARED_TEXT, Pretraining, is_longer
from train.families.registry import family_named
from train.former_names import with_current_names
from train.from_plain import from_plain


def recorded(run: Path) -> Pretraining:
    """Return the configuration that a run was begun with.

    Args:
      run: its directory.

    Raises:
      ValueError: its file is damaged, or of a class that a configuration of the user's
        own defines.
    """
    held = read_experiment(run)
    kind, name = held.pop("kind", None), held.get("type")
    for other in (PREPARED_TEXT, FIRST_WEIGHTS):
        held.pop(other, None)
    family_named(str(kind))  # defines its classes
    classes = [
        each
        for each in _derived(Pretraining)
        if each.kind == kind and each.__name__ == name
    ]
    remedy = "give its CONFIG too, before the options"
    if not classes:
        raise ValueError(
            f"{run / EXPERIMENT} has a configuration of the class {name}, which is "
            f"not known here; {remedy}"
        )
    try:
        return from_plain(
            classes[-1], with_current_names(held, classes[-1].former_names)
        )
    except ValueError as error:
        raise ValueError(f"{run / EXPERIMENT}: {error}; {remedy}") from error


def lengthen(experiment: Pretraining, run: Path) -> None:
    """Record that a run has more steps now, if it has.

    Args:
      experiment: the configuration asked for, which `check_same` lets pass.
      run: the directory of the run.
    """
    held = read_experiment(run)
    if is_longer(experiment, held.get("num_steps")):
        held["num_steps"] = experiment.num_steps
        # Between both writes the file has no checksum, and not a wrong one.
        (run / CHECKSUMS).unlink(missing_ok=True)
        with open_output(run / EXPERIMENT) as file:
            file.write(written_experiment(held))
        write_checksums(run, [EXPERIMENT])


def _derived(kind: type[Pretraining]) -> Iterator[type[Pretraining]]:
    for each in kind.__subclasses__():
        yield each
        yield from _derived(each)
