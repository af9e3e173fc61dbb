# SPDX-License-Identifier: Apache-2.0
"""The oracles of training agree with hand-made cases, differences and each other."""

import numpy as np
import pytest

from tests.oracles import bilm, bilm_stream, optimizers, sampled_softmax

V, P, N, K = 7, 3, 4, 3


def finite_differences(f, x, epsilon=1e-6):
    """The gradient of the scalar f at x, element by element."""
    gradient = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += epsilon
        behind[place] -= epsilon
        gradient[place] = (f(ahead) - f(behind)) / (2 * epsilon)
    return gradient


# Sampled softmax


@pytest.fixture
def head():
    """Weights, bias, contexts, targets, of which word 2 is sampled as well."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(V, P)),
        rng.normal(size=V),
        rng.normal(size=(N, P)),
        np.array([2, 0, 6, 2]),
    )


SAMPLED, NUM_TRIES = np.array([1, 2, 5]), 5


def test_log_uniform_probabilities_by_hand():
    probabilities = sampled_softmax.log_uniform_probabilities(3)
    expected = np.log([2 / 1, 3 / 2, 4 / 3]) / np.log(4)
    np.testing.assert_allclose(probabilities, expected)
    np.testing.assert_allclose(np.sum(sampled_softmax.log_uniform_probabilities(V)), 1)
    counts = sampled_softmax.expected_counts(2, 3)
    np.testing.assert_allclose(counts, 1 - (1 - expected) ** 2)


def test_samples_are_unique_and_as_frequent_as_their_probabilities():
    rng = np.random.default_rng(0)
    first = np.zeros(V)
    for _ in range(2000):
        ids, num_tries = sampled_softmax.sample_unique(rng, K, V)
        assert len(set(ids.tolist())) == K
        assert num_tries >= K
        first[ids[0]] += 1 / 2000
    probabilities = sampled_softmax.log_uniform_probabilities(V)
    assert np.max(np.abs(first - probabilities)) < 0.04
    ids, _ = sampled_softmax.sample_unique(rng, V, V)
    assert sorted(ids) == list(range(V))
    with pytest.raises(ValueError, match="different words"):
        sampled_softmax.sample_unique(rng, V + 1, V)


def test_sampled_softmax_by_hand():
    """Two words that fit equally, one of them sampled, the target sampled too."""
    counts = sampled_softmax.expected_counts(3, 4)
    losses = sampled_softmax.sampled_softmax_losses(
        np.zeros((4, 1)), np.zeros(4), np.ones((1, 1)), np.array([1]), [3, 1], 3
    )
    odds = 1 / counts[[1, 3]]
    np.testing.assert_allclose(losses, -np.log(odds[0] / odds.sum()))


def test_all_words_sampled_by_many_tries_is_the_full_softmax(head):
    losses = sampled_softmax.sampled_softmax_losses(*head, np.arange(V), 1000)
    expected = sampled_softmax.full_softmax_losses(*head)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    of_sampled = sampled_softmax.sampled_softmax_gradients(*head, np.arange(V), 1000)
    of_full = sampled_softmax.full_softmax_gradients(*head)
    for a, b in zip(of_sampled, of_full, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)


@pytest.mark.parametrize("position_weights", [None, np.array([1.0, 0.0, 2.0, 0.5])])
@pytest.mark.parametrize("kind", ["full", "sampled"])
def test_softmax_gradients_are_finite_differences(head, kind, position_weights):
    negatives = (SAMPLED, NUM_TRIES) if kind == "sampled" else ()
    losses = getattr(sampled_softmax, f"{kind}_softmax_losses")
    gradients = getattr(sampled_softmax, f"{kind}_softmax_gradients")
    found = gradients(*head, *negatives, position_weights=position_weights)
    for place in range(3):

        def mean_loss(x, place=place):
            arguments = [*head[:place], x, *head[place + 1 :]]
            return np.average(losses(*arguments, *negatives), weights=position_weights)

        expected = finite_differences(mean_loss, head[place])
        np.testing.assert_allclose(found[place], expected, atol=1e-8)


# Stream

SENTENCES = [["a", "b", "c"], ["d"], [], ["e", "f"], ["g"]]
S, E = "<S>", "</S>"


def test_forward_stream_by_hand():
    """Two rows of three; `d` and the empty sentence fill up the second row."""
    steps = list(bilm_stream.reader_stream(SENTENCES, 2, 3))
    assert [step.inputs.tolist() for step in steps] == [
        [[S, "a", "b"], [S, "d", S]],
        [["c", S, "e"], [S, "g", None]],
        [["f", None, None], [None, None, None]],
    ]
    assert [step.targets.tolist() for step in steps] == [
        [["a", "b", "c"], ["d", E, E]],
        [[E, "e", "f"], ["g", E, None]],
        [[E, None, None], [None, None, None]],
    ]
    masks = [bilm_stream.weight_mask(step).tolist() for step in steps]
    assert masks == [
        [[1, 1, 1], [1, 1, 1]],
        [[1, 1, 1], [1, 1, 0]],
        [[1, 0, 0], [0] * 3],
    ]
    assert [bilm_stream.is_complete(step) for step in steps] == [True, False, False]


def test_backward_stream_by_hand():
    steps = list(bilm_stream.reader_stream(SENTENCES, 2, 3, reverse=True))
    assert [step.inputs.tolist() for step in steps] == [
        [[E, "c", "b"], [E, "d", E]],
        [["a", E, "f"], [E, "g", None]],
        [["e", None, None], [None, None, None]],
    ]
    assert [step.targets.tolist() for step in steps] == [
        [["c", "b", "a"], ["d", S, S]],
        [[S, "f", "e"], ["g", S, None]],
        [[S, None, None], [None, None, None]],
    ]


@pytest.mark.parametrize(("B", "T"), [(1, 1), (1, 12), (3, 2), (4, 5), (9, 4)])
def test_every_word_is_predicted_once(B, T):
    for reverse, end in [(False, E), (True, S)]:
        targets = []
        for step in bilm_stream.reader_stream(SENTENCES, B, T, reverse):
            assert step.inputs.shape == step.targets.shape == (B, T)
            assert np.array_equal(step.inputs == None, step.targets == None)  # noqa: E711
            targets += [word for word in step.targets.ravel() if word is not None]
        assert sorted(targets) == sorted([*"abcdefg", *[end] * len(SENTENCES)])


def test_readers_have_their_own_order():
    steps = list(bilm_stream.training_stream(SENTENCES, [["x", "y"]], 2, 3))
    assert len(steps) == 3
    for k, step in enumerate(bilm_stream.reader_stream(SENTENCES, 2, 3)):
        np.testing.assert_array_equal(steps[k].forward.inputs, step.inputs)
    assert steps[0].backward.inputs.tolist() == [[E, "y", "x"], [None] * 3]
    assert steps[0].backward.targets.tolist() == [["y", "x", S], [None] * 3]
    assert not np.any(bilm_stream.weight_mask(steps[1].backward))


# Optimisers

NAMES = ["dense/kernel", "dense/bias", "LayerNorm/scale"]


def make_parameters(seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(2, 3)) for name in NAMES}


def test_schedule_by_hand():
    at = optimizers.warmup_linear_decay(2.0, 4, 10)
    rates = [at(step) for step in (0, 1, 3, 4, 5, 10, 11)]
    np.testing.assert_allclose(rates, [0, 0.5, 1.5, 1.2, 1.0, 0, 0])


def test_clip_by_global_norm_by_hand():
    grads = {"a": np.array([3.0]), "b": np.array([4.0])}
    clipped, norm = optimizers.clip_by_global_norm(grads, 1.0)
    assert norm == 5.0
    np.testing.assert_allclose([clipped["a"], clipped["b"]], [[0.6], [0.8]])
    for bound in (6.0, None):
        clipped, _ = optimizers.clip_by_global_norm(grads, bound)
        assert clipped == grads
    zero = {"a": np.zeros(2)}
    assert np.all(optimizers.clip_by_global_norm(zero, 1.0)[0]["a"] == 0)


def test_first_steps_by_hand():
    params, grads = {"w": np.array([2.0, 0.0])}, {"w": np.array([0.5, 0.0])}
    # Without correction the first step is 0.1 / sqrt(0.001) of the gradient's sign.
    adam = optimizers.BertAdam(0.1, epsilon=0.5, weight_decay=0.25)
    update = 0.05 / (np.sqrt(0.00025) + 0.5) + 0.25 * 2.0
    np.testing.assert_allclose(adam.step(params, grads)["w"], [2.0 - 0.1 * update, 0.0])
    # With correction of its sign.
    adam = optimizers.BertAdam(0.1, epsilon=0, weight_decay=0.25, bias_correction=True)
    new = adam.step({"w": np.array([2.0])}, {"w": np.array([0.5])})["w"]
    np.testing.assert_allclose(new, 2.0 - 0.1 * 1.5)
    adagrad = optimizers.Adagrad(0.2, initial_accumulator=1.0)
    params, grads = {"w": np.array([1.0])}, {"w": np.array([np.sqrt(3.0)])}
    params = adagrad.step(params, grads)
    np.testing.assert_allclose(params["w"], 1 - 0.2 * np.sqrt(3) / 2)
    new = adagrad.step(params, grads)
    np.testing.assert_allclose(new["w"], params["w"] - 0.2 * np.sqrt(3 / 7))


def test_names_without_decay():
    decayed = ["bert/embeddings/word_embeddings", "encoder/layer_0/kernel", "layernorm"]
    assert all(optimizers.is_decayed(name) for name in decayed)
    excluded = ["cls/predictions/output_bias", "a/LayerNorm/gamma", "layer_norm/scale"]
    assert not any(optimizers.is_decayed(name) for name in excluded)


def torch_parameters(torch, arrays):
    return {name: torch.tensor(a, requires_grad=True) for name, a in arrays.items()}


@pytest.mark.parity
@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_adam_of_torch_is_adam_of_numpy(bias_correction, clip_norm):
    torch = pytest.importorskip("torch")
    masked_lm = pytest.importorskip("tests.oracles.masked_lm")
    schedule = optimizers.warmup_linear_decay(0.1, 2, 10)
    settings = {"bias_correction": bias_correction, "clip_norm": clip_norm}
    params = make_parameters()
    ours = torch_parameters(torch, params)
    adam = optimizers.BertAdam(schedule, **settings)
    torch_adam = masked_lm.TorchBertAdam(ours.items(), schedule, **settings)
    for seed in range(1, 6):
        grads = make_parameters(seed)
        params = adam.step(params, grads)
        torch_adam.zero_grad()
        for name, w in ours.items():
            w.grad = torch.tensor(grads[name])
        torch_adam.step()
        for name, w in ours.items():
            np.testing.assert_allclose(w.detach(), params[name], rtol=1e-12)
    if bias_correction and clip_norm is None:
        undecayed = torch_parameters(torch, make_parameters())
        theirs = torch.optim.Adam(undecayed.values(), 0.1, eps=1e-6)
        adam = optimizers.BertAdam(0.1, weight_decay=0.0, bias_correction=True)
        params = make_parameters()
        for seed in range(1, 6):
            params = adam.step(params, make_parameters(seed))
            for name, w in undecayed.items():
                w.grad = torch.tensor(make_parameters(seed)[name])
            theirs.step()
        for name, w in undecayed.items():
            np.testing.assert_allclose(w.detach(), params[name], rtol=1e-12)


@pytest.mark.parity
def test_adagrad_is_torchs():
    torch = pytest.importorskip("torch")
    params = make_parameters()
    ours = torch_parameters(torch, params)
    adagrad = optimizers.Adagrad(0.2, initial_accumulator=1.0, clip_norm=2.0)
    theirs = torch.optim.Adagrad(
        ours.values(), 0.2, initial_accumulator_value=1.0, eps=0.0
    )
    for seed in range(1, 4):
        grads = make_parameters(seed)
        params = adagrad.step(params, grads)
        for name, w in ours.items():
            w.grad = torch.tensor(grads[name])
        norm = torch.nn.utils.clip_grad_norm_(ours.values(), 2.0)
        np.testing.assert_allclose(norm, optimizers.global_norm(grads))
        theirs.step()
    for name, w in ours.items():
        # torch adds 1e-6 to the norm it divides by.
        np.testing.assert_allclose(w.detach(), params[name], atol=1e-6)


# biLM

VOCABULARY = {word: i for i, word in enumerate([S, E, "<UNK>", "a", "bé", "c"])}
OPTIONS = {
    "lstm": {
        "dim": 5,
        "projection_dim": 3,
        "n_layers": 2,
        "cell_clip": 0.5,
        "proj_clip": 0.4,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 2},
        "filters": [[1, 2], [2, 2], [3, 3]],
        "activation": "relu",
        "n_highway": 2,
    },
}
TOKEN_OPTIONS = {"lstm": OPTIONS["lstm"] | {"use_skip_connections": False}}


def make_weights(options):
    rng = np.random.default_rng(0)
    n_words = len(VOCABULARY)
    lstm = options["lstm"]
    dim, proj = lstm["dim"], lstm["projection_dim"]
    shapes = {"softmax/W": (n_words, proj), "softmax/b": (n_words,)}
    if "char_cnn" in options:
        char_dim = options["char_cnn"]["embedding"]["dim"]
        shapes["char_embed"] = (261, char_dim)
        for i, (width, n) in enumerate(options["char_cnn"]["filters"]):
            shapes[f"CNN/W_cnn_{i}"] = (1, width, char_dim, n)
            shapes[f"CNN/b_cnn_{i}"] = (n,)
        n = sum(n for _, n in options["char_cnn"]["filters"])
        for i in range(options["char_cnn"]["n_highway"]):
            for kind in ("carry", "transform"):
                shapes[f"CNN_high_{i}/W_{kind}"] = (n, n)
                shapes[f"CNN_high_{i}/b_{kind}"] = (n,)
        shapes |= {"CNN_proj/W_proj": (n, proj), "CNN_proj/b_proj": (proj,)}
    else:
        shapes["embedding"] = (n_words, proj)
    for direction in range(2):
        for layer in range(lstm["n_layers"]):
            name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            shapes[f"{name}/W_0"] = (2 * proj, 4 * dim)
            shapes[f"{name}/B"] = (4 * dim,)
            if dim != proj:
                shapes[f"{name}/W_P_0"] = (dim, proj)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def make_model(options=OPTIONS, weights=None, **settings):
    torch = pytest.importorskip("torch")
    torch_bilm = pytest.importorskip("tests.oracles.torch_bilm")
    weights = make_weights(options) if weights is None else weights
    return torch_bilm.TorchBiLm(weights, options, dtype=torch.float64, **settings)


def encode(options, rows):
    """Rows of words as inputs: character ids [B, T, C], or word ids [B, T]."""
    torch = pytest.importorskip("torch")
    if "char_cnn" in options:
        ids = [[bilm.character_ids(word) for word in row] for row in rows]
    else:
        ids = [[bilm.word_id(VOCABULARY, word) for word in row] for row in rows]
    return torch.tensor(np.array(ids))


def word_ids(rows):
    return encode(TOKEN_OPTIONS, rows)


# Two rows of three, forward and backward, with different text.
FORWARD_INPUTS = [[S, "a", "bé"], ["c", "a", S]]
FORWARD_TARGETS = [["a", "bé", E], ["a", E, "c"]]
BACKWARD_INPUTS = [[E, "c", "c"], ["a", "a", E]]
BACKWARD_TARGETS = [["c", "c", S], ["a", S, "never"]]


def arguments(options):
    return (
        encode(options, FORWARD_INPUTS),
        word_ids(FORWARD_TARGETS),
        encode(options, BACKWARD_INPUTS),
        word_ids(BACKWARD_TARGETS),
    )


def random_carry(model, seed=0):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(seed)

    def random(x):
        return 0.3 * torch.randn(x.shape, generator=generator, dtype=x.dtype)

    return [[(random(c), random(h)) for c, h in s] for s in model.zero_carry(2)]


VARIANTS = [
    OPTIONS,
    TOKEN_OPTIONS,
    OPTIONS | {"char_cnn": OPTIONS["char_cnn"] | {"activation": "tanh"}},
    {"lstm": OPTIONS["lstm"] | {"dim": 3, "n_layers": 3, "cell_clip": None}},
]


@pytest.mark.parity
@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize(
    "settings", [{}, {"hoist": True, "dedupe": True, "dropout": 0.5}]
)
def test_torch_bilm_is_the_bilm_at_inference(options, settings):
    """Two sentences with the state carried, each direction in its reading order."""
    torch = pytest.importorskip("torch")
    weights = make_weights(options)
    model = make_model(options, weights, **settings).eval()
    state, carry = None, model.zero_carry(1)
    for words in [["a", "bé", "never", "a"], ["c"]]:
        expected, new_state = bilm.run_with_boundaries(
            options, weights, words, VOCABULARY, state
        )
        read = [S, *words, E]
        new_carry = []
        for direction, inputs in enumerate([read, read[::-1]]):
            with torch.no_grad():
                top, layers = model.top_outputs(
                    direction, encode(options, [inputs]), carry[direction]
                )
            new_carry.append(layers)
            half = expected[-1, :, 3 * direction : 3 * direction + 3]
            half = half[::-1] if direction == 1 else half
            np.testing.assert_allclose(top[0], half, rtol=1e-10, atol=1e-12)
            for (c, h), (cell, output) in zip(
                layers, new_state[direction], strict=True
            ):
                np.testing.assert_allclose(c[0], cell, rtol=1e-10, atol=1e-12)
                np.testing.assert_allclose(h[0], output, rtol=1e-10, atol=1e-12)
        state, carry = new_state, new_carry


@pytest.mark.parity
def test_torch_bilm_has_the_log_probabilities():
    """A sentence in each direction against the oracle's word log-probabilities."""
    words = ["a", "bé", "never"]
    weights = make_weights(OPTIONS)
    model = make_model(OPTIONS, weights)
    forward, backward = bilm.word_log_probs(
        OPTIONS, weights, words, weights["softmax/W"], weights["softmax/b"], VOCABULARY
    )
    read = [S, *words, E]
    loss_forward, loss_backward, _ = model.losses(
        encode(OPTIONS, [read[:-1]]),
        word_ids([read[1:]]),
        encode(OPTIONS, [read[:0:-1]]),
        word_ids([read[-2::-1]]),
        model.zero_carry(1),
    )
    np.testing.assert_allclose(loss_forward.item(), -np.mean(forward))
    np.testing.assert_allclose(loss_backward.item(), -np.mean(backward))


