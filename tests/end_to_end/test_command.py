# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax` as a user runs it: killed, resumed, fed rubbish."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
from embed_jax import __main__ as command
from embed_jax.store import StoreWriter, VectorStore
from tests.bert_jax.words import CONFIG, WORDS, make_tokenizer
from tests.end_to_end.stopping import stopped_after

LINES = [
    "the bank of the river",
    "",
    "money ran deep",
    "the bank of the river",
    "we sat \u200b",
    "   ",
    " ".join(["water"] * 100),
    "deep, deep water",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    params = bert_jax.init_params(jax.random.key(0), CONFIG, ())
    bert_jax.save(path, params, make_tokenizer())
    return path


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def run(*arguments) -> int:
    return command.main([str(argument) for argument in arguments])


def test_words_blank_lines_and_duplicates_are_kept(model, corpus, tmp_path, capsys):
    output = tmp_path / "vectors.h5"
    assert run(model, corpus, output, "--layers", "concat(last,0)") == 0
    assert "8 sentences, 32 wide" in capsys.readouterr().out
    params, tokenizer = bert_jax.load(model)
    expected = bert_jax.embed_words(params, tokenizer, LINES, "concat(last,0)")
    with VectorStore(output) as store:
        assert len(store) == len(LINES)
        for index, vectors in enumerate(expected):
            np.testing.assert_allclose(store[index], vectors, atol=1e-5)
        assert store.words(0) == ["the", "bank", "of", "the", "river"]
        assert store.words(1) == []
        assert store.words(7) == ["deep", ",", "deep", "water"]
        assert store.metadata["layers"] == "concat(last,embeddings)"


def test_words_that_are_split_stay_as_they_are(model, corpus, tmp_path, capsys):
    output = tmp_path / "vectors.h5"
    assert run(model, corpus, output, "--split") == 0
    # One line has a word of nothing but a zero-width space.
    assert "1 words have zero vectors; the first is line 5, word 3" in (
        capsys.readouterr().out
    )
    with VectorStore(output) as store:
        assert store.words(7) == ["deep,", "deep", "water"]
        assert not store[4][2].any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sentences_in_half_precision(model, corpus, tmp_path, dtype):
    output = tmp_path / "vectors.h5"
    assert run(model, corpus, output, "--sentences", "mean", "--dtype", dtype) == 0
    params, tokenizer = bert_jax.load(model)
    expected = bert_jax.embed_sentences(params, tokenizer, LINES, "last", pool="mean")
    with VectorStore(output) as store:
        got = np.concatenate(list(store)).astype(np.float32)
        np.testing.assert_allclose(got, expected, atol=2e-2)
        assert [text for (text,) in store.words(slice(None))] == LINES


def test_an_empty_file_gives_an_empty_store(model, tmp_path):
    corpus, output = tmp_path / "corpus.txt", tmp_path / "vectors.h5"
    corpus.write_bytes(b"")
    assert run(model, corpus, output) == 0
    with VectorStore(output) as store:
        assert len(store) == 0


@pytest.mark.parametrize("context", ["0", "3", "document"])
def test_a_stopped_run_goes_on(model, tmp_path, capsys, context):
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS[5:], k=rng.randint(0, 12))) for _ in range(150)]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(lines) + "\n")
    broken = tmp_path / "broken.h5"
    options = "--context", context, "--devices", 1
    with stopped_after(90):
        assert run(model, corpus, broken, *options) == 130
    assert "--resume" in capsys.readouterr().err
    assert not broken.exists()
    assert run(model, corpus, broken, *options) == 2
    assert "90 sentences" in capsys.readouterr().err
    assert run(model, corpus, broken, *options, "--layers", "0", "--resume") == 2
    assert "layers" in capsys.readouterr().err
    assert run(model, corpus, broken, *options, "--resume") == 0
    params, tokenizer = bert_jax.load(model)
    shown = context if context == "document" else int(context)
    expected = list(bert_jax.stream_words(params, tokenizer, lines, context=shown))
    with VectorStore(broken) as store:
        assert store.words(slice(None)) == [embedded.words for embedded in expected]
        for ours, theirs in zip(store, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.vectors, atol=1e-5)


def written_since(moment: float, output: Path) -> bool:
    """Tell whether an unfinished store was opened to be appended to since."""
    raw = output.with_name(output.name + ".partial").glob("vectors")
    return any(path.stat().st_mtime >= moment for path in raw)


