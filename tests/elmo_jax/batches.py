# SPDX-License-Identifier: Apache-2.0
"""What the functions over a corpus hand to `PackedRunner` and to `stream_vectors`."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from embed_jax.corpus import embedder
from embed_jax.corpus.stream import stream_vectors


def program_and_plan(module: ModuleType, run: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what is compiled for a batch, and what makes batches of lengths.

    Args:
      module: where `run` finds `PackedRunner`.
      run: calls a function over a corpus.
    """
    seen: dict[str, Any] = {}

    class SeenRunner(module.PackedRunner):
        def __init__(self, params, tokenizer, compute, **options):
            seen["compute"] = compute
            super().__init__(params, tokenizer, compute, **options)

    def seen_stream(items, run, assemble, plan, **options):
        seen["plan"] = plan
        return stream_vectors(items, run, assemble, plan, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PackedRunner", SeenRunner)
        # Scores are streamed by the module itself, vectors by what all families share.
        for place in (embedder, module):
            patch.setattr(place, "stream_vectors", seen_stream, raising=False)
        run()
    return seen["compute"], seen["plan"]
