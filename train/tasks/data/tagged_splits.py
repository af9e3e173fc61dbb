# SPDX-License-Identifier: Apache-2.0
"""Options of the data of commands that label words, and what they read with them."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embed_jax.checks import check_fields
from embed_jax.files.local_path import local_path
from train.tasks.data.conll import (
    SPLIT_NAMES,
    TFDS_PREFIX,
    TaggedSentence,
    find_split,
    read_conll,
    read_splits,
)

# Documents that a file has at least where whole documents are held out.
FEWEST_DOCUMENTS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggedData:
    """Command-line options for reading words with tags."""

    column: str | None = None
    """The column of the words: its number from 1, the default, or from the last, -1;
    of CoNLL-U its name too: FORM, the default, LEMMA, …"""
    tag_column: str = "-1"
    """The column of the tags, likewise; by default the last. Of CoNLL-U whose MISC has
    name=B-PER it is MISC:name."""
    test_fraction: float | None = None
    """For data that have no test split, such as a single file: the share of sentences
    to hold out for the test, and as many for dev if there are none."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        fraction = self.test_fraction
        if fraction is not None and not 0 < fraction < 1:
            raise ValueError(
                f"test_fraction must be above 0 and below 1, not {fraction}"
            )

    def names_columns(self) -> bool:
        """Return whether other columns are named than those by default."""
        return (self.column, self.tag_column) != (None, "-1")


class Splits(NamedTuple):
    """The splits of a data set.

    Attributes:
      sentences: under "train", "dev" and "test".
      said: how they were divided; None if they are as given.
    """

    sentences: dict[str, list[TaggedSentence]]
    said: str | None = None


def read_tagged(data: str, options: TaggedData, seed: int = 0) -> Splits:
    """Read the training, development and test sentences of a data set.

    Args:
      data: a folder or a name of TFDS, as `read_splits` takes it; or, with
        `test_fraction`, one file, or a folder without a test file.
      options: of the reading.
      seed: of the choice of what is held out.

    Raises:
      ValueError: a split is missing, ambiguous or empty, a line is bad, or a fraction
        is given for data that have a test split.
      FileNotFoundError: no such folder.
    """
    fraction = options.test_fraction
    if data.startswith(TFDS_PREFIX):
        _refuse_fraction(data, fraction, "its test split")
        if options.names_columns():
            raise ValueError(f"{data} has no columns: leave out --column, --tag-column")
        return Splits(read_splits(data))
    path = local_path(data)
    how = {"word_column": options.column, "column": options.tag_column}
    if path.is_file():
        if fraction is None:
            raise ValueError(
                f"{data} is one file; add --test-fraction 0.2 to hold out a fifth of "
                "it for the test, or give a folder with train, dev and test"
            )
        given = {"train": read_conll(path, **how)}
    elif fraction is None:
        return Splits(read_splits(data, **how))
    else:
        files = {name: _found(path, name) for name in SPLIT_NAMES}
        _refuse_fraction(data, fraction, files["test"] and files["test"].name)
        files["train"] = files["train"] or find_split(path, "train")
        given = {name: read_conll(file, **how) for name, file in files.items() if file}
    return _divided(data, given, fraction or 0, seed)


def check_entities(
    splits: Mapping[str, Sequence[TaggedSentence]], source: str
) -> list[str]:
    """Refuse data of which nothing can be learnt, before anything is computed.

    Returns:
      Why nothing can be found in dev or test, a line each; none where something can.

    Raises:
      ValueError: no word of the training data is in an entity.
    """
    types = {
        name: {tag[2:] for sentence in sentences for tag in sentence.tags} - {""}
        for name, sentences in splits.items()
    }
    if not types["train"]:
        raise ValueError(
            f"{source}: no word of train has another tag than O, so there is nothing "
            "to learn; is --tag-column that of the tags?"
        )
    remarks = []
    for name in ("dev", "test"):
        if not types[name]:
            remarks.append(f"{name} has no entity, so nothing can be found in it")
        elif types["train"].isdisjoint(types[name]):
            remarks.append(
                f"{name} has entities of {_listed(types[name])} only, and train of "
                f"{_listed(types['train'])}, so none of them can be found"
            )
    return remarks


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _refuse_fraction(data: str, fraction: float | None, test: str | None) -> None:
    if fraction is not None and test:
        raise ValueError(
            f"--test-fraction {fraction}: {data} has {test} for the test; leave one out"
        )


def _found(folder: Path, name: str) -> Path | None:
    """Return the file of a split; None if there is none."""
    try:
        return find_split(folder, name)
    except ValueError as error:
        if "has no file" in str(error):
            return None
        raise


def _divided(
    data: str, given: dict[str, list[TaggedSentence]], fraction: float, seed: int
) -> Splits:
    """Hold out sentences of the training data for the splits that are not given."""
    rest = given["train"]
    missing = [name for name in ("test", "dev") if name not in given]
    documents = len({sentence.document for sentence in rest})
    whole = documents >= FEWEST_DOCUMENTS
    groups = [sentence.document if whole else n for n, sentence in enumerate(rest)]
    wanted = round(fraction * len(rest))
    labels = _choose(groups, wanted, len(missing), seed)
    splits = {
        name: [s for s, label in zip(rest, labels, strict=True) if label == number]
        for number, name in enumerate([*missing, "train"])
    } | {name: held for name, held in given.items() if name != "train"}
    for name, sentences in splits.items():
        if not sentences:
            raise ValueError(
                f"{data}: the {name} split has no sentences, of {len(rest)} that are "
                f"divided with --test-fraction {fraction}"
            )
    by = f"whole documents, of {documents:,}" if whole else "sentences"
    said = (
        f"{fraction:.0%} of the sentences of {Path(data).name} held out for "
        f"{' and as many for '.join(missing)}, {by}, drawn with seed {seed}"
    )
    return Splits({name: splits[name] for name in SPLIT_NAMES}, said)


def _choose(
    groups: Sequence[int], wanted: int, num_splits: int, seed: int
) -> list[int]:
    """Return the split of each member of groups that stay together.

    Args:
      groups: of each member.
      wanted: members of each split; the last group makes it so many or more.
      num_splits: that are drawn; what is left is numbered `num_splits`.
      seed: of the order of the groups.
    """
    names, sizes = np.unique(groups, return_counts=True)
    chosen: dict[int, int] = {}
    split = held = 0
    for place in np.random.default_rng(seed).permutation(len(names)):
        chosen[int(names[place])] = split
        held += int(sizes[place])
        if split < num_splits and held >= wanted:
            split, held = split + 1, 0
    return [chosen[group] for group in groups]
