# SPDX-License-Identifier: Apache-2.0
"""Writing of local text as a TFDS data set, so that all sources are read the same way.

The format is that of TFDS: its features serialise the examples, its metadata describe
them, and `tfds.builder_from_directory` reads them. But the files are written here, one
example at a time: TFDS's own generators keep all examples in memory, and beyond a
gigabyte they need TensorFlow to sort them.
"""

import itertools
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from embed_jax.files.directory import written_whole
from embed_jax.files.json_file import read_json

FEATURE, SPLIT = "text", "train"

_MARKER = "dataset_info.json"
_REMOVED = ".removed"
# The name of a data set, as a glob.
_DIGEST = "[0-9a-f]" * 16
_NAME, _VERSION = "text", "1.0.0"
SHARD_BYTES = 1 << 26
# An example can be read without the ones around it.
_OPTIONS = "group_size:1"


def is_built(path: Path) -> bool:
    """Return whether `path` holds a data set."""
    return (path / _MARKER).is_file()


def description_of(path: Path) -> str | None:
    """Return the `description` that `build` was given; None if it wrote no data set."""
    try:
        return read_json(path / _MARKER).get("description")
    except (OSError, ValueError):
        return None


def remove(path: Path) -> None:
    """Remove a data set; a kill meanwhile leaves nothing that looks like one."""
    removed = path.rename(path.with_name(path.name + _REMOVED))
    shutil.rmtree(removed)


def remove_left(directory: Path) -> None:
    """Remove what killed calls of `remove` have left, and nothing else's."""
    for path in directory.glob(f"{_DIGEST}{_REMOVED}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def build(path: Path, documents: Iterable[str], description: str) -> None:
    """Write documents as a data set, atomically.

    Args:
      path: its directory.
      documents: one for each example, in this order.
      description: of the data set.
    """
    features = tfds.features.FeaturesDict({FEATURE: tfds.features.Text()})
    with written_whole(path, marker=_MARKER, overwrite=True) as fresh:
        # Lone surrogates, which UTF-8 lacks, are left out.
        records = (
            features.serialize_example({FEATURE: text.encode("utf-8", "ignore")})
            for text in documents
        )
        lengths, num_bytes = _write_shards(fresh, records)
        template = tfds.core.ShardedFileTemplate(
            data_dir=epath.Path(fresh),
            dataset_name=_NAME,
            split=SPLIT,
            filetype_suffix="array_record",
            template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        )
        for index in range(len(lengths)):
            name = template.sharded_filepath(shard_index=index, num_shards=len(lengths))
            (fresh / str(index)).rename(os.fspath(name))
        tfds.folder_dataset.write_metadata(
            data_dir=fresh,
            features=features,
            split_infos=[
                tfds.core.SplitInfo(
                    name=SPLIT,
                    shard_lengths=lengths,
                    num_bytes=num_bytes,
                    filename_template=template,
                )
            ],
            version=_VERSION,
            filename_template=template,
            check_data=False,
            description=description,
        )


def _write_shards(directory: Path, records: Iterable[bytes]) -> tuple[list[int], int]:
    """Write files 0, 1, …; return the number of records of each, and all bytes."""
    lengths: list[int] = []
    total = 0
    remaining = iter(records)
    for first in remaining:
        writer = ArrayRecordWriter(str(directory / str(len(lengths))), _OPTIONS)
        length = size = 0
        for record in itertools.chain([first], remaining):
            writer.write(record)
            length, size = length + 1, size + len(record)
            if size >= SHARD_BYTES:
                break
        writer.close()
        lengths.append(length)
        total += size
    return lengths, total
