# SPDX-License-Identifier: Apache-2.0
"""A third family: bags of hashed words, as somebody else's package would bring them.

A word's vector is the row of a table that its hash says; the mean of a word's
neighbours predicts the row of the word itself. Its text is prepared as a biLM's is.
"""

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from embed_jax.files.directory import written_whole
from embed_jax.files.run_directory import MODEL, read_weights
from train.config import Pretraining
from train.families.elmo.data import WordData
from train.families.elmo.words import WordStore
from train.families.family import Family, Setup
from train.loop.optimizer import BertAdam, Optimizer
from train.objectives.objective import Mean

AROUND = 2  # neighbours on each side


class Bag:
    """The model: how a word is hashed, and what a bag of words predicts."""

    @staticmethod
    def init(key: jax.Array, num_rows: int, dim: int) -> dict[str, Any]:
        table, out = jax.random.normal(key, (2, num_rows, dim)) / dim
        return {"encoder": {"table": table}, "heads": {"out": out}}

    @staticmethod
    def hashed(word: str, num_rows: int) -> int:
        return zlib.crc32(word.encode()) % num_rows

    @staticmethod
    def losses(params: dict[str, Any], rows: "BagRows") -> jax.Array:
        bags = params["encoder"]["table"][rows.neighbours].mean(axis=1)
        logits = bags @ params["heads"]["out"].T
        return optax.softmax_cross_entropy_with_integer_labels(logits, rows.words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagPretraining(Pretraining):
    """Its experiment."""

    kind: ClassVar[str] = "bag"

    data: WordData
    num_rows: int = 16
    dim: int = 8
    optimizer: Optimizer = dataclasses.field(default_factory=BertAdam)


class BagRows(NamedTuple):
    neighbours: Any
    words: Any


class BagBatch(NamedTuple):
    rows: BagRows


class BagBatches:
    """Batches by number: windows of the text, drawn by the seed and the number."""

    def __init__(self, store: WordStore, experiment: BagPretraining) -> None:
        hashes = [Bag.hashed(word, experiment.num_rows) for word in store.types]
        self._words = np.array(hashes, np.int32)[store.tokens]
        self._size, self._seed = experiment.batch_size, experiment.seed

    def __getitem__(self, number: int) -> BagBatch:
        width = 2 * AROUND + 1
        rng = np.random.default_rng((self._seed, number))
        starts = rng.integers(len(self._words) - width, size=self._size)
        windows = self._words[starts[:, None] + np.arange(width)]
        return BagBatch(BagRows(np.delete(windows, AROUND, 1), windows[:, AROUND]))


@dataclasses.dataclass(frozen=True)
class BagObjective:
    """Its objective: the cross entropy of a word's row."""

    batches: BagBatches
    held_out: BagBatches
    batch_size: int
    tokens_per_batch: float = 1.0
    flops_per_batch: float = 1.0
    encoder_flops_per_batch: float = 1.0
    epoch_steps: int = 5

    def init_carry(self) -> tuple[()]:
        return ()

    def weights_of(self, batch: BagBatch) -> dict[str, Any]:
        return {"words": jnp.float32(self.batch_size)}

    def rows_read(self, batch: BagBatch) -> tuple[BagBatch, dict[str, Any]]:
        return batch, {}

    def loss(self, params: Any, carry: Any, batch: BagBatch, weights: Any, key: Any):
        losses = Bag.losses(params, batch.rows)
        mean = Mean(losses.sum(), jnp.float32(losses.size))
        return mean.total / weights["words"], (carry, {"loss": mean})

    def measure(self, params: Any) -> dict[str, float]:
        return {"loss": float(Bag.losses(params, self.held_out[0].rows).mean())}


class Bags(Family[BagPretraining]):
    """Its answers to what training asks."""

    name = "bag"
    data = WordData

    def set_up(self, experiment: BagPretraining, dtype: Any, mesh: Any) -> Setup:
        batches, held_out = (
            BagBatches(WordStore.open(experiment.data.directory / part), experiment)
            for part in ("train", "held_out")
        )
        objective = BagObjective(batches, held_out, experiment.batch_size)
        key = jax.random.key(experiment.seed)
        params = Bag.init(key, experiment.num_rows, experiment.dim)
        return Setup((objective,), params, {"num_rows": experiment.num_rows})

    def write_model(self, directory: Path, params: Any, tokenizer: Any) -> None:
        (directory / "bag.json").write_text(json.dumps(tokenizer))

    def load_run(self, run: Path, *, encoder_only: bool, step: int | None = None):
        tokenizer = json.loads((run / MODEL / "bag.json").read_text())
        params, _ = read_weights(run, step)
        return params, tokenizer

    def save(self, model: Path, params: Any, tokenizer: Any, *, overwrite: bool):
        with written_whole(model, marker="bag.json", overwrite=overwrite) as fresh:
            np.save(fresh / "table.npy", params["encoder"]["table"])
            self.write_model(fresh, params, tokenizer)


FAMILY = Bags()
