# SPDX-License-Identifier: Apache-2.0
"""The biLM of ELMo (Peters et al., 2018) at inference, slowly and in float64.

An oracle: one sentence, one time step, one matrix product at a time, on nothing but
what is published: `options` (options.json) and `weights` (HDF5 dataset name to array).
Vectors are rows, so every stored matrix is used as `x @ W`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, np.ndarray]
# The state of a sentence's row: state[direction][layer] is (cell, output).
LayerState = tuple[np.ndarray, np.ndarray]
State = list[list[LayerState]]

BOS, EOS, UNK = "<S>", "</S>", "<UNK>"
FORWARD, BACKWARD = 0, 1

# Character ids of the training convention: the bytes are 0..255, then these.
BEGIN_SENTENCE_CHAR = 256
END_SENTENCE_CHAR = 257
BEGIN_WORD_CHAR = 258
END_WORD_CHAR = 259
PAD_CHAR = 260


def array(weights: Weights, name: str) -> np.ndarray:
    """The dataset of that name, in float64."""
    return np.asarray(weights[name], np.float64)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), in the form that cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


# Characters


def character_ids(word: str, max_characters: int = 50) -> np.ndarray:
    """The word's character ids as inference numbers them: 1..261, 0 being no word."""
    if word == BOS:
        inside = [BEGIN_SENTENCE_CHAR]
    elif word == EOS:
        inside = [END_SENTENCE_CHAR]
    else:
        # Begin and end of word keep their two places: the bytes are what is cut,
        # be it in the middle of a character.
        inside = list(word.encode("utf-8", errors="ignore"))[: max_characters - 2]
    ids = [BEGIN_WORD_CHAR, *inside, END_WORD_CHAR]
    ids = ids + [PAD_CHAR] * (max_characters - len(ids))
    return np.array(ids) + 1


def character_vector(options: dict, weights: Weights, ids: np.ndarray) -> np.ndarray:
    """The char-CNN's vector [projection_dim] of one word, from all its characters."""
    char_cnn = options["char_cnn"]
    char_embed = array(weights, "char_embed")
    # The file has a row per training id; id 0 of inference is zeros.
    char_embed = np.concatenate([np.zeros((1, char_embed.shape[1])), char_embed])
    characters = char_embed[ids]

    pooled = []
    for i, (width, _) in enumerate(char_cnn["filters"]):
        kernel = array(weights, f"CNN/W_cnn_{i}")[0]  # [width, char_dim, n_filters]
        bias = array(weights, f"CNN/b_cnn_{i}")
        # Only windows that lie wholly inside the word's characters (VALID); padding
        # characters are characters like any other.
        windows = []
        for start in range(len(ids) - width + 1):
            response = bias
            for offset in range(width):
                response = response + characters[start + offset] @ kernel[offset]
            windows.append(response)
        strongest = np.max(windows, axis=0)
        if char_cnn["activation"] == "relu":
            pooled.append(relu(strongest))
        elif char_cnn["activation"] == "tanh":
            pooled.append(np.tanh(strongest))
        else:
            raise ValueError(f"activation {char_cnn['activation']!r}")
    x = np.concatenate(pooled)

    for i in range(char_cnn.get("n_highway") or 0):
        name = f"CNN_high_{i}"
        # What the file calls carry is the gate of the transformed input, and the
        # transformation is relu whatever the activation above.
        gate = sigmoid(
            x @ array(weights, f"{name}/W_carry") + array(weights, f"{name}/b_carry")
        )
        transformed = relu(
            x @ array(weights, f"{name}/W_transform")
            + array(weights, f"{name}/b_transform")
        )
        x = gate * transformed + (1.0 - gate) * x

    n_filters = sum(n for _, n in char_cnn["filters"])
    if n_filters != options["lstm"]["projection_dim"]:
        x = x @ array(weights, "CNN_proj/W_proj") + array(weights, "CNN_proj/b_proj")
    return x


def token_vector(
    options: dict,
    weights: Weights,
    word: str,
    vocabulary: dict[str, int] | None = None,
) -> np.ndarray:
    """The context-independent vector [projection_dim] of one word: layer 0."""
    if "char_cnn" in options:
        max_characters = options["char_cnn"].get("max_characters_per_token", 50)
        return character_vector(options, weights, character_ids(word, max_characters))
    return array(weights, "embedding")[word_id(vocabulary, word)]


def word_id(vocabulary: dict[str, int], word: str) -> int:
    """The word's id, or that of `<UNK>` for a word out of the vocabulary."""
    return vocabulary[word] if word in vocabulary else vocabulary[UNK]


# LSTM


