# SPDX-License-Identifier: Apache-2.0
"""Training the BiLSTM tagger of train.ner against torch's BiLSTM on the same features.

    python -m benchmarks.tagger --data ../shared/data/ner_wnut17 --model MODEL

One epoch of the training sentences for each of five seeds, after one that warms up:
frozen features of one layer, two BiLSTMs, one score a tag, dropout 0.3, Adam. torch
trains one seed after the other, 32 sentences a batch, its LSTM called as flair calls it
(sorted and packed) or on padded sentences; ours trains all seeds at once. Words a
second count each word once for each seed.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from benchmarks.rounds import compare
from configs import ner_small
from train.tasks.data.conll import TaggedSentence, read_conll
from train.tasks.features import Features, cached_features

CONTENDERS = ("ours", "torch packed", "torch padded")


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure the speed of tagger training on this machine's CPU."""

    data: str
    """Folder with train.conll."""
    model: str
    """Whose features are read."""
    cell_dim: int = 32
    """Of each direction of a BiLSTM."""
    seeds: int = 5
    """Taggers that are trained."""
    cache: str = "data/features"
    """Where the features are kept."""
    rounds: int = 3
    """How often each contender runs."""
    only: Literal["ours", "torch packed", "torch padded"] | None = None
    """Run one contender in this process."""


def main() -> None:
    """Run the rounds and print the table, or run one contender."""
    command = tyro.cli(Command, description=__doc__)
    # Cached before anything is measured.
    sentences = read_conll(Path(command.data, "train.conll"))
    features = cached_features(
        command.model,
        [sentence.words for sentence in sentences],
        Path(command.cache),
        name="benchmark",
    )
    if command.only is None:
        compare("benchmarks.tagger", CONTENDERS, command, ("jax", "torch"))
        return
    measure = _measure_ours if command.only == "ours" else _measure_torch
    seconds = measure(command, features, sentences)
    words = int(features.offsets[-1]) * command.seeds
    print(json.dumps({"tokens_per_second": words / seconds}))


def _measure_ours(
    command: Command, features: Features, sentences: list[TaggedSentence]
) -> float:
    from train.tasks.ner.tagging import TaggedFeatures, TaggerTraining, tag_names

    config = dataclasses.replace(
        ner_small.config(), cell_dim=command.cell_dim, num_seeds=command.seeds
    )
    split = TaggedFeatures(features, [sentence.tags for sentence in sentences])
    training = TaggerTraining(config, "last", split, tag_names({"train": split.tags}))
    state, num_steps, seconds = training.init(), 0, 0.0
    for epoch in (1, 2):
        start = time.perf_counter()
        for batch in training.batches(epoch):
            state, _ = training.step(state, batch, num_steps)
            num_steps += 1
        seconds = time.perf_counter() - start
    return seconds


def _measure_torch(
    command: Command, features: Features, sentences: list[TaggedSentence]
) -> float:
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    table = torch.from_numpy(features.read([features.num_blocks])[:, 0])
    names = sorted({tag for sentence in sentences for tag in sentence.tags})
    index = {name: number for number, name in enumerate(names)}
    tags = torch.tensor([index[tag] for one in sentences for tag in one.tags])
    packed = command.only == "torch packed"

    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = torch.nn.Dropout(0.3)
            self.lstm = torch.nn.LSTM(
                features.layer_dim,
                command.cell_dim,
                num_layers=2,
                dropout=0.3,
                bidirectional=True,
                batch_first=True,
            )
            self.scores = torch.nn.Linear(2 * command.cell_dim, len(names))

        def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            states = self.drop(inputs)
            if packed:
                states = pack_padded_sequence(
                    states, lengths, batch_first=True, enforce_sorted=False
                )
                states, _ = pad_packed_sequence(self.lstm(states)[0], batch_first=True)
            else:
                states, _ = self.lstm(states)
            return self.scores(self.drop(states))

    def epoch(tagger: Tagger, optimizer: torch.optim.Adam, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(sentences))
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            starts = torch.from_numpy(features.offsets[chosen])
            lengths = torch.from_numpy(np.diff(features.offsets)[chosen])
            places = torch.arange(int(lengths.max()))
            mask = places < lengths[:, None]
            rows = torch.where(mask, starts[:, None] + places, 0)
            scores = tagger(table[rows], lengths)
            loss = torch.nn.functional.cross_entropy(scores[mask], tags[rows][mask])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tagger.parameters(), 5.0)
            optimizer.step()

    seconds = 0.0
    for seed in range(command.seeds):
        torch.manual_seed(seed)
        tagger = Tagger()
        optimizer = torch.optim.Adam(tagger.parameters(), lr=1e-3)
        if seed == 0:
            epoch(tagger, optimizer, seed)
        start = time.perf_counter()
        epoch(tagger, optimizer, seed)
        seconds += time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
