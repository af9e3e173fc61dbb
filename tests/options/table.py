# SPDX-License-Identifier: Apache-2.0
"""A table of a command's options, each with what it must change.

A function is held by its own tests; that an option of a command reaches it hardly ever.
So every command has a table here: from each option that its help lists to arguments
that set another value, and to the name of what is seen to change. An option without an
entry fails, and so does an entry without an option.
"""

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

Observe = Callable[[list[str]], Mapping[str, Any]]
"""From arguments to what is seen of the command, by name; equal where it is the same."""

_ANYTHING = object()
# An option stands at the start of its line in the help's boxes; prose is further in.
_OPTION = re.compile(r"^\W? (?:-\w, )?(--[a-z][\w.-]*)", re.MULTILINE)


@dataclass(frozen=True)
class Option:
    """What an option is tried with, and what it changes.

    Attributes:
      given: arguments that set it to another value than it has by default.
      changes: the name of an observation that is another one then.
      beside: arguments that both sides get, where the option has a meaning only so.
      to: what is observed then, where it can be told beforehand.
    """

    given: str
    changes: str
    beside: str = ""
    to: Any = _ANYTHING


def listed_options(main: Callable[[list[str]], Any], *before: str) -> set[str]:
    """Return the options that the help of a command lists.

    Args:
      main: of the command.
      before: what stands before `--help`, such as the name of a configuration.
    """
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")  # wider, and boxes stand side by side
        with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
            main([*before, "--help"])
    options = set(_OPTION.findall(written.getvalue())) - {"--help"}
    assert options, "the help lists no options"
    return options


def check_entries(table: Mapping[str, Option], options: Iterable[str]) -> None:
    """Fail where an option has no entry, or an entry no option."""
    assert sorted(options) == sorted(table)


def check_option(option: Option, observe: Observe) -> None:
    """Fail unless the option changes what its entry names, to what it says."""
    beside = option.beside.split()
    before = observe(beside)[option.changes]
    after = observe([*beside, *option.given.split()])[option.changes]
    assert not same(before, after), f"{option.given} leaves {option.changes} as it is"
    if option.to is not _ANYTHING:
        assert same(after, option.to), f"{option.given}: {option.changes} is {after}"


def same(one: Any, other: Any) -> bool:
    """Tell whether two observations are equal, to the last bit where they are arrays."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
