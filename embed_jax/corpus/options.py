# SPDX-License-Identifier: Apache-2.0
"""The options of embedding text, spelled once for functions and for commands."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

from embed_jax.checks import at_least
from embed_jax.layers.select import Mix
from embed_jax.suggest import suggest

Long = Literal["window", "truncate", "error"]
LONG: tuple[Long, ...] = get_args(Long)
Function = TypeVar("Function", bound=Callable)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How text is cut into rows and rows are put into batches."""

    long: Long = "window"
    """What is done with a sentence that is longer than the model reads at once: window
    reads all of it, truncate its beginning, the other words having zero vectors; error
    refuses it."""
    context: int | Literal["document"] = 0
    """Pieces of the neighbouring sentences that each sentence is shown, or document, as
    many as fit. A blank line ends a document."""
    max_length: int | None = None
    """Longest row in tokens; by default what the model has."""
    token_budget: int | None = None
    """Positions a batch on each device; lower it when memory runs out."""

    def check(self) -> None:
        """Refuse what no model can have.

        Raises:
          ValueError: names the option and what it may be.
        """
        for field in dataclasses.fields(TextOptions):
            _check(field.name, getattr(self, field.name))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Options(TextOptions):
    """All options of the functions that embed text.

    Attributes:
      long: what is done with a sentence over `max_length`: "window" reads all of it;
        "truncate" reads the beginning and gives the other words zero vectors; "error"
        refuses.
      context: how many pieces of the sentences before and after are shown to each
        sentence, or "document", as many as fit. A blank sentence ends a document.
      max_length: longest row in tokens; by default what the model has.
      token_budget: positions a batch on each device; the default is the family's.
      pool: how pieces become the vector of a word (first, last, mean, max, first_last;
        by default first) or of a sentence (cls, mean, max, mean_sqrt_len; by default
        mean).
      specials: whether the tokens that begin and end a row count for the vector of a
        sentence, where the family has such.
      mix: the `ScalarMix` of the spec's mix term, or a tuple, one a term.
      dtype: of the computation; float32 or bfloat16.
      out_dtype: of the vectors; float32, float16 or bfloat16.
      mesh: the devices to spread batches over (`embed_jax.devices.mesh.data_mesh`); by
        default the default device.
      on_batch: called with the number of rows whenever a batch is done, for progress.
    """

    pool: str | None = None
    specials: bool = True
    mix: Mix = None
    dtype: DTypeLike = jnp.float32
    out_dtype: DTypeLike = jnp.float32
    mesh: Mesh | None = None
    on_batch: Callable[[int], None] | None = None


def make_options(options: Options | None, changes: dict[str, Any]) -> Options:
    """Return the options with some of them changed.

    Raises:
      TypeError: there is no option of a name; says which is closest.
      ValueError: an option has no such value.
    """
    names = [field.name for field in dataclasses.fields(Options)]
    for name in changes:
        if name not in names:
            hint = suggest(name, names, "options")
            raise TypeError(f"there is no option {name!r}; {hint}")
        _check(name, changes[name])
    return dataclasses.replace(options or Options(), **changes)


def shows_options(function: Function) -> Function:
    """Have `help` and editors show every option in place of `**changes`."""
    signature = inspect.signature(function)
    named = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type,
        )
        for field in dataclasses.fields(Options)
    ]
    shown = signature.replace(parameters=[*named, *options])
    function.__signature__ = shown  # pyright: ignore[reportFunctionMemberAccess]
    return function


def _check(name: str, value: Any) -> None:
    match name:
        case "long" if value not in LONG:
            raise ValueError(f"long {value!r}: {suggest(value, LONG, 'long')}")
        case "context" if value != "document" and not _is_number(value):
            raise ValueError(
                'context is a number of pieces, 0 or more, or "document", '
                f"not {value!r}"
            )
        case "max_length" | "token_budget":
            at_least(name, value, 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and value >= 0
