# SPDX-License-Identifier: Apache-2.0
"""A check that weights are finite, made when they are read."""

import numpy as np


def check_finite(values: np.ndarray, name: str, source: str) -> None:
    """Refuse a tensor that holds NaN or infinity.

    Args:
      values: float32.
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
    # Both are NaN where any value is; no second array of the size is made.
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise ValueError(
            f"{source}: {name} holds values that are not finite in float32; the "
            "training that wrote it had failed, or the file is damaged"
        )
