# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint holds is what was given, whatever training does meanwhile."""

import json
import threading
import time

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from embed_jax.files.run_directory import CHECKPOINTS, read_item
from train.loop.checkpoint import Checkpoints
from train.loop.step import TrainState


def test_a_position_is_that_of_its_moment(tmp_path, monkeypatch):
    """The figures of an interval grow on while a checkpoint is being written."""
    dumps = json.dumps

    def slowly(*arguments, **named):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)  # as to a disk, or over a network
        return dumps(*arguments, **named)

    monkeypatch.setattr(json, "dumps", slowly)
    place = SingleDeviceSharding(jax.devices()[0])
    weights = jax.device_put({"a": jnp.zeros(3)}, place)
    state = TrainState(
        step=jax.device_put(jnp.asarray(3, jnp.int32), place),
        params=weights,
        opt_state={},
        carry={},
    )
    sums = {"loss": (1.0, 2.0)}
    with Checkpoints(tmp_path, keep_last=1) as checkpoints:
        checkpoints.save(state, {"step": 3, "interval": sums}, None)
        sums["loss"] = (5.0, 6.0)
        sums["later"] = (1.0, 1.0)
        checkpoints.wait()
        _, position = checkpoints.restore(state)
    assert position == {"step": 3, "interval": {"loss": [1.0, 2.0]}}
    assert read_item(tmp_path / CHECKPOINTS / "3", "position") == position
