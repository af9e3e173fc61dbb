# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax` on several processes: as one, whoever is killed."""

import gzip
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from embed_jax import __main__ as command
from embed_jax.explore import nearest
from embed_jax.store import VectorStore
from tests.bert_jax.words import CONFIG, WORDS, make_tokenizer
from tests.elmo_jax import sentences as elmo
from tests.end_to_end.stopping import stopped_after

RNG = random.Random(0)
# Of few lengths, hence few shapes to compile.
LINES = [" ".join(RNG.choices(WORDS[5:], k=k)) for k in RNG.choices([0, 3, 12], k=400)]

# The command with a commit every tenth of a second, in no hurry to come to its end.
PATIENT = """
import sys, time
from embed_jax.__main__ import main
from embed_jax.store import StoreWriter
StoreWriter.__init__.__kwdefaults__["commit_seconds"] = 0.1
append = StoreWriter.append
StoreWriter.append = lambda *a: (time.sleep(0.01), append(*a))
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    params = bert_jax.init_params(jax.random.key(0), CONFIG, ())
    bert_jax.save(folder / "bert", params, make_tokenizer())
    params = elmo.make_params(elmo.ONE_BLOCK, len(elmo.VOCABULARY))
    elmo_jax.save(folder / "elmo", params, elmo.make_tokenizer(elmo.ONE_BLOCK))
    return folder


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def run(*arguments) -> int:
    return command.main([*map(str, arguments), "--devices", "1"])


def embed_as(count: int, *arguments) -> None:
    """Run the processes of a command one after the other, the last first."""
    for index in reversed(range(count)):
        assert run(*arguments, "--num-processes", count, "--process-id", index) == 0


def read(path: Path) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    with VectorStore(path) as store:
        return np.concatenate(list(store)), store.offsets, store.words(slice(None))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("bert", []),
        ("bert", ["--context", "document"]),
        ("bert", ["--context", "3", "--sentences", "mean", "--split"]),
        ("elmo", ["--layers", "0,1"]),
    ],
)
def test_as_many_as_you_like_embed_alike(models, corpus, tmp_path, model, options):
    """Rows have other companions in their batches, which changes their last bits."""
    found = {}
    for count in (1, 2, 4):
        output = tmp_path / f"{count}.h5"
        embed_as(count, models / model, corpus, output, *options)
        found[count] = read(output)
    for count in (2, 4):
        np.testing.assert_allclose(found[count][0], found[1][0], rtol=0, atol=2e-6)
        np.testing.assert_array_equal(found[count][1], found[1][1])
        assert found[count][2] == found[1][2]
    with VectorStore(tmp_path / "1.h5") as one, VectorStore(tmp_path / "4.h5") as four:
        assert one.metadata == four.metadata
        assert four.vectors.is_virtual
        assert len(four.vectors.virtual_sources()) == 4


def test_more_processes_than_lines(models, tmp_path, capsys):
    corpus, output = tmp_path / "corpus.txt.gz", tmp_path / "vectors.h5"
    corpus.write_bytes(gzip.compress(b"the bank of the river\n\nwater ran deep\n"))
    embed_as(5, models / "bert", corpus, output)
    vectors, _, words = read(output)
    assert words == ["the bank of the river".split(), [], "water ran deep".split()]
    assert len(vectors) == 8
    assert nearest.main([str(output), "river"]) == 0
    assert "bank of the [river]" in capsys.readouterr().out


def test_each_line_says_whose_it_is(models, corpus, tmp_path, capsys, monkeypatch):
    output = tmp_path / "vectors.h5"
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    assert run(models / "bert", corpus, output) == 0
    captured = capsys.readouterr()
    first, last = captured.out.splitlines()
    assert first.startswith(f"{output} 1-of-2: ")
    assert last == f"{output} waits for 1 of 2 parts: 0-of-2"
    assert "vectors.h5 1-of-2: 100%" in captured.err
    assert f"{output} 1-of-2: building the file" in captured.err
    assert run(models / "bert", corpus, output) == 2
    error = capsys.readouterr().err
    assert error.startswith("embed_jax, process 1 of 2: ")
    assert "1-of-2.h5 is complete" in error
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    assert run(models / "bert", corpus, output) == 0
    assert f"{output}: 400 sentences in 2 parts" in capsys.readouterr().out
    assert run(models / "bert", corpus, output, "--resume") == 0
    assert f"{output} is complete already" in capsys.readouterr().out
    assert run(models / "bert", corpus, output, "--resume", "--layers", "0") == 2
    assert "layers" in capsys.readouterr().err


@pytest.mark.parametrize("context", ["0", "document"])
def test_a_stopped_share_goes_on(models, corpus, tmp_path, context):
    """With another number of processes."""
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    line = models / "bert", corpus, broken, "--context", context
    assert run(models / "bert", corpus, whole, "--context", context) == 0
    for index in range(3):
        with stopped_after(50):
            assert run(*line, "--num-processes", 3, "--process-id", index) == 130
    embed_as(2, *line, "--resume")
    (vectors, offsets, words), expected = read(broken), read(whole)
    np.testing.assert_allclose(vectors, expected[0], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(offsets, expected[1])
    assert words == expected[2]


@pytest.mark.slow
def test_killed_and_resumed(models, tmp_path):
    """All at once first; then one alone, which the others outlive."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(LINES * 4) + "\n")
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    assert run(models / "bert", corpus, whole, "--context", "document") == 0

    def start(index: int, *options: str) -> subprocess.Popen:
        line = [sys.executable, "-c", PATIENT, models / "bert", corpus, broken]
        line += ["--context", "document", *options]
        line += ["--num-processes", 4, "--process-id", index]
        with (tmp_path / f"said.{index}").open("wb") as said:
            return subprocess.Popen(
                list(map(str, line)), stdout=said, stderr=subprocess.DEVNULL
            )

    processes = [start(index) for index in range(4)]
    for index, process in enumerate(processes):
        wait_for_sentences(broken, index, 20, process)
    for process in processes:
        process.kill()
    assert [process.wait() for process in processes] == [-9] * 4
    safe = [num_sentences(broken, index) for index in range(4)]
    assert all(20 <= count < 1600 for count in safe)

    processes = [start(index, "--resume") for index in range(4)]
    wait_for_sentences(broken, 2, safe[2] + 20, processes[2])
    processes[2].kill()
    assert [process.wait() for process in processes] == [0, 0, -9, 0]
    said = "".join((tmp_path / f"said.{index}").read_text() for index in range(4))
    # The last of the three says so; those before it miss more.
    assert f"{broken} waits for 1 of 4 parts: 2-of-4" in said
    assert not broken.exists()

    # Any process may write what is left.
    line = models / "bert", corpus, broken, "--context", "document"
    assert run(*line, "--resume") == 0
    (vectors, offsets, words), expected = read(broken), read(whole)
    np.testing.assert_allclose(vectors, expected[0], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(offsets, expected[1])
    assert words == expected[2]


def num_sentences(output: Path, index: int) -> int:
    """How many sentences of a part are safe, if it is not finished."""
    folder = output.with_name(output.name + ".parts")
    for journal in folder.glob(f"*-{index}-of-4.h5.partial/journal.json"):
        return json.loads(journal.read_text())["num_sentences"]
    return 0


def wait_for_sentences(output: Path, index: int, count: int, process) -> None:
    while num_sentences(output, index) < count:
        assert process.poll() is None
        time.sleep(0.05)
