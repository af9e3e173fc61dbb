# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of bilm-tf, written by TensorFlow itself, are read to the bit."""

import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import elmo_jax
from elmo_jax.bilm import word_vectors
from elmo_jax.options import read_options
from elmo_jax.tokens import BEGIN, END
from elmo_jax.weights import published_name
from tests.elmo_jax.published_model import assert_same_tensors, read_hdf5
from tests.elmo_jax.refusal import refused
from tests.families import family_of
from tests.oracles import bilm

pytestmark = pytest.mark.optimised

FIXTURE = Path(__file__).parents[1] / "fixtures/bilm_tf_tiny"
MODELS = {
    "characters": (FIXTURE, "model.ckpt-25"),
    "words": (FIXTURE / "tokens", "model.ckpt-7"),
}
SENTENCES = [["the", "bank", "of", "the", "river", "."], ["Zürich", "is", "never", "a"]]


def expected_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Give TensorFlow's variables their HDF5 names, as bilm-tf's own program does."""
    variables = np.load(folder / "expected.npz")
    tensors = {}
    for variable in variables:
        if not variable.startswith("lm/") or variable.endswith("/Adagrad"):
            continue
        name = variable.removeprefix("lm/").replace("/rnn/", "/RNN/")
        name = name.replace("/multi_rnn_cell/cell_", "/MultiRNNCell/Cell")
        name = name.replace("/lstm_cell/projection/kernel", "/LSTMCell/W_P_0")
        name = name.replace("/lstm_cell/kernel", "/LSTMCell/W_0")
        name = name.replace("/lstm_cell/bias", "/LSTMCell/B")
        assert not re.search("rnn|lstm_cell|kernel|bias", name)
        tensors[name] = variables[variable]
    return tensors


@pytest.fixture(params=MODELS)
def fixture(request):
    return MODELS[request.param]


def test_every_variable_to_the_bit(fixture, tmp_path):
    """Softmax included, slots and counters not."""
    folder, _ = fixture
    params, tokenizer = elmo_jax.load(folder)
    elmo_jax.save(tmp_path / "saved", params, tokenizer)
    saved = read_hdf5(tmp_path / "saved/weights.hdf5")
    softmax = read_hdf5(tmp_path / "saved/softmax_weights.hdf5")
    assert softmax.keys() == {"softmax/W", "softmax/b"}
    assert_same_tensors(saved | softmax, expected_tensors(folder))
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    assert tokenizer.vocabulary.words == tuple(words)
    assert (tmp_path / "saved/vocab.txt").read_text(encoding="utf-8").split() == words


def test_the_vectors_are_the_oracles(fixture):
    """Layer 0 by itself; above it, from the layer 0 that the model has.

    Values of layer 0 reach 10, where float32 steps by 1e-6. Compilers sum its last
    product in different orders, and the gates pass two such steps on.
    """
    folder, _ = fixture
    params, _ = elmo_jax.load(folder, encoder_only=True)
    assert params.heads == {}
    options, tensors = read_options(folder / "options.json"), expected_tensors(folder)
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    ids = {word: index for index, word in enumerate(words)}
    tokens = elmo_jax.load(folder)[1](SENTENCES)
    types = np.asarray(
        word_vectors(
            params.config, params.encoder, jnp.asarray(tokens.types), jnp.dtype("f4")
        )
    )
    layers = elmo_jax.encode(params, tokens)
    for row, sentence in zip(layers, SENTENCES, strict=True):
        row = np.asarray(row[:, : len(sentence)])
        expected, _ = bilm.run_sentence(options, tensors, sentence, ids)
        highest = np.abs(expected[0]).max()
        assert np.all(np.abs(row[0] - expected[0]) <= 1e-6 * highest)
        read = {
            bilm.BOS: types[BEGIN],
            bilm.EOS: types[END],
            **dict(zip(sentence, np.split(row[0], 2, axis=1)[0], strict=True)),
        }
        expected, _ = bilm.run_sentence(
            {name: options[name] for name in options if name != "char_cnn"},
            tensors | {"embedding": np.stack(list(read.values()))},
            sentence,
            {word: index for index, word in enumerate(read)},
        )
        assert np.abs(expected[1:]).max() > 0.1
        assert np.all(np.abs(row - expected) <= 1e-6)


def test_every_way_to_name_it(fixture, tmp_path):
    folder, prefix = fixture
    bias = elmo_jax.load(folder)[0].encoder["backward_0"]["bias"]
    for path in (folder / prefix, folder / f"{prefix}.index", folder / "options.json"):
        assert family_of(path) == "elmo"
        params, _ = elmo_jax.load(str(path))
        np.testing.assert_array_equal(params.encoder["backward_0"]["bias"], bias)
    shutil.copy(folder / "options.json", tmp_path)
    shutil.copy(folder / "vocab.txt", tmp_path)
    for suffix in ("", ".index"):
        params, _ = elmo_jax.load(tmp_path, weights=folder / f"{prefix}{suffix}")
        np.testing.assert_array_equal(params.encoder["backward_0"]["bias"], bias)
    assert family_of(folder) == "elmo"
    assert family_of(folder) != "bert"
    assert family_of(folder / prefix) != "bert"
    bert = FIXTURE.with_name("google_bert_tiny")
    assert family_of(bert) != "elmo"
    assert family_of(bert / "bert_model.ckpt") != "elmo"


def copy_run(path: Path, *steps: int) -> Path:
    """Copy the training run, with its checkpoint under several numbers."""
    path.mkdir()
    for name in ("options.json", "vocab.txt"):
        shutil.copy(FIXTURE / name, path)
    for step in steps:
        for file in FIXTURE.glob("model.ckpt-25.*"):
            shutil.copy(file, path / file.name.replace("-25.", f"-{step}."))
    return path


def test_the_newest_of_several_is_the_one_that_the_run_names(tmp_path):
    path = copy_run(tmp_path / "run", 9, 10)
    state = path / "checkpoint"
    candidates = ("model.ckpt-10, model.ckpt-9", "choose with weights=")
    refused(path, path, *candidates)
    assert elmo_jax.load(path / "model.ckpt-9")
    assert elmo_jax.load(path, weights=path / "model.ckpt-9")
    (path / "model.ckpt-9.index").write_bytes(b"not even read")
    state.write_text('model_checkpoint_path: "/of/another/machine/model.ckpt-10"\n')
    assert elmo_jax.load(path)
    state.write_text('model_checkpoint_path: "model.ckpt-9"\n')
    refused(path, path / "model.ckpt-9.index", "damaged")
    for content in ('model_checkpoint_path: "model.ckpt-11"\n', "nonsense"):
        state.write_text(content)
        refused(path, path, *candidates)


def test_weights_copied_beside_the_checkpoint(tmp_path):
    """What bilm-tf's own program leaves; either may be meant."""
    path = copy_run(tmp_path / "run", 25)
    params, tokenizer = elmo_jax.load(path)
    elmo_jax.save(tmp_path / "saved", params, tokenizer)
    shutil.copy(tmp_path / "saved/weights.hdf5", path / "dumped.hdf5")
    refused(path, "dumped.hdf5, model.ckpt-25", "choose with weights=")
    assert elmo_jax.load(path, weights=path / "dumped.hdf5")[0].heads == {}
    assert elmo_jax.load(path, weights=path / "model.ckpt-25")[0].heads