SAMPLES = ((np.array([0, 3, 4]), 5), (np.array([1, 5]), 2))


@pytest.mark.parity
@pytest.mark.parametrize("mode", ["full", "sampled"])
def test_torch_losses_and_softmax_gradients_are_numpys(mode):
    """Contexts of torch, softmax of NumPy, positions weighted."""
    torch = pytest.importorskip("torch")
    model = make_model()
    carry = random_carry(model)
    inputs = arguments(OPTIONS)
    masks = torch.tensor([[[1, 1, 1], [1, 1, 0]], [[1, 0, 0], [1, 1, 1]]])
    *losses, _ = model.losses(*inputs, carry, mode, SAMPLES, *masks)
    (0.5 * (losses[0] + losses[1])).backward()
    gradients = model.gradients()
    arrays = model.arrays()
    of_W, of_b = 0.0, 0.0
    for direction in range(2):
        with torch.no_grad():
            top, _ = model.top_outputs(
                direction, inputs[2 * direction], carry[direction]
            )
        contexts = top.reshape(6, 3).numpy()
        targets = inputs[2 * direction + 1].reshape(-1).numpy()
        share = masks[direction].reshape(-1).numpy()
        head = (arrays["softmax/W"], arrays["softmax/b"], contexts, targets)
        negatives = SAMPLES[direction] if mode == "sampled" else ()
        nll = getattr(sampled_softmax, f"{mode}_softmax_losses")(*head, *negatives)
        expected = np.average(nll, weights=share)
        np.testing.assert_allclose(losses[direction].item(), expected)
        found = getattr(sampled_softmax, f"{mode}_softmax_gradients")(
            *head, *negatives, position_weights=share
        )
        of_W, of_b = of_W + 0.5 * found.weights, of_b + 0.5 * found.bias
    np.testing.assert_allclose(gradients["softmax/W"], of_W, atol=1e-14)
    np.testing.assert_allclose(gradients["softmax/b"], of_b, atol=1e-14)


