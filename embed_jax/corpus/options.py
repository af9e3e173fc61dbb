# SPDX-License-Identifier: Apache-2.0
"""Options for embedding text, shared by the functions and the commands."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from embed_jax.arguments import kind_of
from embed_jax.checks import at_least, check_whole
from embed_jax.corpus.unknown import OfUnknown
from embed_jax.devices.precision import float_dtype
from embed_jax.layers.select import Mix
from embed_jax.suggest import suggest

Long = Literal["window", "truncate", "error"]
LONG: tuple[Long, ...] = get_args(Long)
UNKNOWN: tuple[OfUnknown, ...] = get_args(OfUnknown)
Function = TypeVar("Function", bound=Callable)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Options for cutting text into rows and rows into batches."""

    long: Long = "window"
    """For a sentence longer than the model's maximal length: window reads all of it,
    truncate only its beginning (the other words get zero vectors), error refuses it."""
    context: int | Literal["document"] = 0
    """Pieces of neighbouring sentences that are put around each sentence as context;
    document: as many as fit. A blank line ends a document."""
    max_length: int | None = None
    """Longest row in tokens; by default the model's maximum."""
    token_budget: int | None = None
    """Positions a batch on each device; lower it when memory runs out."""

    def check(self) -> None:
        """Check the values, as far as possible without a model.

        Raises:
          ValueError: names the option and its valid values.
        """
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Options(TextOptions):
    """All options of the functions that embed text.

    Attributes:
      long: for a sentence over `max_length`: "window" reads all of it; "truncate" reads
        the beginning and gives the other words zero vectors; "error" refuses it.
      context: number of pieces of the sentences before and after that are put around
        each sentence, or "document", as many as fit. A blank sentence ends a document.
      max_length: longest row in tokens; by default the model's maximum.
      token_budget: positions a batch on each device; the default is the family's.
      pool: pooling of pieces into words (first, last, mean, max, first_last; by default
        first) or sentences (cls, mean, max, mean_sqrt_len; by default mean).
      specials: whether the special tokens at the ends of a row count for the vector of
        a sentence, in families that have them.
      normalize: whether to scale each vector to length 1 (L2), after pooling; a zero
        vector stays zero.
      mix: the `ScalarMix` of the spec's mix term, or a tuple, one a term. For a tuple
        of specs, a tuple with one entry a spec.
      dtype: of the computation; float32 or bfloat16.
      out_dtype: of the vectors; float32, float16 or bfloat16.
      mesh: the devices to shard batches over (`embed_jax.devices.mesh.data_mesh`); by
        default the default device.
      on_batch: called with the number of rows after each batch, for progress.
      unknown: for a text without one word that the vocabulary knows: "warn" logs it,
        "error" refuses it, as commands do. Where a tenth is unknown, that is logged.
    """

    pool: str | None = None
    specials: bool = True
    normalize: bool = False
    mix: Mix | tuple[Mix, ...] = None
    dtype: DTypeLike = jnp.float32
    out_dtype: DTypeLike = jnp.float32
    mesh: Mesh | None = None
    on_batch: Callable[[int], None] | None = None
    unknown: OfUnknown = "warn"


def make_options(options: Options | None, changes: dict[str, Any]) -> Options:
    """Return the options with some of them changed.

    Raises:
      TypeError: an unknown option; names the closest one.
      ValueError: an invalid value of an option, or something else than `Options`.
    """
    if options is not None and not isinstance(options, Options):
        raise ValueError(
            f"options is {kind_of(options)}, not Options; pass single options by name, "
            'such as pool="mean"'
        )
    names = [field.name for field in dataclasses.fields(Options)]
    for name in changes:
        if name not in names:
            hint = suggest(name, names, "options")
            raise TypeError(f"there is no option {name!r}; {hint}")
        _check(name, changes[name])
    return dataclasses.replace(options or Options(), **changes)


def shows_options(function: Function) -> Function:
    """Set a signature that lists every option in place of `**changes`, for `help`."""
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
        case "max_length" | "token_budget":
            check_whole(name, value)
            at_least(name, value, 1)
        case "unknown" if value not in UNKNOWN:
            hint = suggest(str(value), UNKNOWN, "choices")
            raise ValueError(f"unknown {value!r}: {hint}")
        case "long" if value not in LONG:
            raise ValueError(f"long {value!r}: {suggest(str(value), LONG, 'long')}")
        case "context" if value != "document" and not _is_number(value):
            raise ValueError(
                'context is a number of pieces, 0 or more, or "document", '
                f"not {value!r}"
            )
        case "specials" | "normalize" if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} is True or False, not {value!r}")
        case "dtype" | "out_dtype":
            float_dtype(name, value)  # pyright: ignore[reportArgumentType]


def _is_number(value: Any) -> bool:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_whole and bool(value >= 0)
