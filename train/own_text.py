# SPDX-License-Identifier: Apache-2.0
"""Options that give a configuration other text than its own.

    python -m train.prepare bert_small --text 'novels/*.txt'
    python -m train.prepare bert_small --text crawl.jsonl.zst --field body
    python -m train.prepare elmo_small --docstrings

The kind of the source may be another one than the configuration names. They are read
before the other options, for these are of the source that is chosen here.
"""

import argparse
import dataclasses
import hashlib
import re
import typing
from collections.abc import Sequence
from pathlib import Path

from embed_jax.checks import check_named
from embed_jax.corpus.records import holds_records
from train.data.config import DataConfig
from train.data.forms import Form
from train.data.sources import (
    FIELD,
    DocstringSource,
    RecordSource,
    Source,
    TextSource,
    TfdsSource,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnText:
    """Other text than that of the configuration, the same for all commands."""

    text: tuple[str, ...] = ()
    """Files of text, by name or by pattern ('texts/*.txt'), or of records (.jsonl,
    .parquet); each may end in .gz or .zst too."""
    tfds: str | None = None
    """A TFDS data set that is prepared on this machine."""
    docstrings: bool = False
    """The docstrings of Python and of installed packages."""
    field: str | None = None
    """The field of the records, or the feature of the TFDS data set, that has the text;
    by default "text"."""
    form: Form | None = None
    """Of the text of --text and --tfds: prose (the default), or a sentence a line, each
    on its own (sentences) or with blank lines between documents (documents)."""

    def source(self) -> Source | None:
        """Return the source that is asked for; None if none is.

        Raises:
          ValueError: several are, one is empty, or an option of a source that is not
            asked for.
        """
        check_named(self, "tfds", "field")
        given = {
            "--text": self.text,
            "--tfds": self.tfds,
            "--docstrings": self.docstrings,
        }
        chosen = [name for name, value in given.items() if value]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)}: give one of them")
        form = self.form or "prose"
        if self.text:
            return _of_files(self.text, self.field, form)
        if self.tfds:
            return TfdsSource(name=self.tfds, feature=self.field or FIELD, form=form)
        for name in ("field", "form"):
            if getattr(self, name) is not None:
                raise ValueError(f"--{name} is of --text or --tfds; give one of these")
        return DocstringSource() if self.docstrings else None


def read_own_text(arguments: Sequence[str]) -> OwnText:
    """Find the options of `OwnText` among others.

    Raises:
      ValueError: one lacks its value, or has one that it does not take; names it.
    """
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False
    )
    parser.add_argument("--text", nargs="+", default=())
    parser.add_argument(
        "--docstrings", action=argparse.BooleanOptionalAction, default=False
    )
    parser.add_argument("--form", choices=typing.get_args(Form))
    for name in ("--tfds", "--field"):
        parser.add_argument(name)
    try:
        found, _ = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    return OwnText(**{**vars(found), "text": tuple(found.text)})


def with_own_text(data: DataConfig, config: str, asked: OwnText) -> DataConfig:
    """Return the settings of a configuration's text for the text that was asked for.

    What a configuration says of its own text only (how much is held out, where it is
    prepared) is as by default for the other one; the directory is named after both.

    Args:
      data: the settings of the configuration.
      config: its name, or the path of its file.
      asked: the options.

    Raises:
      ValueError: see `OwnText.source`.
    """
    source = asked.source()
    if source is None:
        return data
    return data.with_source(source, data.directory.parent / _name(config, source))


def _of_files(
    patterns: tuple[str, ...], field: str | None, form: Form
) -> TextSource | RecordSource:
    # By their names alone: training does not need the text any more.
    records = [pattern for pattern in patterns if holds_records(Path(pattern))]
    if records and len(records) < len(patterns):
        raise ValueError(
            f"--text: {records[0]} is of records and {_other(patterns, records)} of "
            "lines; prepare one kind of them"
        )
    if records or field is not None:
        return RecordSource(patterns=patterns, field=field or FIELD, form=form)
    return TextSource(patterns=patterns, form=form)


def _other(patterns: Sequence[str], records: Sequence[str]) -> str:
    return next(pattern for pattern in patterns if pattern not in records)


def _name(config: str, source: Source) -> str:
    """Name a directory after a configuration and a text, another one for other text."""
    match source:
        case TextSource() | RecordSource():
            path = Path(source.patterns[0])
            is_pattern = any(mark in path.name for mark in "*?[")
            named = path.parent.name if is_pattern else path.name.partition(".")[0]
        case TfdsSource():
            named = source.name.partition(":")[0]
        case _:
            named = "docstrings"
    named = re.sub(r"\W+", "_", named).strip("_") or "text"
    digest = hashlib.sha256(repr(source).encode()).hexdigest()[:6]
    return f"{Path(config).stem}-{named}-{digest}"
