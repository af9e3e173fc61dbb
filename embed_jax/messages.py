# SPDX-License-Identifier: Apache-2.0
"""Parts of error messages."""

from collections.abc import Sequence

_SHOWN = 4


def one_line(error: BaseException) -> str:
    r"""Return what an error says, in one line; its kind where it says nothing.

    Example:
      >>> one_line(OSError("no room:\n  the disk is full")), one_line(KeyError())
      ('no room: the disk is full', 'KeyError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says; its kind where it says nothing.

    For libraries whose errors go on for pages.

    Example:
      >>> first_line(OSError("damaged\nat 3\nat 4")), first_line(KeyError())
      ('damaged', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def list_first(names: Sequence[str]) -> str:
    """Name the first few, and say how many more there are.

    Example:
      >>> list_first(["a", "b", "c", "d", "e", "f"])
      'a, b, c, d and 2 more'
    """
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"
