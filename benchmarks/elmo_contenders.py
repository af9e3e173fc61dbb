# SPDX-License-Identifier: Apache-2.0
"""What else computes ELMo vectors, on the same weights and sentences.

    pip install -e '.[benchmarks]'
    python -m benchmarks.elmo_contenders --check
    python -m benchmarks.elmo_contenders --only torch --sentences 256 --batch-size 128

`torch` is `TorchBilm`, the algorithm of AllenNLP's ELMo on today's PyTorch; AllenNLP
itself does not install on it. The batch is sorted by length, each LSTM layer is a loop
over time steps whose batch holds the sentences that reach so far, both of its linear
maps are inside the loop, and the character CNN sees every occurrence of a word at its
full 50 characters. It is kinder than the original in four ways. The CNN leaves out the
padding of the batch, and takes the words in portions that stay in cache. The LSTM's
state and outputs are written in place where the original copies them. And batches are
made of sentences of like length, which the original leaves to its user.

`simple_elmo` is the package of that name, bilm-tf's graph on TensorFlow 2, in a virtual
environment of its own, named by `--environment` or SIMPLE_ELMO_VENV:

    python3 -m venv DIRECTORY
    DIRECTORY/bin/pip install simple_elmo tensorflow-cpu tf_keras

Weights are random, of the published shapes; the speed does not depend on the values.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
import tyro

from benchmarks.embed_bert import WORK
from embed_jax.corpus.docstrings import read_paragraphs
from embed_jax.files.directory import written_whole

if TYPE_CHECKING:
    # At run time only TorchBilm loads it: the rest serves processes without torch.
    import torch

DATA = Path(os.environ.get("CONTEXTUAL_DATA", "../shared/data"))
FIXTURE = DATA / "elmo_fixtures_bilm_tf/tests/fixtures/model"
WORKER = Path(__file__).with_name("simple_elmo_worker.py")

FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]
# Ids of characters, one more than the byte; 0 is for padded words, whose row is zeros.
BOS, EOS, BOW, EOW, PAD = 257, 258, 259, 260, 261
# Words at a time in the CNN. The output of the widest filter then stays under the
# 32 MiB from which the C library maps, faults in and returns memory at each call.
PORTION = 128

State = dict[tuple[int, int], tuple["torch.Tensor", "torch.Tensor"]]


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure one contender, or check them all."""

    check: bool = False
    """Compare the contenders with the golden vectors and with each other."""
    only: Literal["torch", "simple_elmo"] = "torch"
    """Which contender to measure."""
    sentences: int = 256
    """How many sentences."""
    batch_size: int = 128
    """Sentences in a batch."""
    threads: int = 2
    """How many threads a contender may use."""
    small: bool = False
    """The published "small" shapes instead of the "original" ones."""
    environment: Path | None = None
    """Virtual environment of simple_elmo; by default SIMPLE_ELMO_VENV."""


def main() -> None:
    """Check, or measure and print the figures as JSON."""
    command = tyro.cli(Command)
    environment = command.environment or find_environment()
    if command.check:
        sys.exit(0 if check(environment) else 1)
    directory = random_model(small=command.small)
    sentences = read_tokenised_sentences(command.sentences)
    if command.only == "torch":
        figures = measure_torch(
            directory, sentences, command.batch_size, command.threads
        )
    else:
        if environment is None:
            sys.exit("simple_elmo needs --environment or SIMPLE_ELMO_VENV")
        speed = simple_elmo_words_per_second(
            directory, sentences, command.batch_size, environment, command.threads
        )
        figures = {"words_per_second": speed, "batch_size": command.batch_size}
    print(json.dumps(figures))


def find_environment() -> Path | None:
    """Return the virtual environment that SIMPLE_ELMO_VENV names, if any."""
    named = os.environ.get("SIMPLE_ELMO_VENV")
    return Path(named) if named else None


# --- The model and the sentences ---


def random_model(*, small: bool = False) -> Path:
    """Return the directory of the random model, written on first use."""
    directory = WORK / "models" / ("elmo-small-random" if small else "elmo-random")
    write_random_model(directory, small=small)
    return directory


