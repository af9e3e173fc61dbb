# SPDX-License-Identifier: Apache-2.0
"""JSON: writing it, and reading what may be damaged, or somebody else's.

All JSON is written by `json_text`: JSON has no NaN and no infinity, which Python's
library writes all the same, and which other readers refuse.

Every file of JSON is read here: a byte order mark is passed over, and whatever the
library raises (for bytes that are no text, lists nested a hundred thousand deep, a
number of five thousand digits) becomes one ValueError that names the file. NaN and
infinity, which earlier versions wrote, are read as numbers.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embed_jax.files.mistaken import HEAD_BYTES, mistaken_for
from embed_jax.messages import one_line


def json_text(content: Any, **form: Any) -> str:
    """Return a value as JSON, null for a number that is not finite.

    Args:
      content: what `json.dumps` takes.
      form: its options, such as `indent`.

    Example:
      >>> json_text({"loss": math.nan, "rows": [(1, 2.5)]})
      '{"loss": null, "rows": [[1, 2.5]]}'
    """
    try:
        return json.dumps(content, allow_nan=False, **form)
    except ValueError:
        # Seldom; what is written often is not looked through for it.
        default = form.pop("default", None)
        return json.dumps(_finite(content, default), allow_nan=False, **form)


def _finite(content: Any, default: Callable[[Any], Any] | None) -> Any:
    """Return a value with None in place of what is no finite number."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(held, default) for key, held in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(held, default) for held in content]
    if content is None or isinstance(content, str | int):
        return content
    return content if default is None else _finite(default(content), default)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
      path: of a file in UTF-8, with or without a byte order mark.

    Raises:
      ValueError: no such file, or not a JSON object; names the file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    return parse_object(content, str(path))


def parse_object(content: bytes | str, source: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
      content: the text, as bytes in UTF-8 or decoded.
      source: where it stands, for messages.

    Raises:
      ValueError: not a JSON object; names the source.
    """
    parsed = parse_json(content, source)
    if not isinstance(parsed, dict):
        raise ValueError(f"{source} holds no JSON object")
    return parsed


def parse_json(content: bytes | str, source: str) -> Any:
    """Parse JSON of any kind.

    Args:
      content: the text, as bytes in UTF-8 or decoded.
      source: where it stands, for messages.

    Raises:
      ValueError: not JSON; names the source.

    Example:
      >>> parse_json(b"", "empty.json")
      Traceback (most recent call last):
      ValueError: empty.json is not JSON: Expecting value: line 1 column 1 (char 0)
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        return json.loads(text.removeprefix("\ufeff"))
    # A number of too many digits is a plain ValueError, as is text that is no UTF-8.
    except (ValueError, RecursionError) as error:
        if isinstance(content, bytes):
            cause = mistaken_for(content[:HEAD_BYTES], text=True)
            if cause is not None:
                raise ValueError(f"{source} is not JSON but {cause}") from error
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ValueError(f"{source} is not JSON: {_line(reason)}") from error


def _line(reason: str | BaseException) -> str:
    return reason if isinstance(reason, str) else one_line(reason)
