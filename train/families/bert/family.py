# SPDX-License-Identifier: Apache-2.0
"""The BERT family: its implementation of the training interface."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

import bert_jax
from bert_jax.huggingface import write_config
from bert_jax.run import load_run
from embed_jax.files.json_file import json_text
from embed_jax.layers.layer_spec import LayerSpec
from train.families.bert import evaluation, finetuned, setup, shapes
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.data import PieceData
from train.families.bert.poolings import BERT_POOLINGS
from train.families.evaluation import Evaluation
from train.families.family import Embedding, Family, Setup, StepShapes
from train.objectives.objective import Params
from train.tasks.finetune.classifier import Classifier
from train.tasks.finetune.finetuning import Finetuning


class Bert(Family[MaskedLmPretraining]):
    """Trains BERT encoders on word pieces."""

    name = "bert"
    data = PieceData
    poolings = BERT_POOLINGS

    def set_up(
        self, experiment: MaskedLmPretraining, dtype: jnp.dtype, mesh: Mesh | None
    ) -> Setup:
        """Open the prepared text, and initialise or load the weights."""
        return setup.set_up(experiment, dtype, mesh)

    def lacking(self, experiment: MaskedLmPretraining) -> str | None:
        """Return what is to be said of text without pairs, where they are asked for."""
        return setup.lacking(experiment)

    def write_model(self, directory: Path, params: Params, tokenizer: Any) -> None:
        """Write config.json and the tokeniser's files."""
        tokenizer.save(directory)
        text = json_text(write_config(params), indent=2) + "\n"
        (directory / "config.json").write_text(text, encoding="utf-8")

    def load_run(
        self, run: Path, *, encoder_only: bool, step: int | None = None
    ) -> tuple[Params, Any]:
        """Load an encoder from the directory of its run, with or without its heads."""
        return load_run(run, encoder_only=encoder_only, step=step)

    def save(
        self, model: Path, params: Params, tokenizer: Any, *, overwrite: bool
    ) -> None:
        """Write a Hugging Face directory."""
        bert_jax.save(model, params, tokenizer, overwrite=overwrite)

    def evaluate(
        self, model: Path, data: Path, asked: Evaluation
    ) -> Mapping[str, float]:
        """Compute losses and accuracies at masked tokens, and of pairs."""
        return evaluation.evaluate(model, data, asked)

    def step_shapes(
        self, experiment: MaskedLmPretraining, dtype: jnp.dtype, mesh: Mesh
    ) -> StepShapes:
        """Return the shapes of a training step."""
        return shapes.step_shapes(experiment, dtype, mesh)

    def embedding(
        self,
        experiment: MaskedLmPretraining,
        spec: LayerSpec,
        dtype: jnp.dtype,
        rows: NamedSharding,
        whole: NamedSharding,
    ) -> Embedding:
        """Return the function that embeds a batch of rows, and its input shapes."""
        del whole  # its tokens are nothing but rows
        return shapes.embedding(experiment, spec, dtype, rows)

    def classifier(
        self, config: Finetuning, model: str, labels: Sequence[str]
    ) -> Classifier:
        """Load a BERT and add a newly initialised classifier."""
        return finetuned.make_classifier(config, model, labels)


FAMILY = Bert()
