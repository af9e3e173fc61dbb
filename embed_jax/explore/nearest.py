# SPDX-License-Identifier: Apache-2.0
"""The command that lists the nearest contexts of a word in a store of word vectors.

python -m embed_jax.nearest vectors.h5 bank
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from jaxtyping import Float
from tyro.conf import arg

from embed_jax.checks import check_at_least, check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.corpus.words import same_form
from embed_jax.exit_status import exit_status
from embed_jax.files.local_path import local_path
from embed_jax.messages import printable
from embed_jax.store import VectorStore

# Sentences read at once: some megabytes of words and vectors.
BLOCK = 512


class Occurrence(NamedTuple):
    """One occurrence of a word.

    Attributes:
      sentence: index of the sentence.
      position: index of the word in it.
      words: the words of the sentence.
    """

    sentence: int
    position: int
    words: list[str]

    def show(self, reach: int = 8) -> str:
        """Return the word in brackets, with up to `reach` words on either side.

        Example:
          >>> Occurrence(0, 1, ["the", "bank", "of"]).show()
          'the [bank] of'
        """
        start = max(self.position - reach, 0)
        before = " ".join(self.words[start : self.position])
        after = " ".join(self.words[self.position + 1 : self.position + 1 + reach])
        return printable(f"{before} [{self.words[self.position]}] {after}".strip())


@dataclasses.dataclass(frozen=True)
class Command:
    """Print the contexts of a word in a store, nearest to one of them first."""

    store: Annotated[Path, tyro.conf.Positional, arg(metavar="STORE")]
    """A file that python -m embed_jax wrote, with a vector for each word."""
    word: Annotated[str, tyro.conf.Positional, arg(metavar="WORD")]
    """The word, in upper or lower case."""
    like: int = 1
    """Number of the occurrence to compare with: 1 is the first."""
    count: int = 10
    """Number of contexts to print."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "like")
        check_at_least(self, 0, "count")


def find_occurrences(
    store: VectorStore, word: str
) -> tuple[list[Occurrence], Float[np.ndarray, "W D"]]:
    """Find every occurrence of a word, ignoring case and how its accents are coded.

    Args:
      store: of word vectors.
      word: in upper or lower case.

    Returns:
      The occurrences in the order of the text, and their vectors, float32.

    Raises:
      ValueError: the store has sentence vectors, or no such word.
    """
    if store.metadata.get("level") == "sentences":
        raise ValueError(f"{store.path} holds vectors of sentences, not of words")
    wanted = same_form(word)
    occurrences, vectors = [], []
    for index, words in _sentences(store):
        places = [i for i, other in enumerate(words) if same_form(other) == wanted]
        if places:
            rows = store[index]
            vectors.extend(rows[place].astype(np.float32) for place in places)
            occurrences.extend(Occurrence(index, place, words) for place in places)
    if not occurrences:
        raise ValueError(f"{store.path} has no word {word!r}")
    return occurrences, np.stack(vectors)


def rank_by_cosine(
    vectors: Float[np.ndarray, "W D"], query: int
) -> tuple[np.ndarray, Float[np.ndarray, " W"]]:
    """Order vectors by their cosine to one of them.

    Returns:
      All indices but the query's, nearest first, and the cosines of all vectors.

    Example:
      >>> order, _ = rank_by_cosine(np.array([[1.0, 0], [0, 1], [1, 1]]), query=0)
      >>> order.tolist()
      [2, 1]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    cosines = unit @ unit[query]
    order = np.argsort(-cosines, kind="stable")
    return order[order != query], cosines


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = "python -m embed_jax.nearest"
        print_nearest(parse_command(Command, arguments, prog=prog))

    return exit_status("embed_jax.nearest", action, "nothing was written")


def print_nearest(command: Command) -> None:
    """Print the contexts of `command.word`, nearest first.

    Raises:
      ValueError: the store has sentence vectors, no such word, or fewer occurrences.
      OSError: there is no such store.
    """
    with VectorStore(local_path(command.store)) as store:
        occurrences, vectors = find_occurrences(store, command.word)
    if not 1 <= command.like <= len(occurrences):
        raise ValueError(f"--like {command.like}: it occurs {len(occurrences)} times")
    query = command.like - 1
    order, cosines = rank_by_cosine(vectors, query)
    print(f"{command.word}: {len(occurrences):,} occurrences; nearest to")
    print(f"       {occurrences[query].show()}")
    for index in order[: command.count]:
        print(f"{cosines[index]:.3f}  {occurrences[index].show()}")
    if len(order) > command.count:
        print(f"{cosines[order[-1]]:.3f}  {occurrences[order[-1]].show()}  (farthest)")


def _sentences(store: VectorStore) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, len(store), BLOCK):
        yield from enumerate(store.words(slice(start, start + BLOCK)), start=start)
