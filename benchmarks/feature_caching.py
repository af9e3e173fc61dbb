# SPDX-License-Identifier: Apache-2.0
"""Caching all layers of all words against transformers called as flair calls it.

    python -m benchmarks.feature_caching --data ../shared/data/ner_wnut17 --model MODEL

From the words of the training sentences to the first piece's vector of every layer, in
16 bits. Ours writes the file that the tasks read; transformers reads 32 sentences a
batch in the file's order, asks for all hidden states and keeps the result in memory.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from benchmarks.rounds import compare
from train.tasks.data.conll import read_conll

CONTENDERS = ("ours", "transformers")
WARM_UP = 256


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the speed of caching features on this machine's CPU."""

    data: str
    """Folder with train.conll."""
    model: str
    """A BERT in the Hugging Face form."""
    sentences: int = 3000
    """Of the data, after those that warm up."""
    rounds: int = 3
    """How often each contender runs."""
    only: Literal["ours", "transformers"] | None = None
    """Run one contender in this process."""


def main() -> None:
    """Run the rounds and print the table, or run one contender."""
    command = tyro.cli(Command, description=__doc__)
    if command.only is None:
        packages = ("jax", "torch", "transformers")
        compare("benchmarks.feature_caching", CONTENDERS, command, packages)
        return
    read = read_conll(Path(command.data, "train.conll"))
    texts = [list(sentence.words) for sentence in read][: WARM_UP + command.sentences]
    measured = texts[WARM_UP:]
    measure = _measure_ours if command.only == "ours" else _measure_transformers
    seconds = measure(command.model, texts, measured)
    words = sum(map(len, measured))
    print(json.dumps({"tokens_per_second": words / seconds}))


def _measure_ours(
    model: str, warm_up: list[list[str]], measured: list[list[str]]
) -> float:
    """Time the second of two calls: shapes are compiled, as they are on disk later."""
    from train.tasks.features import cached_features

    with tempfile.TemporaryDirectory() as folder:
        cached_features(model, warm_up, Path(folder), name="warm")
        start = time.perf_counter()
        cached_features(model, measured, Path(folder), name="measured")
        return time.perf_counter() - start


def _measure_transformers(
    model: str, warm_up: list[list[str]], measured: list[list[str]]
) -> float:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder = AutoModel.from_pretrained(model).eval()

    @torch.inference_mode()
    def embed(sentences: list[list[str]]) -> list[np.ndarray]:
        found = []
        for start in range(0, len(sentences), 32):
            chosen = sentences[start : start + 32]
            batch = tokenizer(
                chosen,
                is_split_into_words=True,
                padding=True,
                truncation=True,
                return_tensors="pt",
            )
            states = encoder(**batch, output_hidden_states=True).hidden_states
            layers = torch.stack(states, dim=2).half().numpy()
            for row, words in enumerate(chosen):
                word_ids = np.array(
                    [-1 if word is None else word for word in batch.word_ids(row)]
                )
                seen, first = np.unique(word_ids, return_index=True)
                vectors = np.zeros((len(words), *layers.shape[2:]), np.float16)
                vectors[seen[seen >= 0]] = layers[row, first[seen >= 0]]
                found.append(vectors)
        return found

    embed(warm_up[:WARM_UP])
    start = time.perf_counter()
    embed(measured)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
