# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that TensorFlow wrote, damaged ones, and ones TensorFlow never writes."""

import json
import shutil
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_jax.files.tensorflow_checkpoint import (
    crc32c,
    is_tensorflow_checkpoint,
    read_tensorflow_checkpoint,
)

FIXTURE = Path(__file__).parents[2] / "fixtures" / "google_bert_tiny"
SHARDED = FIXTURE / "sharded"
INDEX = "bert_model.ckpt.index"
DATA = "bert_model.ckpt.data-00000-of-00001"
INDEX_BYTES = (FIXTURE / INDEX).stat().st_size
DATA_BYTES = (FIXTURE / DATA).stat().st_size


def bits(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return array.shape, array.tobytes()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the checkpoint's two files, to be damaged."""
    for name in (INDEX, DATA):
        shutil.copy(FIXTURE / name, tmp_path)
    return tmp_path


def edit(path: Path, change: Callable[[bytearray], bytearray]) -> None:
    path.write_bytes(change(bytearray(path.read_bytes())))


def flip(position: int, bit: int = 0) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        data[position] ^= 1 << bit
        return data

    return change


# --- What TensorFlow wrote -----------------------------------------------------------


@pytest.mark.parametrize("folder", [FIXTURE, SHARDED], ids=["one file", "two files"])
def test_every_value_is_what_tensorflow_was_given(folder: Path):
    checkpoint = read_tensorflow_checkpoint(folder)
    expected = np.load(folder / "expected.npz")
    taken = {name for name in checkpoint if not name.startswith("refused/")}
    assert taken == set(expected.files)
    for name in taken:
        array = checkpoint[name]
        assert bits(array) == bits(expected[name]), name
        assert checkpoint.shapes[name] == array.shape
        assert array.flags.writeable
        if name != "types/bfloat16":
            assert array.dtype == expected[name].dtype


def test_the_names_and_shapes_are_those_of_google_research_bert():
    checkpoint = read_tensorflow_checkpoint(FIXTURE)
    config = json.loads((FIXTURE / "bert_config.json").read_text(encoding="utf-8"))
    vocab = (FIXTURE / "vocab.txt").read_text(encoding="utf-8").splitlines()
    H, F = config["hidden_size"], config["intermediate_size"]
    assert config["vocab_size"] == len(vocab) == len(set(vocab))
    # 5 embeddings, 16 a layer, 2 pooler, 5 masked tokens, 2 next sentence, 4 Adam, step
    assert len(checkpoint) == 5 + 16 * config["num_hidden_layers"] + 2 + 5 + 2 + 4 + 1
    shapes = checkpoint.shapes
    assert shapes["bert/embeddings/word_embeddings"] == (len(vocab), H)
    assert shapes["bert/encoder/layer_1/intermediate/dense/kernel"] == (H, F)
    assert shapes["bert/encoder/layer_1/output/dense/kernel"] == (F, H)
    assert shapes["cls/seq_relationship/output_weights"] == (2, H)
    assert shapes["global_step"] == ()
    assert checkpoint["global_step"] == 1_000_000


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("types/bfloat16", "bfloat16"),
        ("types/half", "float16"),
        ("types/int32", "int32"),
        ("types/int64", "int64"),
        ("types/scalar", "float32"),
    ],
)
def test_types(name: str, dtype: str):
    assert read_tensorflow_checkpoint(SHARDED)[name].dtype.name == dtype


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refused/string", "has type string"),
        ("refused/double", "has type float64"),
        ("refused/partitioned", "stored in slices"),
    ],
)
def test_other_variables_are_refused_when_asked_for(name: str, reason: str):
    checkpoint = read_tensorflow_checkpoint(SHARDED)
    assert name in checkpoint
    with pytest.raises(ValueError, match=f"{INDEX}: variable {name} .*{reason}"):
        checkpoint[name]


