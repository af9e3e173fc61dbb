# SPDX-License-Identifier: Apache-2.0
"""What the state before a sentence is worth: zeros, a warm start, or all of the past.

    pip install -e '.[benchmarks]' optax
    python -m benchmarks.warm_start

Trains a small biLM on novels as bilm-tf trains: endless rows of shuffled sentences,
the state carried, so that zeros are next to never seen. Then it reads a book that was
held out from each state, and prints the perplexity and how far the vectors move. The
vectors are also compared on bilm-tf's own fixture model.
"""

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import elmo_jax
from benchmarks.elmo_contenders import DATA, FIXTURE
from benchmarks.embed_bert import WORK
from elmo_jax import (
    CharCnnConfig,
    ElmoConfig,
    ElmoParams,
    ElmoTokenizer,
    ElmoTokens,
    Vocabulary,
    apply_bilm,
    init_params,
    zero_carry,
)
from elmo_jax.bilm import Carry
from elmo_jax.embed import insert_boundaries
from elmo_jax.tokens import BEGIN, END
from elmo_jax.vocabulary import SPECIALS
from elmo_jax.warm_start import warm_start

HELD_OUT = "1342_pride_and_prejudice.txt"
CONFIG = ElmoConfig(
    char_cnn=CharCnnConfig(
        filters=((1, 16), (2, 32), (3, 64), (4, 64)),
        num_highways=1,
        max_characters=20,
    ),
    cell_dim=256,
    projection_dim=64,
)
ROWS = 16  # that the held-out book is read in, each a part of it
NEAR = (1, 2, 5)
PLACES = (1, 2, 5, 10, 20)

Text = list[list[str]]


@dataclasses.dataclass(frozen=True)
class Command:
    """Train a small biLM and read from zero, warm and carried states."""

    steps: int = 2000
    """Steps of training; a step is `rows` times `unroll` words in each direction."""
    rows: int = 32
    """Rows of a training batch."""
    unroll: int = 20
    """Words through which the gradient flows back."""
    optimizer: Literal["adagrad", "adam"] = "adagrad"
    """As bilm-tf trains, or Adam with a falling rate."""
    seed: int = 0
    """Of the weights, the dropout and the order of the sentences."""
    vocabulary: int = 3000
    """Words that the softmax predicts, the three specials included."""
    sentences: int = 1000
    """Held-out sentences to read."""
    draws: int = 4
    """Texts to try for each length of a warm start."""


def main() -> None:
    """Train unless it was done before, measure, print."""
    command = tyro.cli(Command)
    training, held_out = read_novels()
    held_out = held_out[: command.sentences]
    vocabulary = make_vocabulary(training, command.vocabulary)
    tokenizer = ElmoTokenizer(CONFIG, vocabulary)
    params, tokenizer = trained_model(command, training, tokenizer)
    print(
        f"held out: {len(held_out)} sentences, {sum(map(len, held_out))} words, "
        f"{unknown_share(held_out, vocabulary):.1%} of them unknown"
    )
    compare(params, tokenizer, training, held_out, command.draws, "small biLM")
    fixture, its_tokenizer = elmo_jax.load(
        FIXTURE, weights=FIXTURE / "lm_weights.hdf5", encoder_only=True
    )
    compare(fixture, its_tokenizer, training, held_out, command.draws, "fixture")


# --- The text ---


def read_novels() -> tuple[Text, Text]:
    """Return the sentences of all novels but one, and those of that one."""
    texts = {
        path.name: split_sentences(path.read_text(encoding="utf-8"))
        for path in sorted((DATA / "text_litbank_novels").glob("*_*.txt"))
        if path.name[0].isdigit()
    }
    held_out = texts.pop(HELD_OUT)
    return [words for text in texts.values() for words in text], held_out


def split_sentences(text: str) -> Text:
    """Split a novel at blank lines and after full stops, into words and marks."""
    parts = [
        part
        for paragraph in re.split(r"\n\s*\n", text)
        for part in re.split(r"(?<=[.!?])[\"'_]*\s+", " ".join(paragraph.split()))
    ]
    sentences = [re.findall(r"\w+(?:'\w+)*|[^\w\s]", part) for part in parts]
    return [words for words in sentences if words]


