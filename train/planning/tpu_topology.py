# SPDX-License-Identifier: Apache-2.0
"""Devices of TPU slices that need not exist; libtpu compiles for them anywhere."""

import os
from collections.abc import Sequence

import jax
from jax.experimental import topologies

# Asked for while the library loads, of a server that only a TPU's host has; told here,
# it asks nobody. The values matter to nothing that is only compiled.
_TOLD = {
    "TPU_SKIP_MDS_QUERY": "1",
    # No chip is taken, so that any number of processes may compile.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_MIN_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def topology_devices(name: str) -> Sequence[jax.Device]:
    """Return the devices of a slice, for which programs can be compiled.

    Args:
      name: the generation and the shape, such as v5e:16x16 or v5p:4x4x4.

    Raises:
      ValueError: no such topology, or no libtpu.
    """
    for variable, value in _TOLD.items():
        os.environ.setdefault(variable, value)
    try:
        found = topologies.get_topology_desc(topology_name=name, platform="tpu")
    except Exception as error:  # whatever the library raises
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"no topology {name!r}: {lines[0]}. It is a generation and a shape, such "
            "as v5e:4x4, v5p:2x2x2 or v6e:16x16, and needs libtpu: "
            "pip install 'contextual-jax[tpu]'"
        ) from error
    return found.devices