def test_damage(tmp_path):
    path = copy_run(tmp_path / "run", 25)
    data = path / "model.ckpt-25.data-00000-of-00001"
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    refused(path, data, "damaged or cut short")
    # The first four bytes are the count of steps, which is not read.
    data.write_bytes(whole[:8] + bytes([whole[8] ^ 1]) + whole[9:])
    refused(path, data, "checksum")
    data.unlink()
    refused(path, f"{data}: no such file")
    data.write_bytes(whole)
    index = path / "model.ckpt-25.index"
    index.write_bytes(index.read_bytes()[:100])
    refused(path, index, "damaged or cut short")


def test_options_and_vocabulary_that_contradict_it(tmp_path):
    path = copy_run(tmp_path / "run", 25)
    options, text = path / "options.json", (path / "options.json").read_text()
    prefix = path / "model.ckpt-25"
    for old, new, parts in [
        ('"dim": 16', '"dim": 17', [prefix, "lstm.dim 17"]),
        ('"n_layers": 2', '"n_layers": 1', [prefix, "cell_1", "lstm.n_layers"]),
        ('"n_tokens_vocab": 24', '"n_tokens_vocab": 25', [prefix, "softmax/W"]),
        # Where it trains, bilm-tf reads one direction unless told otherwise.
        ('"bidirectional": true, ', "", [prefix, "RNN_1/rnn", "by bidirectional"]),
    ]:
        assert old in text
        options.write_text(text.replace(old, new))
        refused(path, *parts)
    options.write_text(text)
    with (path / "vocab.txt").open("a") as file:
        file.write("more\n")
    refused(path, path / "vocab.txt", "25 words", "softmax/W", "24 rows")


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        (
            "rnn/multi_rnn_cell/cell_1/lstm_cell/projection/kernel",
            "RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0",
        ),
        (
            "RNN_1/rnn/multi_rnn_cell/cell_0/lstm_cell/bias",
            "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B",
        ),
        ("CNN/W_cnn_0", "CNN/W_cnn_0"),
    ],
)
def test_names_of_variables(variable, name):
    assert published_name(variable, 2) == name
