# SPDX-License-Identifier: Apache-2.0
"""The biLM oracle gives upstream's numbers and keeps the laws they do not show."""

import json

import h5py
import numpy as np
import pytest

from tests.oracles import bilm

VOCABULARY = {word: i for i, word in enumerate(["a", "b", "<UNK>", "</S>", "<S>"])}


# Upstream's fixture


@pytest.fixture(scope="module")
def fixture(data_dir):
    return data_dir / "elmo_fixtures_bilm_tf"


@pytest.fixture(scope="module")
def published(fixture):
    folder = fixture / "tests/fixtures/model"
    weights = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            weights[name] = item[()]

    with h5py.File(folder / "lm_weights.hdf5") as file:
        file.visititems(collect)
    return json.loads((folder / "options.json").read_text()), weights


@pytest.fixture(scope="module")
def rows(fixture):
    """Per row of the batch its sentences in the order of the batches."""
    path = fixture / "tests/fixtures/model/lm_embeddings_sentences.json"
    return [
        [sentence.split() for sentence in row] for row in json.loads(path.read_text())
    ]


def golden_difference(fixture, rows, options, weights, vocabulary=None) -> float:
    """Largest difference to upstream's top layer, state carried along each row."""
    largest = 0.0
    for k, sentences in enumerate(rows):
        state = bilm.zero_state(options)
        path = fixture / f"tests/fixtures/model/lm_embeddings_{k}.hdf5"
        with h5py.File(path) as file:
            for i, words in enumerate(sentences):
                layers, state = bilm.run_sentence(
                    options, weights, words, vocabulary, state
                )
                expected = np.concatenate(file[str(i)][()], axis=-1)
                assert layers.shape == (3, *expected.shape)
                largest = max(largest, np.max(np.abs(layers[-1] - expected)))
    return largest


@pytest.mark.data
def test_character_ids_are_upstreams(fixture):
    golden = json.loads((fixture / "char_ids_golden.json").read_text())
    for case in golden["inference"]:
        assert bilm.character_ids(case["word"]).tolist() == case["ids"], case
    for case in golden["training_max5"]:
        ids = bilm.character_ids(case["word"], max_characters=5)
        assert (ids - 1).tolist() == case["ids"], case


@pytest.mark.data
def test_stateful_sentences_are_upstreams(fixture, published, rows):
    assert [len(sentences) for sentences in rows] == [10, 10, 10]
    assert golden_difference(fixture, rows, *published) < 1e-6


@pytest.mark.data
def test_token_input_from_dumped_vectors_is_upstreams(fixture, published, rows):
    options, weights = published
    # Not upstream's vocab_test.txt, which lacks nine words of the sentences.
    words = {word for sentences in rows for words in sentences for word in words}
    vocabulary = {word: i for i, word in enumerate(["</S>", "<S>", *sorted(words)])}
    vectors = [bilm.token_vector(options, weights, word) for word in vocabulary]
    token_options = {name: options[name] for name in options if name != "char_cnn"}
    token_weights = {
        name: weights[name] for name in weights if name.startswith("RNN")
    } | {"embedding": np.array(vectors)}
    difference = golden_difference(
        fixture, rows, token_options, token_weights, vocabulary
    )
    assert difference < 1e-6


# Characters


@pytest.mark.parametrize(
    ("word", "max_characters", "ids"),
    [
        ("", 4, [259, 260, 261, 261]),
        ("<s>", 6, [259, 61, 116, 63, 260, 261]),
        ("aé", 4, [259, 98, 196, 260]),  # Cut in the middle of é.
        ("a\ud800b", 5, [259, 98, 99, 260, 261]),  # A lone surrogate has no bytes.
    ],
)
def test_character_ids_of_odd_words(word, max_characters, ids):
    assert bilm.character_ids(word, max_characters).tolist() == ids


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_character_vector_by_hand(activation):
    """One character dimension, whose value of a character is its id, one highway."""
    options = {
        "lstm": {"projection_dim": 2},
        "char_cnn": {
            "filters": [[1, 1], [2, 1]],
            "activation": activation,
            "n_highway": 1,
        },
    }
    weights = {
        "char_embed": np.arange(1.0, 262.0)[:, None],
        "CNN/W_cnn_0": np.full((1, 1, 1, 1), -1.0),
        "CNN/b_cnn_0": np.array([3.5]),
        "CNN/W_cnn_1": np.array([0.5, -0.25]).reshape(1, 2, 1, 1),
        "CNN/b_cnn_1": np.array([0.0]),
        "CNN_high_0/W_carry": np.zeros((2, 2)),
        "CNN_high_0/b_carry": np.log([3.0, 1 / 3]),  # Gates of 0.75 and 0.25.
        "CNN_high_0/W_transform": np.array([[0.0, -1.0], [2.0, 0.0]]),
        "CNN_high_0/b_transform": np.array([0.0, -1.0]),
    }
    # Id 0 is zeros, though the file has no such row: windows of width 1 give 3.5, 2.5,
    # 1.5 and 0.5, those of width 2 give -0.25, 0 and 0.25.
    f = {"relu": lambda x: x, "tanh": np.tanh}[activation]
    first, second = f(3.5), f(0.25)
    expected = [0.75 * 2 * second + 0.25 * first, 0.25 * 0.0 + 0.75 * second]
    vector = bilm.character_vector(options, weights, np.array([0, 1, 2, 3]))
    np.testing.assert_allclose(vector, expected, rtol=1e-14)


