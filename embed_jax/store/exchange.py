# SPDX-License-Identifier: Apache-2.0
"""Vectors in the files of other programs: Parquet, or an array of NumPy.

    vectors.parquet        a row a word: sentence, word, text, vector
                           or a row a sentence: sentence, text, vector
    vectors.npy            [words, D], or [sentences, D]
    vectors.npy.csv        of words: the sentence, word and text of each row
    vectors.npy.json       how the vectors were made, the metadata of a store

Sentences and words are counted from 0. A sentence without words, as a blank line is,
has no row among those of words. Either is made of a store, beside it, that can be
stopped and resumed; the file itself appears when it is complete, the last of its kind.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.kinds import FileKind, head_of, json_with, text_with
from embed_jax.files.output_file import check_output, open_output
from embed_jax.files.separated import separated
from embed_jax.store.partial import parts_of
from embed_jax.store.reader import VectorStore

SUFFIXES = (".parquet", ".npy")
DTYPES = ("float32", "float16")

_KEY = b"embed_jax.vectors"
_COLUMNS = ("sentence", "word", "text")
# What Parquet says of itself stands at its end.
_TAIL_BYTES = 1 << 16


def is_exchanged(output: Path) -> bool:
    """Return whether an output is a file of another program's, by its name."""
    return output.suffix in SUFFIXES


def store_for(output: Path) -> Path:
    """Return the store that an output is made of: itself, or one beside it."""
    if not is_exchanged(output):
        return output
    # No name that somebody gives a store to keep, for it is removed at the end.
    return output.with_name(f"{output.name}.unfinished.h5")