def lstm_step(
    x: np.ndarray,
    cell: np.ndarray,
    output: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    projection: np.ndarray | None = None,
    cell_clip: float | None = None,
    proj_clip: float | None = None,
) -> LayerState:
    """One time step of one LSTM: the new (cell, output).

    Args:
      x: The input [input_dim].
      cell: The cell [dim] after the step before.
      output: The output after the step before: [projection_dim], or [dim] without
        projection.
      kernel: `W_0` [input_dim + output_dim, 4 * dim].
      bias: `B` [4 * dim], to which the forget gate's 1.0 is still to be added.
      projection: `W_P_0` [dim, projection_dim], None for a cell without one.
      cell_clip: Bound of the cell, None for no bound.
      proj_clip: Bound of the projected output, None for no bound.
    """
    gates = np.concatenate([x, output]) @ kernel + bias
    input_gate, candidate, forget_gate, output_gate = np.split(gates, 4)
    new_cell = sigmoid(forget_gate + 1.0) * cell
    new_cell = new_cell + sigmoid(input_gate) * np.tanh(candidate)
    if cell_clip is not None:
        new_cell = np.clip(new_cell, -cell_clip, cell_clip)
    new_output = sigmoid(output_gate) * np.tanh(new_cell)
    if projection is not None:
        new_output = new_output @ projection
        if proj_clip is not None:
            new_output = np.clip(new_output, -proj_clip, proj_clip)
    return new_cell, new_output


def n_directions(options: dict) -> int:
    """2, or 1 for the forward LM alone."""
    return 2 if options.get("bidirectional", True) else 1


def zero_state(options: dict) -> State:
    """The state before the first sentence of a row."""
    lstm = options["lstm"]
    return [
        [
            (np.zeros(lstm["dim"]), np.zeros(lstm["projection_dim"]))
            for _ in range(lstm["n_layers"])
        ]
        for _ in range(n_directions(options))
    ]


def cell_name(options: dict, weights: Weights, direction: int, layer: int) -> str:
    """The group of one LSTM's datasets; a model of one layer has no MultiRNNCell."""
    alone = f"RNN_{direction}/RNN/LSTMCell"
    if options["lstm"]["n_layers"] == 1 and f"{alone}/W_0" in weights:
        return alone
    return f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"


def run_layer(
    options: dict,
    weights: Weights,
    direction: int,
    layer: int,
    inputs: Sequence[np.ndarray],
    state: LayerState,
) -> tuple[list[np.ndarray], LayerState]:
    """One LSTM over inputs in the order in which its direction reads them."""
    lstm = options["lstm"]
    name = cell_name(options, weights, direction, layer)
    kernel = array(weights, f"{name}/W_0")
    bias = array(weights, f"{name}/B")
    projection = None
    if lstm["projection_dim"] != lstm["dim"]:
        projection = array(weights, f"{name}/W_P_0")

    cell, output = state
    outputs = []
    for x in inputs:
        cell, output = lstm_step(
            x,
            cell,
            output,
            kernel,
            bias,
            projection,
            lstm.get("cell_clip"),
            lstm.get("proj_clip"),
        )
        # The skip connection is outside the recurrence: the next step does not see it.
        if lstm["use_skip_connections"] and layer > 0:
            outputs.append(output + x)
        else:
            outputs.append(output)
    return outputs, (cell, output)


# Sentences


def run_with_boundaries(
    options: dict,
    weights: Weights,
    words: Sequence[str],
    vocabulary: dict[str, int] | None = None,
    state: State | None = None,
) -> tuple[np.ndarray, State]:
    """All layers [L+1, n+2, directions*P] at `<S>`, the n words and `</S>`.

    Also the state that the next sentence of the same row starts from.
    """
    if state is None:
        state = zero_state(options)
    tokens = [
        token_vector(options, weights, word, vocabulary) for word in [BOS, *words, EOS]
    ]

    by_direction = []  # Each [L+1, n+2, P], in the order of the sentence.
    new_state = []
    for direction in range(n_directions(options)):
        # The backward LM reads from `</S>` to `<S>`.
        inputs = tokens if direction == FORWARD else tokens[::-1]
        layers = [inputs]
        layer_states = []
        for layer in range(options["lstm"]["n_layers"]):
            # A layer reads the layer below of its own direction only.
            outputs, layer_state = run_layer(
                options, weights, direction, layer, layers[-1], state[direction][layer]
            )
            layers.append(outputs)
            layer_states.append(layer_state)
        if direction == BACKWARD:
            layers = [vectors[::-1] for vectors in layers]
        by_direction.append(np.array(layers))
        new_state.append(layer_states)
    return np.concatenate(by_direction, axis=-1), new_state


