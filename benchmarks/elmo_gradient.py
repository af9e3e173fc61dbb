# SPDX-License-Identifier: Apache-2.0
"""The gradient of an LSTM as it is written out, against what jax derives of the loop.

    python -m benchmarks.elmo_gradient

Two layers of published width (2048/512, 30 positions of 16 rows; 4096/512, 20 of 32),
forward and backward in weights and inputs: as `elmo_jax.embed` reads on this machine,
the first layer and those above it, and as training reads. Then a step of
`train.finetune` that moves the whole biLM: 16 sentences of 5 to 30 words, the published
"medium" shapes (LSTM 2048/256, 2,048 filters, one highway). The loop forward is the
same on both sides. Random weights and text, float32; both sides in turn, the medians
count.
"""

import contextlib
import dataclasses
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import elmo_jax
from elmo_jax import ElmoConfig, ElmoTokenizer
from elmo_jax.config import CharCnnConfig
from elmo_jax.lstm import LstmLayer, TypeInputs, zero_state
from embed_jax import recurrence
from embed_jax.devices.platform import target_platform
from train.families.elmo.finetuned import ElmoClassifier, fresh_head
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.finetuning import Finetuning, Stepper

# Cell, projection, positions, rows.
LAYERS = ((2048, 512, 30, 16), (4096, 512, 20, 32))
MEDIUM = ElmoConfig(
    char_cnn=CharCnnConfig(num_highways=1), cell_dim=2048, projection_dim=256
)
TAGS = ("O", "B-X", "I-X")
OCCURRENCES = 2
"""Of a type, where each is read once."""

Run = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the gradient of LSTMs on this machine."""

    rounds: int = 7
    """How often each side runs."""


def main() -> None:
    """Print seconds of both sides, and their ratio."""
    command = tyro.cli(Command, description=__doc__)
    for name, make in _cases():
        with _derived():
            derived = make()
            derived()  # traced while the written gradient is out of the way
        written = make()
        written()
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(command.rounds):
            for run, times in zip((derived, written), seconds, strict=True):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
        before, after = map(statistics.median, seconds)
        print(
            f"{name:48} derived {1e3 * before:7,.0f} ms   written "
            f"{1e3 * after:7,.0f} ms   {before / after:5.2f}x",
            flush=True,
        )
    device = jax.devices()[0].device_kind
    print(f"jax {version('jax')}; Python {platform.python_version()}, {device}")


@contextlib.contextmanager
def _derived() -> Iterator[None]:
    """Let jax derive the gradient of whatever is traced meanwhile."""
    loop = recurrence._recur
    with mock.patch.object(recurrence, "_recur", loop.__wrapped__):
        yield


def _cases() -> Iterator[tuple[str, Callable[[], Run]]]:
    hoist = target_platform() != "cpu"
    for shape in LAYERS:
        cell_dim, width, length, rows = shape
        name = f"{cell_dim}/{width}, T {length}, B {rows}, "
        for way, by_type, hoisted in (
            ("embed, first layer", True, hoist),
            ("embed, layers above", False, hoist),
            ("training", False, True),
        ):
            yield name + way, lambda s=shape, t=by_type, h=hoisted: _layer(s, t, h)
    yield "fine-tuning step, 2 x 2 x 2048/256", _finetuning_step


def _layer(shape: tuple[int, int, int, int], by_type: bool, hoist: bool) -> Run:
    cell_dim, width, length, rows = shape
    config = ElmoConfig(cell_dim=cell_dim, projection_dim=width)
    layer = LstmLayer(config, jnp.dtype(jnp.float32), reverse=False, hoist=hoist)
    rng = np.random.default_rng(0)
    num_types = length * rows // OCCURRENCES
    words = jnp.asarray(rng.integers(0, num_types, (length, rows)), jnp.int32)
    vectors = jnp.asarray(rng.normal(size=(num_types, width)), jnp.float32)
    restart = jnp.asarray(rng.random((length, rows)) < 0.05)
    slopes = jnp.asarray(rng.normal(size=(length, rows, width)), jnp.float32)
    state, fresh = zero_state(config, rows), zero_state(config, 1)
    weights = layer.init(jax.random.key(0), slopes, state)

    def total(weights: Any, vectors: jax.Array) -> jax.Array:
        inputs = TypeInputs(vectors, words) if by_type else vectors[words]
        outputs, _ = layer.apply(weights, inputs, state, restart, fresh)
        return jnp.vdot(outputs, slopes)

    gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
    return lambda: jax.block_until_ready(gradient(weights, vectors))


def _finetuning_step() -> Run:
    rng = np.random.default_rng(0)
    words = [f"word{rank}" for rank in range(2000)]

    def sentence() -> TaggedSentence:
        ranks = np.exp(rng.random(rng.integers(5, 31)) * np.log(len(words))) - 1
        chosen = tuple(words[int(rank)] for rank in ranks)
        return TaggedSentence(chosen, tuple(rng.choice(TAGS, len(chosen))))

    params = elmo_jax.init_params(jax.random.key(0), MEDIUM)
    config = Finetuning(batch_size=16, layers="mix(all)")
    head = fresh_head(jax.random.key(1), params, config.layers, len(TAGS))
    classifier = ElmoClassifier(
        params,
        ElmoTokenizer(MEDIUM),
        head,
        task="token",
        labels=TAGS,
        layers=config.layers,
    )
    rows = classifier.rows([sentence() for _ in range(config.batch_size)])
    tokens = classifier.collate(rows, 30, len(rows))
    labels = np.full(tokens.words.shape, -1, np.int32)
    for row, of_row in zip(rows, labels, strict=True):
        of_row[: row.length] = row.labels
    step = Stepper(config, classifier, num_steps=1000)
    states = [step.init()]

    def run() -> None:
        # A step gives up the state before it.
        state, _ = step(states.pop(), (tokens, labels), 0)
        states.append(jax.block_until_ready(state))

    return run


if __name__ == "__main__":
    main()