def make_vocabulary(text: Text, size: int) -> Vocabulary:
    """Take the most frequent words."""
    counts = Counter(word for words in text for word in words)
    common = [word for word, _ in counts.most_common(size - len(SPECIALS))]
    return Vocabulary((*SPECIALS, *common))


def unknown_share(text: Text, vocabulary: Vocabulary) -> float:
    """Return how much of a text is not in the vocabulary."""
    ids = np.concatenate([vocabulary.encode(words) for words in text])
    return float(np.mean(ids == vocabulary.unknown_id))


# --- Training ---


def trained_model(
    command: Command, training: Text, tokenizer: ElmoTokenizer
) -> tuple[ElmoParams, ElmoTokenizer]:
    """Train, or load what an earlier run with the same settings trained."""
    params = init_params(jax.random.key(command.seed), CONFIG, command.vocabulary)
    sizes = (command.steps, command.rows, command.unroll, command.vocabulary)
    settings = ("warm-start", command.optimizer, *sizes, command.seed)
    name = "-".join(map(str, settings))
    directory = WORK / "models" / name
    if not (directory / "options.json").exists():
        params = train(command, params, training, tokenizer)
        elmo_jax.save(directory, params, tokenizer)
    return elmo_jax.load(directory)


def train(
    command: Command, params: ElmoParams, training: Text, tokenizer: ElmoTokenizer
) -> ElmoParams:
    """Train both directions on rows without end, the state carried from step to step.

    Each direction reads a text shuffled for itself, in its own order of reading.
    """
    optimizer = make_optimizer(command)

    def loss_of(
        trainable: dict, batch: tuple, carries: tuple, key: jax.Array
    ) -> tuple[jax.Array, tuple]:
        losses, after = [], []
        keys = jax.random.split(key, (2, 2))
        for way, (tokens, targets), carry, (inside, above) in zip(
            ("forward", "backward"), batch, carries, keys, strict=True
        ):
            output = apply_bilm(
                one_way(params.replace(**trainable), way),
                tokens,
                carry=carry,
                dropout_key=inside,
            )
            kept = jax.random.bernoulli(above, 0.9, output.layers[-1].shape) / 0.9
            logits = predict(trainable["heads"], output.layers[-1] * kept)
            losses.append(cross_entropy(logits, targets).mean())
            after.append(output.carry)
        return jnp.stack(losses).mean(), tuple(after)

    @jax.jit
    def step(
        trainable: dict,
        slots: optax.OptState,
        batch: tuple,
        carries: tuple,
        key: jax.Array,
    ) -> tuple:
        (loss, carries), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            trainable, batch, carries, key
        )
        updates, slots = optimizer.update(gradient, slots)
        return optax.apply_updates(trainable, updates), slots, carries, loss

    trainable = {"encoder": params.encoder, "heads": params.heads}
    slots = optimizer.init(trainable)
    carries = (zero_carry(one_way(params, "forward").config, command.rows),) * 2
    batches = window_pairs(command, training, tokenizer)
    began = time.process_time()
    losses = []
    for number, batch in zip(range(command.steps), batches, strict=False):
        key = jax.random.fold_in(jax.random.key(command.seed + 1), number)
        trainable, slots, carries, loss = step(trainable, slots, batch, carries, key)
        losses.append(loss)
        if (number + 1) % 100 == 0:
            perplexity = np.exp(np.mean(losses[-100:]))
            spent = time.process_time() - began
            print(f"step {number + 1}: {perplexity:.1f}, {spent:.0f} s", flush=True)
    return params.replace(**trainable)


def make_optimizer(command: Command) -> optax.GradientTransformation:
    """Return bilm-tf's optimiser, which sees the loss times `unroll`, or Adam."""
    if command.optimizer == "adam":
        rate = optax.cosine_decay_schedule(3e-3, command.steps)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    return optax.chain(
        optax.scale(command.unroll),
        optax.clip_by_global_norm(10.0),
        optax.adagrad(0.2, initial_accumulator_value=1.0, eps=0.0),
    )


def one_way(params: ElmoParams, way: str) -> ElmoParams:
    """Return one direction as a model of its own, which reads in its order."""
    other = "forward" if way == "backward" else "backward"
    encoder = {
        name.replace(way, "forward"): tree
        for name, tree in params.encoder.items()
        if not name.startswith(other)
    }
    config = dataclasses.replace(params.config, bidirectional=False)
    return params.replace(encoder=encoder, config=config)