# LSTM


def test_lstm_step_by_hand():
    """Gates apart by their biases alone; log-odds make them plain fractions."""
    kernel = np.zeros((2, 4))
    bias = np.array([np.log(1 / 3), np.arctanh(0.8), np.log(4.0) - 1.0, np.log(9.0)])
    zero = np.zeros(1)
    cell = 0.25 * 0.8 + 0.8 * 5.0
    for clips, new_cell, new_output in [
        ((None, None), cell, 10 * 0.9 * np.tanh(cell)),
        ((3, None), 3.0, 10 * 0.9 * np.tanh(3.0)),
        ((3, 2), 3.0, 2.0),
        ((None, 2), cell, 2.0),
    ]:
        result = bilm.lstm_step(
            zero, np.array([5.0]), zero, kernel, bias, np.array([[10.0]]), *clips
        )
        np.testing.assert_allclose(np.ravel(result), [new_cell, new_output])
    # Without projection its bound is void.
    result = bilm.lstm_step(
        zero, np.array([5.0]), zero, kernel, bias, None, None, proj_clip=0.1
    )
    np.testing.assert_allclose(np.ravel(result), [cell, 0.9 * np.tanh(cell)])


def test_lstm_kernel_has_the_input_rows_first():
    kernel = np.zeros((2, 4))
    kernel[0, 1], kernel[1, 1] = 0.5, 0.25
    x, output = np.array([1.0]), np.array([-4.0])
    cell, _ = bilm.lstm_step(x, np.zeros(1), output, kernel, np.zeros(4))
    np.testing.assert_allclose(cell, 0.5 * np.tanh(0.5 * 1.0 + 0.25 * -4.0))


# Small models with random weights


def make_model(seed=0, dim=5, projection_dim=3, n_layers=2, **lstm):
    """Token input over VOCABULARY; weights large enough for the clips to act."""
    generator = np.random.default_rng(seed)
    options = {
        "lstm": {
            "dim": dim,
            "projection_dim": projection_dim,
            "n_layers": n_layers,
            "use_skip_connections": False,
            "cell_clip": 0.5,
            "proj_clip": 0.7,
        }
        | lstm
    }
    weights = {"embedding": generator.normal(size=(len(VOCABULARY), projection_dim))}
    for direction in range(2):
        for layer in range(n_layers):
            name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            kernel_shape = (2 * projection_dim, 4 * dim)
            weights[f"{name}/W_0"] = generator.normal(size=kernel_shape)
            weights[f"{name}/B"] = generator.normal(size=4 * dim)
            if projection_dim != dim:
                weights[f"{name}/W_P_0"] = generator.normal(size=(dim, projection_dim))
    return options, weights


def run(model, words, state=None):
    return bilm.run_sentence(*model, words, VOCABULARY, state)


def flat(state) -> np.ndarray:
    pairs = [pair for layers in state for pair in layers]
    return np.concatenate([np.ravel(vector) for pair in pairs for vector in pair])


def test_layer_0_is_the_token_twice_and_unknown_words_are_unk():
    options, weights = make_model()
    layers, _ = run((options, weights), ["b", "never"])
    vectors = weights["embedding"][[VOCABULARY["b"], VOCABULARY["<UNK>"]]]
    np.testing.assert_array_equal(layers[0], np.concatenate([vectors] * 2, axis=-1))


def test_skip_connection_adds_layer_1_to_layer_2_outside_the_recurrence():
    plain, plain_state = run(make_model(), ["a", "b", "a"])
    skip, skip_state = run(make_model(use_skip_connections=True), ["a", "b", "a"])
    np.testing.assert_array_equal(skip[:2], plain[:2])
    np.testing.assert_allclose(skip[2], plain[2] + plain[1], rtol=1e-14)
    np.testing.assert_array_equal(flat(skip_state), flat(plain_state))