def test_an_unknown_name_is_a_key_error_that_names_the_file():
    checkpoint = read_tensorflow_checkpoint(FIXTURE)
    assert "bert/absent" not in checkpoint
    assert checkpoint.get("bert/absent") is None
    with pytest.raises(KeyError, match=rf"{INDEX}: no variable bert/absent"):
        checkpoint["bert/absent"]


# --- Paths ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "bert_model.ckpt", INDEX])
@pytest.mark.parametrize("as_type", [str, Path])
def test_prefix_index_and_directory_open_the_same(name: str, as_type: type):
    path = as_type(FIXTURE / name)
    assert is_tensorflow_checkpoint(path)
    checkpoint = read_tensorflow_checkpoint(path)
    assert checkpoint.prefix == FIXTURE / "bert_model.ckpt"


@pytest.mark.parametrize("name", ["absent", "absent/model.ckpt", "absent.index"])
def test_a_wrong_path_is_named(tmp_path: Path, name: str):
    assert not is_tensorflow_checkpoint(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"absent.*\.index: no such file"):
        read_tensorflow_checkpoint(tmp_path / name)


def test_a_directory_without_a_checkpoint(tmp_path: Path):
    (tmp_path / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    assert not is_tensorflow_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="no TensorFlow checkpoint here"):
        read_tensorflow_checkpoint(tmp_path)


def test_a_directory_with_several_checkpoints_asks_for_one(copied: Path):
    for name in (INDEX, DATA):
        shutil.copy(copied / name, copied / name.replace(".ckpt", ".ckpt-1000"))
    assert is_tensorflow_checkpoint(copied)
    with pytest.raises(
        ValueError, match=r"2 checkpoints \(bert_model\.ckpt-1000, bert"
    ):
        read_tensorflow_checkpoint(copied)
    one = read_tensorflow_checkpoint(copied / "bert_model.ckpt-1000")
    assert one["global_step"] == 1_000_000


@pytest.mark.parametrize("shard", [0, 1])
def test_a_missing_data_file_is_named_before_anything_is_read(tmp_path: Path, shard):
    for path in SHARDED.glob("bert_model.ckpt.*"):
        shutil.copy(path, tmp_path)
    missing = tmp_path / f"bert_model.ckpt.data-0000{shard}-of-00002"
    missing.unlink()
    with pytest.raises(FileNotFoundError, match=f"{missing.name}: no such file"):
        read_tensorflow_checkpoint(tmp_path)


# --- Damage --------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1, 47, 48, 1000, -1])
def test_a_truncated_index_is_refused(copied: Path, kept: int):
    edit(copied / INDEX, lambda data: data[:kept])
    with pytest.raises(ValueError, match=f"{INDEX}: damaged or cut short.*copy it"):
        read_tensorflow_checkpoint(copied)


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_truncated_data_is_refused_before_anything_is_read(copied: Path, kept: int):
    edit(copied / DATA, lambda data: data[:kept])
    with pytest.raises(
        ValueError, match=rf"{DATA}: damaged .*bytes where \d+ are need"
    ):
        read_tensorflow_checkpoint(copied)


def test_data_truncated_after_opening_is_refused(copied: Path):
    checkpoint = read_tensorflow_checkpoint(copied)
    edit(copied / DATA, lambda data: data[:-1])
    with pytest.raises(ValueError, match=f"{DATA}: damaged"):
        dict(checkpoint)


