# SPDX-License-Identifier: Apache-2.0
"""Helpers for error messages."""

from collections.abc import Sequence

_SHOWN = 4


def one_line(error: BaseException) -> str:
    r"""Return the message of an error as one line; the error's type if it is empty.

    Example:
      >>> one_line(OSError("no room:\n  the disk is full")), one_line(KeyError())
      ('no room: the disk is full', 'KeyError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message; the error's type if it is empty.

    For libraries with long error messages.

    Example:
      >>> first_line(OSError("damaged\nat 3\nat 4")), first_line(KeyError())
      ('damaged', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def list_first(names: Sequence[str]) -> str:
    """List the first few names and the number of the others.

    Example:
      >>> list_first(["a", "b", "c", "d", "e", "f"])
      'a, b, c, d and 2 more'
    """
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"
