# SPDX-License-Identifier: Apache-2.0
"""The corpus that every machine has: the docstrings of Python's standard library.

Real English, about programming, without a download. Files are parsed, not imported.
"""

import ast
import inspect
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Paragraphs of prose: no doctests, tables, signatures, lists of parameters or rules.
_PROSE = re.compile(r"[A-Z][^\n]*[.!?:]$", re.DOTALL)
_CODE = re.compile(
    r"^\s*(>>>|\.\. |:\w+|[-=~*#]{3,})|[{}<>|\\_]{2,}|  +\S", re.MULTILINE
)
_SHORTEST = 40


def source_files() -> list[Path]:
    """List the standard library's own files, in a fixed order, without its tests."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(
        path
        for path in root.rglob("*.py")
        if not {"site-packages", "test", "tests", "idlelib"} & set(path.parts)
    )


def read_paragraphs(paths: list[Path] | None = None) -> Iterator[str]:
    """Yield paragraphs of prose, one a line, each once.

    Args:
      paths: Python files; by default those of the standard library. A file that does
        not parse is passed over.
    """
    seen = set()
    for path in source_files() if paths is None else paths:
        for docstring in _docstrings(path):
            for paragraph in inspect.cleandoc(docstring).split("\n\n"):
                text = " ".join(paragraph.split())
                is_prose = _PROSE.match(text) and not _CODE.search(paragraph)
                if is_prose and len(text) >= _SHORTEST and text not in seen:
                    seen.add(text)
                    yield text


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
