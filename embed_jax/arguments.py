# SPDX-License-Identifier: Apache-2.0
"""Arguments of public functions: errors that name the function and what was passed."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable)


@contextlib.contextmanager
def errors_of(function: str) -> Iterator[None]:
    """Name a function in the errors that its arguments cause.

    Example:
      >>> with errors_of("embed_words"):
      ...     raise ValueError("pool 'frist'")
      Traceback (most recent call last):
      ValueError: embed_words(): pool 'frist'
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        # Of these alone is it known that a message is all they are made of. Python's
        # own begins with the function.
        is_named = str(error).startswith(f"{function}()")
        if type(error) in (TypeError, ValueError) and not is_named:
            error.args = (f"{function}(): {error}",)
        raise


def names_errors(function: Function) -> Function:
    """Name a function in each of its errors, where it runs no code of its caller."""

    @functools.wraps(function)
    def named(*given: Any, **options: Any) -> Any:
        with errors_of(function.__name__):
            return function(*given, **options)

    return named  # pyright: ignore[reportReturnType]


def needs(*arguments: str) -> Callable[[Function], Function]:
    """Say in words which of the first arguments of a function are missing.

    What was passed is said too: Python's message blames the last of them, and what was
    left out is usually the first.

    Args:
      arguments: the names of those that must be passed, in order; with "self".

    Example:
      >>> @needs("params", "tokens")
      ... def embed(params, tokens): ...
      >>> embed([1])
      Traceback (most recent call last):
      TypeError: embed() takes params, tokens, in this order; it got a list
    """

    def decorate(function: Function) -> Function:
        order = ", ".join(name for name in arguments if name != "self")

        @functools.wraps(function)
        def checked(*given: Any, **options: Any) -> Any:
            if all(name in options for name in arguments[len(given) :]):
                return function(*given, **options)
            positional = zip(arguments, given, strict=False)
            got = [kind_of(value) for name, value in positional if name != "self"]
            got += [f"{name}=" for name in options]
            raise TypeError(
                f"{function.__name__}() takes {order}, in this order; it got "
                f"{', '.join(got) or 'none of them'}"
            )

        return checked  # pyright: ignore[reportReturnType]

    return decorate


def check_kind(name: str, value: Any, kind: type, remedy: str) -> None:
    """Refuse an argument of another kind, as where two of them changed places.

    Args:
      name: of the argument.
      value: what was passed.
      kind: of what belongs there.
      remedy: what to pass.

    Raises:
      ValueError: it is of another kind; names both.

    Example:
      >>> check_kind("params", "MODEL", dict, "pass what load gave first")
      Traceback (most recent call last):
      ValueError: params is a str, not a dict; pass what load gave first
    """
    if isinstance(value, kind):
        return
    if type(value) is tuple and len(value) == 2 and isinstance(value[0], kind):
        remedy = "load gives a pair: params, tokenizer = load(…)"
    raise ValueError(f"{name} is {kind_of(value)}, not {_named(kind)}; {remedy}")


def kind_of(value: Any) -> str:
    """Return the type of a value with its article; None is None.

    Example:
      >>> kind_of([]), kind_of(1), kind_of(None)
      ('a list', 'an int', 'None')
    """
    return "None" if value is None else _named(type(value))


def _named(kind: type) -> str:
    article = "an" if kind.__name__[0] in "AEIOUaeiou" else "a"
    return f"{article} {kind.__name__}"