@pytest.mark.parity
@pytest.mark.parametrize("options", VARIANTS[:2])
def test_torch_gradients_are_finite_differences(options):
    torch = pytest.importorskip("torch")
    weights = make_weights(options)
    model = make_model(options, weights)
    carry = random_carry(model)

    inputs = arguments(options)

    def loss():
        forward, backward, _ = model.losses(*inputs, carry, "sampled", SAMPLES)
        return 0.5 * (forward + backward)

    loss().backward()
    gradients = model.gradients()
    rng = np.random.default_rng(0)
    for name, w in model.weights.items():
        # Along one random direction per array.
        along = rng.normal(size=tuple(w.shape))
        values = []
        with torch.no_grad():
            start = w.clone()
            for sign in (1, -1):
                w.copy_(start + sign * 1e-6 * torch.tensor(along))
                values.append(loss().item())
            w.copy_(start)
        expected = (values[0] - values[1]) / 2e-6
        found = np.sum(gradients[name] * along)
        assert expected != 0
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parity
@pytest.mark.parametrize("options", VARIANTS[:2])
@pytest.mark.parametrize("mode", ["full", "sampled"])
def test_faster_forms_change_nothing(options, mode):
    results = []
    for settings in [{}, {"hoist": True, "dedupe": True, "sparse": mode == "sampled"}]:
        model = make_model(options, **settings)
        forward, backward, carry = model.losses(
            *arguments(options), random_carry(model), mode, SAMPLES
        )
        (0.5 * (forward + backward)).backward()
        states = [x.numpy() for s in carry for pair in s for x in pair]
        results.append(
            [forward.item(), backward.item(), *states, *model.gradients().values()]
        )
    for plain, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-9, atol=1e-13)


