# SPDX-License-Identifier: Apache-2.0
"""Weights are read from the directory of a run, or refused by name."""

from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from embed_jax.files.run_directory import CHECKPOINTS, PARAMS, read_weights


def save(run: Path, step: int, weights: dict[str, np.ndarray]) -> None:
    path = (run / CHECKPOINTS / str(step) / PARAMS).absolute()
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, weights)


def test_weights_come_back_as_the_tree_that_their_names_say(tmp_path: Path):
    kernel, bias = np.eye(2, dtype=np.float32), np.ones(3, np.float32)
    save(tmp_path, 3, {"encoder.dense.kernel": kernel, "heads.bias": bias})
    weights, step = read_weights(tmp_path)
    assert step == 3
    np.testing.assert_array_equal(weights["encoder"]["dense"]["kernel"], kernel)
    np.testing.assert_array_equal(weights["heads"]["bias"], bias)


def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path):
    whole, spoilt = np.ones(2, np.float32), np.array([1, np.inf], np.float32)
    save(tmp_path, 1, {"encoder.kernel": whole, "encoder.bias": whole})
    save(tmp_path, 2, {"encoder.kernel": whole, "encoder.bias": spoilt})
    with pytest.raises(ValueError, match=r"2/params: encoder\.bias holds values that"):
        read_weights(tmp_path)
    assert read_weights(tmp_path, 1)[1] == 1