@pytest.mark.slow
def test_killed_at_random_moments(model, tmp_path):
    rng = random.Random(1)
    lines = [
        " ".join(rng.choices(WORDS[5:], k=rng.randint(0, 30))) for _ in range(25_000)
    ]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(lines) + "\n")
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    assert run(model, corpus, whole, "--devices", 1) == 0
    line = [sys.executable, "-m", "embed_jax", model, corpus, broken, "--resume"]
    kills = 0
    while not broken.exists():
        began = time.time()
        process = subprocess.Popen(list(map(str, line)), stderr=subprocess.DEVNULL)
        # However long it takes to start here, from then on: a commit every 5 seconds.
        while process.poll() is None and not written_since(began, broken):
            time.sleep(0.05)
        try:
            process.wait(timeout=rng.uniform(0, 8))
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
            process.wait()
            kills += 1
        assert kills < 40
    assert kills
    with VectorStore(whole) as a, VectorStore(broken) as b:
        assert len(a) == len(b) == len(lines)
        for one, other in zip(a, b, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "lst"], 'did you mean "last"'),
        (["--layers", "3"], "0..2"),
        (["--words", "frist"], "one of first"),
        (["--words", "first", "--sentences", "cls"], "not both"),
        (["--context", "-1"], "context is a number of pieces, 0 or more"),
        (["--max-length", "99"], "max_length 99"),
        (["--token-budget", "0"], "token_budget"),
        (["--devices", "9"], "here are 8"),
        (["--devices", "0"], "devices must be at least 1, not 0"),
        (["--max-length", "2"], "max_length 2"),
    ],
)
def test_a_wrong_option_is_one_line(
    model, corpus, tmp_path, capsys, arguments, message
):
    output = tmp_path / "vectors.h5"
    assert run(model, corpus, output, *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("embed_jax: ")
    assert message in error
    assert not output.exists()
    # A mistake leaves nothing that the right command would stumble over.
    assert run(model, corpus, output, "--layers", "0") == 0


def test_a_wrong_path_is_one_line(model, corpus, tmp_path, capsys):
    output = tmp_path / "vectors.h5"
    for arguments, message in [
        ((tmp_path / "no/such/model", corpus, output), "model: no such directory"),
        ((corpus, corpus, output), "not a model"),
        ((model, tmp_path / "no.txt", output), "no.txt"),
        ((model, corpus, tmp_path / "no" / "vectors.h5"), "no such directory"),
    ]:
        assert run(*arguments) == 2
        captured = capsys.readouterr().err
        assert captured.count("\n") == 1
        assert message in captured


def test_an_existing_output_is_kept_unless_overwritten(model, corpus, tmp_path, capsys):
    output = tmp_path / "vectors.h5"
    output.write_text("precious")
    assert run(model, corpus, output) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert run(model, corpus, output, "--overwrite") == 2
    assert "is not a store of vectors" in capsys.readouterr().err
    assert output.read_text() == "precious"
    output.unlink()
    with StoreWriter(output, dim=1):
        pass
    assert run(model, corpus, output, "--overwrite") == 0
    with VectorStore(output) as store:
        assert len(store) == len(LINES)


def test_a_bad_line_is_found_before_the_model_is_loaded(corpus, tmp_path, capsys):
    corpus.write_bytes(b"fine\n\xff\n")
    # A BERT, as its configuration says, without the weights that would take long.
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text('{"model_type": "bert"}')
    assert run(bare, corpus, tmp_path / "vectors.h5") == 2
    assert "corpus.txt, line 2" in capsys.readouterr().err


def test_help_is_worth_reading():
    line = [sys.executable, "-m", "embed_jax", "--help"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    for word in ("MODEL", "CORPUS", "OUTPUT", "--resume", "concat(last4)", "document"):
        assert word in text


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(model, tmp_path):
    """60 MB of text within 300 MB of 1 MB, as a whole process sees it."""
    peaks = []
    for megabytes in (1, 60):
        corpus = tmp_path / f"{megabytes}.txt"
        rng = random.Random(0)
        block = [
            " ".join(rng.choices(WORDS[57:], k=rng.randint(0, 40))) for _ in range(8000)
        ]
        text = "\n".join(block) + "\n"
        corpus.write_text(text * (megabytes * 10**6 // len(text) + 1))
        peaks.append(peak_memory(model, corpus, tmp_path / f"{megabytes}.h5"))
    assert peaks[1] - peaks[0] < 300


def peak_memory(model, corpus, output) -> float:
    """Run the command in a process of its own; return its peak, in megabytes."""
    line = [sys.executable, "-m", "embed_jax", model, corpus, output]
    line += ["--layers", "0", "--dtype", "float16", "--compression", "none"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(list(map(str, line)), **quiet)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024