@pytest.mark.parity
def test_carry_joins_steps_and_stops_gradients():
    model = make_model()
    carry = random_carry(model)
    whole = arguments(OPTIONS)
    forward, backward, end = model.losses(*whole, carry)
    parts = []
    for t in range(3):
        step = [x[:, t : t + 1] for x in whole]
        *losses, carry = model.losses(*step, carry)
        parts.append([loss.item() for loss in losses])
    np.testing.assert_allclose(
        np.mean(parts, axis=0), [forward.item(), backward.item()]
    )
    for pairs, expected_pairs in zip(carry, end, strict=True):
        for pair, expected in zip(pairs, expected_pairs, strict=True):
            for x, y in zip(pair, expected, strict=True):
                assert not x.requires_grad
                np.testing.assert_allclose(x, y)


@pytest.mark.parity
def test_dropout_is_on_every_layers_input_and_on_the_top():
    """All dropped: every layer sees zeros, and the softmax its bias alone."""
    torch = pytest.importorskip("torch")
    model = make_model(dropout=1.0)
    forward, _, _ = model.losses(*arguments(OPTIONS), model.zero_carry(2))
    b = model.arrays()["softmax/b"]
    targets = word_ids(FORWARD_TARGETS).reshape(-1).numpy()
    expected = np.mean(np.log(np.sum(np.exp(b))) - b[targets])
    np.testing.assert_allclose(forward.item(), expected)
    # The skip connection carries the dropped input: zeros.
    skip, _ = model.run_direction(
        0, torch.ones(1, 2, 3).double(), model.zero_carry(1)[0]
    )
    plain = make_model(
        {**OPTIONS, "lstm": OPTIONS["lstm"] | {"use_skip_connections": False}},
        dropout=1.0,
    )
    without, _ = plain.run_direction(
        0, torch.ones(1, 2, 3).double(), plain.zero_carry(1)[0]
    )
    assert torch.equal(skip, without)
    assert torch.any(skip != 0)


