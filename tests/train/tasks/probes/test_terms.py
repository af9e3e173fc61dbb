# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import numpy as np
import pytest

import elmo_jax
from tests.train.tiny_models import save_elmo
from train.tasks.features import Features, cached_features
from train.tasks.probes.terms import check_term, read_terms, read_vectors

SENTENCES = [["the", "bank", "of", "it"], ["we", "sat"], ["a", "river", "bank"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_elmo(tmp_path_factory.mktemp("models") / "elmo")


@pytest.fixture(scope="module")
def held(model: str, tmp_path_factory: pytest.TempPathFactory) -> Features:
    return cached_features(model, SENTENCES, tmp_path_factory.mktemp("x"), name="x")


@pytest.fixture(scope="module")
def layers(model: str) -> list[np.ndarray]:
    """Each layer [rows, D], from the encoder and not from the file."""
    params, tokenizer = elmo_jax.load(model)
    vectors = elmo_jax.embed_words(params, tokenizer, SENTENCES, "all")
    return np.split(np.concatenate(vectors), 3, axis=1)


SPECS: dict[str, Callable[..., np.ndarray]] = {
    "0": lambda a, b, c: a,
    "last": lambda a, b, c: c,
    "concat(1,2)": lambda a, b, c: np.hstack([b, c]),
    "1,mean(all)": lambda a, b, c: np.hstack([b, (a + b + c) / 3]),
    "sum(all)": lambda a, b, c: a + b + c,
    "max(0,2)": lambda a, b, c: np.maximum(a, c),
    "mix(all)": lambda a, b, c: (a + b + c) / 3,
    "mix(1..2),last": lambda a, b, c: np.hstack([(b + c) / 2, c]),
}


@pytest.mark.parametrize("spec", SPECS)
def test_vectors_by_hand(spec: str, held: Features, layers: list[np.ndarray]):
    expected = SPECS[spec](*layers)
    np.testing.assert_allclose(read_vectors(held, spec), expected, rtol=0, atol=3e-3)
    terms = [term.mean(axis=1, dtype=np.float32) for term in read_terms(held, spec)]
    np.testing.assert_allclose(np.hstack(terms), expected, rtol=0, atol=3e-3)


def test_only_the_layers_of_a_mix_are_kept_apart(held: Features):
    shapes = [
        term.shape[1:] for term in read_terms(held, "mix(all),concat(0,1),mix(2)")
    ]
    dim = held.layer_dim
    assert shapes == [(3, dim), (1, 2 * dim), (1, dim)]


def test_what_cannot_be(held: Features):
    with pytest.raises(ValueError, match="mix_norm takes its mean"):
        check_term("last,mix_norm(all)", 2)
    with pytest.raises(ValueError, match="needs layer 3"):
        read_terms(held, "3")
