# SPDX-License-Identifier: Apache-2.0
"""Errors of TFDS and of array_record, in one line that names the file."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader

from embed_jax.messages import one_line

_MOST = 200


@contextlib.contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Translate whatever the libraries raise while they read a data set.

    Args:
      path: the file, or the directory, for the message.

    Raises:
      ValueError: it is damaged.
      OSError: the system refused to read, or there is too little memory.
    """
    try:
        yield
    except MemoryError as error:
        raise OSError(
            errno.ENOMEM, f"{path} wants more memory than there is"
        ) from error
    except Exception as error:  # each of several libraries raises its own kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(
            f"{path} is damaged ({one_line(error):.{_MOST}}); remove the data set's "
            "directory and prepare it again"
        ) from error


def check_counts(builder: tfds.core.DatasetBuilder, split: str) -> None:
    """Check that the shards of a split hold as many examples as its description says.

    Raises:
      ValueError: one is missing, damaged, or holds another number; names it.
    """
    with reading(builder.data_dir):
        instructions = builder.info.splits[split].file_instructions
    for part in instructions:
        file = Path(part.filename)
        if not file.is_file():
            raise ValueError(f"{file} is missing; prepare the data set again")
        with reading(file):
            reader = ArrayRecordReader(str(file))
            try:
                present = reader.num_records()
            finally:
                reader.close()
        if present != part.examples_in_shard:
            raise ValueError(
                f"{file} holds {present} examples where dataset_info.json beside it "
                f"says {part.examples_in_shard}; prepare the data set again"
            )


def file_of(builder: tfds.core.DatasetBuilder, split: str, number: int) -> str:
    """Return the shard in which an example of a split lies."""
    for part in builder.info.splits[split].file_instructions:
        if number < part.take:
            return str(part.filename)
        number -= part.take
    return str(builder.data_dir)