@pytest.mark.parity
def test_word_input_may_share_its_table_with_the_softmax():
    weights = make_weights(TOKEN_OPTIONS)
    tied = {name: w for name, w in weights.items() if name != "softmax/W"}
    untied = tied | {"softmax/W": tied["embedding"]}
    results = []
    for chosen in (tied, untied):
        model = make_model(TOKEN_OPTIONS, chosen)
        forward, _, _ = model.losses(*arguments(TOKEN_OPTIONS), model.zero_carry(2))
        forward.backward()
        results.append((forward.item(), model.gradients()))
    np.testing.assert_allclose(results[0][0], results[1][0])
    apart = results[1][1]
    np.testing.assert_allclose(
        results[0][1]["embedding"], apart["embedding"] + apart["softmax/W"], atol=1e-14
    )


# BERT


@pytest.mark.parity
@pytest.mark.parametrize("gather_first", [False, True])
def test_pretraining_loss_is_transformers_own(gather_first):
    """Equal weights on all masked places make it transformers' loss, but for 1e-5."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    masked_lm = pytest.importorskip("tests.oracles.masked_lm")
    config = transformers.BertConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=6,
    )
    torch.manual_seed(0)
    model = transformers.BertForPreTraining(config).double().eval()
    batch = {
        "ids": torch.tensor([[1, 4, 5, 6, 2, 0], [1, 7, 8, 2, 9, 2]]),
        "segment_ids": torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]),
        "mask": torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]),
        "masked_positions": torch.tensor([[1, 3, 0], [4, 0, 0]]),
        "masked_ids": torch.tensor([[10, 3, 0], [9, 0, 0]]),
        "masked_weights": torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        "next_sentence_labels": torch.tensor([0, 1]),
    }
    loss, mlm, nsp = masked_lm.pretraining_loss(model, batch, gather_first)
    labels = torch.full((2, 6), -100)
    labels[0, 1], labels[0, 3], labels[1, 4] = 10, 3, 9
    expected = model(
        input_ids=batch["ids"],
        token_type_ids=batch["segment_ids"],
        attention_mask=batch["mask"],
        labels=labels,
        next_sentence_label=batch["next_sentence_labels"],
    ).loss
    np.testing.assert_allclose((mlm * (3 + 1e-5) / 3 + nsp).item(), expected.item())
    np.testing.assert_allclose(loss.item(), (mlm + nsp).item())

    masked_lm.train_padding_row(model)
    adam = masked_lm.TorchBertAdam(model.named_parameters(), 0.01)
    for _ in range(3):
        adam.zero_grad()
        masked_lm.pretraining_loss(model, batch, gather_first)[0].backward()
        adam.step()
    assert masked_lm.pretraining_loss(model, batch, gather_first)[0] < loss
    assert len(adam.parameters) == len(model.state_dict()) - 2  # The tied decoder.
