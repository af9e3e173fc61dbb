# SPDX-License-Identifier: Apache-2.0
"""The interface of a family of models to training; all other code is generic."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float

from embed_jax.layers.layer_spec import LayerSpec
from train.config import Pretraining
from train.data.config import DataConfig
from train.families.evaluation import Evaluation
from train.families.poolings import WORD_POOLINGS, Pooling
from train.objectives.objective import Batch, Objective, Params
from train.tasks.finetune.classifier import Classifier
from train.tasks.finetune.finetuning import Finetuning

ExperimentT = TypeVar("ExperimentT", bound=Pretraining, contravariant=True)


class Setup(NamedTuple):
    """The objects that a configuration describes.

    Attributes:
      objectives: the objective of each phase.
      params: the initial weights.
      tokenizer: of the model.
      served: `params` with what serving reads besides and training leaves alone; None
        where there is no such thing.
      lacking: what the text lacks of what the objective learns from, and the remedy;
        None if it serves. With it no run is begun.
    """

    objectives: tuple[Objective, ...]
    params: Params
    tokenizer: Any
    served: Params | None = None
    lacking: str | None = None


class StepShapes(NamedTuple):
    """The shapes of a training step, without data or weights.

    Attributes:
      objective: without batches.
      init: initialises the weights from a key; only traced.
      batch: the global batch, of `jax.ShapeDtypeStruct`s without shardings.
      row_length: positions of a row.
    """

    objective: Objective
    init: Callable[[jax.Array], Params]
    batch: Batch
    row_length: int


class Embedding(NamedTuple):
    """The function that embeds a batch, and the shapes of its inputs.

    Attributes:
      function: maps weights and tokens to vectors.
      init: initialises the weights that it needs from a key; only traced.
      tokens: `jax.ShapeDtypeStruct`s with their shardings.
      num_blocks: L of the model.
    """

    function: Callable[[Params, Any], Float[Array, "B T D"]]
    init: Callable[[jax.Array], Params]
    tokens: Any
    num_blocks: int


@runtime_checkable
class Family(Protocol[ExperimentT]):
    """The interface of a family of models to training.

    Families derive from this class. They must implement the first four methods; the
    others are optional and raise an error by default.

    Attributes:
      name: the `kind` of its experiments, and the name of the encoder that serves them.
      data: the kind of text that its experiments read.
      poolings: the poolings of a sentence's vectors, by name, as options of its
        encoder's `stream_sentences`.
    """

    name: str
    data: type[DataConfig]
    poolings: Mapping[str, Pooling] = WORD_POOLINGS

    def set_up(
        self, experiment: ExperimentT, dtype: jnp.dtype, mesh: Mesh | None
    ) -> Setup:
        """Open the prepared text, and initialise or load the weights.

        Args:
          experiment: with prepared text.
          dtype: of products.
          mesh: the devices of all hosts; None for one device.

        Raises:
          ValueError: the text is damaged, or the weights to load do not fit.
        """
        ...

    def write_model(self, directory: Path, params: Params, tokenizer: Any) -> None:
        """Write the configuration and the tokeniser of a model, in published form.

        Args:
          directory: empty; `load_run` reads it together with the weights.
          params: of the model; the weights are not written.
          tokenizer: of the model.
        """
        ...

    def load_run(
        self, run: Path, *, encoder_only: bool, step: int | None = None
    ) -> tuple[Params, Any]:
        """Load weights and tokeniser from the directory of a run.

        Args:
          run: the directory.
          encoder_only: leaves out the heads for pretraining.
          step: of the checkpoint; by default the latest.

        Raises:
          ValueError: there is no such checkpoint, or a file is damaged.
        """
        ...

    def save(
        self, model: Path, params: Params, tokenizer: Any, *, overwrite: bool
    ) -> None:
        """Write a model in its published format.

        Args:
          model: the directory to make, atomically.
          params: what `load_run` gave.
          tokenizer: what `load_run` gave.
          overwrite: whether an existing model may be replaced.

        Raises:
          FileExistsError: `model` exists, and is not to be replaced.
        """
        ...

    def lacking(self, experiment: ExperimentT) -> str | None:
        """Return what prepared text lacks, see `Setup`, without a look at all of it.

        Args:
          experiment: with prepared text.

        Raises:
          ValueError: the text is damaged.
        """
        del experiment
        return None

    def evaluate(
        self, model: Path, data: Path, asked: Evaluation
    ) -> Mapping[str, float]:
        """Evaluate a model on prepared text; return metrics by name.

        Args:
          model: a run, or what the family's encoder loads.
          data: the directory of the prepared text.
          asked: options of the evaluation.

        Raises:
          ValueError: model and text do not match.
        """
        raise self.lacks("no held-out metrics")

    def step_shapes(
        self, experiment: ExperimentT, dtype: jnp.dtype, mesh: Mesh
    ) -> StepShapes:
        """Return the shapes of a training step, for `train.plan`.

        Args:
          experiment: of one phase.
          dtype: of products.
          mesh: devices, which need not exist.
        """
        raise self.lacks("no plan")

    def embedding(
        self,
        experiment: ExperimentT,
        spec: LayerSpec,
        dtype: jnp.dtype,
        rows: NamedSharding,
        whole: NamedSharding,
    ) -> Embedding:
        """Return the function that embeds a batch of rows, for `train.plan`.

        Args:
          experiment: of one phase; its rows have its length.
          spec: the layers.
          dtype: of products.
          rows: the sharding of arrays that are divided by rows.
          whole: the sharding of replicated arrays.
        """
        raise self.lacks("no plan")

    def classifier(
        self, config: Finetuning, model: str, labels: Sequence[str]
    ) -> Classifier:
        """Load an encoder and add a newly initialised classifier.

        Args:
          config: of the fine-tuning.
          model: a directory of a model or of a run, or a hub id.
          labels: of the classifier.

        Raises:
          ValueError: no such model, or options that are invalid for it.
        """
        raise self.lacks("no classifier to be fine-tuned")

    def lacks(self, what: str) -> ValueError:
        """Return the error for a method that a family does not implement."""
        return ValueError(f"the family {self.name} has {what}")
