# SPDX-License-Identifier: Apache-2.0
"""Reads TensorFlow checkpoints (format V2) without TensorFlow.

A checkpoint is a prefix with two kinds of files. PREFIX.index is a LevelDB table:
sorted keys in blocks, and at its end the handle of a block of block handles. The empty
key holds a BundleHeaderProto, every variable's name a BundleEntryProto: type, shape,
file, offset, size and checksum. PREFIX.data-00000-of-00001 holds the arrays' bytes.
Formats: tensorflow/core/lib/io/table_format.txt and core/protobuf/tensor_bundle.proto.

Why not a package: docs/decisions/tensorflow-checkpoints.md.
"""

import functools
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import ml_dtypes
import numpy as np
from jaxtyping import UInt8, UInt32

from embed_jax.files.mistaken import mistaken_file

_FOOTER_BYTES = 48
_TABLE_MAGIC = 0xDB4775248B80FB57
_BLOCK_TRAILER_BYTES = 5

# The numbers of tensorflow/core/framework/types.proto.
_DTYPES = {
    1: np.dtype("<f4"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
    14: np.dtype(ml_dtypes.bfloat16),
    19: np.dtype("<f2"),
}
_REFUSED_DTYPES = {2: "float64", 7: "string", 10: "bool", 20: "resource", 21: "variant"}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


@dataclass(frozen=True)
class _Entry:
    """Where one variable lies; a BundleEntryProto."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    num_bytes: int
    crc32c: int
    partitioned: bool


# Not Mapping[str, np.ndarray]: to check that, the tests' hook would read a variable.
class TensorFlowCheckpoint(Mapping):
    """The variables of a checkpoint by name, each read on access.

    Every access reads the file and returns a new array, so a caller that converts one
    variable after another holds no second copy of the model.

    Attributes:
      prefix: the common path prefix of the checkpoint's files.
      shapes: the shapes by name, known without reading any values.
    """

    def __init__(self, prefix: Path):
        self.prefix = prefix
        self._num_shards, self._entries = _read_index(_index_path(prefix))
        self._check_data_files()
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        index_path = _index_path(self.prefix)
        if name not in self._entries:
            raise KeyError(
                f"{index_path}: no variable {name}; list this mapping's keys"
            )
        entry = self._entries[name]
        if entry.partitioned:
            raise ValueError(
                f"{index_path}: variable {name} is stored in slices, which this reader "
                "does not join; save it with TensorFlow without a partitioner"
            )
        if entry.dtype not in _DTYPES:
            dtype = _REFUSED_DTYPES.get(entry.dtype, f"number {entry.dtype}")
            raise ValueError(
                f"{index_path}: variable {name} has type {dtype}, which no encoder "
                "has; ask for the variables of the model only"
            )
        dtype = _DTYPES[entry.dtype]
        size, longest = math.prod(entry.shape), max(entry.shape, default=0)
        # An axis of none would let another be of any length.
        if size * dtype.itemsize != entry.num_bytes or longest > 1 << 40:
            _refuse_corrupt(index_path, f"shape and size of {name} differ")
        path = self._data_path(entry.shard)
        stored = np.fromfile(path, np.uint8, entry.num_bytes, offset=entry.offset)
        if stored.size != entry.num_bytes or crc32c(stored) != entry.crc32c:
            _refuse_corrupt(path, f"checksum of variable {name} is wrong")
        return stored.view(dtype).reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def _data_path(self, shard: int) -> Path:
        name = f"{self.prefix.name}.data-{shard:05d}-of-{self._num_shards:05d}"
        return self.prefix.with_name(name)

    def _check_data_files(self) -> None:
        """Raise now, not in the middle of a conversion, where bytes are missing."""
        num_bytes: dict[int, int] = {}
        for entry in self._entries.values():
            end = entry.offset + entry.num_bytes
            num_bytes[entry.shard] = max(end, num_bytes.get(entry.shard, 0))
        for shard, needed in sorted(num_bytes.items()):
            path = self._data_path(shard)
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: no such file; {_index_path(self.prefix).name} needs it, "
                    "so put it beside that file under exactly this name"
                )
            present = path.stat().st_size
            if present < needed:
                _refuse_corrupt(path, f"{present} bytes where {needed} are needed")


def read_tensorflow_checkpoint(path: str | Path) -> TensorFlowCheckpoint:
    """Open a TensorFlow checkpoint; its variables are read one by one on request.

    Args:
      path: the prefix (`…/bert_model.ckpt`), its `.index` file, or a directory that
        holds one checkpoint.

    Returns:
      A mapping of names to arrays, sorted by name: float32, float16, bfloat16, int32
      and int64. Asking for a variable of another type raises ValueError.

    Raises:
      FileNotFoundError: there is no checkpoint, or one of its files is missing.
      ValueError: a file is damaged or cut short, or the directory holds several.
    """
    path = Path(path)
    if path.is_dir():
        indices = sorted(path.glob("*.index"))
        if len(indices) > 1:
            prefixes = ", ".join(index.stem for index in indices)
            raise ValueError(
                f"{path}: holds {len(indices)} checkpoints ({prefixes}); pass the path "
                f"of one, such as {indices[-1].with_suffix('')}"
            )
        if not indices:
            raise FileNotFoundError(
                f"{path}: no TensorFlow checkpoint here; it needs a file that ends in "
                ".index and its .data-… files, as Google's archives hold them"
            )
        path = indices[0]
    prefix = path.with_suffix("") if path.suffix == ".index" else path
    if not _index_path(prefix).is_file():
        raise FileNotFoundError(
            f"{_index_path(prefix)}: no such file; pass the prefix that the "
            "checkpoint's .index and .data-… files share, or their directory"
        )
    return TensorFlowCheckpoint(prefix)


def is_tensorflow_checkpoint(path: str | Path) -> bool:
    """Return whether the path names a TensorFlow checkpoint, judged by file names only.

    Args:
      path: anything that `read_tensorflow_checkpoint` takes.
    """
    path = Path(path)
    if path.is_dir():
        return any(path.glob("*.index"))
    return (path.suffix == ".index" and path.is_file()) or _index_path(path).is_file()


def _index_path(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _refuse_corrupt(path: Path, reason: str) -> NoReturn:
    if cause := mistaken_file(path, text=False):
        raise ValueError(f"{path} is not part of a TensorFlow checkpoint but {cause}")
    raise ValueError(f"{path}: damaged or cut short ({reason}); copy it again")


def _read_index(path: Path) -> tuple[int, dict[str, _Entry]]:
    """The number of data files, and every variable's entry."""
    table = path.read_bytes()
    try:
        pairs = _parse_table(path, table)
        key, value = next(pairs, (b"none", b""))
        if key:
            _refuse_corrupt(path, "no header")
        header = _parse_message(value)
        if _integer(header, 2):
            raise ValueError(f"{path}: written big-endian; only little-endian is read")
        # Keys that start with a zero byte are slices of partitioned variables.
        entries = {
            key.decode("utf-8"): _parse_entry(value)
            for key, value in pairs
            if not key.startswith(b"\0")
        }
        return _integer(header, 1), entries
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        _refuse_corrupt(path, f"{type(error).__name__}: {error}")


def _parse_entry(message: bytes) -> _Entry:
    """A BundleEntryProto."""
    fields = _parse_message(message)
    shape = _parse_message(_last_bytes(fields, 2))
    dims = [_parse_message(dim) for dim in shape.get(2, []) if isinstance(dim, bytes)]
    return _Entry(
        dtype=_integer(fields, 1),
        shape=tuple(_integer(dim, 1) for dim in dims),
        shard=_integer(fields, 3),
        offset=_integer(fields, 4),
        num_bytes=_integer(fields, 5),
        crc32c=_unmask(_integer(fields, 6)),
        partitioned=7 in fields,
    )


# --- LevelDB table -------------------------------------------------------------------


def _parse_table(path: Path, table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All pairs of key and value, in order of keys."""
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or _fixed(footer[-8:]) != _TABLE_MAGIC:
        _refuse_corrupt(path, "no table footer at its end")
    _, position = _parse_handle(footer, 0)  # of the meta block, which is empty
    handle, _ = _parse_handle(footer, position)
    for _, encoded in _parse_block(_read_block(path, table, handle)):
        handle, _ = _parse_handle(encoded, 0)
        yield from _parse_block(_read_block(path, table, handle))


def _parse_handle(data: bytes, position: int) -> tuple[slice, int]:
    """Where a block lies in the table, and where its handle ends."""
    start, position = _parse_varint(data, position)
    size, position = _parse_varint(data, position)
    return slice(start, start + size), position


def _read_block(path: Path, table: bytes, handle: slice) -> bytes:
    """A block's contents, after a check of what its trailer promises."""
    trailer = table[handle.stop : handle.stop + _BLOCK_TRAILER_BYTES]
    if len(trailer) < _BLOCK_TRAILER_BYTES:
        _refuse_corrupt(path, "a block lies outside")
    checked = table[handle.start : handle.stop + 1]
    if crc32c(np.frombuffer(checked, np.uint8)) != _unmask(_fixed(trailer[1:])):
        _refuse_corrupt(path, "checksum of a block is wrong")
    if trailer[0] != 0:
        compression = "Snappy" if trailer[0] == 1 else f"unknown ({trailer[0]})"
        raise ValueError(
            f"{path}: its blocks have {compression} compression, which this reader "
            "does not undo; load and save the checkpoint again with TensorFlow's Saver"
        )
    return checked[:-1]


def _parse_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a block; a key leaves out what it shares with the one before."""
    num_restarts = _fixed(block[-4:])
    end = len(block) - 4 * (1 + num_restarts)
    if end < 0:
        raise IndexError("a block is shorter than its restart points")
    key, position = b"", 0
    while position < end:
        num_shared, position = _parse_varint(block, position)
        num_own, position = _parse_varint(block, position)
        num_value, position = _parse_varint(block, position)
        own_end = position + num_own
        if num_shared > len(key) or own_end + num_value > end:
            raise IndexError("a pair lies outside its block")
        key = key[:num_shared] + block[position:own_end]
        position = own_end + num_value
        yield key, block[own_end:position]


# --- Protocol buffers ----------------------------------------------------------------


def _parse_message(message: bytes) -> dict[int, list[int | bytes]]:
    """Every field's values by its number; nested messages stay bytes."""
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(message):
        tag, position = _parse_varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _parse_varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            start, position = position, position + (4 if wire_type == _FIXED32 else 8)
            value = _fixed(message[start:position])
        elif wire_type == _BYTES:
            size, start = _parse_varint(message, position)
            position = start + size
            value = message[start:position]
        else:
            raise IndexError(f"wire type {wire_type}")
        fields.setdefault(number, []).append(value)
    if position != len(message):
        raise IndexError("a field lies outside its message")
    return fields


def _parse_varint(data: bytes, position: int) -> tuple[int, int]:
    """An integer, seven bits a byte, lowest first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("an integer has more than ten bytes")


def _fixed(data: bytes) -> int:
    """A little-endian integer of four or eight bytes."""
    return struct.unpack("<I" if len(data) == 4 else "<Q", data)[0]


def _integer(fields: dict[int, list[int | bytes]], number: int) -> int:
    """The field's value; absent means 0."""
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise IndexError(f"field {number} is no integer")
    return value


def _last_bytes(fields: dict[int, list[int | bytes]], number: int) -> bytes:
    """The field's nested message; absent means empty."""
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise IndexError(f"field {number} is no message")
    return value


# --- CRC-32C -------------------------------------------------------------------------
#
# The checksum is a register of 32 bits, and moving it over zero bytes is linear. So a
# row of _LANES words moves at once (two table look-ups a word), and rows fold together:
# 2 GB/s in NumPy, where a loop over bytes takes minutes for BERT-base.

_POLYNOMIAL = np.uint32(0x82F63B78)
_LANES = 1 << 15
# Four bytes that bring an empty register to 0xFFFFFFFF, the standard's first state.
_PREFIX = np.frombuffer(bytes.fromhex("54641f64"), np.uint8)


def crc32c(data: UInt8[np.ndarray, " bytes"]) -> int:
    """The Castagnoli checksum of RFC 3720."""
    row_bytes = 4 * _LANES
    num_first = data.size % row_bytes
    zeros = np.zeros(-(4 + num_first) % row_bytes, np.uint8)  # they change no register
    first = np.concatenate([zeros, _PREFIX, data[:num_first]])
    registers = np.zeros(_LANES, np.uint32)
    for part in (first, data[num_first:]):
        for row in part.view("<u4").reshape(-1, _LANES):
            registers = _move(registers, row_bytes) ^ row
    while registers.size > 1:
        left, right = np.split(registers, 2)
        registers = _move(left, 4 * left.size) ^ right
    return int(_move(registers, 4)[0]) ^ 0xFFFFFFFF


def _move(
    registers: UInt32[np.ndarray, " lanes"], num_bytes: int
) -> UInt32[np.ndarray, " lanes"]:
    """Every register after that many zero bytes."""
    low, high = _move_tables(num_bytes)
    return np.take(low, registers & 0xFFFF) ^ np.take(high, registers >> 16)


@functools.cache
def _move_tables(num_bytes: int) -> UInt32[np.ndarray, "2 65536"]:
    """Where each low and each high half of a register moves; a power of two bytes."""
    if num_bytes == 1:
        halves = np.arange(1 << 16, dtype=np.uint32)
        registers = np.stack([halves, halves << 16])
        for _ in range(8):
            registers = (registers >> 1) ^ (_POLYNOMIAL * (registers & 1))
        return registers
    tables = _move_tables(num_bytes // 2)
    return np.stack([_move(table, num_bytes // 2) for table in tables])


def _unmask(masked: int) -> int:
    """Undo the rotation and addition that LevelDB stores checksums with."""
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF
