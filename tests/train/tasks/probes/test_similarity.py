# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bert_jax
import elmo_jax
from embed_jax.corpus.embedder import CorpusEmbedder
from embed_jax.encoder import find_encoder
from tests.train.tiny_models import save_bert, save_elmo
from train.families.bert.poolings import BERT_POOLINGS
from train.families.poolings import WORD_POOLINGS
from train.tasks.probes.similarity import (
    SentencePair,
    correlate,
    cosines,
    measure_pairs,
    poolings_of,
    read_pairs,
)

ROW = 'main\tMSRvid\t2012\t0024\t2.500\tA girl\'s hair.\t"Quoted" text.\textra\n'
TEXTS = ["the bank", "we sat of a river", "money money", "the river banks", "a bank"]
PAIRS = [
    SentencePair(first, second, float(index))
    for index, (first, second) in enumerate(pairwise(TEXTS))
]


def test_pairs(tmp_path: Path):
    path = tmp_path / "sts.csv"
    path.write_text(ROW)
    assert read_pairs(path) == [SentencePair("A girl's hair.", '"Quoted" text.', 2.5)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tb\tc", "2: 3 fields, not the seven"),
        ("a\tb\tc\td\tx\te\tf", "2: similarity 'x' is no number"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str, tmp_path: Path):
    path = tmp_path / "sts.csv"
    path.write_text(ROW + line)
    with pytest.raises(ValueError, match=rf"sts\.csv:{message}"):
        read_pairs(path)


def test_an_empty_file(tmp_path: Path):
    path = tmp_path / "sts.csv"
    path.touch()
    with pytest.raises(ValueError, match="is empty"):
        read_pairs(path)


def test_cosines():
    first = np.array([[1, 0], [3, 4], [0, 0]], np.float32)
    second = np.array([[2, 0], [4, 3], [1, 1]], np.float32)
    np.testing.assert_allclose(cosines(first, second), [1, 24 / 25, 0])


def test_correlations_by_definition():
    random = np.random.default_rng(0)
    similarities = random.integers(0, 6, 80).astype(float)
    values = np.exp(similarities + random.normal(size=80))
    found = correlate(values, similarities)
    assert found is not None

    def ranks(of: np.ndarray) -> np.ndarray:
        """Equal values share the mean of their places."""
        return np.array([(of < x).sum() + (of == x).sum() / 2 for x in of])

    pearson = np.corrcoef(values, similarities)[0, 1]
    spearman = np.corrcoef(ranks(values), ranks(similarities))[0, 1]
    assert found.pearson == pytest.approx(100 * pearson)
    assert found.spearman == pytest.approx(100 * spearman)
    assert found.spearman > found.pearson + 5
    assert correlate(np.ones(3), np.arange(3.0)) is None


def pool_slowly(layers: np.ndarray, pool: str) -> np.ndarray:
    """Pool the positions [L T D] of one sentence."""
    match pool:
        case "cls":
            return layers[:, 0]
        case "mean, no specials":
            return layers[:, 1:-1].mean(axis=1)
        case "max":
            return layers.max(axis=1)
        case _:
            return layers.mean(axis=1)


@pytest.mark.parametrize(
    ("package", "save", "pools"),
    [
        (bert_jax, save_bert, ["mean, no specials", "cls"]),
        (elmo_jax, save_elmo, ["mean", "max"]),
    ],
)
def test_all_specs_from_one_run(
    package: ModuleType,
    save: Callable[[Path], str],
    pools: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    params, tokenizer = package.load(save(tmp_path / "model"))
    stream, runs = CorpusEmbedder.stream, []

    def counted(*given, **options):
        runs.append(options)
        return stream(*given, **options)

    monkeypatch.setattr(CorpusEmbedder, "stream", counted)
    tokens = tokenizer(TEXTS)
    encoded = np.asarray(package.encode(params, tokens), np.float64)
    specs = {"0": [0], "1": [1], "2": [2], "concat(1,2)": [1, 2]}
    for pool in pools:
        runs.clear()
        options = poolings_of(package.ENCODER.name)[pool]
        found = measure_pairs(
            package.ENCODER, params, tokenizer, {"dev": PAIRS}, list(specs), options
        )
        assert len(runs) == 1
        vectors = np.stack(
            [
                pool_slowly(layers[:, mask], pool)
                for layers, mask in zip(encoded, np.asarray(tokens.mask), strict=True)
            ]
        )
        for spec, chosen in specs.items():
            held = found[spec]["dev"]
            if (spec, pool) == ("0", "cls"):
                assert held is None
                continue
            assert held is not None
            flat = vectors[:, chosen].reshape(len(TEXTS), -1)
            units = flat / np.linalg.norm(flat, axis=1, keepdims=True)
            cosine = (units[:-1] * units[1:]).sum(axis=1)
            pearson = 100 * np.corrcoef(cosine, np.arange(4))[0, 1]
            assert held.pearson == pytest.approx(pearson, abs=0.1)


def test_poolings():
    assert poolings_of("bert") is BERT_POOLINGS
    assert poolings_of("elmo") is WORD_POOLINGS


def test_an_encoder_that_nobody_trains_here_is_pooled_too():
    assert poolings_of("served_alone") is WORD_POOLINGS


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.data
def test_the_published_figure(trained: Callable[[str], Path], data_dir: Path):
    path = str(trained("all-MiniLM-L6-v2"))
    pairs = read_pairs(data_dir / "sts_benchmark/sts-test.csv")
    assert len(pairs) == 1379
    params, tokenizer = bert_jax.load(path)
    specs = [str(layer) for layer in range(7)]
    found = measure_pairs(
        find_encoder(path),
        params,
        tokenizer,
        {"test": pairs},
        specs,
        BERT_POOLINGS["mean"],
    )
    last = found["6"]["test"]
    assert last is not None
    # MTEB: 0.82032 and 0.82741.
    assert last.spearman == pytest.approx(82.032, abs=1e-2)
    assert last.pearson == pytest.approx(82.741, abs=1e-2)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes("a\tb\tc\n".encode("utf-16"))
    with pytest.raises(ValueError, match="but UTF-16"):
        read_pairs(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="git lfs pull"):
        read_pairs(path)
