# SPDX-License-Identifier: Apache-2.0
"""bilm-tf's own fixture: its vectors and mixes are ours.

Upstream's tests hold their program to 1e-6 of these values; so is this, without the
relative part that theirs allows on top.
"""

import json

import h5py
import numpy as np
import pytest

import elmo_jax
from elmo_jax import Vocabulary
from elmo_jax.characters import PADDING
from embed_jax.layers.scalar_mix import ScalarMix

pytestmark = [pytest.mark.data, pytest.mark.optimised]

ATOL = 1e-6
NUM_BATCHES = 10


@pytest.fixture(scope="module")
def folder(data_dir):
    return data_dir / "elmo_fixtures_bilm_tf"


@pytest.fixture(scope="module")
def model(folder):
    """The model; its directory also holds the golden vectors, as HDF5."""
    path = folder / "tests/fixtures/model"
    weights = path / "lm_weights.hdf5"
    return elmo_jax.load(path, weights=weights, encoder_only=True)


@pytest.fixture(scope="module")
def batches(folder):
    """Ten batches of three sentences; row k goes on from batch to batch."""
    path = folder / "tests/fixtures/model/lm_embeddings_sentences.json"
    rows = [[text.split() for text in row] for row in json.loads(path.read_text())]
    batches = list(zip(*rows, strict=True))
    assert len(batches) == NUM_BATCHES
    assert all(len(batch) == 3 for batch in batches)
    return batches


@pytest.fixture(scope="module")
def golden(folder, batches):
    """The top layer [T D] of every sentence, by batch and row."""
    golden = {}
    for row in range(3):
        path = folder / f"tests/fixtures/model/lm_embeddings_{row}.hdf5"
        with h5py.File(path) as file:
            for number in range(NUM_BATCHES):
                # Forward and backward stand one after the other: [2 T P].
                golden[number, row] = np.concatenate(file[str(number)][()], axis=-1)
                assert golden[number, row].shape == (len(batches[number][row]), 32)
    return golden


def run(params, tokenizer, batches, layer_spec, mix=None):
    """Embed the batches one after another, the state carried; yield real vectors."""
    carry = elmo_jax.zero_carry(params.config, 3)
    for tokens in tokenize(tokenizer, batches):
        vectors, carry = elmo_jax.embed(
            params, tokens, layer_spec, mix=mix, carry=carry
        )
        yield vectors, tokens.mask


def tokenize(tokenizer, batches):
    """Give all batches one shape, so that one compilation serves."""
    length = max(len(sentence) for batch in batches for sentence in batch)
    all_tokens = [tokenizer.collate(list(batch), length) for batch in batches]
    most = np.max([tokens.types.shape for tokens in all_tokens], axis=0)
    for tokens in all_tokens:
        types = tokens.types
        if types.ndim == 2:
            more = (0, 0), (0, most[1] - types.shape[1])
            types = np.pad(types, more, constant_values=PADDING)
        rows = [(0, most[0] - len(types))] + [(0, 0)] * (types.ndim - 1)
        yield tokens._replace(types=np.pad(types, rows))


def largest_difference(params, tokenizer, batches, golden) -> float:
    largest = 0.0
    for number, (vectors, _) in enumerate(run(params, tokenizer, batches, "last")):
        for row, sentence in enumerate(batches[number]):
            ours = np.asarray(vectors[row, : len(sentence)], np.float64)
            difference = np.abs(ours - golden[number, row]).max()
            largest = max(largest, float(difference))
    return largest


def test_stateful_vectors_from_characters(model, batches, golden):
    difference = largest_difference(*model, batches, golden)
    assert difference <= ATOL


def test_without_the_state_they_are_others(model, batches, golden):
    """So the golden vectors do test that states are carried."""
    params, tokenizer = model
    vectors = elmo_jax.embed(params, tokenizer(list(batches[1])), "last")
    sentence = batches[1][0]
    assert np.abs(vectors[0, : len(sentence)] - golden[1, 0]).max() > 1e-3


@pytest.fixture(scope="module")
def table(model, batches, tmp_path_factory):
    """The model of words: computed, saved, loaded."""
    words = {word for batch in batches for sentence in batch for word in sentence}
    vocabulary = Vocabulary(("<S>", "</S>", "<UNK>", *sorted(words)))
    path = tmp_path_factory.mktemp("table") / "model"
    elmo_jax.save(path, *elmo_jax.word_table(*model, vocabulary))
    return elmo_jax.load(path)


def test_stateful_vectors_from_a_table(table, batches, golden):
    assert table[0].config.char_cnn is None
    difference = largest_difference(*table, batches, golden)
    assert difference <= ATOL


# The mixes of upstream's test of weight_layers.

MIXES = (([0.1, 0.3, 0.5], 1.1), ([0.2, 0.4, 0.6], 0.88))


def as_mix(weights, gamma) -> ScalarMix:
    return ScalarMix(np.array(weights, np.float32), np.float32(gamma))


def mix_by_hand(layers, mask, weights, gamma, norm: bool):
    """Mix in float64: layers is [B L T D], of which mask says what is real."""
    layers = np.asarray(layers, np.float64)
    shares = np.exp(np.array(weights) + 1 / 3)
    shares /= shares.sum()
    total = 0.0
    for index, share in enumerate(shares):
        real = layers[:, index][mask]  # [words, D]
        if norm:
            real = (real - real.mean()) / (real.std() + 1e-12)
        total = total + share * real
    return gamma * total


@pytest.mark.parametrize("function", ["mix", "mix_norm"])
def test_two_mixes_from_one_run(function, model, batches):
    specs = (f"{function}(all)", f"{function}(all)", "concat(0,1,2)")
    mixes = (*(as_mix(*mix) for mix in MIXES), None)
    for (first, second, layers), mask in run(*model, batches, specs, mixes):
        layers = np.stack(np.split(np.asarray(layers), 3, axis=-1), axis=1)
        for ours, mix in zip((first, second), MIXES, strict=True):
            expected = mix_by_hand(layers, mask, *mix, norm=function == "mix_norm")
            np.testing.assert_allclose(ours[mask], expected, rtol=0, atol=ATOL)
            assert np.all(np.asarray(ours)[~mask] == 0)


def test_the_top_layer_only(model, batches, golden):
    """With a gamma and no weights: a mix of one layer."""
    mix = as_mix([0.0], 0.88)
    for number, (vectors, mask) in enumerate(run(*model, batches, "mix(last)", mix)):
        for row, sentence in enumerate(batches[number]):
            expected = 0.88 * golden[number, row].astype(np.float64)
            ours = vectors[row, : len(sentence)]
            np.testing.assert_allclose(ours, expected, rtol=0, atol=ATOL)
        assert np.all(np.asarray(vectors)[~mask] == 0)