def window_pairs(
    command: Command, text: Text, tokenizer: ElmoTokenizer
) -> Iterator[tuple[tuple[ElmoTokens, np.ndarray], ...]]:
    """Yield for each step what both directions read and predict, epoch after epoch."""
    ids: dict[str, int] = {}
    coded = [[ids.setdefault(word, len(ids) + 2) for word in words] for words in text]
    words = ["<S>", "</S>", *ids]
    types = tokenizer.encode_types(words)
    assert tokenizer.vocabulary is not None
    targets = tokenizer.vocabulary.encode(words)
    rng = np.random.default_rng(command.seed)
    while True:
        # The boundary that a sentence ends with is predicted but never read.
        streams = [
            rows_without_end(rng, coded, BEGIN, END, command),
            rows_without_end(
                rng, [words[::-1] for words in coded], END, BEGIN, command
            ),
        ]
        for windows in zip(*streams, strict=True):
            yield tuple(
                (shared_tokens(types, read), targets[predicted])
                for read, predicted in windows
            )


def rows_without_end(
    rng: np.random.Generator,
    sentences: list[list[int]],
    first: int,
    last: int,
    command: Command,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut shuffled sentences, end to end, into rows and those into windows."""
    order = rng.permutation(len(sentences))
    read = np.array([w for i in order for w in (first, *sentences[i])], np.int32)
    predicted = np.array([w for i in order for w in (*sentences[i], last)], np.int32)
    steps = len(read) // (command.rows * command.unroll)
    shape = command.rows, steps, command.unroll
    rows_read = read[: np.prod(shape)].reshape(shape)
    rows_predicted = predicted[: np.prod(shape)].reshape(shape)
    for step in range(steps):
        yield rows_read[:, step], rows_predicted[:, step]


def shared_tokens(types: np.ndarray, words: np.ndarray) -> ElmoTokens:
    """Make tokens of a window in which no sentence starts or ends; few shapes."""
    distinct, inverse = np.unique(words, return_inverse=True)
    padding = -(len(distinct) + 2) % 384
    nowhere = np.zeros(words.shape, bool)
    return ElmoTokens(
        types=types[np.concatenate([[BEGIN, END], distinct, [BEGIN] * padding])],
        words=inverse.reshape(words.shape).astype(np.int32) + 2,
        mask=~nowhere,
        starts=nowhere,
        ends=nowhere,
    )


def predict(heads: dict, vectors: jax.Array) -> jax.Array:
    """Return the logits of the softmax."""
    return vectors @ heads["softmax"]["weights"].T + heads["softmax"]["bias"]


cross_entropy = optax.softmax_cross_entropy_with_integer_labels


# --- Reading the held-out book ---


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one reading of the held-out book gave, every word in a fixed order.

    Attributes:
      losses: forward and backward, one a predicted word or boundary; or None.
      numbers: which prediction of its sentence it is, the first being 1.
      vectors: `[words, L, 2, P]`, without layer 0.
      places: `[words, 2]`, how many words each direction has read, this one included.
    """

    losses: np.ndarray | None
    numbers: np.ndarray
    vectors: np.ndarray
    places: np.ndarray


def read(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    text: Text,
    carry: Carry,
    *,
    stateful: bool = False,
) -> Reading:
    """Read every sentence from one state, or in the order of the text, state kept.

    Args:
      params: the model.
      tokenizer: its tokeniser.
      text: sentences, read in ROWS parts at a time.
      carry: the state before the first sentences, or before all.
      stateful: whether the state after a sentence is the one before the next.
    """
    parts = np.array_split(np.arange(len(text)), ROWS)
    collected = []
    for step in range(len(parts[-1])):
        batch = [text[part[step]] for part in parts]
        tokens = padded_tokens(tokenizer, batch)
        losses, vectors, after = read_batch(
            params, tokens, target_ids(tokenizer, batch, tokens), carry
        )
        collected.append((*map(np.asarray, (losses, vectors)), tokens.mask))
        if stateful:
            carry = after
    losses, numbers, vectors, places = [], [], [], []
    for loss, vector, mask in collected:
        for row, length in enumerate(mask.sum(axis=1)):
            losses.append(loss[:, row, : length + 1])
            numbers.append(np.arange(1, length + 2))
            vectors.append(vector[row, :length])
            there = np.arange(1, length + 1)
            places.append(np.stack([there, there[::-1]], axis=1))
    return Reading(
        np.concatenate(losses, axis=1) if params.heads else None,
        np.concatenate(numbers),
        np.concatenate(vectors),
        np.concatenate(places),
    )


def padded_tokens(tokenizer: ElmoTokenizer, batch: Text) -> ElmoTokens:
    """Make tokens in few shapes."""
    longest = max(map(len, batch))
    tokens = tokenizer.collate(batch, longest + -longest % 16)
    char_cnn = tokenizer.config.char_cnn
    assert char_cnn is not None
    U, C = tokens.types.shape
    types = np.pad(
        tokens.types,
        ((0, 0), (0, char_cnn.max_characters - C)),
        constant_values=261,  # the character that fills words up
    )
    return tokens._replace(types=np.pad(types, ((0, -U % 128), (0, 0))))


def target_ids(
    tokenizer: ElmoTokenizer, batch: Text, tokens: ElmoTokens
) -> np.ndarray | None:
    """Return for each type the id that the softmax gives it."""
    if tokenizer.vocabulary is None:
        return None
    words = list(dict.fromkeys(["<S>", "</S>", *(w for ws in batch for w in ws)]))
    ids = tokenizer.vocabulary.encode(words)
    return np.pad(ids, (0, len(tokens.types) - len(ids)))


@jax.jit
def read_batch(
    params: ElmoParams, tokens: ElmoTokens, targets: jax.Array | None, carry: Carry
) -> tuple[jax.Array, jax.Array, Carry]:
    """Return losses `[2, B, T+1]` in the order of reading, vectors, and states."""
    whole = insert_boundaries(tokens)
    output = apply_bilm(params, whole, carry=carry)
    both = jnp.stack(output.layers[1:], axis=2)
    both = both.reshape(*both.shape[:-1], 2, -1)  # [B T+2 L 2 P]
    losses = jnp.zeros(())
    if targets is not None and params.heads:
        ids = targets[whole.words]
        top = both[:, :, -1]
        forward = cross_entropy(predict(params.heads, top[:, :-1, 0]), ids[:, 1:])
        backward = cross_entropy(predict(params.heads, top[:, 1:, 1]), ids[:, :-1])
        # From each sentence's own end: roll its padding to the front, then turn.
        lengths = jnp.sum(whole.mask, axis=1)
        turned = jax.vmap(jnp.roll)(backward[:, ::-1], lengths - whole.mask.shape[1])
        losses = jnp.stack([forward, turned])
    else:
        losses = jnp.zeros((2, *whole.mask[:, 1:].shape))
    return losses, both[:, 1:-1], output.carry


# --- The states to read from ---


def draw_texts(text: Text, count: int, length: int, seed: int) -> list[Text]:
    """Draw texts of random sentences, as a row of training holds them."""
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(text), (count, length), replace=False)
    return [[text[index] for index in row] for row in picked]


