# SPDX-License-Identifier: Apache-2.0
"""Published datasets to parameters and back, to the byte; every one accounted for."""

import h5py
import jax
import numpy as np
import pytest

import elmo_jax
from tests.elmo_jax.published_model import (
    KINDS,
    OPTIONS,
    SENTENCES,
    WORDS,
    assert_same_tensors,
    changed,
    draw_softmax,
    draw_tensors,
    published_shapes,
    read_hdf5,
    write_hdf5,
    write_model,
)
from tests.elmo_jax.refusal import refused
from tests.oracles import bilm

CELL = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell"


def test_values_and_places(tmp_path):
    tensors, softmax = draw_tensors(OPTIONS), draw_softmax(OPTIONS)
    path = write_model(tmp_path, OPTIONS, tensors, softmax=softmax)
    params, tokenizer = elmo_jax.load(path)
    assert params.start is None
    assert tokenizer.config is params.config
    assert tokenizer.vocabulary.words == tuple(WORDS)
    cnn, backward = params.encoder["char_cnn"], params.encoder["backward_1"]
    places = [
        (cnn["embedding"], tensors["char_embed"]),
        (cnn["convolution_1"]["kernel"], tensors["CNN/W_cnn_1"][0]),
        (cnn["convolution_1"]["bias"], tensors["CNN/b_cnn_1"]),
        (cnn["highway_1"]["gate"]["kernel"], tensors["CNN_high_1/W_carry"]),
        (cnn["highway_1"]["gate"]["bias"], tensors["CNN_high_1/b_carry"]),
        (cnn["highway_0"]["transform"]["kernel"], tensors["CNN_high_0/W_transform"]),
        (cnn["projection"]["kernel"], tensors["CNN_proj/W_proj"]),
        (cnn["projection"]["bias"], tensors["CNN_proj/b_proj"]),
        (backward["kernel"], tensors[f"{CELL}/W_0"]),
        (backward["bias"], tensors[f"{CELL}/B"]),
        (backward["projection"], tensors[f"{CELL}/W_P_0"]),
        (params.heads["softmax"]["weights"], softmax["softmax/W"]),
        (params.heads["softmax"]["bias"], softmax["softmax/b"]),
    ]
    for ours, values in places:
        np.testing.assert_array_equal(ours, values)
    leaves = jax.tree.leaves(params)
    assert len(leaves) == len(tensors) + 2
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_is_that_of_fresh_parameters(kind, tmp_path):
    options = KINDS[kind]
    softmax = draw_softmax(options)
    params, _ = elmo_jax.load(write_model(tmp_path, options, softmax=softmax))
    expected = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, params.config, len(WORDS)),
        jax.random.key(0),
    )
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    for (place, ours), leaf in zip(
        jax.tree.leaves_with_path(params), jax.tree.leaves(expected), strict=True
    ):
        assert (ours.shape, ours.dtype) == (leaf.shape, leaf.dtype), place