def test_skip_connection_feeds_the_layer_above():
    plain, _ = run(make_model(n_layers=3), ["a", "b"])
    skip, _ = run(make_model(n_layers=3, use_skip_connections=True), ["a", "b"])
    assert np.max(np.abs(skip[3] - skip[2] - plain[3])) > 1e-3


def test_directions_mirror_each_other():
    """With the same weights, and boundaries alike, backward is forward from the end."""
    options, weights = make_model(use_skip_connections=True)
    for name in weights:
        if name.startswith("RNN_1"):
            weights[name] = weights[name.replace("RNN_1", "RNN_0")]
    weights["embedding"][VOCABULARY["<S>"]] = weights["embedding"][VOCABULARY["</S>"]]
    ahead, ahead_state = run((options, weights), ["a", "b", "b"])
    turned, turned_state = run((options, weights), ["b", "b", "a"])
    np.testing.assert_array_equal(ahead[:, :, :3], turned[:, ::-1, 3:])
    np.testing.assert_array_equal(flat(ahead_state[:1]), flat(turned_state[1:]))


def test_state_goes_through_both_boundaries():
    """Two sentences are one: forward `<S> a </S> <S> b </S>`, whose middle is words."""
    model = make_model()
    _, state = run(model, ["a"])
    apart, apart_state = run(model, ["b"], state)
    joined, joined_state = run(model, ["a", "</S>", "<S>", "b"])
    np.testing.assert_array_equal(apart[:, 0, :3], joined[:, 3, :3])
    np.testing.assert_array_equal(flat(apart_state[:1]), flat(joined_state[:1]))
    # The backward LM goes on from the first sentence's `<S>`, so the second precedes.
    joined, joined_state = run(model, ["b", "</S>", "<S>", "a"])
    np.testing.assert_array_equal(apart[:, 0, 3:], joined[:, 0, 3:])
    np.testing.assert_array_equal(flat(apart_state[1:]), flat(joined_state[1:]))


def test_no_words_still_move_the_state():
    layers, state = run(make_model(), [])
    assert layers.shape == (3, 0, 6)
    assert np.all(flat(state) != 0)


def test_clips_bound_state_and_may_be_absent():
    sentence = ["a", "b"] * 5
    _, state = run(make_model(), sentence)
    cells, outputs = zip(*(pair for layers in state for pair in layers), strict=True)
    assert np.max(np.abs(cells)) == 0.5
    assert np.max(np.abs(outputs)) == 0.7
    free = make_model(cell_clip=None)
    del free[0]["lstm"]["proj_clip"]
    _, state = run(free, sentence)
    cells, outputs = zip(*(pair for layers in state for pair in layers), strict=True)
    assert np.max(np.abs(cells)) > 0.5
    assert np.max(np.abs(outputs)) > 0.7


def test_without_projection_the_output_is_the_cells():
    options, weights = make_model(dim=3, projection_dim=3, proj_clip=1e-3)
    assert not any("W_P" in name for name in weights)
    layers, _ = run((options, weights), ["a", "b"])
    assert layers.shape == (3, 2, 6)
    assert np.max(np.abs(layers[1:])) > 1e-3


def test_one_layer_models_have_no_multi_rnn_cell():
    options, weights = make_model(n_layers=1)
    renamed = {
        name.replace("MultiRNNCell/Cell0/", ""): weights[name] for name in weights
    }
    assert "RNN_0/RNN/LSTMCell/W_0" in renamed
    expected, _ = run((options, weights), ["a", "b"])
    layers, _ = run((options, renamed), ["a", "b"])
    np.testing.assert_array_equal(layers, expected)


def test_unidirectional_is_the_forward_half():
    options, weights = make_model()
    both, state = run((options, weights), ["a", "b"])
    forward_weights = {n: weights[n] for n in weights if not n.startswith("RNN_1")}
    one = options | {"bidirectional": False}
    layers, one_state = run((one, forward_weights), ["a", "b"])
    np.testing.assert_array_equal(layers, both[:, :, :3])
    np.testing.assert_array_equal(flat(one_state), flat(state[:1]))


# Language model


def make_softmax():
    generator = np.random.default_rng(1)
    return generator.normal(size=(len(VOCABULARY), 3)), generator.normal(size=5)


def log_probs(model, words, state=None):
    return bilm.word_log_probs(*model, words, *make_softmax(), VOCABULARY, state)