def states_after(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    texts: list[Text],
    *,
    as_trained: bool = False,
) -> list[Carry]:
    """Return what warm starts from several texts begin with, in one compilation.

    Args:
      params: the model.
      tokenizer: its tokeniser.
      texts: as many sentences each as one likes.
      as_trained: leaves out the boundaries at which a direction arrives: training only
        predicts them, while inference and warm starts read them.
    """
    end, begin = ([], []) if as_trained else (["</S>"], ["<S>"])
    rows = [[w for s in text for w in ("<S>", *s, *end)] for text in texts]
    rows += [[w for s in text[::-1] for w in (*begin, *s, "</S>")] for text in texts]
    tokens = tokenizer(rows)
    nowhere = np.zeros_like(tokens.mask)
    carry = jax.jit(apply_bilm)(
        params,
        tokens._replace(starts=nowhere, ends=nowhere),
        carry=zero_carry(params.config, len(rows)),
    ).carry

    def state_of(text: int) -> Carry:
        places = (text, len(texts) + text)
        return tuple(
            jax.tree.map(lambda leaf, place=place: leaf[place : place + 1], way)
            for place, way in zip(places, carry, strict=True)
        )

    states = [state_of(text) for text in range(len(texts))]
    if not as_trained:
        warm = warm_start(params, tokenizer, texts[0]).start
        for pair in zip(*map(jax.tree.leaves, (states[0], warm)), strict=True):
            np.testing.assert_allclose(*pair, rtol=0, atol=1e-5)
    return states


