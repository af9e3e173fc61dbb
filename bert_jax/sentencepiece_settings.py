# SPDX-License-Identifier: Apache-2.0
"""Which settings beside a SentencePiece model are those under which it is read."""

from collections.abc import Sequence
from pathlib import Path

from bert_jax.tokenizer_settings import (
    JSON_CLASSES,
    SENTENCEPIECE_CLASSES,
    TokenizerSettings,
)


def check_sentencepiece(settings: TokenizerSettings, models: Sequence[Path]) -> None:
    """Check that nothing but the model decides on the pieces of a text.

    Args:
      settings: of its directory.
      models: the SentencePiece models there.

    Raises:
      ValueError: several models, or a setting under which text is changed before, or
        pieces are numbered otherwise; names it.
    """
    if len(models) > 1:
        names = ", ".join(path.name for path in models)
        raise ValueError(
            f"{models[0].parent} holds {names}, and nothing says which one is the "
            "tokeniser; leave only that one there"
        )
    kind = settings.kind
    if kind is None or kind in JSON_CLASSES:
        return
    if kind not in SENTENCEPIECE_CLASSES:
        raise ValueError(
            f"{settings.source}: tokenizer_class is {kind}, which is not that of a "
            f"SentencePiece model, but the directory holds {models[0].name} and "
            "neither tokenizer.json nor vocab.txt; fetch those too"
        )
    for key, (needed, default) in SENTENCEPIECE_CLASSES[kind].items():
        value = settings.values.get(key, default)
        if value is not needed:
            raise ValueError(
                f"{settings.source}: {key} is {value!r} of {kind}, which changes the "
                f"text before its pieces; only {needed!r} is read here"
            )
