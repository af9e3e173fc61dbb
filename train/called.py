# SPDX-License-Identifier: Apache-2.0
"""How the commands of `train` are called, for their help and their messages."""

AS_MODULES = "python -m train."
_beginning = AS_MODULES


def called(name: str) -> str:
    """Return how a command is called in this process.

    Args:
      name: of its module.

    Example:
      >>> called("prepare")
      'python -m train.prepare'
    """
    return f"{_beginning}{name}"


def call_by(beginning: str) -> None:
    """Have all commands called by what stands before their names from now on."""
    global _beginning
    _beginning = beginning
