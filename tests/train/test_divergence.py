# SPDX-License-Identifier: Apache-2.0
"""Training that diverges: what is kept is sound, and what is said helps."""

import jax
import jax.numpy as jnp
import pytest

import bert_jax
import elmo_jax
from tests.train import quick_models
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


@pytest.mark.parametrize(
    ("package", "make"),
    [(bert_jax, quick_models.save_bert), (elmo_jax, quick_models.save_elmo)],
)
def test_a_model_that_is_not_finite_is_not_saved(tmp_path, package, make):
    params, tokenizer = package.load(make(tmp_path / "model"))
    ruined = jax.tree.map(lambda leaf: leaf.at[..., 0].set(jnp.inf), params)
    with pytest.raises(ValueError, match=r"the model is not saved: .* not finite"):
        package.save(tmp_path / "ruined", ruined, tokenizer)
    assert not (tmp_path / "ruined").exists()