def run_sentence(
    options: dict,
    weights: Weights,
    words: Sequence[str],
    vocabulary: dict[str, int] | None = None,
    state: State | None = None,
) -> tuple[np.ndarray, State]:
    """All layers [L+1, n, directions*P] at the words, and the state for the next.

    Layer 0 is the token's vector, once per direction.
    """
    layers, new_state = run_with_boundaries(options, weights, words, vocabulary, state)
    return layers[:, 1:-1], new_state


def top_outputs(
    options: dict,
    weights: Weights,
    words: Sequence[str],
    vocabulary: dict[str, int] | None = None,
    state: State | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The last layer (forward [n+2, P], backward [n+2, P]) with both boundaries.

    Backward is None for a forward LM.
    """
    layers, _ = run_with_boundaries(options, weights, words, vocabulary, state)
    top = layers[-1]
    if n_directions(options) == 1:
        return top, None
    P = options["lstm"]["projection_dim"]
    return top[:, :P], top[:, P:]


def boundary_outputs(
    options: dict,
    weights: Weights,
    words: Sequence[str],
    vocabulary: dict[str, int] | None = None,
    state: State | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The last layer where each direction begins: forward [P] at `<S>`, backward [P]
    at `</S>`.
    """
    forward, backward = top_outputs(options, weights, words, vocabulary, state)
    return forward[0], None if backward is None else backward[-1]


# Language model


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - np.max(logits)
    return shifted - np.log(np.sum(np.exp(shifted)))


def word_log_probs(
    options: dict,
    weights: Weights,
    words: Sequence[str],
    softmax_W: np.ndarray,
    softmax_b: np.ndarray,
    vocabulary: dict[str, int],
    state: State | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Log-probabilities of the words: forward [n+1] and backward [n+1].

    `forward[t]` is that of word t+1 given `<S>` and words 1..t; `forward[n]` that of
    `</S>`. `backward[k]` is that of word k given words k+1..n and `</S>`; `backward[0]`
    that of `<S>`. Words count from 1; None for the backward half of a forward LM.

    Args:
      options: The published options.
      weights: The published weights.
      words: The sentence, without boundaries.
      softmax_W: A row [P] per word of the vocabulary, shared by both directions.
      softmax_b: A bias per word of the vocabulary.
      vocabulary: Ids of the words, `<S>`, `</S>` and `<UNK>`; words that are not in it
        are predicted as `<UNK>`.
      state: What the row's sentence before left; zeros by default.
    """
    softmax_W = np.asarray(softmax_W, np.float64)
    softmax_b = np.asarray(softmax_b, np.float64)
    forward_top, backward_top = top_outputs(options, weights, words, vocabulary, state)
    sentence = [BOS, *words, EOS]
    targets = [word_id(vocabulary, word) for word in sentence]

    # The output at a position predicts the next word in reading order. What `</S>`
    # gives forward and `<S>` backward predicts nothing.
    forward = []
    for position in range(len(sentence) - 1):
        log_probs = log_softmax(softmax_W @ forward_top[position] + softmax_b)
        forward.append(log_probs[targets[position + 1]])
    if backward_top is None:
        return np.array(forward), None
    backward = []
    for position in range(1, len(sentence)):
        log_probs = log_softmax(softmax_W @ backward_top[position] + softmax_b)
        backward.append(log_probs[targets[position - 1]])
    return np.array(forward), np.array(backward)


# Scalar mix


def mix(
    layers: Sequence[np.ndarray],
    weights: Sequence[float] | None,
    gamma: float,
    layer_norm: bool = False,
) -> list[np.ndarray]:
    """The scalar mix [n, D] of each sentence's layers [L+1, n, D].

    Args:
      layers: The sentences of one batch, which the layer norm takes together.
      weights: One w per layer, before the softmax. None takes the top layer alone,
        which is never normalised.
      gamma: The factor of the whole.
      layer_norm: Normalise each layer by one mean and one variance over all words of
        the batch and all channels.
    """
    if weights is None:
        return [gamma * np.asarray(sentence[-1], np.float64) for sentence in layers]
    n_layers = len(weights)
    logits = np.asarray(weights, np.float64) + 1.0 / n_layers
    shares = np.exp(log_softmax(logits))

    mixed = [np.zeros(sentence.shape[1:]) for sentence in layers]
    for layer in range(n_layers):
        of_layer = [np.asarray(sentence[layer], np.float64) for sentence in layers]
        if layer_norm:
            values = np.concatenate([vectors.ravel() for vectors in of_layer])
            mean = np.mean(values)
            variance = np.mean((values - mean) ** 2)
            of_layer = [
                (vectors - mean) / np.sqrt(variance + 1e-12) for vectors in of_layer
            ]
        for i, vectors in enumerate(of_layer):
            mixed[i] = mixed[i] + shares[layer] * vectors
    return [gamma * vectors for vectors in mixed]
