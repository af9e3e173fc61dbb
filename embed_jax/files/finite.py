# SPDX-License-Identifier: Apache-2.0
"""Weights that are read or saved: their dtype, and a check that they are finite."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def as_weights(values: np.ndarray, dtype: Any, name: str, source: str) -> np.ndarray:
    """Return a tensor in the dtype of the weights, if all of it is finite.

    Args:
      values: of any float dtype.
      dtype: of the result.
      name: of the tensor in its file.
      source: the file.

    Raises:
      ValueError: see `check_finite`; or a value is too large for the dtype.

    Example:
      >>> as_weights(np.array([1e6], np.float32), np.dtype("float16"), "bias", "w.hdf5")
      Traceback (most recent call last):
      ValueError: w.hdf5: bias holds values too large for float16; bfloat16 holds them
    """
    dtype = np.dtype(dtype)
    wide = values if dtype == np.float64 else values.astype(np.float32, copy=False)
    check_finite(wide, name, source)
    with np.errstate(over="ignore"):
        cast = wide.astype(dtype, copy=False)
    if dtype == np.float16 and not np.isfinite(cast).all():
        raise ValueError(
            f"{source}: {name} holds values too large for float16; bfloat16 holds them"
        )
    return cast


def check_finite(values: np.ndarray, name: str, source: str) -> None:
    """Refuse a tensor that holds NaN or infinity.

    Args:
      values: of any float dtype.
      name: of the tensor in its file.
      source: the file.

    Raises:
      ValueError: names both.

    Example:
      >>> check_finite(np.array([1.0, np.nan], np.float32), "bias", "weights.hdf5")
      Traceback (most recent call last):
      ValueError: weights.hdf5: bias holds values that are not finite in float32; the \
training that wrote it had failed, or the file is damaged
    """
    if not _is_finite(values):
        raise ValueError(
            f"{source}: {name} holds values that are not finite in float32; the "
            "training that wrote it had failed, or the file is damaged"
        )


def check_savable(tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse to save tensors that hold NaN or infinity, which no reader would take.

    Args:
      tensors: of any float dtype, by name.

    Raises:
      ValueError: names the first one.
    """
    for name, values in tensors.items():
        if not _is_finite(values.astype(np.float32, copy=False)):
            raise ValueError(
                f"the model is not saved: {name} holds values that are not finite; the "
                "training that made it has failed"
            )


def _is_finite(values: np.ndarray) -> bool:
    # Both are NaN where any value is; no second array of the size is made.
    return not values.size or bool(
        np.isfinite(values.min()) and np.isfinite(values.max())
    )
