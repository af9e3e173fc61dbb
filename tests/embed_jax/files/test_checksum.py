# SPDX-License-Identifier: Apache-2.0
"""Checksums of arrays and of files are those of their bytes."""

import hashlib
import math
import zlib

import ml_dtypes
import numpy as np
import pytest

from embed_jax.files.checksum import crc32_of, sha256_file


@pytest.mark.parametrize("dtype", ["float32", "uint16", ml_dtypes.bfloat16, "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (2, 0, 4)])
def test_that_of_an_array_is_the_crc_of_its_bytes_in_rows(dtype, shape):
    values = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    assert crc32_of(values) == f"{zlib.crc32(values.tobytes()):08x}"
    assert crc32_of(values.T) == f"{zlib.crc32(values.T.tobytes()):08x}"


def test_those_of_files_are_of_all_their_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content := bytes(range(256)) * 100_000)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()
