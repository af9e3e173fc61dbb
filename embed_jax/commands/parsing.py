# SPDX-License-Identifier: Apache-2.0
"""Reading of a command line into a dataclass, whose errors name options with dots."""

import contextlib
import dataclasses
import io
import sys
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

import tyro

CommandT = TypeVar("CommandT")


def parse_command(
    kind: type[CommandT], arguments: list[str] | None, **options: Any
) -> CommandT:
    """Parse the arguments of a command; `--help` may have its colours.

    A value that a dataclass refuses when it is made is named as it was given: the
    learning rate of the optimizer of an experiment as `optimizer.learning_rate`.

    Args:
      kind: the dataclass of its options; nested ones check their fields when they are
        made.
      arguments: by default those of the process.
      **options: of `tyro.cli`, such as `prog`.

    Raises:
      ValueError: a field has been refused.
      SystemExit: after --help, or for an option that there is not, with a message.
    """
    # What a command prints has its control characters spelled out; these are meant.
    out = getattr(sys.stdout, "as_it_is", sys.stdout)
    said = io.StringIO()
    handled = sys.exception()  # by whoever calls, and so the context of what ends this
    try:
        # What tyro says of a refused field is said again, by its whole name.
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            command = tyro.cli(kind, args=arguments, **options)
    except SystemExit as end:
        cause = None if end.__context__ is handled else end.__context__
        if isinstance(cause, ValueError):  # of the command's own fields
            raise cause from None
        place = getattr(cause, "arg", None)
        message = getattr(cause, "message", None)
        if isinstance(place, str) and isinstance(message, str):
            raise ValueError(_named(kind, place, message)) from end
        sys.stderr.write(said.getvalue())
        raise
    if warned := said.getvalue():
        sys.stderr.write(warned)
    return command


def _named(kind: type, place: str, message: str) -> str:
    """Put the place of a dataclass before the name of its field.

    Args:
      kind: of the whole command.
      place: the fields on the way, with dots; the command's own name where the message
        is of one of its fields.
      message: which may begin with the name of a field.
    """
    classes, shown = [kind], []
    for name in place.replace("-", "_").split("."):
        found = [each for one in classes for each in _dataclasses_of(one, name)]
        if not found:
            return message  # of the command itself
        (of_command,) = {_is_unnamed(one, name) for one in classes if _has(one, name)}
        shown += [] if of_command else [name]
        classes = found
    field = message.split(" ", 1)[0]
    if not shown:
        return message
    separator = "." if any(_has(one, field) for one in classes) else ": "
    return f"{'.'.join(shown)}{separator}{message}"


def _has(kind: type, name: str) -> bool:
    return any(
        field.name == name for field in dataclasses.fields(typing.cast(Any, kind))
    )


def _is_unnamed(kind: type, name: str) -> bool:
    """Return whether a field's own fields are options without its name before them."""
    hint = typing.get_type_hints(kind, include_extras=True)[name]
    return any(getattr(each, "name", None) == "" for each in typing.get_args(hint))


def _dataclasses_of(kind: type, name: str) -> Iterator[type]:
    """Yield the dataclasses that a field may hold."""
    if _has(kind, name):
        waiting = [typing.get_type_hints(kind)[name]]
        while waiting:
            hint = waiting.pop()
            waiting += typing.get_args(hint)
            if dataclasses.is_dataclass(hint) and isinstance(hint, type):
                yield hint
