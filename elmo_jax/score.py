# SPDX-License-Identifier: Apache-2.0
"""The command that writes the log-probability of every word of a text file.

    python -m elmo_jax.score MODEL corpus.txt scores.tsv
    python -m elmo_jax.score MODEL corpus.txt tokens.tsv --per token
    python -m elmo_jax.score MODEL corpus.txt scores.csv --units bits
    python -m elmo_jax.score MODEL corpus.txt scores.jsonl

The values are logarithms, natural ones (nats) or of base 2 (bits). TSV and CSV begin
with a line of column names, of which `forward_nats` and `backward_nats` (or `_bits`)
say which; Python's csv and pandas read them by default (`embed_jax.files.separated`).
JSON lines have one object a sentence: words, `forward` (of the words and `</S>`),
`backward` (of `<S>` and the words), `unknown`, whether each word is missing from the
vocabulary, and `units`.

A blank line is no sentence: nothing of it is scored or counted. It has a row without
values among those of sentences, so that rows are lines, and no token.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tyro.conf import arg

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN
from elmo_jax.family import ENCODER
from elmo_jax.load import load
from elmo_jax.scoring import (
    Perplexity,
    PerplexityMeter,
    SentenceScore,
    open_scores,
)
from embed_jax.checks import check_at_least, check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.corpus.arrivals import AtHand
from embed_jax.corpus.progress import Progress
from embed_jax.corpus.reading import Running
from embed_jax.corpus.text import survey, unchanged
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.files.json_file import json_text
from embed_jax.files.kinds import FileKind, json_with, text_with
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import open_output
from embed_jax.files.outputs import output_file
from embed_jax.files.separated import SEPARATORS, Separator, separated

Units = Literal["nats", "bits"]
# What a natural logarithm is multiplied by.
_SCALES: dict[Units, float] = {"nats": 1.0, "bits": 1 / math.log(2)}


@dataclasses.dataclass(frozen=True)
class Command:
    """Score a text file, one sentence a line, with both language models of an ELMo.

    Prints the perplexities of the whole text: forward, backward, their mean, and their
    geometric mean, which bilm-tf prints; the paper's 39.7 is the mean of both.
    """

    model: Annotated[str, tyro.conf.Positional, arg(metavar="MODEL")]
    """Directory of a model that has a softmax and a vocabulary."""
    corpus: Annotated[Path, tyro.conf.Positional, arg(metavar="CORPUS")]
    """UTF-8 text, one sentence a line, CoNLL, or records (.jsonl, .parquet); .gz and
    .zst are decompressed. A blank line is no sentence."""
    output: Annotated[Path, tyro.conf.Positional, arg(metavar="OUTPUT")]
    """The file to write; its suffix .tsv, .csv or .jsonl sets the format."""
    per: Literal["sentence", "token"] = "sentence"
    """Whether a line of the TSV or CSV is a sentence or a token."""
    units: Units = "nats"
    """Units of the log-probabilities: nats (natural logarithms) or bits (of base 2)."""
    softmax: Path | None = None
    """The HDF5 file of the softmax, if it is not beside the weights."""
    vocabulary: Path | None = None
    """The vocabulary, if it is not beside the weights."""
    token_budget: int | None = None
    """Positions a batch on each device; lower it when memory runs out."""
    running: Annotated[Running, arg(name="")] = dataclasses.field(
        default_factory=Running
    )
    overwrite: bool = False
    """Replace an existing output of this command."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "token_budget")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = "python -m elmo_jax.score"
        command = parse_command(Command, arguments, prog=prog)
        keep_compilations()
        run(command)

    return exit_status("elmo_jax.score", action, "nothing is kept; run it again")


def run(command: Command) -> None:
    """Score `command.corpus` into `command.output`.

    Raises:
      ValueError: anything about the arguments, the model or the corpus; the cheap
        checks come first.
      OSError: a file cannot be read or written, or exists already.
    """
    command = with_local_paths(command)
    write = _writer(command)
    command.running.check()
    with output_file(
        command.output,
        SCORES,
        replace=command.overwrite,
        inputs=(command.model, command.corpus, command.softmax, command.vocabulary),
    ):
        _run(command, write)


def _run(command: Command, write: "SentenceLines | TokenLines | JsonLines") -> None:
    text = survey(command.corpus, ENCODER.own_tokens, command.running)
    for remark in text.remarks:
        print(f"{command.corpus}: {remark}")
    params, tokenizer = load(
        command.model, softmax=command.softmax, vocabulary=command.vocabulary
    )
    meter = PerplexityMeter()
    # What cannot be scored is refused here, before anything is written or shown.
    scores = open_scores(
        params,
        tokenizer,
        AtHand(command.running.sentences(command.corpus)),
        token_budget=command.token_budget,
        dtype=command.running.compute,
        mesh=command.running.mesh(),
        on_batch=lambda num_rows: progress.computed(num_rows),
        unknown="error",
    )
    with (
        open_output(command.output, replace=command.overwrite) as file,
        unchanged(command.corpus, text, command.running),
        Progress(command.output.name, text.num_lines, 0) as progress,
    ):
        file.write(write.header.encode())
        for line, score in enumerate(scores, start=1):
            meter.add(score)
            file.writelines(text.encode() for text in write.lines(line, score))
            progress.written(len(score.words))
    blank = text.num_lines - meter.num_sentences
    also = f", and {blank:,} blank lines" * bool(blank)
    print(f"{command.output}: {meter.num_sentences:,} sentences{also}")
    if meter.num_sentences:
        print(describe(meter.result()))


