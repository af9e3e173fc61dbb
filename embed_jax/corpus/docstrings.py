# SPDX-License-Identifier: Apache-2.0
"""A corpus that needs no download: the docstrings of Python's standard library.

It is English prose about programming. Files are parsed, not imported.
"""

import ast
import importlib.machinery
import inspect
import re
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# Paragraphs of prose: no doctests, tables, signatures, lists of parameters or rules.
_PROSE = re.compile(r"[A-Z][^\n]*[.!?:]$", re.DOTALL)
_CODE = re.compile(
    r"^\s*(>>>|\.\. |:\w+|[-=~*#]{3,})|[{}<>|\\_]{2,}|  +\S", re.MULTILINE
)
_SHORTEST = 40


def source_files(packages: Sequence[str] = ()) -> list[Path]:
    """List the files of the standard library, in a fixed order, without its tests.

    Args:
      packages: installed packages whose files follow; those not installed are skipped.
    """
    root = Path(sysconfig.get_path("stdlib"))
    files = _modules(root, {"site-packages", "test", "tests", "idlelib"})
    for package in packages:
        # Unlike importlib.util.find_spec, this imports no parent package.
        found = importlib.machinery.PathFinder.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            files += _modules(Path(folder), {"test", "tests"})
    return files


def _modules(root: Path, skipped: set[str]) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*.py")
        if not skipped & set(path.relative_to(root).parts)
    )


def read_paragraphs(paths: list[Path] | None = None) -> Iterator[str]:
    """Yield paragraphs of prose, one a line, each once.

    Args:
      paths: Python files; by default those of the standard library. A file that does
        not parse is skipped.
    """
    for module in read_modules(source_files() if paths is None else paths):
        yield from module


def read_modules(paths: Iterable[Path]) -> Iterator[list[str]]:
    """Yield for each file the paragraphs of prose that no earlier file has.

    Args:
      paths: Python files. A file that does not parse gives an empty list.
    """
    seen: set[str] = set()
    for path in paths:
        module = []
        for docstring in _docstrings(path):
            for paragraph in inspect.cleandoc(docstring).split("\n\n"):
                text = " ".join(paragraph.split())
                is_prose = _PROSE.match(text) and not _CODE.search(paragraph)
                if is_prose and len(text) >= _SHORTEST and text not in seen:
                    seen.add(text)
                    module.append(text)
        yield module


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
