# SPDX-License-Identifier: Apache-2.0
"""The configuration that a run has recorded in its directory."""

import dataclasses
import logging
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
from train.from_plain import as_recorded, from_plain

logger = logging.getLogger(__name__)


def recorded(
    run: Path,
    *,
    otherwise: type[Pretraining] | None = None,
    remedy: str = "give its CONFIG too, before the options",
) -> Pretraining:
    """Return the configuration that a run was begun with.

    Args:
      run: its directory.
      otherwise: what to read a configuration of an unknown class as, such as one that a
        file of the user's own derived: then fields that this class lacks are left out.
      remedy: what to do where the configuration cannot be read, for the message.

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
    if not classes and otherwise is not None:
        logger.warning(
            "%s has a configuration of the class %s, which is not known here; it is "
            "read as a %s",
            run / EXPERIMENT,
            name,
            otherwise.__name__,
        )
        classes = [otherwise]
        known = {field.name for field in dataclasses.fields(otherwise)}
        held = with_current_names(held, otherwise.former_names)
        held = {name: value for name, value in held.items() if name in known}
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


def as_begun(experiment: Pretraining, run: Path) -> Pretraining:
    """Return a configuration as a run of an earlier version means it.

    A field that its record lacks, and that nobody gave, has the value that the run was
    made with, so that it goes on as it was begun.

    Args:
      experiment: the configuration asked for.
      run: the directory of the run, which need not be there yet.

    Raises:
      ValueError: the run's file is damaged.
    """
    if not (run / EXPERIMENT).is_file():
        return experiment
    held = with_current_names(read_experiment(run), experiment.former_names)
    return as_recorded(experiment, held)


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
