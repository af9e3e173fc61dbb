# SPDX-License-Identifier: Apache-2.0
"""What the functions over a corpus hand to `Reader` and to `stream_vectors`."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from embed_jax.corpus.stream import stream_vectors


def program_and_plan(module: ModuleType, run: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what is compiled for a batch, and what makes batches of lengths.

    Args:
      module: where `run` finds `Reader` and `stream_vectors`.
      run: calls a function over a corpus.
    """
    seen: dict[str, Any] = {}

    class SeenReader(module.Reader):
        def __init__(self, params, tokenizer, compute, **options):
            seen["compute"] = compute
            super().__init__(params, tokenizer, compute, **options)

    def seen_stream(items, run, assemble, plan, **options):
        seen["plan"] = plan
        return stream_vectors(items, run, assemble, plan, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Reader", SeenReader)
        patch.setattr(module, "stream_vectors", seen_stream)
        run()
    return seen["compute"], seen["plan"]