@pytest.mark.parametrize("with_softmax", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_written(kind, with_softmax, tmp_path):
    options = KINDS[kind]
    tensors = draw_tensors(options)
    softmax = draw_softmax(options) if with_softmax else None
    path = write_model(tmp_path / "published", options, tensors, softmax=softmax)
    model = elmo_jax.load(path)
    elmo_jax.save(tmp_path / "saved", *model)
    assert_same_tensors(read_hdf5(tmp_path / "saved/weights.hdf5"), tensors)
    file = tmp_path / "saved/softmax_weights.hdf5"
    assert file.exists() == with_softmax
    if softmax:
        assert_same_tensors(read_hdf5(file), softmax)
    again = elmo_jax.load(tmp_path / "saved")
    assert again[0].config == model[0].config
    assert again[1].vocabulary == model[1].vocabulary


# Weights of unit size saturate gates, where float32 and float64 part.
def quiet_tensors(options: dict) -> dict[str, np.ndarray]:
    return {name: 0.3 * values for name, values in draw_tensors(options).items()}


@pytest.mark.parametrize(
    "kind",
    [
        "characters",
        "no_projections",
        "no_clips",
        "one_layer_of_words",
        "one_layer_forward",
    ],
)
def test_an_independent_reader_finds_the_same_vectors(kind, tmp_path):
    """The oracle reads what we saved by the published names alone."""
    path = write_model(tmp_path / "model", KINDS[kind], quiet_tensors(KINDS[kind]))
    params, tokenizer = elmo_jax.load(path)
    elmo_jax.save(tmp_path / "saved", params, tokenizer)
    options = elmo_jax.options.read_options(tmp_path / "saved/options.json")
    weights = read_hdf5(tmp_path / "saved/weights.hdf5")
    layers = elmo_jax.encode(params, tokenizer(SENTENCES))
    ids = {word: index for index, word in enumerate(WORDS)}
    for row, words in zip(layers, SENTENCES, strict=True):
        expected, _ = bilm.run_sentence(options, weights, words, ids)
        assert np.abs(expected[1:]).max() > 1e-3
        np.testing.assert_allclose(row[:, : len(words)], expected, rtol=0, atol=1e-6)


# Other names of the same tensors


def renamed(tensors: dict, *pairs: tuple[str, str]) -> dict:
    for old, new in pairs:
        tensors = {name.replace(old, new): values for name, values in tensors.items()}
    return tensors


STACKED = ("RNN/LSTMCell", "RNN/MultiRNNCell/Cell0/LSTMCell")
HALF_MAPPED = (
    ("RNN_0/RNN/", "rnn/"),
    ("W_P_0", "projection/kernel"),
    ("LSTMCell/W_0", "LSTMCell/kernel"),
    ("LSTMCell/B", "LSTMCell/bias"),
)


@pytest.mark.parametrize(
    ("kind", "pairs", "name"),
    [
        ("one_layer", [STACKED], "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/W_0"),
        ("one_layer_of_words", [STACKED], "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/B"),
        ("forward", HALF_MAPPED, "rnn/MultiRNNCell/Cell1/LSTMCell/projection/kernel"),
        ("one_layer_forward", HALF_MAPPED, "rnn/LSTMCell/kernel"),
        (
            "one_layer_forward",
            [STACKED, *HALF_MAPPED],
            "rnn/MultiRNNCell/Cell0/LSTMCell/bias",
        ),
    ],
)
def test_other_names_are_the_same_model(kind, pairs, name, tmp_path):
    tensors = draw_tensors(KINDS[kind])
    other = renamed(tensors, *pairs)
    assert name in other
    path = write_model(tmp_path / "other", KINDS[kind], other)
    elmo_jax.save(tmp_path / "saved", *elmo_jax.load(path))
    assert_same_tensors(read_hdf5(tmp_path / "saved/weights.hdf5"), tensors)


def test_two_names_of_one_tensor(tmp_path):
    options = KINDS["one_layer"]
    tensors = draw_tensors(options)
    twice = tensors | renamed(
        {name: values for name, values in tensors.items() if name.endswith("/B")},
        STACKED,
    )
    path = write_model(tmp_path, options, twice)
    refused(path, "weights.hdf5", "RNN_0/RNN/LSTMCell/B", "Cell0", "one tensor")


# Types


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ">f4", ">f8"])
def test_other_floats_are_converted(dtype, tmp_path):
    tensors = {n: v.astype(dtype) for n, v in draw_tensors(OPTIONS).items()}
    rounded = {n: v.astype(np.float32) for n, v in tensors.items()}
    path = write_model(tmp_path / "model", OPTIONS, tensors)
    elmo_jax.save(tmp_path / "saved", *elmo_jax.load(path))
    assert_same_tensors(read_hdf5(tmp_path / "saved/weights.hdf5"), rounded)


@pytest.mark.parametrize("dtype", ["int8", "int64", "bool", "complex64", "S4"])
def test_what_is_no_float_is_refused(dtype, tmp_path):
    tensors = draw_tensors(OPTIONS)
    tensors["CNN/b_cnn_1"] = tensors["CNN/b_cnn_1"].astype(dtype)
    path = write_model(tmp_path, OPTIONS, tensors)
    # HDF5 has no complex numbers: they are pairs.
    reason = "numbers are wanted" if dtype == "complex64" else "not a float"
    refused(path, tmp_path / "weights.hdf5", "CNN/b_cnn_1", reason)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value, tmp_path):
    for name in ("char_embed", "CNN/W_cnn_1", "CNN_proj/b_proj", f"{CELL}/W_P_0"):
        tensors = draw_tensors(OPTIONS)
        tensors[name].flat[-1] = value
        path = write_model(tmp_path, OPTIONS, tensors)
        refused(path, tmp_path / "weights.hdf5", f"{name} holds", "not finite")


