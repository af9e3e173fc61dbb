# SPDX-License-Identifier: Apache-2.0
"""Reading of tagged sentences from TFDS, such as conll2003."""

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from embed_jax.suggest import suggest
from train.data.prepared_tfds import open_prepared
from train.tasks.spans import is_tag

TOKENS, TAGS = "tokens", "ner"
SPLITS = {"train": "train", "dev": ("dev", "validation"), "test": "test"}

Tagged = tuple[tuple[str, ...], tuple[str, ...]]


def read_tfds(name: str, data_dir: str | None = None) -> dict[str, list[Tagged]]:
    """Read words and tags of a data set that TFDS has prepared.

    Args:
      name: such as conll2003; its features are `tokens`, and `ner` as class labels.
      data_dir: TFDS's data directory; by default its usual one.

    Returns:
      Sentences under "train", "dev" and "test"; empty ones are left out.

    Raises:
      ValueError: not prepared here or not as array_record, or of other features.
    """
    builder = open_prepared(name, data_dir)
    labels = _labels(name, builder.info.features)
    return {
        split: list(_read(builder, _split(name, builder, split), labels))
        for split in SPLITS
    }


def _labels(name: str, features: Any) -> list[str]:
    for feature in (TOKENS, TAGS):
        if feature not in features:
            raise ValueError(
                f"{name} has no feature {feature!r}; "
                f"{suggest(feature, sorted(features), 'features')}"
            )
    tags = getattr(features[TAGS], "feature", None)
    if not isinstance(tags, tfds.features.ClassLabel) or tags.num_classes is None:
        raise ValueError(f"{name}: its feature {TAGS!r} is no sequence of class labels")
    unknown = [label for label in tags.names if not is_tag(label)]
    if unknown:
        raise ValueError(f"{name}: {unknown[0]!r} of {TAGS!r} is no tag of a span")
    return list(tags.names)


def _split(name: str, builder: tfds.core.DatasetBuilder, split: str) -> str:
    names = SPLITS[split]
    for candidate in (names,) if isinstance(names, str) else names:
        if candidate in builder.info.splits:
            return candidate
    raise ValueError(f"{name} has no {split} split; it has {list(builder.info.splits)}")


def _read(
    builder: tfds.core.DatasetBuilder, split: str, labels: list[str]
) -> Iterator[Tagged]:
    source: Any = builder.as_data_source(split)  # pyright: ignore[reportCallIssue]
    for index in range(len(source)):
        example: Mapping[str, Any] = source[index]
        words = [word.decode("utf-8") for word in example[TOKENS]]
        kept = [place for place, word in enumerate(words) if word.strip()]
        if kept:
            yield (
                tuple(words[place] for place in kept),
                tuple(labels[int(example[TAGS][place])] for place in kept),
            )
