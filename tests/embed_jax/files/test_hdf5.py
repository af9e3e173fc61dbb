# SPDX-License-Identifier: Apache-2.0
"""Of a file of HDF5, only what is stored in itself is read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from embed_jax.files.hdf5 import open_hdf5, reading_hdf5, stored_datasets


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("gone.h5", "v", (4,), "f4")
    file.create_virtual_dataset("in/v", layout)


def without_filter(file: h5py.File) -> None:
    # What a chunk is filtered by is not known before it is written or read.
    space, settings = h5py.h5s.create_simple((4,)), h5py.h5p.create(DATASET)
    settings.set_chunk((4,))
    settings.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (3,))
    h5py.h5d.create(file.id, b"v", h5py.h5t.IEEE_F32LE, space, settings)


DATASET = h5py.h5p.DATASET_CREATE
REFUSED: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "external storage": (
        lambda f: f.create_dataset("a/v", 4, "f4", external=[("/etc/passwd", 0, 16)]),
        "a/v has its values in another file, '/etc/passwd'",
    ),
    "a virtual dataset": (virtual, "in/v is virtual: its values are those of other"),
    "a link out of the file": (
        lambda f: f.__setitem__("a/v", h5py.ExternalLink("/etc/hosts", "/v")),
        "a/v is a link to '/etc/hosts', and links are not followed",
    ),
    "a link by name": (
        lambda f: f.__setitem__("v", h5py.SoftLink("/a/b")),
        "v is a link to '/a/b'",
    ),
    "references": (
        lambda f: f.create_dataset("v", (4,), h5py.ref_dtype),
        "v is of type object, where numbers are wanted",
    ),
    "strings of any length": (
        lambda f: f.create_dataset("v", data=["a", "b"], dtype=h5py.string_dtype()),
        "v is of type object, where numbers",
    ),
    "a record": (
        lambda f: f.create_dataset("v", (4,), [("x", "f4"), ("y", h5py.ref_dtype)]),
        "v is of type .*, where numbers",
    ),
    "a filter that is not here": (without_filter, "v was written through .* 32015"),
    "a shape without values": (
        lambda f: f.create_dataset("v", (1 << 40,), "f4"),
        r"v has shape \[1099511627776\], but 0 of 4398046511104 bytes",
    ),
    "a shape of missing chunks": (
        lambda f: f.create_dataset("v", (1 << 40,), "f4", chunks=(1 << 20,)),
        r"v has shape \[1099511627776\], but 0 of 1048576 chunks",
    ),
}


@pytest.mark.parametrize("feature", REFUSED)
def test_what_lies_elsewhere_or_nowhere_is_refused(tmp_path: Path, feature: str):
    make, message = REFUSED[feature]
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["sound"] = np.ones(3)
        make(file)
    with pytest.raises(ValueError, match=rf"w\.h5: {message}"):
        open_hdf5(path)


def test_what_is_stored_in_the_file_is_read(tmp_path: Path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["a/contiguous"] = np.arange(4.0)
        file["a/itself"] = file["a"]  # a circle
        file.create_dataset("chunked", data=np.ones((5, 3)), chunks=(2, 2))
        file.create_dataset("compressed", data=np.ones(5), compression="gzip")
        file["scalar"], file["flag"], file["text"] = (
            1.5,
            np.array([True]),
            np.bytes_("fixed"),
        )
        file.create_dataset("empty", (0, 3), "f4")
        file.create_dataset("null", data=h5py.Empty("f4"))
        file["type"] = np.dtype("f4")
    with open_hdf5(path) as file:
        held = stored_datasets(path, file)
        assert sorted(held) == [
            *("a/contiguous", "chunked", "compressed", "empty"),
            *("flag", "null", "scalar", "text"),
        ]
        assert held["a/contiguous"][:].tolist() == [0, 1, 2, 3]


def test_a_caller_that_checks_them_gets_virtual_datasets_and_texts(tmp_path: Path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        virtual(file)
        file.create_dataset("words", data=["a"], dtype=h5py.string_dtype())
    with open_hdf5(path, virtual=["in/v"], texts=["words"]) as file:
        assert file["words"].asstr()[0] == "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or no HDF5 file: fetch it again"),
        (b"PK\x03\x04....", "no HDF5 file but a ZIP archive: unpack it"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "no HDF5 file but a Git LFS pointer",
        ),
        (b"<!DOCTYPE html>", "no HDF5 file but a web page"),
    ],
)
def test_what_is_no_hdf5_is_named(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "w.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"w\.h5 is {message}"):
        open_hdf5(path, remedy="fetch it again")


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"w\.h5 is no regular file"):
        open_hdf5(tmp_path / "w.h5")


def test_what_the_library_raises_while_it_reads_names_the_file():
    def read(error: BaseException) -> None:
        with reading_hdf5(Path("w.h5"), "fetch it again"):
            raise error

    for kind in (RuntimeError, KeyError, OSError, TypeError):
        with pytest.raises(
            ValueError, match=r"^w\.h5 is damaged: fetch it .*a.*b'?\)$"
        ):
            read(kind("a\nb"))
    with pytest.raises(OSError, match=r"w\.h5: .*refused") as caught:
        read(OSError(errno.EIO, "refused"))
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match=r"w\.h5 wants more memory than there is"):
        read(MemoryError())


def test_a_file_that_is_being_written_is_not_called_damaged(tmp_path):
    path = tmp_path / "written.h5"
    # Whoever writes for others to read meanwhile marks the file as its own.
    file = h5py.File(path, "w", libver="latest")
    file["numbers"] = np.arange(3)
    file.flush()
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    file.close()
    with pytest.raises(ValueError, match=r"copy\.h5 is open for writing in another"):
        open_hdf5(copy)
    open_hdf5(path).close()
