# SPDX-License-Identifier: Apache-2.0
"""Command-line options for evaluation on held-out text."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from embed_jax.checks import check_at_least, check_fields
from embed_jax.files.run_directory import is_run, read_experiment
from train.former_names import with_current_names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Options of an evaluation; each family uses those that apply to it."""

    part: str = "held_out"
    """Part of the text: held_out or train."""
    step: int | None = None
    """For a run, the step of the checkpoint; by default the latest."""
    batch_size: int = 64
    """Rows of a batch. An ELMo that carries its state has results that depend on it."""
    batches: int | None = None
    """Maximal number of batches; by default all of them."""
    reset_state: bool = True
    """ELMo: whether sentences start from the zero state, as in embedding, or from the
    final state of the previous one. For a run, as trained."""
    length: int = 128
    """BERT: tokens of a row. For a run, as trained."""
    pairs: Literal["nsp", "sop", "none"] = "none"
    """BERT: the kind of pairs to evaluate. For a run, as trained."""
    packed: bool = False
    """BERT: whether rows hold several texts. For a run, as trained."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 0, "step")
        check_at_least(self, 1, "batch_size", "batches")
        check_at_least(self, 8, "length")


def shown(batches: range) -> Iterator[int]:
    """Yield the numbers of batches, with a progress bar on standard error."""
    return iter(tqdm(batches, desc="evaluating", unit=" batches"))


def settings_of(model: Path, former_names: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of a run's experiment.json; empty for other models.

    Args:
      model: a run, or a model in its published form.
      former_names: of the experiment's class, see `Pretraining`.

    Raises:
      ValueError: the file is damaged.
    """
    if not is_run(model):
        return {}
    return with_current_names(read_experiment(model), former_names)
