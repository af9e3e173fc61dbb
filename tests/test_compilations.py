# SPDX-License-Identifier: Apache-2.0
"""The count that other tests rely on moves when, and only when, XLA compiles."""

from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.compilations import (
    compiling_fully,
    compiling_quickly,
    counting_compilations,
    forget_if_many,
)

MAPS = Path("/proc/self/maps")


def test_each_program_is_counted_once_for_each_shape():
    double = jax.jit(lambda x: 2 * x)
    three, four = np.zeros(3, np.float32), np.zeros(4, np.float32)
    with counting_compilations() as compiled:
        double(three)
        assert len(compiled) == 1
        double(three + 1)
        assert len(compiled) == 1
        double(four)
        assert len(compiled) == 2
    jax.jit(lambda x: 3 * x)(three)
    assert len(compiled) == 2


def test_a_kept_program_that_was_cut_short_is_compiled_again(tmp_path):
    """As a process leaves it that was killed while it wrote."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compilation_cache.reset_cache()
    try:
        jax.jit(lambda x: 5 * x)(np.ones(3, np.float32))
        (kept,) = [path for path in tmp_path.iterdir() if path.suffix != ".lockfile"]
        kept.write_bytes(kept.read_bytes()[:100])
        again = jax.jit(lambda x: 5 * x)(np.ones(3, np.float32))
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()
    np.testing.assert_array_equal(again, np.full(3, 5, np.float32))


def test_what_was_compiled_quickly_is_compiled_anew_where_that_is_asked_for():
    function = jax.jit(lambda x: 7 * x)
    ones = np.ones(3, np.float32)
    name = "jax_disable_most_optimizations"
    with compiling_quickly():
        function(ones)
        with counting_compilations() as compiled, compiling_fully():
            assert not jax.config.values[name]
            function(ones)
            assert len(compiled) == 1
        assert jax.config.values[name]
        with counting_compilations() as compiled:
            function(ones)
            assert len(compiled) == 1


@pytest.mark.skipif(not MAPS.exists(), reason="not Linux")
def test_programs_are_forgotten_where_they_make_many_mappings():
    functions = [jax.jit(lambda x, n=n: x * n + n) for n in range(30)]

    def run() -> int:
        with counting_compilations() as names:
            for function in functions:
                function(np.float32(1))
        return len(names)

    assert run() == 30
    held = MAPS.read_bytes().count(b"\n")
    forget_if_many(most=held + 1000)
    assert run() == 0
    forget_if_many(most=1)
    assert MAPS.read_bytes().count(b"\n") < held
    assert run() == 30
