"""Strict set-up of every test: the same promises, kept everywhere.

Rank promotion raises, eight CPU devices live in one process, warnings are errors
(pyproject.toml) and shape annotations are executed (the jaxtyping hook there).
"""

import importlib.metadata
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

from embed_jax.files.bucket import run_path
from tests import pretrained
from tests.compilations import compiling_fully, forget_if_many, share_compilations

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
share_compilations()

hypothesis.settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=True
)
hypothesis.settings.load_profile("default")

# Programs that make fixtures, with what only they need.
collect_ignore_glob = ["fixtures/*"]
# What `parity` compares with and this environment lacks.
MISSING = [
    name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None
]
# Oracles in PyTorch are searched for examples in docstrings, too, and need it for that.
if MISSING:
    collect_ignore = [
        f"oracles/{name}.py" for name in ("finetuning", "masked_lm", "torch_bilm")
    ]

REPOSITORY = Path(__file__).parents[1]


class _ForgetsPrograms:
    """After a file of tests, or of examples in docstrings, which lie elsewhere."""

    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> None:
        if nextitem is None or nextitem.path != item.path:
            forget_if_many()


def pytest_configure(config: pytest.Config) -> None:
    """Register what is for all tests, not for those below this folder alone."""
    config.pluginmanager.register(_ForgetsPrograms())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what compares with an implementation that is not installed."""
    if MISSING and item.get_closest_marker("parity"):
        pytest.skip(f"not installed: {', '.join(MISSING)}; '.[dev]' has them")


@pytest.fixture(scope="module", autouse=True)
def _as_users_compile(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compile fully where a file of tests asks for it, whatever jax was told."""
    if request.node.get_closest_marker("optimised") is None:
        yield
    else:
        with compiling_fully():
            yield


@pytest.fixture
def sigterm_as_before() -> Iterator[None]:
    """Put back the handler of SIGTERM, which commands replace."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def toy_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `tests/toy_family.py` installed as a third family."""
    group, find = "embed_jax.encoders", importlib.metadata.entry_points
    toy = importlib.metadata.EntryPoint("toy", "tests.toy_family:ENCODER", group)

    def entry_points(**wanted: str) -> importlib.metadata.EntryPoints:
        found = find(**wanted)
        return type(found)([*found, toy]) if wanted == {"group": group} else found

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


@pytest.fixture(scope="session")
def served_bucket() -> Iterator[str]:
    """An emulated bucket, which every process that a test starts finds too."""
    # Late: few tests need it.
    from tests.bucket import serve_bucket

    with serve_bucket() as address:
        yield address


@pytest.fixture
def in_bucket(served_bucket: str, tmp_path: Path) -> Path:
    """A folder of a test's own in the bucket."""
    return run_path(f"{served_bucket}/{tmp_path.name}")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, named by CONTEXTUAL_DATA; skips where it is absent."""
    path = Path(os.environ.get("CONTEXTUAL_DATA", REPOSITORY.parent / "shared/data"))
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; set CONTEXTUAL_DATA to its folder")
    return path


@pytest.fixture(scope="session")
def trained() -> Callable[[str], Path]:
    """Fetch trained weights once for all runs; skips where they cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))

    def fetch(name: str) -> Path:
        try:
            return pretrained.fetch(name, cache / "contextual-jax/models" / name)
        except OSError as error:
            pytest.skip(f"no trained weights: {error}")

    return fetch
