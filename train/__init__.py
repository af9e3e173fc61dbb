# SPDX-License-Identifier: Apache-2.0
"""Pretraining of encoders, and the downstream tasks that measure them."""

import importlib.util
import sys

# Of the extra `train`, what its modules import first, and its last to be installed.
_WANTED = ("tensorflow_datasets", "optax", "grain", "array_record", "syntok")


def _check_extra() -> None:
    """Say what to install, in one line where a command is started."""
    missing = [name for name in _WANTED if importlib.util.find_spec(name) is None]
    if not missing:
        return
    message = (
        f"{', '.join(missing)}: not installed; training needs the extra: "
        "pip install -e '.[train]' in the checkout"
    )
    # Python has put this there while it looks for the module of `python -m`.
    if sys.argv[:1] == ["-m"]:
        sys.stderr.write(f"train: {message}\n")
        sys.exit(2)
    raise ModuleNotFoundError(message)


_check_extra()