@given(position=st.integers(0, DATA_BYTES - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_data_spoils_exactly_one_variable(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
):
    folder = tmp_path_factory.mktemp("flipped")
    for name in (INDEX, DATA):
        shutil.copy(FIXTURE / name, folder)
    edit(folder / DATA, flip(position, bit))
    checkpoint = read_tensorflow_checkpoint(folder)
    spoiled = []
    for name in checkpoint:
        try:
            checkpoint[name]
        except ValueError as error:
            assert f"{DATA}: damaged or cut short (checksum of" in str(error)  # noqa: PT017
            spoiled.append(name)
    assert len(spoiled) == 1


@given(position=st.integers(0, INDEX_BYTES - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_of_the_index_changes_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
):
    folder = tmp_path_factory.mktemp("flipped")
    for name in (INDEX, DATA):
        shutil.copy(FIXTURE / name, folder)
    edit(folder / INDEX, flip(position, bit))
    whole = read_tensorflow_checkpoint(FIXTURE)
    try:
        checkpoint = read_tensorflow_checkpoint(folder)
    except ValueError as error:
        assert f"{INDEX}: damaged or cut short" in str(error)  # noqa: PT017
    else:  # the footer's padding is the only part without a checksum
        assert position >= INDEX_BYTES - 48
        assert checkpoint.shapes == whole.shapes


# --- Tables and entries written by hand ----------------------------------------------


def slow_crc32c(data: bytes) -> int:
    """One bit at a time, as the standard defines it."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 * (register & 1))
    return register ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = slow_crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    low = [value >> shift & 0x7F for shift in range(0, 70, 7)]
    while len(low) > 1 and low[-1] == 0:
        low.pop()
    return bytes([byte | 0x80 for byte in low[:-1]] + low[-1:])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(
    data: bytes, dtype: int = 1, shape: tuple[int, ...] = (1,), **changed
) -> bytes:
    dims = b"".join(field(2, field(1, size)) for size in shape)
    fields = {"offset": 0, "size": len(data)} | changed
    return (
        field(1, dtype)
        + field(2, dims)
        + field(4, fields["offset"])
        + field(5, fields["size"])
        + varint(6 << 3 | 5)
        + struct.pack("<I", masked(data))
    )


HEADER = (b"", field(1, 1) + field(3, field(1, 1)))  # one data file, little-endian


def block(pairs: Iterable[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    body, before = b"", b""
    for key, value in pairs:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value))
        body += key[shared:] + value
        before = key
    body += struct.pack("<II", 0, 1) + bytes([compression])  # one restart point, at 0
    return body + struct.pack("<I", masked(body))


def write_checkpoint(folder: Path, blocks: list[bytes], data: bytes = bytes(4)) -> Path:
    table, handles = b"", []
    for contents in blocks:
        handles.append((b"z", varint(len(table)) + varint(len(contents) - 5)))
        table += contents
    index = block(handles)
    footer = bytes(2) + varint(len(table)) + varint(len(index) - 5)
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    (folder / INDEX).write_bytes(table + index + footer.ljust(40, b"\0") + magic)
    (folder / DATA).write_bytes(data)
    return folder


def test_an_index_of_many_blocks(tmp_path: Path):
    data = np.arange(300, dtype="<f4").tobytes()
    pairs = [
        (b"scope/%03d" % i, entry(data[4 * i : 4 * i + 4], offset=4 * i))
        for i in range(300)
    ]
    blocks = [block([HEADER])] + [block(pairs[i : i + 7]) for i in range(0, 300, 7)]
    checkpoint = read_tensorflow_checkpoint(write_checkpoint(tmp_path, blocks, data))
    assert list(checkpoint) == [f"scope/{i:03d}" for i in range(300)]
    assert [float(array[0]) for array in checkpoint.values()] == list(range(300))


@pytest.mark.parametrize(
    ("compression", "name"), [(1, "Snappy"), (7, r"unknown \(7\)")]
)
def test_compressed_blocks_are_refused(tmp_path: Path, compression: int, name: str):
    write_checkpoint(tmp_path, [block([HEADER], compression)])
    with pytest.raises(
        ValueError, match=f"{INDEX}: its blocks have {name} compression"
    ):
        read_tensorflow_checkpoint(tmp_path)


def test_a_big_endian_checkpoint_is_refused(tmp_path: Path):
    write_checkpoint(tmp_path, [block([(b"", field(1, 1) + field(2, 1))])])
    with pytest.raises(ValueError, match=f"{INDEX}: written big-endian"):
        read_tensorflow_checkpoint(tmp_path)


FOUR = bytes(4)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(b"x", entry(FOUR))], r"\(no header\)"),
        ([], r"\(no header\)"),
        ([HEADER, (b"\xff", entry(FOUR))], "UnicodeDecodeError"),
        ([HEADER, (b"x", field(2, FOUR)[:-1])], "outside its message"),
        ([HEADER, (b"x", b"\xff" * 11)], "more than ten bytes"),
        ([HEADER, (b"x", b"\x0b")], "wire type 3"),
        ([HEADER, (b"x", field(1, b"1"))], "field 1 is no integer"),
        ([HEADER, (b"x", field(2, 1))], "field 2 is no message"),
        ([HEADER, (b"x", b"\x35\0")], "outside|unpack"),
        ([HEADER, (b"x", entry(FOUR, offset=1))], "4 bytes where 5 are needed"),
        ([HEADER, (b"x", entry(FOUR, offset=1)), (b"y", entry(FOUR))], "5 are needed"),
        ([HEADER, (b"x", entry(FOUR, offset=2**64 - 8))], "4 bytes where"),
        ([HEADER, (b"x", entry(FOUR, size=2**62))], "4 bytes where"),
    ],
)
def test_entries_that_make_no_sense_are_refused(tmp_path: Path, pairs, reason: str):
    write_checkpoint(tmp_path, [block(pairs)])
    with pytest.raises(ValueError, match=f"damaged or cut short .*{reason}"):
        read_tensorflow_checkpoint(tmp_path)


def test_an_axis_of_none_lets_no_other_be_of_any_length(tmp_path: Path):
    pair = (b"x", entry(b"", shape=(0, 2**64 - 1)))
    write_checkpoint(tmp_path, [block([HEADER, pair])], data=b"")
    with pytest.raises(ValueError, match=f"{INDEX}: damaged .*shape and size of x"):
        read_tensorflow_checkpoint(tmp_path)["x"]


@pytest.mark.parametrize("shape", [(2,), (), (2**40,), (2**64 - 1,)])
def test_a_shape_that_does_not_fit_the_size_is_refused(tmp_path: Path, shape):
    pair = (b"x", entry(bytes(12), shape=shape))
    write_checkpoint(tmp_path, [block([HEADER, pair])], data=bytes(12))
    checkpoint = read_tensorflow_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=f"{INDEX}: damaged .*shape and size of x"):
        checkpoint["x"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (struct.pack("<II", 0, 1000), "restart points"),
        (bytes([5, 1, 0, 120]) + struct.pack("<II", 0, 1), "a pair lies outside"),
        (bytes([0, 99, 0, 120]) + struct.pack("<II", 0, 1), "a pair lies outside"),
        (bytes([0, 1, 99, 120]) + struct.pack("<II", 0, 1), "a pair lies outside"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(tmp_path: Path, body, reason: str):
    body += b"\0"
    block_after_header = body + struct.pack("<I", masked(body))
    write_checkpoint(tmp_path, [block([HEADER]), block_after_header])
    with pytest.raises(ValueError, match=f"{INDEX}: damaged .*{reason}"):
        read_tensorflow_checkpoint(tmp_path)


# --- The checksum --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # the first four of RFC 3720, B.4, and the catalogue's check value
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksum_of_the_published_examples(data: bytes, expected: int):
    assert crc32c(np.frombuffer(data, np.uint8)) == expected == slow_crc32c(data)


@given(data=st.binary(max_size=300))
def test_checksum_of_short_data(data: bytes):
    assert crc32c(np.frombuffer(data, np.uint8)) == slow_crc32c(data)


@pytest.mark.parametrize("extra", [-5, -4, -1, 0, 1, 4])
def test_checksum_around_one_row(extra: int):
    data = np.random.default_rng(0).integers(0, 256, (1 << 17) + extra, dtype=np.uint8)
    assert crc32c(data) == slow_crc32c(data.tobytes())
