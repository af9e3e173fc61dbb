# SPDX-License-Identifier: Apache-2.0
"""What one process has compiled with the library, the next one finds."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from embed_jax.devices import compilation_cache
from tests.conftest import REPOSITORY

# Prints how many programs were found, and how many were not.
PROGRAM = """
import sys
import jax
import numpy as np
import bert_jax
import elmo_jax
import embed_jax
from tests.bert_jax.words import CONFIG, make_tokenizer

counts = {"hits": 0, "misses": 0}
def note(event, **_):
    name = event.removeprefix("/jax/compilation_cache/cache_")
    if name in counts:
        counts[name] += 1
jax.monitoring.register_event_listener(note)

jax.jit(lambda x: 2 * x)(np.ones(3))  # kept where the environment says
embed_jax.keep_compilations(sys.argv[1])
elmo = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
for family, config, tokenizer in (
    (bert_jax, CONFIG, make_tokenizer()), (elmo_jax, elmo_jax.TINY, elmo)
):
    shapes = jax.eval_shape(
        lambda key: family.init_params(key, config), jax.random.key(0)
    )
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    family.embed(params, tokenizer(["the bank"], pad_to=8))
print(counts["hits"], counts["misses"])
"""


def hits_and_misses(directory: Path) -> tuple[int, ...]:
    # What the environment says is in force until the program says otherwise.
    elsewhere = str(directory.with_name("elsewhere"))
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": elsewhere}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(directory)],
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return tuple(map(int, finished.stdout.split()))


def test_a_second_process_compiles_nothing_anew(tmp_path):
    directory = tmp_path / "compiled"
    hits, misses = hits_and_misses(directory)
    assert misses >= 2
    assert hits == 0
    assert any(directory.iterdir())
    # One program each family, and the seed that both begin with.
    assert hits_and_misses(directory) == (misses, 0)


@pytest.fixture
def kept_where(monkeypatch, tmp_path):
    """Return a function that keeps compilations and returns where."""
    before = jax.config.values["jax_compilation_cache_dir"]
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def keep():
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.keep_compilations()
        return jax.config.values["jax_compilation_cache_dir"]

    yield keep
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.compilation_cache.reset_cache()


def test_a_user_without_a_home_has_the_directory_that_he_names(
    monkeypatch, tmp_path, kept_where
):
    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept_where() == str(tmp_path / "contextual-jax")
    # As the standard has it, a relative one is none.
    for unset in ("", "caches"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert kept_where() is None
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert kept_where() == str(tmp_path / "home/.cache/contextual-jax")


def test_what_was_used_longest_ago_is_removed_where_there_is_too_much(
    monkeypatch, tmp_path, kept_where
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compilation_cache, "MOST_BYTES", 400)
    directory = tmp_path / "contextual-jax"
    directory.mkdir()
    programs = [directory / f"jit_{number}-cache" for number in range(5)]
    (directory / "notes.txt").write_bytes(b"x" * 1000)
    for number, program in enumerate(programs):
        program.write_bytes(b"x" * 100)
        os.utime(program, (number, number))
    # Read lately, though written first.
    os.utime(programs[0], (100, 0))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_MAX_SIZE", "1")
    kept_where()
    assert all(program.exists() for program in programs)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_MAX_SIZE")
    kept_where()
    assert [program.exists() for program in programs] == [
        True,
        False,
        False,
        True,
        True,
    ]
    kept_where()
    assert sum(program.exists() for program in programs) == 3
    assert (directory / "notes.txt").exists()