def write_random_model(directory: Path, seed: int = 0, *, small: bool = False) -> None:
    """Write a model in the published form, its weights drawn as for training; once.

    Args:
      directory: Where options.json and lm_weights.hdf5 go.
      seed: Seed of the random numbers.
      small: The published "small" shapes instead of the "original" ones.
    """
    if directory.exists():
        return
    dim, proj, num_highways = (1024, 128, 1) if small else (4096, 512, 2)
    options = {
        "lstm": {
            "dim": dim,
            "projection_dim": proj,
            "n_layers": 2,
            "cell_clip": 3,
            "proj_clip": 3,
            "use_skip_connections": True,
        },
        "char_cnn": {
            "embedding": {"dim": 16},
            "filters": FILTERS,
            "activation": "relu",
            "n_highway": num_highways,
            "n_characters": 262,
            "max_characters_per_token": 50,
        },
    }
    with written_whole(directory, marker="options.json", overwrite=False) as fresh:
        (fresh / "options.json").write_text(json.dumps(options))
        with h5py.File(fresh / "lm_weights.hdf5", "w") as file:
            for name, value in random_weights(options, seed):
                file[name] = value


def random_weights(
    options: dict[str, Any], seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names and values of all weights."""
    rng = np.random.default_rng(seed)
    dim, proj = options["lstm"]["dim"], options["lstm"]["projection_dim"]
    filters = options["char_cnn"]["filters"]
    width = sum(size for _, size in filters)

    def uniform(limit: float, *shape: int) -> np.ndarray:
        values = rng.random(shape, np.float32)
        values *= 2 * limit
        values -= limit
        return values

    def glorot(fan_in: int, fan_out: int) -> np.ndarray:
        return uniform((6 / (fan_in + fan_out)) ** 0.5, fan_in, fan_out)

    def normal(fan_in: int, fan_out: int) -> np.ndarray:
        values = rng.standard_normal((fan_in, fan_out), np.float32)
        values *= fan_in**-0.5
        return values

    def full(size: int, value: float = 0.0) -> np.ndarray:
        return np.full(size, value, np.float32)

    yield "char_embed", uniform(1.0, 261, options["char_cnn"]["embedding"]["dim"])
    for index, (reach, size) in enumerate(filters):
        yield f"CNN/W_cnn_{index}", uniform(0.05, 1, reach, 16, size)
        yield f"CNN/b_cnn_{index}", full(size)
    for index in range(options["char_cnn"]["n_highway"]):
        yield f"CNN_high_{index}/W_carry", normal(width, width)
        yield f"CNN_high_{index}/b_carry", full(width, -2.0)
        yield f"CNN_high_{index}/W_transform", normal(width, width)
        yield f"CNN_high_{index}/b_transform", full(width)
    yield "CNN_proj/W_proj", normal(width, proj)
    yield "CNN_proj/b_proj", full(proj)
    for direction in range(2):
        for layer in range(options["lstm"]["n_layers"]):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            yield f"{cell}/W_0", glorot(2 * proj, 4 * dim)
            yield f"{cell}/B", full(4 * dim)
            yield f"{cell}/W_P_0", glorot(dim, proj)


def read_tokenised_sentences(count: int) -> list[list[str]]:
    """Read real sentences as words: English web text, or docstrings."""
    path = DATA / "pos_ud_english_ewt/train.tsv"
    if path.exists():
        blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
        sentences = [
            [line.split("\t")[0] for line in block.split("\n")] for block in blocks
        ]
    else:
        sentences = [re.findall(r"\w+|[^\w\s]", text) for text in read_paragraphs()]
    # Spread over the whole file, whose genres come one after the other.
    picked = np.linspace(0, len(sentences) - 1, count).astype(int)
    return [sentences[index] for index in picked]


def batches_of_like_length(
    sentences: list[list[str]], batch_size: int
) -> list[list[int]]:
    """Return the indices of each batch's sentences, the longest first."""
    order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
    starts = range(0, len(order), batch_size)
    return [order[start : start + batch_size] for start in starts]


# --- PyTorch ---


@dataclasses.dataclass(frozen=True)
class Cell:
    """Weights of one LSTM layer in one direction, as torch.nn.Linear keeps them."""

    from_input: "torch.Tensor"
    from_state: "torch.Tensor"
    bias: "torch.Tensor"
    projection: "torch.Tensor"


class TorchBilm:
    """A biLM on PyTorch, computed as AllenNLP does; see the module's docstring.

    It keeps no state between calls. `seconds` adds up the time spent in each part.
    """

    def __init__(self, directory: Path, threads: int = 2) -> None:
        """Load a model.

        Args:
          directory: Has options.json and lm_weights.hdf5.
          threads: How many threads PyTorch may use.
        """
        import torch

        torch.set_num_threads(threads)
        options = json.loads((directory / "options.json").read_text())
        self.lstm: dict[str, Any] = options["lstm"]
        self.num_characters: int = options["char_cnn"]["max_characters_per_token"]
        self.activation = getattr(torch, options["char_cnn"]["activation"])
        self.seconds: dict[str, float] = defaultdict(float)

        with h5py.File(directory / "lm_weights.hdf5", "r") as file:

            def read(name: str) -> torch.Tensor:
                return torch.from_numpy(file[name][()])

            def read_transposed(*names: str) -> torch.Tensor:
                return torch.cat([read(name) for name in names], -1).T.contiguous()

            characters = read("char_embed")
            self.characters = torch.cat([0 * characters[:1], characters])
            self.convolutions = [
                (
                    read(f"CNN/W_cnn_{index}")[0].permute(2, 1, 0).contiguous(),
                    read(f"CNN/b_cnn_{index}"),
                )
                for index in range(len(options["char_cnn"]["filters"]))
            ]
            self.highways = [
                (
                    read_transposed(f"{name}/W_transform", f"{name}/W_carry"),
                    torch.cat([read(f"{name}/b_transform"), read(f"{name}/b_carry")]),
                )
                for index in range(options["char_cnn"]["n_highway"])
                for name in [f"CNN_high_{index}"]
            ]
            self.projection = (
                read_transposed("CNN_proj/W_proj"),
                read("CNN_proj/b_proj"),
            )
            self.cells = {
                (direction, layer): self._read_cell(read, direction, layer)
                for direction in range(2)
                for layer in range(self.lstm["n_layers"])
            }

    def _read_cell(self, read: Any, direction: int, layer: int) -> Cell:
        name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
        kernel = read(f"{name}/W_0")
        dim, proj = self.lstm["dim"], self.lstm["projection_dim"]
        bias = read(f"{name}/B")
        bias[2 * dim : 3 * dim] += 1  # the forget gate's, which TensorFlow adds late
        return Cell(
            kernel[:-proj].T.contiguous(),
            kernel[-proj:].T.contiguous(),
            bias,
            read(f"{name}/W_P_0").T.contiguous(),
        )

    def embed(
        self, sentences: list[list[str]], batch_size: int = 128
    ) -> list[np.ndarray]:
        """Return the top layer of each sentence, (words, 2 * projection_dim)."""
        vectors = [np.empty(0)] * len(sentences)
        for indices in batches_of_like_length(sentences, batch_size):
            batch = [sentences[index] for index in indices]
            top = self.layers(batch)[-1].numpy()
            for index, row in zip(indices, top, strict=True):
                vectors[index] = row[: len(sentences[index])]
        return vectors

    def __call__(
        self, sentences: list[list[str]], state: State | None = None
    ) -> "torch.Tensor":
        """Return all layers of one batch, (B, L+1, T, 2 * projection_dim).

        Args:
          sentences: The words of each sentence, without boundaries.
          state: State to start from and to update; the caller keeps it.
        """
        import torch

        return torch.stack(self.layers(sentences, state), 1)

    def layers(
        self, sentences: list[list[str]], state: State | None = None
    ) -> list["torch.Tensor"]:
        """Return all layers of one batch, each (B, T, 2 * projection_dim)."""
        import torch

        # The loop over time wants the longest first; rows go back in place at the end.
        order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
        rows = torch.tensor(order)
        lengths = [len(sentences[index]) + 2 for index in order]
        with torch.inference_mode():
            with self._timed("characters"):
                words = self._words([sentences[index] for index in order], lengths)
            with self._timed("lstm"):
                layers = [torch.cat([words, words], -1)]
                inputs = [words, words]
                for layer in range(self.lstm["n_layers"]):
                    for direction in range(2):
                        key = direction, layer
                        before = None
                        if state and key in state:
                            before = tuple(part[rows] for part in state[key])
                        outputs, after = self._run(
                            key, inputs[direction], lengths, before
                        )
                        if state is not None:
                            state[key] = tuple(part[rows.argsort()] for part in after)
                        if layer and self.lstm["use_skip_connections"]:
                            outputs += inputs[direction]
                        inputs[direction] = outputs
                    layers.append(torch.cat(inputs, -1))
                # Without the boundaries: the first position, and each row's last,
                # which padding as of now covers.
                for layer in layers:
                    layer[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = 0
                back = rows.argsort()
                return [layer[back, 1:-1] for layer in layers]

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def _words(self, sentences: list[list[str]], lengths: list[int]) -> "torch.Tensor":
        """Return the vector of every word, (B, T, projection_dim), zeros at padding."""
        import torch

        ids = torch.from_numpy(self.character_ids(sentences))
        vectors = torch.cat([self._characters(part) for part in ids.split(PORTION)])
        words = torch.zeros(len(lengths), lengths[0], vectors.shape[-1])
        words[torch.arange(lengths[0]) < torch.tensor(lengths)[:, None]] = vectors
        return words

    def character_ids(self, sentences: list[list[str]]) -> np.ndarray:
        """Return one row for every word and boundary of all sentences."""
        size = self.num_characters
        num_words = sum(len(sentence) + 2 for sentence in sentences)
        ids = np.full((num_words, size), PAD, np.int32)
        row = 0
        for sentence in sentences:
            for word in ("<S>", *sentence, "</S>"):
                inner = [byte + 1 for byte in word.encode("utf-8", "ignore")]
                if word in ("<S>", "</S>"):
                    inner = [BOS if word == "<S>" else EOS]
                inner = [BOW, *inner[: size - 2], EOW]
                ids[row, : len(inner)] = inner
                row += 1
        return ids

    def _characters(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Convolve, highways, project."""
        import torch
        from torch.nn import functional

        embedded = functional.embedding(ids, self.characters).transpose(1, 2)
        embedded = embedded.contiguous()
        x = torch.cat(
            [
                self.activation(functional.conv1d(embedded, weight, bias).amax(-1))
                for weight, bias in self.convolutions
            ],
            -1,
        )
        for weight, bias in self.highways:
            new, gate = functional.linear(x, weight, bias).chunk(2, -1)
            x = torch.lerp(x, new.relu(), gate.sigmoid())
        return functional.linear(x, *self.projection)

    def _run(
        self,
        key: tuple[int, int],
        inputs: "torch.Tensor",
        lengths: list[int],
        state: tuple["torch.Tensor", "torch.Tensor"] | None,
    ) -> tuple["torch.Tensor", tuple["torch.Tensor", "torch.Tensor"]]:
        """Run one layer in one direction over rows sorted by length, longest first."""
        import torch
        from torch.nn import functional

        B, T, _ = inputs.shape
        cell = self.cells[key]
        dim, proj = self.lstm["dim"], self.lstm["projection_dim"]
        cell_clip, proj_clip = self.lstm["cell_clip"], self.lstm["proj_clip"]
        h, c = state or (torch.zeros(B, proj), torch.zeros(B, dim))
        outputs = torch.zeros(B, T, proj)
        # How many rows reach each step; going backward, rows join at their own end.
        reach = [sum(length > step for length in lengths) for step in range(T)]
        for step in reversed(range(T)) if key[0] else range(T):
            active = reach[step]
            gates = functional.linear(h[:active], cell.from_state, cell.bias)
            gates += functional.linear(inputs[:active, step], cell.from_input)
            i, j, f, o = gates.chunk(4, -1)
            memory = c[:active]
            memory *= f.sigmoid_()
            memory.addcmul_(i.sigmoid_(), j.tanh_()).clamp_(-cell_clip, cell_clip)
            hidden = o.sigmoid_().mul_(memory.tanh())
            h[:active] = functional.linear(hidden, cell.projection).clamp_(
                -proj_clip, proj_clip
            )
            outputs[:active, step] = h[:active]
        return outputs, (h, c)


def measure_torch(
    directory: Path, sentences: list[list[str]], batch_size: int, threads: int = 2
) -> dict[str, Any]:
    """Time the embedding of all sentences, after one batch to warm up."""
    model = TorchBilm(directory, threads)
    model.embed(sentences[:batch_size], batch_size)
    model.seconds.clear()
    start = time.perf_counter()
    model.embed(sentences, batch_size)
    elapsed = time.perf_counter() - start
    return {
        "words_per_second": sum(map(len, sentences)) / elapsed,
        "batch_size": batch_size,
        "seconds_by_part": dict(model.seconds),
    }


# --- simple_elmo ---


def simple_elmo_words_per_second(
    directory: Path,
    sentences: list[list[str]],
    batch_size: int,
    environment: Path,
    threads: int = 2,
) -> float:
    """Time simple_elmo's top layer in its own virtual environment."""
    batches = batches_of_like_length(sentences, batch_size)
    ordered = [sentences[index] for batch in batches for index in batch]
    figures = ask_simple_elmo(
        environment, directory, ordered, batch_size, threads=threads
    )
    return sum(map(len, sentences)) / figures["seconds"]


def simple_elmo_vectors(
    directory: Path, sentences: list[list[str]], environment: Path
) -> np.ndarray:
    """Return all layers of one batch, (B, L+1, T, 2 * projection_dim), state fresh."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vectors.npy"
        ask_simple_elmo(
            environment, directory, sentences, len(sentences), vectors=str(path)
        )
        return np.load(path)


def ask_simple_elmo(
    environment: Path,
    directory: Path,
    sentences: list[list[str]],
    batch_size: int,
    *,
    threads: int = 2,
    vectors: str | None = None,
) -> dict[str, float]:
    """Run the worker: time the sentences or, if asked, write their vectors."""
    request = {
        "directory": str(directory),
        "sentences": sentences,
        "batch_size": batch_size,
        "threads": threads,
        "vectors": vectors,
    }
    run = subprocess.run(
        [environment / "bin/python", WORKER],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    return json.loads(run.stdout.splitlines()[-1])


# --- Checks ---


def check(environment: Path | None) -> bool:
    """Print the largest differences, and whether all are within their bounds."""
    small = random_model(small=True)
    checks = {"torch, golden vectors of bilm-tf": check_fixture}
    checks["torch, batch of 24 or one by one"] = lambda: check_rows(small)
    if environment:
        checks |= {
            f"torch, simple_elmo on {name}": lambda directory=directory: (
                check_simple_elmo(directory, environment)
            )
            for name, directory in {"the fixture": FIXTURE, "random": small}.items()
        }
    passed = True
    for name, run in checks.items():
        difference, within = run()
        passed &= within
        print(f"{name}: {difference:.2e} {'ok' if within else 'TOO LARGE'}")
    return passed


def compare(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, bool]:
    """Return the largest difference, and whether none is above 1e-6 + 1e-5 * theirs."""
    within = np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    return float(np.abs(ours - theirs).max()), bool(within)


def merge(results: list[tuple[float, bool]]) -> tuple[float, bool]:
    """Combine comparisons."""
    return max(result[0] for result in results), all(result[1] for result in results)


def check_fixture() -> tuple[float, bool]:
    """Compare with the golden vectors, the state carried over ten batches."""
    model = TorchBilm(FIXTURE)
    rows = json.loads((FIXTURE / "lm_embeddings_sentences.json").read_text())
    results = []
    state: State = {}
    for index in range(len(rows[0])):
        batch = [row[index].split() for row in rows]
        top = model(batch, state)[:, -1].numpy()
        for row, sentence in enumerate(batch):
            with h5py.File(FIXTURE / f"lm_embeddings_{row}.hdf5", "r") as file:
                golden = np.concatenate(list(file[str(index)][()]), -1)
            results.append(compare(top[row, : len(sentence)], golden))
    return merge(results)


def check_rows(directory: Path) -> tuple[float, bool]:
    """Compare a batch with its sentences one by one."""
    model = TorchBilm(directory)
    sentences = [*read_tokenised_sentences(22), [], ["<S>", "naïve" * 12]]
    whole = model(sentences).numpy()
    top = model.embed(sentences, 5)
    results = []
    for row, words, last in zip(whole, sentences, top, strict=True):
        alone = model([words])[0].numpy()
        results.append((0.0, not row[:, len(words) :].any()))
        if words:
            results.append(compare(row[:, : len(words)], alone))
            results.append(compare(last, alone[-1]))
    return merge(results)


def check_simple_elmo(directory: Path, environment: Path) -> tuple[float, bool]:
    """Compare all layers of a first batch, which finds the state at zero."""
    sentences = read_tokenised_sentences(12)
    theirs = simple_elmo_vectors(directory, sentences, environment)
    ours = TorchBilm(directory)(sentences).numpy()
    # At padding, simple_elmo has the CNN of an empty row in the lowest layer.
    return merge(
        [
            compare(a[:, : len(words)], b[:, : len(words)])
            for a, b, words in zip(ours, theirs, sentences, strict=True)
        ]
    )


if __name__ == "__main__":
    main()
