# SPDX-License-Identifier: Apache-2.0
"""The file of the states before a sentence, which only this library reads."""

from pathlib import Path

from elmo_jax.bilm import Carry
from elmo_jax.config import ElmoConfig
from elmo_jax.discovery import START
from elmo_jax.hdf5 import open_hdf5, write_hdf5
from elmo_jax.params import ElmoParams
from elmo_jax.weights import assemble_start, disassemble_start


def read_start(path: Path | None, config: ElmoConfig, options: str) -> Carry | None:
    """Read the states before a sentence.

    Args:
      path: the file; None where there is none.
      config: of the model.
      options: the file with the model's options, for messages.

    Raises:
      ValueError: the file is damaged, or of another model.
    """
    if path is None:
        return None
    with open_hdf5(path) as states:
        return assemble_start(states, config, str(path), options)


def write_start(directory: Path, params: ElmoParams) -> None:
    """Write the states before a sentence, if they are not zero.

    Raises:
      ValueError: they do not fit the model.
    """
    if params.start is not None:
        states = disassemble_start(params.start, params.config)
        write_hdf5(directory / START, states)
