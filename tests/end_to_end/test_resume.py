# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax … --resume`: only the same run goes on, whatever the family."""

from pathlib import Path

import jax
import numpy as np
import pytest

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
