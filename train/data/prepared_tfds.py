# SPDX-License-Identifier: Apache-2.0
"""Opening of TFDS data sets that are prepared on this machine, without downloads."""

import shlex
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from train.data import damage

# The command of TFDS imports it, and the extra `train` has it not.
NEEDED = "; TFDS needs tensorflow for that: pip install tensorflow"


def open_prepared(name: str, data_dir: Path | str | None) -> tfds.core.DatasetBuilder:
    """Open a data set with random access to its examples.

    Args:
      name: of the data set, and of its configuration if it has several.
      data_dir: TFDS's data directory; by default its usual one.

    Raises:
      ValueError: not prepared here, not as array_record, or damaged; names the remedy.
    """
    where = {} if data_dir is None else {"data_dir": str(data_dir)}
    option = "".join(f" --{key}={shlex.quote(value)}" for key, value in where.items())
    with damage.reading(f"the data set {name}, as TFDS prepared it here,"):
        try:
            builder = read_only_builder.builder_from_files(name, **where)
        except tfds.core.DatasetNotFoundError:
            builder = None
        file_format = builder.info.file_format if builder else None
    if builder is None:
        raise ValueError(
            f"{name}: TFDS has prepared no such data set here; run "
            f"tfds build {shlex.quote(name)} --file_format=array_record{option}{NEEDED}"
        )
    if file_format != tfds.core.FileFormat.ARRAY_RECORD:
        raise ValueError(
            f"{builder.data_dir} cannot be read at random; run "
            f"tfds build {shlex.quote(name)} --file_format=array_record "
            f"--overwrite{option}{NEEDED}"
        )
    return builder
