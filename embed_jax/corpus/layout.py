# SPDX-License-Identifier: Apache-2.0
"""Where the words of a file are: options of all commands that read text."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from embed_jax.checks import check_named
from embed_jax.corpus.compressed import plain_name
from embed_jax.corpus.conll import is_conll_u, is_tagged
from embed_jax.corpus.records import holds_records

_SAID = {
    "conllu": "CoNLL-U, the words of column",
    "conll": "CoNLL, the words of column",
    "jsonl": "JSON lines, the texts of field",
    "parquet": "Parquet, the texts of field",
}


class Found(NamedTuple):
    """How a file is read.

    Attributes:
      format: of the file.
      where: the column of the words, or the field of the texts.
      kind: of its records.
    """

    format: Literal["text", "conllu", "conll", "records"]
    where: str = ""
    kind: str = ""

    def describe(self) -> str | None:
        """Return a line that says it; None for text.

        Example:
          >>> Found("conllu", "FORM").describe()
          'read as CoNLL-U, the words of column FORM'
        """
        if self.format == "text":
            return None
        return f"read as {_SAID[self.kind or self.format]} {self.where}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Command-line options for finding the sentences in a file."""

    format: Literal["text", "conllu", "conll"] | None = None
    """text, a sentence a line; conllu; or conll, any columns with a word a line. By
    default it is recognised by the content, and said."""
    column: str | None = None
    """Of CoNLL, the column of the words: its number from 1, the default, or from the
    last, -1; of CoNLL-U its name too: FORM, the default, LEMMA, …"""
    field: str | None = None
    """Of .jsonl and .parquet, the field of the texts; by default text."""

    def find(self, path: Path, sample: Callable[[], Sequence[str]]) -> Found:
        """Return how a file is read, as it is given or recognised.

        Args:
          path: of the file.
          sample: reads its first lines, if it has lines.

        Raises:
          ValueError: an option is given that the format does not have, or an empty one.
        """
        check_named(self, "column", "field")
        if self.format is None and holds_records(path):
            self._refuse("column", path, "records, which have fields: give --field")
            kind = plain_name(path).rpartition(".")[-1]
            return Found("records", self.field or "text", kind)
        self._refuse("field", path, "no records: these end in .jsonl or .parquet")
        found = self.format or self._recognise(sample())
        if found == "text":
            self._refuse("column", path, "text, which has no columns")
            return Found("text")
        default = "FORM" if found == "conllu" else "1"
        return Found(found, (self.column or default).upper())

    def settings(self) -> dict[str, str]:
        """Return the options that are given, for a description of what is computed."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(Layout)
        }
        return {name: value for name, value in given.items() if value is not None}

    def _recognise(self, sample: Sequence[str]) -> Literal["text", "conllu", "conll"]:
        if is_conll_u(sample):
            return "conllu"
        # Who names a column knows that there are some.
        return "conll" if self.column is not None or is_tagged(sample) else "text"

    def _refuse(self, option: str, path: Path, found: str) -> None:
        value = getattr(self, option)
        if value is not None:
            raise ValueError(f"--{option} {value}: {path} is read as {found}")
