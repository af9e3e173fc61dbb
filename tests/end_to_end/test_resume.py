# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax … --resume`: only the same run goes on, whatever the family."""

import dataclasses
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
from embed_jax.__main__ import main
from embed_jax.store import VectorStore
from tests.end_to_end.stopping import stopped_after
from tests.options.embedding import LINES, PACKAGES, QUICKLY, Run, run, save_model

# What decides about the vectors, and under which name a store says it.
DECIDING = {
    "--max-length 20": "metadata['max_length'] = null, this run has 20",
    "--long truncate": 'metadata[\'long\'] = "window", this run has "truncate"',
    "--split": "metadata['split'] = false, this run has true",
    "--compute bfloat16": 'metadata[\'compute\'] = "float32", this run has "bfloat16"',
    "--words last": 'metadata[\'pool\'] = "first", this run has "last"',
    "--sentences max": 'metadata[\'level\'] = "words", this run has "sentences"',
    "--layers last": 'metadata[\'layers\'] = "embeddings", this run has "last"',
    "--dtype float16": 'dtype = "float32", this run has "float16"',
}
CASES = [
    *((kind, given, said) for kind in PACKAGES for given, said in DECIDING.items()),
    ("bert", "--context 5", 'metadata[\'context\'] = "0", this run has "5"'),
]


def embed(kind: str, folder: Path, *given: str) -> Run:
    """Run the command in a folder that holds the model and the corpus."""
    layers = [] if "--layers" in given else QUICKLY
    line = ["model", "corpus.txt", "vectors.h5", "--devices", "1", *given, *layers]
    return run(main, line, folder)


def stop(kind: str, folder: Path) -> Path:
    """Stop a run after two sentences."""
    save_model(kind, folder / "model")
    (folder / "corpus.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    with stopped_after(2):
        assert embed(kind, folder).status == 130
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Runs that were stopped after two sentences."""
    return {kind: stop(kind, tmp_path_factory.mktemp(kind)) for kind in PACKAGES}


@pytest.mark.parametrize(("kind", "given", "said"), CASES)
def test_other_vectors_do_not_go_on(stopped, kind, given, said):
    refused = embed(kind, stopped[kind], "--resume", *given.split())
    assert refused.status == 2
    assert said in refused.refusal


@pytest.mark.parametrize("kind", PACKAGES)
def test_another_text_of_the_same_name_does_not_go_on(stopped, kind):
    corpus = stopped[kind] / "corpus.txt"
    text = corpus.read_text(encoding="utf-8")
    corpus.write_text(text.replace("river", "water"), encoding="utf-8")
    refused = embed(kind, stopped[kind], "--resume")
    corpus.write_text(text, encoding="utf-8")
    assert refused.status == 2
    assert "metadata['corpus_sha256']" in refused.refusal


@pytest.mark.parametrize("kind", PACKAGES)
def test_other_weights_under_the_same_path_do_not_go_on(kind, tmp_path):
    stop(kind, tmp_path)
    package = PACKAGES[kind]
    params, tokenizer = package.load(tmp_path / "model")
    other = jax.tree.map(lambda leaf: np.asarray(leaf) * np.float32(0.5), params)
    package.save(tmp_path / "model", other, tokenizer, overwrite=True)
    refused = embed(kind, tmp_path, "--resume")
    assert refused.status == 2
    assert "metadata['weights']" in refused.refusal
    package.save(tmp_path / "model", params, tokenizer, overwrite=True)
    assert embed(kind, tmp_path, "--resume").status == 0


ALTERED = [
    ("bert", {"num_heads": 1}),
    ("bert", {"hidden_act": "relu"}),
    ("elmo", {"cell_clip": 0.01}),
    ("elmo", {"skip_connections": False}),
]


@pytest.mark.parametrize(("kind", "changes"), ALTERED)
def test_another_configuration_of_the_same_weights_does_not_go_on(
    stopped, tmp_path, kind, changes
):
    folder = shutil.copytree(stopped[kind], tmp_path / kind)
    package = PACKAGES[kind]
    params, tokenizer = package.load(folder / "model")
    other = params.replace(config=dataclasses.replace(params.config, **changes))
    package.save(folder / "model", other, tokenizer, overwrite=True)
    refused = embed(kind, folder, "--resume")
    assert refused.status == 2
    assert "metadata['model_identity.configuration']" in refused.refusal


def test_another_case_of_the_same_pieces_does_not_go_on(stopped, tmp_path):
    folder = shutil.copytree(stopped["bert"], tmp_path / "bert")
    params, tokenizer = bert_jax.load(folder / "model")
    pieces = [tokenizer.piece(index) for index in range(tokenizer.vocab_size)]
    other = bert_jax.WordPieceTokenizer.from_vocab(
        pieces, cased=not tokenizer.cased, max_length=tokenizer.max_length
    )
    bert_jax.save(folder / "model", params, other, overwrite=True)
    refused = embed("bert", folder, "--resume")
    assert refused.status == 2
    assert "metadata['model_identity.tokenizer']" in refused.refusal


def test_what_other_code_of_ours_has_made_does_not_go_on(stopped, monkeypatch):
    monkeypatch.setattr("embed_jax.model_identity.FORM", 7)
    refused = embed("bert", stopped["bert"], "--resume")
    assert refused.status == 2
    assert "metadata['model_identity.form'] = 1, this run has 7" in refused.refusal


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_model_that_was_moved_or_touched_goes_on(stopped, tmp_path, kind):
    folder = shutil.copytree(stopped[kind], tmp_path / kind)
    (folder / "model").rename(folder / "moved")
    for path in [*folder.glob("moved/*"), folder / "corpus.txt"]:
        os.utime(path, (1, 1))
    line = [str(folder / "moved"), "corpus.txt", "vectors.h5", "--devices", "1"]
    assert run(main, [*line, *QUICKLY, "--resume"], folder).status == 0
    with VectorStore(folder / "vectors.h5") as store:
        assert len(store) == len(LINES)


@pytest.mark.parametrize("kind", PACKAGES)
def test_speed_may_be_another_when_a_run_goes_on(stopped, kind):
    """Batches and devices move no vector, so they do not decide."""
    assert embed(kind, stopped[kind], "--resume", "--token-budget", "2000").status == 0
    package = PACKAGES[kind]
    params, tokenizer = package.load(stopped[kind] / "model")
    expected = package.embed_words(params, tokenizer, LINES, "0")
    with VectorStore(stopped[kind] / "vectors.h5") as store:
        for ours, theirs in zip(store, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    # There is nothing left to do, as of a store in parts.
    again = embed(kind, stopped[kind], "--resume")
    assert again.status == 0, again.refusal
    assert again.printed == "vectors.h5 is complete already\n"
    # A finished store is that of one run too.
    refused = embed(kind, stopped[kind], "--resume", "--words", "last")
    assert refused.status == 2
    assert "metadata['pool']" in refused.refusal
