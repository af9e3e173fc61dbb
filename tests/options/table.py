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
"""From arguments to what is seen of the command, by name."""

_ANYTHING = object()
# An option stands at the start of its line in the help's boxes; prose is further in.
_OPTION = re.compile(r"^\W? (?:-\w, )?(--[a-z][\w.-]*)", re.MULTILINE)
# The boxes begin with a rule; what the command does is told before them.
_RULE = re.compile("[-─]{20}")


@dataclass(frozen=True)
class Option:
    """What an option is tried with, and what it changes.

    Attributes:
      given: arguments that set it to another value than it has by default.
      changes: the name of an observation that is another one then, or several names.
      beside: arguments that both sides get, where the option has a meaning only so.
      to: what is observed then, where it can be told beforehand.
    """

    given: str
    changes: str | tuple[str, ...]
    beside: str = ""
    to: Any = _ANYTHING


@dataclass(frozen=True)
class Ignored:
    """An option that is listed and changes nothing, as is meant.

    Attributes:
      given: arguments that set it to another value than it has by default.
      because: why it may be given all the same.
    """

    given: str
    because: str


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
    _, *boxes = _RULE.split(written.getvalue(), maxsplit=1)
    options = set(_OPTION.findall("".join(boxes))) - {"--help"}
    assert options, "the help lists no options"
    return options


def check_entries(table: Mapping[str, Any], options: Iterable[str]) -> None:
    """Fail where an option has no entry, or an entry no option."""
    listed, told = set(options), set(table)
    assert listed == told, (
        f"options without an entry: {sorted(listed - told)}; "
        f"entries without an option: {sorted(told - listed)}"
    )


def check_option(option: Option, observe: Observe) -> None:
    """Fail unless the option changes what its entry names, to what it says."""
    names = (option.changes,) if isinstance(option.changes, str) else option.changes
    beside = option.beside.split()
    before, after = observe(beside), observe([*beside, *option.given.split()])
    for name in names:
        then = after[name]
        assert not same(before[name], then), f"{option.given} leaves {name} as it is"
        if option.to is not _ANYTHING:
            assert same(then, option.to), f"{option.given}: {name} is {then}"


def check_ignored(option: Ignored, observe: Observe, names: Iterable[str]) -> None:
    """Fail where an option changes something of what it is said to leave alone."""
    before, after = observe([]), observe(option.given.split())
    changed = [name for name in names if not same(before[name], after[name])]
    assert not changed, f"{option.given} changes {', '.join(changed)}"


def same(one: Any, other: Any) -> bool:
    """Tell whether two observations are equal, arrays to the last bit."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