def describe(figures: Perplexity) -> str:
    """Return the perplexities of a text as a short message."""
    backward = ""
    if figures.backward is not None:
        backward = (
            f"backward {figures.backward:.3f}, mean {figures.arithmetic:.3f}, "
            f"geometric mean {figures.geometric:.3f}; "
        )
    share = figures.num_unknown / figures.num_tokens
    return (
        f"perplexity: forward {figures.forward:.3f}, {backward}"
        f"{figures.num_tokens:,} tokens in each direction, boundaries included, "
        f"{figures.num_unknown:,} of them unknown ({share:.2%})"
    )


@dataclasses.dataclass(frozen=True)
class SentenceLines:
    """A table with one line for each sentence."""

    separator: Separator = "\t"
    units: Units = "nats"

    @property
    def header(self) -> str:
        """The names of the columns."""
        names = ["line", "tokens", "unknown", *_columns(self.units), "text"]
        return separated(names, self.separator)

    def lines(self, line: int, score: SentenceScore) -> Iterator[str]:
        """Write one sentence."""
        if not score.words:
            yield separated([line, 0, 0, "", "", ""], self.separator)
            return
        forward, backward = (
            "" if of_tokens is None else f"{of_tokens.sum(dtype=np.float64):.6f}"
            for of_tokens in _values(score, self.units)
        )
        num_tokens, num_unknown = len(score.forward), score.unknown.sum()
        text = " ".join(score.words)
        yield separated(
            [line, num_tokens, num_unknown, forward, backward, text], self.separator
        )


@dataclasses.dataclass(frozen=True)
class TokenLines:
    """A table with one line for each word and each boundary."""

    separator: Separator = "\t"
    units: Units = "nats"

    @property
    def header(self) -> str:
        """The names of the columns."""
        names = ["line", "position", "token", "unknown", *_columns(self.units)]
        return separated(names, self.separator)

    def lines(self, line: int, score: SentenceScore) -> Iterator[str]:
        """Write one sentence; the boundaries have positions 0 and n + 1."""
        if not score.words:
            return
        tokens = [BEGIN_TOKEN, *score.words, END_TOKEN]
        unknown = [0, *score.unknown.astype(int).tolist(), 0]
        values, other = _values(score, self.units)
        forward = ["", *map("{:.6f}".format, values)]
        backward = [""] * len(tokens)
        if other is not None:
            backward = [*map("{:.6f}".format, other), ""]
        rows = zip(tokens, unknown, forward, backward, strict=True)
        for position, (token, is_unknown, *figures) in enumerate(rows):
            cells = [line, position, token, is_unknown, *figures]
            yield separated(cells, self.separator)


@dataclasses.dataclass(frozen=True)
class JsonLines:
    """JSON lines with one object for each sentence."""

    units: Units = "nats"
    header: str = ""

    def lines(self, line: int, score: SentenceScore) -> Iterator[str]:
        """Write one sentence."""
        forward, backward = (
            None if of_tokens is None else of_tokens.tolist() if score.words else []
            for of_tokens in _values(score, self.units)
        )
        record = {
            "line": line,
            "words": score.words,
            "forward": forward,
            "backward": backward,
            "unknown": score.unknown.tolist(),
            "units": self.units,
        }
        yield json_text(record) + "\n"


def _columns(units: Units) -> list[str]:
    return [f"forward_{units}", f"backward_{units}"]


def _values(score: SentenceScore, units: Units) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the log-probabilities of both directions, in some units."""
    if units == "nats":
        return score.forward, score.backward
    scale = _SCALES[units]
    backward = None if score.backward is None else score.backward * scale
    return score.forward * scale, backward


def _is_scores(path: Path) -> bool:
    return _are_tables(path) or _are_json_lines(path)


_are_tables = text_with(
    *(
        kind(separator, units).header
        for kind in (SentenceLines, TokenLines)
        for separator in SEPARATORS.values()
        for units in _SCALES
    ),
    # Of versions that did not say the units, which were nats.
    "line\ttokens\tunknown\tforward\tbackward\ttext\n",
    "line\tposition\ttoken\tunknown\tforward\tbackward\n",
)
_are_json_lines = json_with("line", "words", "forward", "backward", "unknown")
SCORES = FileKind("a file of scores", _is_scores)


def _writer(command: Command) -> SentenceLines | TokenLines | JsonLines:
    suffix = command.output.suffix
    if suffix == ".jsonl":
        return JsonLines(command.units)
    if suffix not in SEPARATORS:
        raise ValueError(f"{command.output}: its name must end in .tsv, .csv or .jsonl")
    kind = SentenceLines if command.per == "sentence" else TokenLines
    return kind(SEPARATORS[suffix], command.units)


if __name__ == "__main__":
    sys.exit(main())
