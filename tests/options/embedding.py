# SPDX-License-Identifier: Apache-2.0
"""What the commands that embed are tried on, and what can be seen of a run of them."""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from embed_jax.corpus.progress import Progress
from tests.bert_jax import words
from tests.elmo_jax import sentences
from tests.options.table import Observe, Option

PACKAGES: dict[str, Any] = {"bert": bert_jax, "elmo": elmo_jax}

# The tiny BERT reads 40 tokens: the last line is longer, the others have 8 each.
LINES = [
    "we sat by the river bank",
    "banking, the bank ran",
    "",
    "The money of the deep river",
    " ".join(["water", "bank"] * 20 + ["down"] * 8),
]
SPLIT_LINES = [line.split() for line in LINES]

# How a file is laid out, and that lines of text are not laid out so.
LAYOUT = {
    "--format": Option("--format conll", "refusal"),
    "--column": Option("--column 1", "refusal"),
    "--field": Option("--field text", "refusal"),
}
# What a file is read with, and where it can be seen: options of several commands.
READING = LAYOUT | {
    "--compute": Option("--compute bfloat16", "vectors"),
    "--split": Option("--split", "words"),
    "--long": Option("--long truncate", "vectors", beside="--max-length 16"),
    "--context": Option("--context 3", "vectors"),
    "--max-length": Option("--max-length 16", "vectors", beside="--long truncate"),
    "--devices": Option("--devices 2", "devices", to=2),
}
TABLES = {
    # Rows of 40 tokens, two of them a batch, then the three of 8 tokens.
    "bert": READING
    | {"--token-budget": Option("--token-budget 80", "batches", to=[2, 3])},
    # A row of 64 words: 48 and 6 and 6 of them, then 5.
    "elmo": READING
    | {
        "--token-budget": Option("--token-budget 64", "batches", to=[3, 1]),
        "--context": Option("--context 3", "refusal"),
        # What is normalised is not read in parts, so by default it is refused.
        "--long": Option(
            "--long truncate", "refusal", "--max-length 16 --layers mix_norm(0)", to=""
        ),
    },
}
# Unless told otherwise: layer 0 is quickly compiled, and shows all but the parts that
# an ELMo reads long sentences in.
QUICKLY = ["--layers", "0"]
# The arguments of the functions that do the same, for each family.
_BOTH: dict[str, dict[str, Any]] = {
    "": {},
    "--layers last": {"layer_spec": "last"},
    "--words first_last": {"pool": "first_last"},
    "--compute bfloat16": {"dtype": "bfloat16"},
    "--split": {"sentences": SPLIT_LINES},
    "--long truncate --max-length 16": {"long": "truncate", "max_length": 16},
}
_BERT_ALONE: dict[str, dict[str, Any]] = {
    "--max-length 16": {"max_length": 16},
    "--context 3": {"context": 3},
    "--context document": {"context": "document"},
}
CALLS = [
    *(
        ("bert", given, {"layer_spec": "0"} | each)
        for given, each in (_BOTH | _BERT_ALONE).items()
    ),
    *(("elmo", given, {"layer_spec": "0"} | each) for given, each in _BOTH.items()),
]


def save_model(kind: str, path: Path) -> str:
    """Save a model of one block and random weights; return its directory."""
    if kind == "bert":
        config = dataclasses.replace(words.CONFIG, num_blocks=1)
        shapes = jax.eval_shape(
            lambda: bert_jax.init_params(jax.random.key(0), config, ())
        )
        rng = np.random.default_rng(0)
        # Drawn without jax, for compiling is what tests wait for.
        params = jax.tree.map(
            lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes
        )
        bert_jax.save(path, params, words.make_tokenizer())
    else:
        config = sentences.ONE_BLOCK
        params = sentences.make_params(config, len(sentences.VOCABULARY))
        elmo_jax.save(path, params, sentences.make_tokenizer(config))
    return str(path)


class Run(NamedTuple):
    """One run of a command.

    Attributes:
      status: that it exited with.
      printed: on standard output.
      refusal: the last line of standard error, where the status is not 0.
      devices: how many devices at most an array was spread over.
      batches: how many rows each batch had that was reported as done.
    """

    status: int
    printed: str
    refusal: str
    devices: int
    batches: list[int]


def run(main: Callable[[list[str]], int], arguments: list[str], folder: Path) -> Run:
    """Run a command in a folder, on one device if its arguments do not say."""
    printed, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, _watched(patch) as (devices, batches):
        patch.chdir(folder)
        # The same programs in half the time to compile.
        jax.config.update("jax_disable_most_optimizations", True)
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(error):
                status = main(arguments)
        finally:
            jax.config.update("jax_disable_most_optimizations", False)
    refusal = error.getvalue().splitlines()[-1] if status else ""
    return Run(status, printed.getvalue(), refusal, max(devices), batches)


class Seen(dict):
    """What is seen of a run; what stands there as a function when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        seen = super().__getitem__(name)
        return seen() if callable(seen) else seen


def observer(
    look: Callable[[list[str], Path], Mapping[str, Any]], new_folder: Callable[[], Path]
) -> Observe:
    """Observe each list of arguments once, in a folder of its own."""

    @functools.cache
    def observe(arguments: tuple[str, ...]) -> Mapping[str, Any]:
        return look(list(arguments), new_folder())

    return lambda arguments: observe(tuple(arguments))


@contextlib.contextmanager
def _watched(patch: pytest.MonkeyPatch) -> Iterator[tuple[list[int], list[int]]]:
    """Note what devices arrays are put on, and the rows of each finished batch."""
    devices, batches = [1], []
    put, computed = jax.device_put, Progress.computed

    def device_put(tree, device=None, **options):
        if isinstance(device, jax.sharding.Sharding):
            devices.append(len(device.device_set))
        return put(tree, device, **options)

    def count(progress, num_rows):
        batches.append(num_rows)
        computed(progress, num_rows)

    patch.setattr(jax, "device_put", device_put)
    patch.setattr(Progress, "computed", count)
    yield devices, batches
