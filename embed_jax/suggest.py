# SPDX-License-Identifier: Apache-2.0
"""What an error says after a wrong name: the closest right ones, then all of them."""

import difflib
from collections.abc import Collection


def suggest(word: str, choices: Collection[str], label: str) -> str:
    """Write the part of an error message that says what would be right.

    Args:
      word: the wrong name, as the user wrote it.
      choices: the right names, in the order to list them.
      label: what the choices are, plural.

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
