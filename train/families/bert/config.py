# SPDX-License-Identifier: Apache-2.0
"""The configuration of BERT pretraining."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from bert_jax.config import BertConfig
from embed_jax.checks import check_above, check_at_least, check_fields
from train.config import Phase, Pretraining
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.data import PieceData
from train.loop.optimizer import Adagrad, BertAdam, Optimizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongPhase:
    """A last phase of a run with longer rows.

    It learns the positions that short rows lack; training with short rows first is
    cheaper (Devlin et al. 2019, appendix A.2).

    Attributes:
      num_steps: number of steps of the phase, the last ones of the run.
      length: tokens of a row.
      batch_size: rows of a batch, over all devices.
      grad_accum_steps: parts of a batch that are run one after the other.
      learning_rate: peak of the phase's own schedule of warm-up and decay; None
        continues the run's schedule.
      warmup_steps: of the phase's own schedule.
    """

    num_steps: int
    length: int = 512
    batch_size: int = 256
    grad_accum_steps: int = 1
    learning_rate: float | None = None
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "num_steps", "batch_size", "grad_accum_steps")
        check_at_least(self, 8, "length")
        check_at_least(self, 0, "warmup_steps")
        check_above(self, 0, "learning_rate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedLmPretraining(Pretraining):
    """Pretraining of a BERT encoder.

    Attributes:
      model: the model; `vocab_size` and `pad_id` are taken from the prepared text.
      data: the prepared text.
      objective: the rows and the masking.
      optimizer: the optimiser.
      long_phase: a last phase with longer rows, if any.
    """

    kind: ClassVar[str] = "bert"
    former_names: ClassVar[Mapping[str, str]] = {
        **Pretraining.former_names,
        "longer_rows": "long_phase",
    }

    model: BertConfig
    data: PieceData
    objective: MaskedLmConfig = dataclasses.field(default_factory=MaskedLmConfig)
    optimizer: Optimizer = dataclasses.field(default_factory=BertAdam)
    long_phase: LongPhase | None = None

    def phases(self) -> list[Phase]:
        """Return the phases of the run: two with a `long_phase`, otherwise one."""
        longer = self.long_phase
        if longer is None:
            return super().phases()
        short = dataclasses.replace(self, long_phase=None)
        long = dataclasses.replace(
            short,
            batch_size=longer.batch_size,
            grad_accum_steps=longer.grad_accum_steps,
            objective=dataclasses.replace(self.objective, length=longer.length),
        )
        schedule = None
        if longer.learning_rate is not None:
            assert not isinstance(self.optimizer, Adagrad), "refused below"
            schedule = dataclasses.replace(
                self.optimizer,
                learning_rate=longer.learning_rate,
                warmup_steps=longer.warmup_steps,
            )
        middle = self.num_steps - longer.num_steps
        return [
            Phase(0, middle, short),
            Phase(middle, self.num_steps, long, schedule),
        ]

    def rate_field(self, phase: Phase) -> str:
        """Return the field with the learning rate of one of the phases."""
        if phase.schedule is None:
            return super().rate_field(phase)
        return "long_phase.learning_rate"

    def place_of(self, phase: Phase) -> str:
        """Return what stands before the name of a field of one of the phases."""
        return "long_phase." if phase.first else ""

    def __post_init__(self) -> None:
        """Check that model and rows fit each other, and that no phase is empty.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        if self.model.labels:
            raise ValueError(
                f"model.labels {self.model.labels} have no head in pretraining; leave "
                "them out, and fine-tuning takes those of its examples"
            )
        if self.objective.pairs != "none" and self.model.num_segments < 2:
            raise ValueError(
                f"model.num_segments {self.model.num_segments} has no segment for the "
                f"second passage of objective.pairs {self.objective.pairs}"
            )
        lengths = {"objective.length": self.objective.length}
        if self.long_phase is not None:
            lengths["long_phase.length"] = self.long_phase.length
            if self.long_phase.num_steps >= self.num_steps:
                raise ValueError(
                    f"long_phase.num_steps {self.long_phase.num_steps} must be some "
                    f"of the run's num_steps {self.num_steps}, and not all"
                )
            if isinstance(self.optimizer, Adagrad) and self.long_phase.learning_rate:
                raise ValueError(
                    "long_phase.learning_rate is for an optimizer with a warm-up; "
                    "Adagrad has none"
                )
            if self.long_phase.warmup_steps > self.long_phase.num_steps:
                raise ValueError(
                    f"long_phase.warmup_steps {self.long_phase.warmup_steps} is above "
                    f"long_phase.num_steps {self.long_phase.num_steps}; the learning "
                    "rate would never arrive"
                )
            if self.long_phase.learning_rate is None and self.long_phase.warmup_steps:
                raise ValueError(
                    "long_phase.warmup_steps is of the phase's own schedule; give it "
                    "a long_phase.learning_rate too"
                )
        for name, length in lengths.items():
            if length > self.model.max_positions:
                raise ValueError(
                    f"{name} {length} is above model.max_positions "
                    f"{self.model.max_positions}"
                )
        if self.long_phase is not None:
            try:
                self.phases()
            except ValueError as error:
                raise ValueError(f"long_phase.{error}") from error
