"""Features whose layers tell the tags: the last one well, the first one not at all."""

from pathlib import Path

import numpy as np

from embed_jax.store import StoreWriter
from train.tasks.features import Features
from train.tasks.ner.tagging import TaggedFeatures, Tagging

DIM = 8
SMALL = Tagging(
    cell_dim=8,
    num_seeds=2,
    learning_rate=2e-2,
    dropout_rate=0.0,
    batch_words=64,
    num_epochs=6,
    patience=6,
)
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]


def make_splits(folder: Path) -> dict[str, TaggedFeatures]:
    """Sentences whose tags layer 2 tells, layer 1 in part, and layer 0 not at all."""
    random = np.random.default_rng(0)
    codes = random.normal(size=(4, DIM))
    found = {}
    for name, count in (("train", 120), ("dev", 30), ("test", 40)):
        path = folder / f"{name}.h5"
        tags = []
        with StoreWriter(path, dim=3 * DIM, metadata={"num_layers": 3}) as writer:
            for _ in range(count):
                of_sentence = _sentence(random)
                told = codes[[TAGS.index(tag) for tag in of_sentence]]
                noise = random.normal(size=(3, len(told), DIM))
                layers = [noise[0], told + 1.5 * noise[1], told + 0.1 * noise[2]]
                writer.append(np.concatenate(layers, axis=1), ["w"] * len(told))
                tags.append(of_sentence)
        found[name] = TaggedFeatures(Features(path, [False] * count), tags)
    return found


def _sentence(random: np.random.Generator) -> list[str]:
    tags: list[str] = []
    while len(tags) < random.integers(2, 12):
        tags += [["O"], ["B-PER", "I-PER"], ["B-LOC"], ["O", "O"]][random.integers(4)]
    return tags
