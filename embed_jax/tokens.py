# SPDX-License-Identifier: Apache-2.0
"""What a function of tokens is given: a batch of its family's tokens, and no text."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from embed_jax.corpus.sentences import described

Function = TypeVar("Function", bound=Callable)


def reads_tokens(check: Callable[[Any, Any], None]) -> Callable[[Function], Function]:
    """Have a function of `(params, tokens, …)` refuse tokens that are not the model's.

    Stands above `jax.jit`, which would refuse text in words of its own, and inside
    which numbers cannot be looked at.

    Args:
      check: the family's check of `params` and `tokens`. Arrays may be traced ones.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def checked(params: Any, tokens: Any, *args: Any, **options: Any) -> Any:
            check(params, tokens)
            return function(params, tokens, *args, **options)

        return checked  # pyright: ignore[reportReturnType]

    return decorate


def check_range(name: str, values: Any, size: Any, rows: str) -> None:
    """Refuse indices that are outside a table, where they can be looked at.

    XLA would clamp them, or fill with NaN. Arrays on a device, or traced ones, are not
    waited for, and so not looked at.

    Args:
      name: of the indices.
      values: the indices.
      size: rows of the table; in a program that is exported it may be a symbol.
      rows: what has these rows, such as "the model's table has rows".

    Raises:
      ValueError: names the indices and the rows.
    """
    if isinstance(values, np.ndarray) and values.size:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} reach from {low} to {high}, but {rows} 0 to {size - 1}; do "
                "model and tokeniser belong together?"
            )


def check_batch(tokens: Any, kind: type) -> None:
    """Refuse text, tokens of another family, and a single row in place of a batch.

    Args:
      tokens: what is given.
      kind: the NamedTuple of the family's tokens, with shapes as annotations; one field
        is `mask`, [B T].

    Raises:
      ValueError: says what to pass.
    """
    fields: tuple[str, ...] = kind._fields  # pyright: ignore[reportAttributeAccessIssue]
    if not all(hasattr(tokens, field) for field in fields):
        if _is_text(tokens):
            is_one = isinstance(tokens, str | bytes)
            shown = described(tokens) if is_one else f"a {type(tokens).__name__} of it"
            raise ValueError(
                f"tokens are read here, not text ({shown}): pass tokenizer([text, …]), "
                "or use embed_sentences(params, tokenizer, [text, …]) or embed_words, "
                "which take the texts themselves"
            )
        raise ValueError(
            f"{described(tokens)} is no {kind.__name__}; pass what the tokeniser of "
            "the model makes of a list of sentences, tokenizer([text, …])"
        )
    shape = np.shape(tokens.mask)
    if len(shape) == 1:
        rows = [name for name in fields if kind.__annotations__[name].dim_str == "B T"]
        raise ValueError(
            f"tokens of the shape {list(shape)} are one row, and a batch [B T] is read "
            f"here; make it a batch of one by array[None] for each of {_list(rows)}, "
            f"such as tokens._replace({rows[0]}=tokens.{rows[0]}[None], …)"
        )
    if len(shape) != 2:
        raise ValueError(
            f"tokens of the shape {list(shape)}, and a batch [B T] is read here; "
            "reshape them, or use jax.vmap over the other axes"
        )


def _is_text(thing: Any) -> bool:
    """Return whether it is a text, or a list, an array or a column of them."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.kind in "UOT"
    if isinstance(thing, list | tuple) or hasattr(thing, "iloc"):
        return any(_is_text(part) for part in itertools.islice(thing, 1))
    return isinstance(thing, str | bytes)


def _list(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if names[1:] else names[0]
