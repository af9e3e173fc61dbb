# SPDX-License-Identifier: Apache-2.0
"""Lookup of the family of models of an experiment, a run or a model.

A family is `FAMILY` of the package `train.families.KIND`, or an installed package
registers it under the entry point "train.families" with its kind as the name. The kind
is in an experiment's class and in a run's experiment.json, and is the name of the
encoder that serves the trained model.
"""

import importlib
import importlib.metadata
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import train.families
from embed_jax.files.bucket import run_path
from embed_jax.files.run_directory import is_run, kind_of
from embed_jax.suggest import suggest

# Importing this is light, for the processes that prepare text.
if TYPE_CHECKING:
    from train.config import Pretraining
    from train.families.family import Family

GROUP = "train.families"


def known_kinds() -> list[str]:
    """List the kinds of model that can be trained here, in alphabetical order."""
    registered = importlib.metadata.entry_points(group=GROUP)
    ours = pkgutil.iter_modules(train.families.__path__)
    return sorted(
        {entry_point.name for entry_point in registered}
        | {module.name for module in ours if module.ispkg}
    )


def family_named(kind: str) -> "Family[Any]":
    """Return the family of a kind.

    Raises:
      ValueError: there is none; names the known ones.
    """
    for entry_point in importlib.metadata.entry_points(group=GROUP, name=kind):
        return entry_point.load()
    package = f"{GROUP}.{kind}"
    try:
        return importlib.import_module(package).FAMILY
    except (ModuleNotFoundError, AttributeError) as error:
        # What else is missing, or wrong in a family that is there, is said as it is.
        if error.name != "FAMILY" and not f"{package}.".startswith(f"{error.name}."):
            raise
        known = suggest(kind, known_kinds(), "families")
        raise ValueError(f"no family of models is called {kind!r}; {known}") from None


def family_of(experiment: "Pretraining") -> "Family[Any]":
    """Return the family of an experiment."""
    return family_named(experiment.kind)


def family_of_run(run: Path) -> "Family[Any]":
    """Return the family in a run's experiment.json.

    Raises:
      ValueError: the file is damaged, or there is no such family.
    """
    return family_named(kind_of(run))


def family_of_model(path: str) -> "Family[Any]":
    """Return the family of a run, or of a model in its published form.

    Args:
      path: a directory, or a hub id.

    Raises:
      ValueError: no encoder knows the model, or no family trains it.
    """
    from embed_jax.encoder import find_encoder

    local = run_path(path)
    if is_run(local):
        return family_of_run(local)
    return family_named(find_encoder(path).name)


def all_families() -> "list[Family[Any]]":
    """Return every known family."""
    return [family_named(kind) for kind in known_kinds()]
