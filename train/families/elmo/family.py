# SPDX-License-Identifier: Apache-2.0
"""The ELMo family: its implementation of the training interface."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

import elmo_jax
from elmo_jax.options import format_options
from elmo_jax.run import load_run
from elmo_jax.start_file import write_start
from elmo_jax.vocabulary import write_vocabulary
from embed_jax.files.json_file import json_text
from embed_jax.layers.layer_spec import LayerSpec
from train.families.elmo import evaluation, finetuned, setup, shapes
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.families.evaluation import Evaluation
from train.families.family import Embedding, Family, Setup, StepShapes
from train.objectives.objective import Params
from train.tasks.finetune.classifier import Classifier
from train.tasks.finetune.finetuning import Finetuning


class Elmo(Family[BilmPretraining]):
    """Trains biLMs on words."""

    name = "elmo"
    data = WordData

    def set_up(
        self, experiment: BilmPretraining, dtype: jnp.dtype, mesh: Mesh | None
    ) -> Setup:
        """Open the prepared text, and initialise or load the weights."""
        return setup.set_up(experiment, dtype, mesh)

    def write_model(self, directory: Path, params: Params, tokenizer: Any) -> None:
        """Write options.json and vocab.txt, and start.hdf5 if there is a start."""
        words = tokenizer.vocabulary
        options = format_options(
            params.config, len(words), tied=params.has_tied_softmax
        )
        text = json_text(options, indent=2) + "\n"
        (directory / "options.json").write_text(text, encoding="utf-8")
        write_vocabulary(directory / "vocab.txt", words)
        write_start(directory, params)

    def load_run(
        self, run: Path, *, encoder_only: bool, step: int | None = None
    ) -> tuple[Params, Any]:
        """Load a biLM from the directory of its run, with or without the softmax."""
        return load_run(run, encoder_only=encoder_only, step=step)

    def save(
        self, model: Path, params: Params, tokenizer: Any, *, overwrite: bool
    ) -> None:
        """Write options.json, HDF5 files and vocab.txt."""
        elmo_jax.save(model, params, tokenizer, overwrite=overwrite)

    def evaluate(
        self, model: Path, data: Path, asked: Evaluation
    ) -> Mapping[str, float]:
        """Compute the perplexity of each direction."""
        return evaluation.evaluate(model, data, asked)

    def step_shapes(
        self, experiment: BilmPretraining, dtype: jnp.dtype, mesh: Mesh
    ) -> StepShapes:
        """Return the shapes of a training step."""
        return shapes.step_shapes(experiment, dtype, mesh)

    def embedding(
        self,
        experiment: BilmPretraining,
        spec: LayerSpec,
        dtype: jnp.dtype,
        rows: NamedSharding,
        whole: NamedSharding,
    ) -> Embedding:
        """Return the function that embeds a batch of windows, and its input shapes."""
        return shapes.embedding(experiment, spec, dtype, rows, whole)

    def classifier(
        self, config: Finetuning, model: str, labels: Sequence[str]
    ) -> Classifier:
        """Load a biLM and add a newly initialised classifier."""
        return finetuned.make_classifier(config, model, labels)


FAMILY = Elmo()
