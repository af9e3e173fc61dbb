# SPDX-License-Identifier: Apache-2.0
"""Of a disk without room every library says something else."""

import errno
import os
import subprocess
import sys

import pytest

from embed_jax.files.no_room import naming_where_room_lacks
from tests.conftest import REPOSITORY


class LibraryError(Exception):
    """As tokenizers and safetensors have their own."""


def raised(error: Exception) -> Exception:
    with pytest.raises(Exception) as caught, naming_where_room_lacks("out.h5"):  # noqa: PT011
        raise error
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        LibraryError("I/O error: No space left on device (os error 28)"),
        OSError("Can't write data (error message = 'No space left on device')"),
    ],
)
def test_every_one_of_them_names_the_output(error):
    found = raised(error)
    assert isinstance(found, OSError)
    assert found.errno == errno.ENOSPC
    assert str(found) == "[Errno 28] No space left on device: 'out.h5'"


def test_others_are_as_they_were():
    named = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a part of it")
    for error in (named, OSError(errno.EIO, "Input/output error"), ValueError("no")):
        before = str(error)
        assert raised(error) is error
        assert str(error) == before


def test_a_write_of_numpy_that_was_cut_short_is_one_of_them():
    found = raised(OSError("200 requested and 100 written"))
    assert str(found).startswith("out.h5: No space left on device, or the disk fails")


# Else jax warns that it could not write to it.
_WITHOUT_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "0"}
SAVING = """
import resource, signal, sys
from pathlib import Path
from tests.train import quick_models

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for kind in ("bert", "elmo"):
    for size in (0, 200, 3000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            getattr(quick_models, f"save_{kind}")(Path(sys.argv[1], kind))
        except OSError as error:
            assert error.errno == 27 and error.filename, repr(error)
            print(kind, size)
"""


def test_a_model_that_finds_no_room_is_an_error_and_not_the_end(tmp_path):
    """HDF5 used to crash the process that saved an ELMo."""
    ended = subprocess.run(
        [sys.executable, "-c", SAVING, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | _WITHOUT_CACHE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 6
    assert ended.stderr == ""
    assert not list(tmp_path.iterdir())
