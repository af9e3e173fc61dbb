# SPDX-License-Identifier: Apache-2.0
"""Where jax is set to 64 bits, models are made, trained and read as elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bert_jax
import elmo_jax
from tests.train.every_function import everything

REPOSITORY = Path(__file__).parents[2]
# Of 4 steps whose gradients are rounded otherwise; weights are of the size of 1.
TOLERANCE = 1e-4
NO_NUMBERS = {"load", "save", "read_vocabulary", "write_vocabulary"}

# Of a run: under 64 bits flax draws the coins of dropout of 64 bits, and so others.
OF_TRAINING = {"trained", "figures", "embedded"}


@pytest.mark.slow
def test_every_function_gives_the_same_numbers_under_64_bits(folder, tmp_path):
    (tmp_path / "narrow").mkdir()
    narrow = everything(folder, tmp_path / "narrow")
    command = [sys.executable, "-m", "tests.train.every_function", str(folder)]
    (tmp_path / "wide").mkdir()
    ran = subprocess.run(
        [*command, str(tmp_path / "wide/out.npz")],
        cwd=REPOSITORY,
        env=os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    with np.load(tmp_path / "wide/out.npz") as file:
        wide = dict(file)
    assert wide.keys() == narrow.keys()
    for name, expected in narrow.items():
        assert np.isfinite(expected).all(), name
        if name.split()[1] in OF_TRAINING:
            assert np.isfinite(wide[name]).all(), name
            assert wide[name].shape == expected.shape, name
            continue
        np.testing.assert_allclose(
            wide[name], expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )
    for kind, family in (("bert", bert_jax), ("elmo", elmo_jax)):
        functions = {name for name in family.__all__ if name[0].islower()} - NO_NUMBERS
        assert {f"{kind} {name}" for name in functions} <= narrow.keys() | {
            "elmo zero_carry"
        }