def test_what_float32_cannot_hold_is_not_finite(tmp_path):
    tensors = {n: v.astype(np.float64) for n, v in draw_tensors(OPTIONS).items()}
    tensors["char_embed"][3, 1] = 1e39
    refused(write_model(tmp_path, OPTIONS, tensors), "char_embed", "not finite")


def test_datasets_without_dimensions(tmp_path):
    for number, wrong in enumerate([np.float32(1), h5py.Empty("f4")]):
        tensors = draw_tensors(OPTIONS) | {"char_embed": wrong}
        path = write_model(tmp_path / str(number), OPTIONS, tensors)
        refused(path, "char_embed has shape", "[261, 3]")


def test_a_softmax_that_is_not_finite(tmp_path):
    softmax = draw_softmax(OPTIONS)
    softmax["softmax/b"][0] = np.nan
    path = write_model(tmp_path, OPTIONS, softmax=softmax)
    refused(path, tmp_path / "softmax_weights.hdf5", "softmax/b", "not finite")
    assert elmo_jax.load(path, encoder_only=True)


# What is there and what is not


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("words", "embedding"),
        *(("characters", name) for name in published_shapes(KINDS["characters"])),
    ],
)
def test_every_tensor_is_needed_and_checked(kind, name, tmp_path):
    options = KINDS[kind]
    tensors, file = draw_tensors(options), tmp_path / "weights.hdf5"
    path = write_model(tmp_path, options, tensors)
    without = {n: v for n, v in tensors.items() if n != name}
    write_hdf5(file, without)
    refused(path, file, "no tensor", name)
    longer = np.concatenate([tensors[name], tensors[name][:1]])
    for wrong in (longer, tensors[name][None]):
        write_hdf5(file, tensors | {name: wrong})
        # The vocabulary tells of a table first.
        refused(path, file, name, "rows" if name == "embedding" else "has shape")


@pytest.mark.parametrize("name", ["softmax/W", "softmax/b"])
def test_every_tensor_of_the_softmax_is_needed_and_checked(name, tmp_path):
    softmax, file = draw_softmax(OPTIONS), tmp_path / "softmax_weights.hdf5"
    path = write_model(tmp_path, OPTIONS, softmax=softmax, words=None)
    write_hdf5(file, {n: v for n, v in softmax.items() if n != name})
    refused(path, file, "no tensor", name)
    for wrong in (softmax[name][:-1], softmax[name][None]):
        write_hdf5(file, softmax | {name: wrong})
        refused(path, file, "has shape")
    write_hdf5(file, softmax | {"softmax/extra": softmax[name]})
    refused(path, file, "unexpected tensor softmax/extra", "no part of a biLM")


