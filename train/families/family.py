# SPDX-License-Identifier: Apache-2.0
"""What training asks of a family of models; no other file asks which model it has."""

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
    """What a configuration means.

    Attributes:
      objectives: what the loop trains and measures, of each phase.
      params: the first weights.
      tokenizer: that belongs to them.
    """

    objectives: tuple[Objective, ...]
    params: Params
    tokenizer: Any


class StepShapes(NamedTuple):
    """A training step as shapes alone: no data, no weights.

    Attributes:
      objective: without batches.
      init: draws the weights from a key; only traced.
      batch: of all devices, its arrays `jax.ShapeDtypeStruct`s without places.
      row_length: positions of a row.
    """

    objective: Objective
    init: Callable[[jax.Array], Params]
    batch: Batch
    row_length: int


class Embedding(NamedTuple):
    """The function that embeds a batch, and the shapes of what it is given.

    Attributes:
      function: from weights and tokens to vectors.
      init: draws the weights that it needs from a key; only traced.
      tokens: `jax.ShapeDtypeStruct`s with their places on the mesh.
      num_blocks: L of the model.
    """

    function: Callable[[Params, Any], Float[Array, "B T D"]]
    init: Callable[[jax.Array], Params]
    tokens: Any
    num_blocks: int


@runtime_checkable
class Family(Protocol[ExperimentT]):
    """A kind of model, as training sees it.

    A family derives from this class. It answers the first four questions; whoever asks
    another one of a family that has no answer is told so.

    Attributes:
      name: the `kind` of its experiments, and the name of the encoder that serves them.
      data: the kind of text that its experiments read.
      poolings: by name, the ways in which the vectors of a sentence become one, as
        options of its encoder's `stream_sentences`.
    """

    name: str
    data: type[DataConfig]
    poolings: Mapping[str, Pooling] = WORD_POOLINGS

    def set_up(
        self, experiment: ExperimentT, dtype: jnp.dtype, mesh: Mesh | None
    ) -> Setup:
        """Open the prepared text, and draw the first weights or continue others.

        Args:
          experiment: whose text is prepared.
          dtype: of products.
          mesh: the devices of all hosts; None where one is enough.

        Raises:
          ValueError: the text is damaged, or the weights to go on from do not fit.
        """
        ...

    def write_model(self, directory: Path, params: Params, tokenizer: Any) -> None:
        """Write the configuration and the tokeniser of a model, in published form.

        Args:
          directory: empty; what `load_run` reads beside the weights.
          params: of the model; its weights are not written.
          tokenizer: that belongs to them.
        """
        ...

    def load_run(
        self, run: Path, *, encoder_only: bool, step: int | None = None
    ) -> tuple[Params, Any]:
        """Load weights and tokeniser from the directory of a run.

        Args:
          run: the directory.
          encoder_only: leaves out what is only there to be trained through.
          step: whose checkpoint; by default the latest.

        Raises:
          ValueError: there is no such checkpoint, or a file is damaged.
        """
        ...

    def save(
        self, model: Path, params: Params, tokenizer: Any, *, overwrite: bool
    ) -> None:
        """Write a model in the form that the field reads.

        Args:
          model: the directory to make, whole or not at all.
          params: what `load_run` gave.
          tokenizer: what `load_run` gave.
          overwrite: whether a model that is there may be replaced.

        Raises:
          FileExistsError: `model` is there, and not to be replaced.
        """
        ...

    def evaluate(
        self, model: Path, data: Path, asked: Evaluation
    ) -> Mapping[str, float]:
        """Measure a model on prepared text.

        Args:
          model: a run, or what the family's encoder loads.
          data: the directory of the prepared text.
          asked: how.

        Raises:
          ValueError: model and text do not belong together.
        """
        raise self.lacks("no held-out metrics")

    def step_shapes(
        self, experiment: ExperimentT, dtype: jnp.dtype, mesh: Mesh
    ) -> StepShapes:
        """Make a training step out of shapes, for a plan.

        Args:
          experiment: of one phase.
          dtype: of products.
          mesh: devices that need not be there.
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
        """Make the function that embeds a batch of an experiment's rows, for a plan.

        Args:
          experiment: of one phase.
          spec: which layers.
          dtype: of products.
          rows: the place of what is divided by rows.
          whole: the place of what every device has.
        """
        raise self.lacks("no plan")

    def classifier(
        self, config: Finetuning, model: str, labels: Sequence[str]
    ) -> Classifier:
        """Load an encoder and put a fresh classifier on it.

        Args:
          config: of the fine-tuning.
          model: a directory of a model or of a run, or a hub id.
          labels: that are learnt.

        Raises:
          ValueError: no such model, or options that it cannot have.
        """
        raise self.lacks("no classifier to be fine-tuned")

    def lacks(self, what: str) -> ValueError:
        """Return the error of a question that a family has no answer to."""
        return ValueError(f"the family {self.name} has {what}")
