"""Every command of embed_jax serves a family that none of them names."""

import json
from pathlib import Path

import numpy as np
import pytest

from embed_jax import __main__ as embed_command
from embed_jax.explore import nearest, word_types
from embed_jax.explore.contexts import command as contexts
from embed_jax.export import __main__ as export
from embed_jax.export.serve import Served
from embed_jax.store import VectorStore
from tests import toy_family, toy_text_reader

LINES = ["we sat by the river bank", "", "the bank lent money", "a bank of sand"]

pytestmark = pytest.mark.usefixtures("toy_registered", "sigterm_as_before")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    params = toy_family.init_params(toy_family.ToyConfig())
    return toy_family.save(tmp_path / "model", params)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def run(main, *arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def expected(line: str, layers: str = "concat(all)") -> np.ndarray:
    params = toy_family.init_params(toy_family.ToyConfig())
    words = [line.split()] if line else [[]]
    return toy_family.CORPUS.embed_words(params, params.config, words, layers)[0]


def test_a_text_is_embedded_and_looked_into(
    model: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "vectors.h5"
    run(embed_command.main, model, corpus, output, "--layers", "concat(all)")
    with VectorStore(output) as store:
        for index, line in enumerate(LINES):
            np.testing.assert_allclose(store[index], expected(line), atol=1e-6)
    capsys.readouterr()
    run(nearest.main, output, "bank")
    assert "bank: 3 occurrences" in capsys.readouterr().out
    run(word_types.main, output, tmp_path / "types.h5")
    types = word_types.read_word_types(tmp_path / "types.h5")
    assert types.counts[types.words.index("bank")] == 3


def test_word_types_of_a_text(model: str, corpus: Path, tmp_path: Path):
    run(word_types.main, model, corpus, tmp_path / "types.h5", "--layers", "0")
    types = word_types.read_word_types(tmp_path / "types.h5")
    river = expected("river", "0")[0]
    np.testing.assert_allclose(types.mean[types.words.index("river")], river, atol=1e-6)


def test_contexts_of_a_word(
    model: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "bank.html"
    run(contexts.main, model, corpus, "--word", "bank", "--output", page)
    assert "bank in" in capsys.readouterr().out
    assert "bank" in page.read_text()


def test_a_program_is_exported_and_served(model: str, tmp_path: Path):
    artefact = tmp_path / "artefact"
    run(export.main, model, artefact, "--layers", "concat(all)")
    served = Served(artefact, toy_text_reader.Reader)
    (vectors,) = served.embed([LINES[0].split()])
    np.testing.assert_allclose(vectors, expected(LINES[0]), atol=1e-6)
    manifest = json.loads((artefact / "manifest.json").read_text())
    assert manifest["text"] == {"num_buckets": 64}


@pytest.mark.parametrize("command", ["embed", "word_types", "contexts"])
def test_devices_are_those_of_this_process(
    command: str,
    model: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    import jax

    monkeypatch.setattr(jax, "devices", lambda: jax.local_devices() * 2)
    monkeypatch.setattr(jax, "device_count", lambda: 16)
    mains = {
        "embed": (embed_command.main, [tmp_path / "out.h5"]),
        "word_types": (word_types.main, [tmp_path / "out.h5"]),
        "contexts": (contexts.main, ["--word", "bank"]),
    }
    main, rest = mains[command]
    arguments = [model, corpus, *rest, "--devices", 9]
    assert main([str(argument) for argument in arguments]) == 2
    assert "--devices 9: here are 8" in capsys.readouterr().err
