# SPDX-License-Identifier: Apache-2.0
"""Find the text of a slip in the packages, however its lines are broken today."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.slips.slip import Slip

PACKAGES = ("elmo_jax", "bert_jax", "embed_jax", "train", "configs")

_TOKEN = re.compile(
    r"""\#[^\n]*                       # a comment, which is left out
    | (?P<quotes>\"{3}|'{3})(?:\\.|.)*?(?P=quotes)
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    | \w+ | \S""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = (")", "]", "}")


class NotFoundError(Exception):
    """The text of a slip does not stand where it stood; the message says more."""


class Token(NamedTuple):
    """A word, a number, a string or a sign of Python, and where it lies."""

    text: str
    start: int
    end: int


class Source(NamedTuple):
    """A file, with its tokens joined so that a sequence of them can be searched for."""

    text: str
    tokens: list[Token]
    joined: str


def read_packages(root: Path) -> dict[Path, Source]:
    """Read all modules of the packages, by their paths from the root."""
    return {
        path.relative_to(root): read_source(path.read_text("utf-8"))
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }


def read_source(text: str) -> Source:
    """Cut a text into tokens."""
    tokens = _tokens(text)
    return Source(text, tokens, _join(tokens))


def make(slip: Slip, sources: Mapping[Path, Source]) -> dict[Path, str]:
    """Return the new text of each file that the slip changes.

    Raises:
      NotFoundError: its text is not there, or another number of times than it says.
      SyntaxError: what it makes is no Python.
    """
    needle = _join(_needle(slip))
    found = {
        path: places
        for path, source in sources.items()
        if (places := _places(needle, source.joined))
    }
    number = sum(map(len, found.values()))
    if number != slip.places:
        where = f" ({', '.join(map(str, found))})" if found else ""
        raise NotFoundError(f"found {number} times, not {slip.places}{where}")
    return {path: _changed(slip, sources[path], found[path]) for path in found}


def _tokens(text: str) -> list[Token]:
    found = [
        Token(match[0], *match.span())
        for match in _TOKEN.finditer(text)
        if not match[0].startswith("#")
    ]
    # A comma after the last item comes and goes with the line breaks.
    return [
        token
        for token, following in zip(found, [*found[1:], None], strict=True)
        if not (token.text == "," and following and following.text in _CLOSING)
    ]


def _needle(slip: Slip) -> list[Token]:
    """Return the tokens that are searched for; a comma at the end is none of them."""
    tokens = _tokens(slip.before)
    return tokens[:-1] if tokens[-1].text == "," else tokens


def _join(tokens: list[Token]) -> str:
    return "\0" + "".join(f"{token.text}\0" for token in tokens)


def _places(needle: str, joined: str) -> list[int]:
    """List the numbers of the tokens with which the needle begins."""
    places, at = [], joined.find(needle)
    while at >= 0:
        places.append(joined.count("\0", 0, at))
        at = joined.find(needle, at + 1)
    return places


def _changed(slip: Slip, source: Source, places: list[int]) -> str:
    text = source.text
    length = len(_needle(slip))
    for place in reversed(places):
        start, end = source.tokens[place].start, source.tokens[place + length - 1].end
        line = text[text.rfind("\n", 0, start) + 1 : start]
        indent = len(line) - len(line.lstrip())
        text = text[:start] + _indented(slip.after, indent) + text[end:]
    if text == source.text:
        raise SyntaxError("the slip changes nothing")
    ast.parse(text)
    return text


def _indented(after: str, indent: int) -> str:
    """Move lines so that the first one is indented by so much, and leave it bare."""
    lines = [line for line in after.splitlines() if line.strip()]
    if not lines:
        return ""
    moved = indent - (len(lines[0]) - len(lines[0].lstrip()))
    return "\n".join(
        " " * max(len(line) - len(line.lstrip()) + moved, 0) + line.strip()
        for line in lines
    ).strip(" ,")