def test_log_probs_are_distributions_over_the_word_to_come():
    """Put every word of the vocabulary at a place: its probabilities sum to one."""
    model = make_model(use_skip_connections=True)
    _, state = run(model, ["b"])
    words = ["a", "b", "a"]
    for place in range(len(words)):
        forward_sum, backward_sum = 0.0, 0.0
        for word in VOCABULARY:
            changed = [*words[:place], word, *words[place + 1 :]]
            forward, backward = log_probs(model, changed, state)
            assert forward.shape == backward.shape == (4,)
            forward_sum += np.exp(forward[place])
            backward_sum += np.exp(backward[place + 1])
        np.testing.assert_allclose([forward_sum, backward_sum], 1.0)


def test_log_probs_know_one_side_only():
    model = make_model()
    forward, backward = log_probs(model, ["a", "b", "a"])
    other_forward, other_backward = log_probs(model, ["a", "b", "b"])
    np.testing.assert_array_equal(other_forward[:2], forward[:2])
    assert np.all(np.abs(other_backward - backward) > 1e-6)
    other_forward, other_backward = log_probs(model, ["b", "b", "a"])
    np.testing.assert_array_equal(other_backward[2:], backward[2:])
    assert np.all(np.abs(other_forward - forward) > 1e-6)


@pytest.mark.parametrize("words", [[], ["a"], ["never", "b", "a"]])
def test_log_probs_of_the_boundaries_and_of_unknown_words(words):
    """The first prediction of each direction comes from its boundary's output."""
    model = make_model(use_skip_connections=True)
    W, b = make_softmax()
    forward, backward = log_probs(model, words)
    at_bos, at_eos = bilm.boundary_outputs(*model, words, VOCABULARY)
    first = VOCABULARY.get([*words, "</S>"][0], VOCABULARY["<UNK>"])
    last = VOCABULARY.get(["<S>", *words][-1], VOCABULARY["<UNK>"])
    for value, output, target in [
        (forward[0], at_bos, first),
        (backward[-1], at_eos, last),
    ]:
        odds = np.exp(W @ output + b)
        np.testing.assert_allclose(np.exp(value), odds[target] / odds.sum())
    if words:
        layers, _ = run(model, words)
        odds = np.exp(W @ layers[-1, -1, :3] + b)
        expected = odds[VOCABULARY["</S>"]] / odds.sum()
        np.testing.assert_allclose(np.exp(forward[-1]), expected)
        odds = np.exp(W @ layers[-1, 0, 3:] + b)
        expected = odds[VOCABULARY["<S>"]] / odds.sum()
        np.testing.assert_allclose(np.exp(backward[0]), expected)


def test_forward_lm_has_no_backward_log_probs():
    options, weights = make_model()
    forward, _ = log_probs((options, weights), ["a"])
    alone = log_probs((options | {"bidirectional": False}, weights), ["a"])
    np.testing.assert_array_equal(alone[0], forward)
    assert alone[1] is None


# Scalar mix


def test_mix_by_hand():
    """Shares of 1/4 and 3/4; adding 1/n to both logits moves nothing."""
    sentences = [
        np.array([[[1.0, 3.0]], [[2.0, -2.0]]]),
        np.array([[[5.0, 7.0], [9.0, 11.0]], [[2.0, 2.0], [-2.0, -2.0]]]),
    ]
    weights = np.log([1.0, 3.0])
    mixed = bilm.mix(sentences, weights, 2.0)
    np.testing.assert_allclose(mixed[0], [[3.5, -1.5]])
    np.testing.assert_allclose(mixed[1], [[5.5, 6.5], [1.5, 2.5]])
    # The first layer has mean 6 and variance 35/3, the second 0 and 4.
    first, second = 0.5 / np.sqrt(35 / 3), 1.5 / 2
    mixed = bilm.mix(sentences, weights, 2.0, layer_norm=True)
    np.testing.assert_allclose(
        mixed[0], [[-5 * first + 2 * second, -3 * first - 2 * second]]
    )
    np.testing.assert_allclose(
        mixed[1],
        [
            [-1 * first + 2 * second, 1 * first + 2 * second],
            [3 * first - 2 * second, 5 * first - 2 * second],
        ],
    )
    for normalised in (False, True):
        top, _ = bilm.mix(sentences, None, 2.0, layer_norm=normalised)
        np.testing.assert_array_equal(top, [[4.0, -4.0]])


def test_mix_epsilon_is_on_the_variance():
    sentence = np.array([[[1e-6, -1e-6]]])
    (mixed,) = bilm.mix([sentence], [0.3], 1.0, layer_norm=True)
    np.testing.assert_allclose(mixed, [[np.sqrt(0.5), -np.sqrt(0.5)]])