def mean_state(states: list[Carry]) -> Carry:
    """Average states."""
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *states)


def in_rows(states: list[Carry]) -> Carry:
    """Make states those of one row each."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *states)


def compare(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    training: Text,
    held_out: Text,
    draws: int,
    title: str,
) -> None:
    """Read from every state and print two tables."""

    def states(
        count: int, length: int, seed: int, *, as_trained: bool = False
    ) -> list[Carry]:
        texts = draw_texts(training, count, length, seed)
        return states_after(params, tokenizer, texts, as_trained=as_trained)

    singles = states(64, 5, 100)
    starts = {"zeros": [zero_carry(params.config, 1)]}
    for length in (1, 5, 20, 100):
        starts[f"after {length}"] = states(draws, length, length)
    starts["after 20, as trained"] = states(draws, 20, 20, as_trained=True)
    starts["mean of 8 after 5"] = [mean_state(singles[i : i + 8]) for i in (0, 8, 16)]
    starts["mean of 64 after 5"] = [mean_state(singles)]
    readings: dict[str, list[Reading]] = {
        name: [
            read(params, tokenizer, held_out, in_rows([state] * ROWS))
            for state in several
        ]
        for name, several in starts.items()
    }
    past = in_rows(states(ROWS, 20, 7))
    readings["stateful, in order"] = [
        read(params, tokenizer, held_out, past, stateful=True)
    ]
    if params.heads:
        order = np.random.default_rng(3).permutation(len(held_out))
        shuffled = [held_out[index] for index in order]
        readings["stateful, shuffled"] = [
            read(params, tokenizer, shuffled, past, stateful=True)
        ]
        print_perplexities(title, readings)
    readings.pop("stateful, shuffled", None)
    for reference in ("zeros", "stateful, in order"):
        print_cosines(title, readings, reference)


def print_perplexities(title: str, readings: dict[str, list[Reading]]) -> None:
    """Print the perplexities, the mean over draws, and their range."""
    heads = ["all", "forward", "backward", *(f"first {n}" for n in NEAR), "lowest..."]
    print(f"\n{title}: perplexity, geometric mean of both directions")
    print(f"{'state before a sentence':24}" + "".join(f"{head:>10}" for head in heads))
    for name, several in readings.items():
        rows = []
        for reading in several:
            assert reading.losses is not None
            each = np.exp(reading.losses.mean(axis=1))
            near = [reading.losses[:, reading.numbers <= n].mean() for n in NEAR]
            rows.append([np.exp(reading.losses.mean()), *each, *np.exp(near)])
        row = "".join(f"{value:10.2f}" for value in np.mean(rows, axis=0))
        overall = [row[0] for row in rows]
        print(f"{name:24}{row}    {min(overall):.2f} to {max(overall):.2f}")


def print_cosines(
    title: str, readings: dict[str, list[Reading]], reference: str
) -> None:
    """Print cosines to the vectors of another reading, by layer and by place."""
    heads = ["mean", "lowest", *(f"word {place}" for place in PLACES)]
    print(f"\n{title}: cosine to {reference}; by place, that of one direction")
    print(f"{'state, layer':28}" + "".join(f"{head:>9}" for head in heads))
    base = readings[reference][0]
    for name, several in readings.items():
        if name == reference:
            continue
        for layer in range(base.vectors.shape[1]):
            rows = []
            for reading in several:
                pair = reading.vectors[:, layer], base.vectors[:, layer]
                whole = cosine(*(half.reshape(len(half), -1) for half in pair))
                halves = cosine(*pair)
                near = [halves[base.places == place].mean() for place in PLACES]
                rows.append([whole.mean(), whole.min(), *near])
            row = np.mean(rows, axis=0)
            row[1] = np.min(rows, axis=0)[1]
            cells = "".join(f"{value:9.4f}" for value in row)
            print(f"{name + f', {layer + 1}':28}{cells}")


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return cosines along the last axis."""
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return (left * right).sum(axis=-1) / norms


if __name__ == "__main__":
    main()
