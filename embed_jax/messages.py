# SPDX-License-Identifier: Apache-2.0
"""Helpers for messages, and for all text that goes to a terminal."""

import re
from collections.abc import Sequence

_SHOWN = 4

OPTIONS = ("overwrite", "resume", "long")
"""Arguments that messages name and that are options of commands by the same name."""

_ARGUMENT = re.compile(rf'\b({"|".join(OPTIONS)})=(?:True\b|"([a-z]+)")')

# Control characters, but for the line feed and the tab; line ends that only some
# programs know; what turns the direction of the text around it; half of a character.
_UNPRINTABLE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return text whose control characters are spelled out, as in JSON.

    Text of a corpus, names in a file and file names may hold sequences that a terminal
    obeys: that clear it, retitle it, or hide and reorder what stands there.

    Example:
      >>> print(printable("caf\u00e9 \x1b[2J"))
      café \u001b[2J
    """
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(error: BaseException) -> str:
    r"""Return the message of an error as one line; the error's type if it is empty.

    Example:
      >>> one_line(OSError("no room:\n  the disk is full")), one_line(KeyError())
      ('no room: the disk is full', 'KeyError')
    """
    return printable(" ".join(str(error).split())) or type(error).__name__


def with_options(message: str) -> str:
    """Return the message of a function as its command says it: options for arguments.

    Example:
      >>> with_options('it exists; pass overwrite=True, or long="truncate"')
      'it exists; pass --overwrite, or --long truncate'
    """

    def option(found: re.Match[str]) -> str:
        name, value = found.groups()
        return f"--{name} {value}" if value else f"--{name}"

    return _ARGUMENT.sub(option, message)


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message; the error's type if it is empty.

    For libraries with long error messages.

    Example:
      >>> first_line(OSError("damaged\nat 3\nat 4")), first_line(KeyError())
      ('damaged', 'KeyError')
    """
    return printable((str(error).strip() or type(error).__name__).splitlines()[0])


def list_first(names: Sequence[str]) -> str:
    """List the first few names and the number of the others.

    Example:
      >>> list_first(["a", "b", "c", "d", "e", "f"])
      'a, b, c, d and 2 more'
    """
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return shown if more <= 0 else f"{shown} and {more} more"
