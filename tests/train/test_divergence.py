# SPDX-License-Identifier: Apache-2.0
"""Training that diverges: what is kept is sound, and what is said helps."""

import pytest

from tests.train.spikes import (
    NUM_STEPS,
    leap_in_finetuning,
    leap_in_pretraining,
    make_finetuning,
    write_config,
)
from train import finetune

FEW = 3


@pytest.mark.parametrize(
    ("kind", "measured", "step"), [("elmo", 1, 3), ("bert", 0, 2), ("elmo", 0, 1)]
)
def test_a_rate_that_leaps_ruins_nothing_that_is_kept(
    folder, tmp_path, kind, measured, step
):
    faults = leap_in_pretraining(
        write_config(folder, kind, FEW),
        tmp_path / "run",
        step,
        f"--eval-every={measured}",
        num_steps=FEW,
    )
    assert faults == []


@pytest.mark.parametrize("step", [9, NUM_STEPS])
def test_a_rate_that_leaps_in_fine_tuning_leaves_no_model(tmp_path, step):
    given = make_finetuning(tmp_path, "elmo", "polarity")
    assert leap_in_finetuning(finetune.main, given, tmp_path / "out", step) == []
