# SPDX-License-Identifier: Apache-2.0
"""Fetching of models from the Hugging Face hub or from its local cache."""

import re
from collections.abc import Sequence
from pathlib import Path

from embed_jax.messages import one_line

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def fetch_snapshot(name: str, patterns: Sequence[str]) -> Path:
    """Fetch files of a model from the hub, or find them in the hub's local cache.

    Args:
      name: an id on the hub, such as "google-bert/bert-base-cased".
      patterns: globs of the files to fetch.

    Returns:
      The directory of the files.

    Raises:
      ValueError: `name` is a file or no valid id, or the hub does not provide it.

    Example:
      >>> fetch_snapshot("no/such/model/here", ["*"])
      Traceback (most recent call last):
      ValueError: no/such/model/here: no such directory
    """
    if Path(name).exists():
        raise ValueError(f"{name} is a file; pass the directory that holds the model")
    if not HUB_ID.fullmatch(name):
        raise ValueError(f"{name}: no such directory")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub client raises many kinds
        raise ValueError(
            f"{name}: no such directory, and not to be had from the hub "
            f"({one_line(error)})"
        ) from error