def check_exchange(output: Path, dtype: str, *, replace: bool) -> None:
    """Check that an output can be written, before anything is computed.

    Args:
      output: of a name of `SUFFIXES`.
      dtype: of the vectors.
      replace: whether an output of the same kind may be replaced.

    Raises:
      ValueError: the dtype is none of other programs, or pyarrow is missing.
      FileExistsError: something is there that may not be replaced.
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"--dtype {dtype}: {output.suffix} has no such numbers; "
            f"{' or '.join(DTYPES)}, or write .h5"
        )
    if output.suffix == ".parquet":
        _import_pyarrow(output)
        check_output(output, replace=replace, kind=_PARQUET)
    else:
        for path, kind in _kinds(output).items():
            check_output(path, replace=replace, kind=kind)


def metadata_of(output: Path) -> dict[str, Any] | None:
    """Return how the vectors of a complete output were made; None if it is not there.

    Raises:
      ValueError: it is damaged, or not of `write_exchange`.
    """
    if not output.exists():
        return None
    if output.suffix == ".npy":
        return read_json(_json_of(output)).get("metadata", {})
    _, parquet = _import_pyarrow(output)
    try:
        held = parquet.read_schema(output).metadata or {}
        return json.loads(held[_KEY])["metadata"]
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{output} is no Parquet file of vectors that was written here, or damaged "
            f"({error}); --overwrite writes it anew"
        ) from error


def write_exchange(store: Path, output: Path) -> int:
    """Write the vectors of a finished store into another program's file.

    Args:
      store: the path of the store.
      output: of a name of `SUFFIXES`; what is there is replaced.

    Returns:
      The number of rows.

    Raises:
      ValueError: the store is damaged.
      OSError: the disk is full or fails; nothing is at `output` then that was not.
    """
    with VectorStore(store) as opened:
        write = _write_parquet if output.suffix == ".parquet" else _write_npy
        write(opened, output)
        return int(opened.offsets[-1])


def remove_store(store: Path) -> None:
    """Remove a store whose vectors stand in another file now."""
    store.unlink()
    with suppress(FileNotFoundError):
        shutil.rmtree(parts_of(store))


def _import_pyarrow(output: Path) -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{output} is written with pyarrow, which is missing: pip install pyarrow; "
            "or write .npy or .h5"
        ) from error
    return pa, parquet


def _description(store: VectorStore) -> dict[str, Any]:
    return {
        "vectors": "of words" if _is_of_words(store) else "of sentences",
        "shape": [int(store.offsets[-1]), store.dim],
        "dtype": store.dtype.name,
        "metadata": store.metadata,
    }


def _is_of_words(store: VectorStore) -> bool:
    return store.metadata.get("level") != "sentences"


def _blocks(
    store: VectorStore,
) -> Iterator[tuple[np.ndarray, np.ndarray, list[str], np.ndarray]]:
    """Yield the sentence, the word, the text and the vector of consecutive rows."""
    for block in store.blocks():
        bounds = store.offsets[block.start : block.stop + 1]
        counts = np.diff(bounds)
        sentences = np.repeat(np.arange(block.start, block.stop), counts)
        rows = np.arange(bounds[0], bounds[-1])
        words = rows - np.repeat(bounds[:-1], counts)
        texts = [text for words in store.words(block) for text in words]
        yield sentences, words, texts, store.read_rows(int(bounds[0]), int(bounds[-1]))


def _write_parquet(store: VectorStore, output: Path) -> None:
    pa, parquet = _import_pyarrow(output)
    kind = pa.float16() if store.dtype == np.float16 else pa.float32()
    of_words = _is_of_words(store)
    fields = [("sentence", pa.int64()), ("word", pa.int32()), ("text", pa.string())]
    fields = [field for field in fields if of_words or field[0] != "word"]
    schema = pa.schema(
        [*fields, ("vector", pa.list_(kind, store.dim))],
        metadata={_KEY: json_text(_description(store)).encode()},
    )
    with (
        open_output(output) as file,
        parquet.ParquetWriter(file, schema) as writer,
    ):
        for sentences, words, texts, vectors in _blocks(store):
            flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), kind)
            columns = {
                "sentence": pa.array(sentences, pa.int64()),
                "word": pa.array(words, pa.int32()),
                "text": pa.array(texts, pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, store.dim),
            }
            arrays = [columns[name] for name in schema.names]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _write_npy(store: VectorStore, output: Path) -> None:
    of_words = _is_of_words(store)
    if of_words:
        with open_output(_csv_of(output)) as file:
            file.write(separated(_COLUMNS, ",").encode())
            for sentences, words, texts, _ in _blocks(store):
                rows = zip(sentences.tolist(), words.tolist(), texts, strict=True)
                lines = (separated(row, ",") for row in rows)
                file.write("".join(lines).encode("utf-8", "replace"))
    else:
        # What an earlier run has left tells of rows that are replaced.
        _csv_of(output).unlink(missing_ok=True)
    text = json_text(_description(store), indent=1, ensure_ascii=False)
    with open_output(_json_of(output)) as file:
        file.write(f"{text}\n".encode("utf-8", "replace"))
    header = {
        "descr": np.lib.format.dtype_to_descr(store.dtype),
        "fortran_order": False,
        "shape": (int(store.offsets[-1]), store.dim),
    }
    with open_output(output) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, _, _, vectors in _blocks(store):
            file.write(np.ascontiguousarray(vectors).tobytes())


def _csv_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.csv")


def _json_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.json")


def _is_parquet(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        if file.read(4) == b"PAR1":
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            return _KEY in file.read()
    return False


def _is_array(path: Path) -> bool:
    """Return whether it is an array, beside which stands how it was made."""
    return head_of(path).startswith(b"\x93NUMPY") and _is_record(_json_of(path))


_is_record = json_with("vectors", "shape", "dtype", "metadata")
_PARQUET = FileKind("a Parquet file of vectors", _is_parquet)


def _kinds(output: Path) -> dict[Path, FileKind]:
    return {
        output: FileKind("an array of vectors", _is_array),
        _json_of(output): FileKind("the record of an array", _is_record),
        _csv_of(output): FileKind(
            "the words of an array", text_with(separated(_COLUMNS, ","))
        ),
    }
