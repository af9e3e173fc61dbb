# SPDX-License-Identifier: Apache-2.0
"""A quickstart: trains two tiny models on this machine and shows their vectors.

    python -m train.quickstart

The embedded corpus of docstrings becomes a vocabulary and a token store; a tiny ELMo
and a tiny BERT are pretrained on it and exported; a few sentences whose words have
several senses are embedded at every layer. For each the nearest other contexts of the
word are printed, and all contexts are drawn in two dimensions. Finished steps are not
repeated.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embed_jax.checks import check_at_least, check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.commands.stopping import noting
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.encoder import find_encoder
from embed_jax.exit_status import exit_status
from embed_jax.files.claim import claim_directory
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import check_output
from train.called import called
from train.config import Pretraining, experiment_named
from train.export import export
from train.loop.log import duration
from train.prepare import prepare
from train.pretrain import pretrain
from train.tasks.senses import CONTEXTS, draw_contexts

MODELS = "elmo_tiny", "bert_tiny"
"""The experiments of `configs/` to pretrain."""

PICTURE = "contexts.png"

SENTENCES = {
    "string": (
        "Return the string that the file contains.",
        "The string is decoded as text.",
        "Convert an integer to a string of digits.",
        "A format string describes how the values are written.",
    ),
    "return": (
        "Return the value of the first argument.",
        "Return a list of all names in the module.",
        "The functions return an array of floats.",
        "This method will not return until the thread terminates.",
    ),
    "key": (
        "Return the value for the key in the dictionary.",
        "The key is used to sort the elements.",
        "Split the random key into new keys.",
        "The private key of the certificate is read from a file.",
    ),
}
"""For each word, sentences that use it in different senses."""


@dataclasses.dataclass(frozen=True)
class Command:
    """Pretrain a tiny ELMo and a tiny BERT on docstrings, and show their vectors."""

    directory: Path = Path("quickstart")
    """Directory to write data, runs, models and the picture to."""
    steps: int | None = None
    """Steps of each run, instead of those of the configurations."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "steps")


def quickstart(command: Command, say: Callable[[str], None]) -> None:
    """Run all steps whose outputs do not exist yet."""
    command = with_local_paths(command)
    with claim_directory(command.directory):
        _quickstart(command, say)


def _quickstart(command: Command, say: Callable[[str], None]) -> None:
    check_output(command.directory / PICTURE, replace=True, kind=CONTEXTS)
    began = time.monotonic()
    drawn: dict[str, list[Float[np.ndarray, "N D"]]] = {}
    for name in MODELS:
        experiment = _experiment(command, experiment_named(name))
        say(f"== {name}: preparing {experiment.data.directory}")
        prepare(experiment.data, say)
        run, model = command.directory / "runs" / name, command.directory / name
        if not model.exists():
            say(f"== {name}: pretraining, {experiment.num_steps} steps")
            with noting() as stop:
                pretrain(experiment, run, stop=stop)
                if stop():
                    raise KeyboardInterrupt
            export(run, model)
        drawn[name] = _look(name, model, say)
        say(f"== {name}: {model} after {duration(time.monotonic() - began)}")
    labels = [word for word, sentences in SENTENCES.items() for _ in sentences]
    picture = command.directory / PICTURE
    draw_contexts(picture, drawn, labels)
    say(f"the contexts in two dimensions: {picture}")


def _experiment(command: Command, experiment: Pretraining) -> Pretraining:
    data = dataclasses.replace(
        experiment.data,
        directory=command.directory / experiment.data.directory.name,
        source_directory=command.directory / "docstrings",
    )
    experiment = dataclasses.replace(experiment, data=data)
    if command.steps is None:
        return experiment
    warmup = min(getattr(experiment.optimizer, "warmup_steps", 0), command.steps // 10)
    optimizer = dataclasses.replace(experiment.optimizer, warmup_steps=warmup)
    return dataclasses.replace(experiment, num_steps=command.steps, optimizer=optimizer)


def _look(
    name: str, model: Path, say: Callable[[str], None]
) -> list[Float[np.ndarray, "N D"]]:
    """Print each context's nearest other one at every layer; return the vectors."""
    encoder = find_encoder(str(model))
    params, tokenizer = encoder.load(str(model))
    sentences = [s for group in SENTENCES.values() for s in group]
    words = [word for word, group in SENTENCES.items() for _ in group]
    split = [re.findall(r"\w+|[^\w\s]", sentence) for sentence in sentences]
    places = [
        [w.lower() for w in ws].index(word)
        for ws, word in zip(split, words, strict=True)
    ]
    layers = []
    for layer in range(params.config.num_blocks + 1):
        embedded = encoder.stream_words(params, tokenizer, split, str(layer))
        vectors = [
            sentence.vectors[place]
            for sentence, place in zip(embedded, places, strict=True)
        ]
        layers.append(np.stack(vectors))
    for word in SENTENCES:
        of_word = [i for i, w in enumerate(words) if w == word]
        say(f'{name}: contexts of "{word}", and the nearest other one at each layer')
        for index in of_word:
            nearest = [_nearest(vectors, index, of_word) for vectors in layers[1:]]
            say(f"  {sentences[index]}")
            for layer, (other, similarity) in enumerate(nearest, start=1):
                say(f"    layer {layer}: {similarity:.2f}  {sentences[other]}")
    return layers


def _nearest(
    vectors: Float[np.ndarray, "N D"], index: int, candidates: list[int]
) -> tuple[int, float]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = unit @ unit[index]
    best = max((i for i in candidates if i != index), key=lambda i: similarities[i])
    return best, float(similarities[best])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def action() -> None:
        prog = called("quickstart")
        command = parse_command(Command, arguments, prog=prog, description=__doc__)
        keep_compilations()
        quickstart(command, say)

    return exit_status(
        "train.quickstart", action, "the same command goes on where it was"
    )


if __name__ == "__main__":
    sys.exit(main())
