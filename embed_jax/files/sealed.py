# SPDX-License-Identifier: Apache-2.0
"""JSON objects of our own that carry a checksum of their content.

Such a file says how much of others counts, or what they should hold: a digit that has
changed in it would make sound data look damaged, or damaged data sound.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from embed_jax.files.checksum import as_digits
from embed_jax.files.json_file import json_text

KEY = "checksum"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the CRC-32 of its content added, under "checksum".

    Example:
      >>> sealed({"size": 3})
      {'size': 3, 'checksum': '2d82a84a'}
    """
    # Of what will be read: null where a number is not finite.
    read = json.loads(json_text(dict(content)))
    return dict(content) | {KEY: _checksum(read)}


def unsealed(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the content of a sealed object, after a check; of an unsealed one, it.

    Earlier versions wrote without a checksum. Callers refuse keys they do not know, so
    that one whose name was damaged does not pass for missing.

    Raises:
      ValueError: the content has changed since it was sealed; names the source.

    Example:
      >>> unsealed(sealed({"size": 3}) | {"size": 4}, "a.json")
      Traceback (most recent call last):
      ValueError: a.json is damaged: its checksum is not that of its content
    """
    held = {key: value for key, value in content.items() if key != KEY}
    if KEY in content and content[KEY] != _checksum(held):
        raise ValueError(
            f"{source} is damaged: its checksum is not that of its content"
        )
    return held


def _checksum(content: Mapping[str, Any]) -> str:
    # As it is read back from JSON, where a tuple is a list and a key a string.
    text = json.dumps(json.loads(json.dumps(dict(content))), sort_keys=True)
    return as_digits(zlib.crc32(text.encode("utf-8", "surrogatepass")))
