# SPDX-License-Identifier: Apache-2.0
"""Data sets that TFDS has prepared on this machine; nothing is fetched."""

import shlex
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder


def open_prepared(name: str, data_dir: Path | str | None) -> tfds.core.DatasetBuilder:
    """Open a data set whose examples can be read at random.

    Args:
      name: of the data set, and of its configuration if it has several.
      data_dir: where TFDS keeps its data; by default where it always does.

    Raises:
      ValueError: not prepared here, or not as array_record; says how to.
    """
    where = {} if data_dir is None else {"data_dir": str(data_dir)}
    option = "".join(f" --{key}={shlex.quote(value)}" for key, value in where.items())
    try:
        builder = read_only_builder.builder_from_files(name, **where)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(
            f"{name}: TFDS has prepared no such data set here; run "
            f"tfds build {shlex.quote(name)} --file_format=array_record{option}"
        ) from error
    if builder.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
        raise ValueError(
            f"{builder.data_dir} cannot be read at random; run "
            f"tfds build {shlex.quote(name)} --file_format=array_record "
            f"--overwrite{option}"
        )
    return builder