@pytest.mark.parametrize(
    "name",
    ["nonsense", "CNN/W_cnn_0/Adagrad", "RNN_2/RNN/MultiRNNCell/Cell0/LSTMCell/B"],
)
def test_nothing_is_left_over(name, tmp_path):
    tensors = draw_tensors(OPTIONS)
    tensors = {n: v for n, v in tensors.items() if n != "CNN/W_cnn_0"}
    if "CNN" not in name or "RNN" in name:
        tensors = draw_tensors(OPTIONS)
    path = write_model(tmp_path, OPTIONS, tensors | {name: np.zeros(1, np.float32)})
    parts = ["no tensor CNN/W_cnn_0"] if "Adagrad" in name else ["unexpected", name]
    refused(path, tmp_path / "weights.hdf5", *parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"lstm__dim": 8}, ["W_0 has shape [8, 24]", "[8, 32]", "lstm.dim 8"]),
        (
            {"lstm__projection_dim": 3},
            ["CNN_proj/W_proj has shape [5, 4]", "[5, 3]", "lstm.projection_dim 3"],
        ),
        (
            {"lstm__projection_dim": 5},
            ["CNN_proj", "char_cnn.filters and lstm.projection_dim"],
        ),
        ({"lstm__dim": 4}, ["W_P_0", "lstm.dim and lstm.projection_dim"]),
        ({"lstm__n_layers": 3}, ["no tensor", "Cell2", "lstm.n_layers"]),
        ({"lstm__n_layers": 1}, ["Cell1", "lstm.n_layers"]),
        ({"bidirectional": False}, ["unexpected", "RNN_1/", "by bidirectional"]),
        ({"char_cnn": ...}, ["no tensor embedding", "by char_cnn"]),
        (
            {"char_cnn__embedding__dim": 4},
            ["char_embed has shape [261, 3]", "[261, 4]", "char_cnn.embedding.dim 4"],
        ),
        (
            {"char_cnn__filters": [[1, 2], [3, 3]]},
            ["CNN/W_cnn_1", "[1, 3, 3, 3]", "char_cnn.filters, [3, 3]"],
        ),
        (
            {"char_cnn__filters": [[1, 3], [2, 2]]},
            ["CNN/W_cnn_0", "[1, 1, 3, 3]", "char_cnn.filters, [1, 3]"],
        ),
        (
            {"char_cnn__filters": [[1, 2], [2, 3], [3, 4]]},
            ["no tensor CNN/W_cnn_2", "by char_cnn.filters"],
        ),
        (
            {"char_cnn__filters": [[1, 2]]},
            ["unexpected", "CNN/W_cnn_1", "by char_cnn.filters"],
        ),
        ({"char_cnn__n_highway": 3}, ["CNN_high_2", "by char_cnn.n_highway"]),
        ({"char_cnn__n_highway": 1}, ["CNN_high_1", "by char_cnn.n_highway"]),
    ],
)
def test_options_that_contradict_the_tensors(changes, parts, tmp_path):
    tensors = draw_tensors(OPTIONS)
    path = write_model(tmp_path, changed(OPTIONS, **changes), tensors)
    refused(path, tmp_path / "weights.hdf5", "options.json", *parts)


def test_other_options_that_contradict_the_tensors(tmp_path):
    tensors = draw_tensors(KINDS["forward"])
    path = write_model(tmp_path / "forward", OPTIONS, tensors)
    refused(path, "no tensor RNN_1/", "by bidirectional")
    tensors = draw_tensors(KINDS["words"])
    path = write_model(tmp_path / "words", OPTIONS, tensors)
    refused(path, "no tensor char_embed", "by char_cnn")
    options = changed(KINDS["words"], n_tokens_vocab=9)
    path = write_model(tmp_path / "number", options, words=[*WORDS, "more"])
    refused(path, "9 words", "embedding", "8 rows")
    path = write_model(tmp_path / "table", options)
    refused(path, "embedding has shape [8, 4]", "by n_tokens_vocab")
    options = changed(OPTIONS, n_tokens_vocab=9)
    path = write_model(tmp_path / "softmax", options, softmax=draw_softmax(options))
    refused(path, "softmax/W has shape [8, 4]", "[9, 4]", "by n_tokens_vocab 9")


# Parameters that are not what their configuration says


def test_parameters_that_cannot_be_written(tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", OPTIONS))
    encoder = params.encoder
    lacking = {name: v for name, v in encoder.items() if name != "forward_1"}
    wrong = encoder | {"forward_1": encoder["forward_1"] | {"bias": np.zeros(7)}}
    bias = {"softmax": {"bias": np.zeros(8)}}
    start = elmo_jax.zero_carry(params.config, 1)
    for changes, message in [
        ({"encoder": lacking}, "no encoder/forward_1/kernel"),
        ({"encoder": encoder | {"more": {"x": np.zeros(1)}}}, "encoder/more/x has no"),
        ({"encoder": wrong}, r"forward_1/bias has shape \[7\]"),
        ({"heads": bias}, "no heads/softmax/weights"),
        ({"heads": {"other": {"x": np.zeros(1)}}}, "heads/other/x has no"),
        ({"start": start[:1]}, "no backward/0/cell"),
        ({"start": (start[0], (*start[1], start[1][0]))}, "more start states"),
        ({"start": elmo_jax.zero_carry(params.config, 2)}, "forward/0/cell has shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            elmo_jax.save(tmp_path / "saved", params.replace(**changes), tokenizer)
        assert not (tmp_path / "saved").exists()
