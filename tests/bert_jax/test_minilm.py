# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 gives the numbers that others published for it."""

import json

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

import bert_jax

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def minilm(trained):
    return bert_jax.load(trained("all-MiniLM-L6-v2"))


@pytest.fixture(scope="module")
def golden(data_dir):
    folder = data_dir / "bert_minilm_golden"
    return folder, json.loads((folder / "golden.json").read_text())


def unit_mean(minilm, sentences) -> np.ndarray:
    vectors = bert_jax.embed_sentences(*minilm, sentences, "last", pool="mean")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_last_layer_and_mean_equal_the_float64_reference(minilm, golden):
    folder, expected = golden
    reference = np.load(folder / "numpy_reference_float64.npz")
    params, tokenizer = minilm
    sentences = expected["sentences"]
    tokens = tokenizer(sentences)
    last = np.asarray(bert_jax.embed(params, tokens, "last"))
    means = unit_mean(minilm, sentences)
    for index in range(len(sentences)):
        real = last[index][tokens.mask[index]]
        np.testing.assert_allclose(
            real, reference[f"s{index}_last_hidden"], rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(
            means[index], reference[f"s{index}_mean_normalized"], rtol=0, atol=1e-5
        )


def test_fastembed(minilm, golden):
    published = golden[1]["fastembed"]
    vector = unit_mean(minilm, [published["text"]])[0]
    np.testing.assert_allclose(vector[:5], published["first5"], rtol=0, atol=1e-5)


def test_fastembed_rs(minilm, golden):
    published = golden[1]["fastembed_rs"]
    sums = unit_mean(minilm, published["texts"]).sum(axis=1)
    expected = published["sum_of_normalised_embedding"]
    np.testing.assert_allclose(sums, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "pool", "sentences"),
    [
        ("test_bert__bert_single.snap", "mean", [0]),
        ("test_bert__bert_single_pooled.snap", "cls", [0]),
        ("test_bert__bert_batch.snap", "mean", [0, 1, 0]),
        ("test_bert__bert_batch_pooled.snap", "cls", [0, 1, 0]),
    ],
)
def test_text_embeddings_inference(minilm, golden, file, pool, sentences):
    """These snapshots are approximate: 3e-3, as their own check is a cosine."""
    folder, expected = golden
    texts = [expected["sentences"][index] for index in sentences]
    text = (folder / "tei_snapshots" / file).read_text()
    lines = text.split("---")[2].splitlines()
    values = [float(line.split()[-1]) for line in lines if line.strip()]
    published = np.array(values).reshape(len(texts), -1)
    got = bert_jax.embed_sentences(*minilm, texts, "last", pool=pool)
    np.testing.assert_allclose(got, published, rtol=0, atol=3e-3)


@pytest.mark.slow
def test_sts_benchmark_is_the_published_figure(minilm, data_dir):
    text = (data_dir / "sts_benchmark/sts-test.csv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()]
    scores = [float(row[4]) for row in rows]
    firsts, seconds = (unit_mean(minilm, [row[i] for row in rows]) for i in (5, 6))
    cosines = (firsts * seconds).sum(axis=1)
    assert len(rows) == 1379
    # MTEB: 0.82032 and 0.82741.
    assert spearmanr(cosines, scores).statistic == pytest.approx(0.82032, abs=1e-4)
    assert pearsonr(cosines, scores).statistic == pytest.approx(0.82741, abs=1e-4)


@pytest.mark.parity
def test_the_mlm_head_of_a_trained_model(trained):
    """Old gamma/beta names, absent tied decoder, against transformers."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = trained("bert-mlm-tiny")
    params, tokenizer = bert_jax.load(path)
    tokens = tokenizer(["The capital of France is [MASK].", "[MASK] rain fell."])
    model = transformers.BertForMaskedLM.from_pretrained(path).eval().double()
    with torch.no_grad():
        theirs = model(
            input_ids=torch.tensor(tokens.ids).long(),
            attention_mask=torch.tensor(tokens.mask).long(),
        ).logits.numpy()
    ours = np.asarray(bert_jax.masked_lm_logits(params, tokens))
    # The scores reach 19, where float32 itself steps by 2e-6; hence the relative part,
    # and float64 to compare with: transformers in float32 misses it by 2.0e-5.
    np.testing.assert_allclose(
        ours[tokens.mask], theirs[tokens.mask], rtol=1e-6, atol=1e-5
    )
