# SPDX-License-Identifier: Apache-2.0
"""Setup of a run from its configuration: objectives, initial weights, tokeniser."""

import filecmp
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from embed_jax.files.bucket import in_bucket, put_file
from embed_jax.files.checked_files import CHECKSUMS, write_checksums
from embed_jax.files.directory import written_whole
from train.config import Pretraining
from train.data.prepared import check_prepared
from train.families.family import Family, Setup
from train.families.registry import family_of
from train.objectives.objective import Params

CONFIG = "config.json"


def set_up(
    experiment: Pretraining, mesh: Mesh | None = None, *, of_run: bool = False
) -> Setup:
    """Open the data, and initialise or load the weights.

    Args:
      experiment: the configuration.
      mesh: the devices of all hosts; None for one device.
      of_run: see `check_prepared`.

    Raises:
      ValueError: the data is not prepared, or the weights do not fit.
    """
    check_prepared(experiment.data, of_run=of_run)
    dtype = compute_dtype(experiment.dtype)
    return family_of(experiment).set_up(experiment, dtype, mesh)


def compute_dtype(name: str) -> jnp.dtype:
    """Return the dtype of products: "auto" is bfloat16 on accelerators."""
    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def write_model(
    family: Family[Any], directory: Path, params: Params, tokenizer: Any
) -> None:
    """Write a model's configuration and tokeniser, in the published form.

    The directory is written atomically; one with the same content is kept. In a bucket
    each file is, and files that are there are kept if they are the same.

    Raises:
      FileExistsError: the directory exists with other content.
    """
    if in_bucket(directory):
        _write_to_bucket(family, directory, params, tokenizer)
        return
    if directory.is_dir() and any(directory.iterdir()):
        with tempfile.TemporaryDirectory() as temporary:
            family.write_model(Path(temporary), params, tokenizer)
            is_same = _hold_the_same(Path(temporary), directory)
        if not is_same:
            raise _another(directory)
        return
    with written_whole(directory, marker=CONFIG, overwrite=directory.is_dir()) as fresh:
        family.write_model(fresh, params, tokenizer)
        write_checksums(fresh)


def _write_to_bucket(
    family: Family[Any], directory: Path, params: Params, tokenizer: Any
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        family.write_model(Path(temporary), params, tokenizer)
        write_checksums(Path(temporary))
        fresh = {path.name: path for path in Path(temporary).iterdir()}
        # A run that is killed while it begins leaves some of them.
        held = list(directory.iterdir()) if directory.is_dir() else []
        for path in held:
            same = fresh.get(path.name)
            if same is None or path.read_bytes() != same.read_bytes():
                raise _another(directory)
        for name in fresh.keys() - {path.name for path in held}:
            put_file(fresh[name], directory / name)


def _another(directory: Path) -> FileExistsError:
    return FileExistsError(
        f"{directory} is there already, and is not what this run would write; move it, "
        "or give another directory"
    )


def _hold_the_same(one: Path, other: Path) -> bool:
    names = sorted(entry.name for entry in one.iterdir())
    # Checksums are of the other files, and an earlier version wrote none.
    held = [entry.name for entry in other.iterdir() if entry.name != CHECKSUMS]
    if names != sorted(held):
        return False
    _, *different = filecmp.cmpfiles(one, other, names, shallow=False)
    return not any(different)
