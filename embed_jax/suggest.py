# SPDX-License-Identifier: Apache-2.0
"""Suggestions in error messages about a wrong name: close names, then all names."""

import difflib
from collections.abc import Collection


def suggest(word: str, choices: Collection[str], label: str) -> str:
    """Return the part of an error message that suggests valid names.

    Args:
      word: the wrong name, as the user wrote it.
      choices: the valid names, in the order to list them.
      label: a plural noun for the choices.

    Returns:
      One line, to stand after "; ".

    Example:
      >>> suggest("maen", ["mean", "max"], "functions")
      'did you mean "mean"? functions: mean, max'
    """
    close = difflib.get_close_matches(word.lower(), choices, n=2)
    quoted = " or ".join(f'"{choice}"' for choice in close)
    question = f"did you mean {quoted}? " if close else ""
    return f"{question}{label}: {', '.join(choices)}"
