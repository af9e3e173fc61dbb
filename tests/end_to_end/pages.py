# SPDX-License-Identifier: Apache-2.0
"""Pages of Markdown: their blocks of code, and the commands that stand in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import REPOSITORY

_FENCE = re.compile(
    r"^( *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^\1```$", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"`(python -m [^`]+)`")
# What ends a command, and what sends its text elsewhere.
_SEPARATORS, _REDIRECTIONS = {"&&", "||", "|", ";", "&"}, {"<", ">", ">>"}
_ASSIGNMENT = re.compile(r"^[A-Z_]+=")


class Block(NamedTuple):
    """A block of code: what its first line calls it, its text, and where it begins."""

    info: str
    text: str
    line: int


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            info=found["info"].strip(),
            text=found["text"],
            line=text[: found.start()].count("\n") + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def last_comment(program: str) -> str:
    """Return what a block says that it prints: the comment lines that end it."""
    lines = program.strip().splitlines()
    first = len(lines)
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return "\n".join(line.removeprefix("#").strip() for line in lines[first:])


def split_commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a shell block, as lists of words.

    Comments, assignments before a command and redirections are left out.
    """
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|<>;")
        lexer.whitespace_split = True
        command: list[str] = []
        redirected = False
        for word in [*lexer, ";"]:
            if word in _SEPARATORS:
                if command:
                    yield command
                command = []
            elif word in _REDIRECTIONS:
                redirected = True
            elif redirected:
                redirected = False
            elif command or not _ASSIGNMENT.match(word):
                command.append(word)


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield the commands that stand in the sentences of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for found in _INLINE.findall(text):
        yield shlex.split(" ".join(found.split()))
