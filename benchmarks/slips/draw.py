# SPDX-License-Identifier: Apache-2.0
"""Draw lines of code, so that chance and not a test decides where slips are made.

The list in `chosen` was begun with `python -m benchmarks.slips.draw` at commit 16b03f8.
"""

import ast
import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import tyro

from benchmarks.slips.find import PACKAGES


@dataclasses.dataclass(frozen=True)
class Options:
    """Which lines are drawn."""

    seed: int = 20261129
    number: int = 120
    """Of all packages, each in proportion to its lines of code."""
    at_least: int = 4
    """From each package, however small."""


def code_lines(path: Path) -> Iterator[tuple[str, int]]:
    """Each line of code with the function around it; no import, comment or text."""
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for name, statement in _statements(ast.parse(source).body, ""):
        passed_over = set[int]()
        for node in ast.walk(statement):
            if _is_passed_over(node):
                passed_over.update(range(node.lineno, node.end_lineno + 1))
        for number in range(statement.lineno, statement.end_lineno + 1):
            text = lines[number - 1].strip()
            if text and not text.startswith("#") and number not in passed_over:
                yield name, number


def _is_passed_over(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)


def _statements(body: list[ast.stmt], name: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _statements(node.body, f"{name}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield f"{name}{node.name}", node
        else:
            yield name.rstrip(".") or "module", node


def draw(root: Path, options: Options) -> Iterator[tuple[Path, str, int]]:
    """A line of each function that is drawn; none is drawn twice."""
    chance = random.Random(options.seed)
    places = {
        package: [
            (path.relative_to(root), name, line)
            for path in sorted((root / package).rglob("*.py"))
            for name, line in code_lines(path)
        ]
        for package in PACKAGES
    }
    total = sum(map(len, places.values()))
    for of_package in places.values():
        share = round(options.number * len(of_package) / total)
        chance.shuffle(of_package)
        drawn: dict[tuple[Path, str], int] = {}
        for path, name, line in of_package:
            if len(drawn) == max(options.at_least, share):
                break
            drawn.setdefault((path, name), line)
        yield from sorted((path, name, line) for (path, name), line in drawn.items())


def main(options: Options) -> None:
    print(f"seed {options.seed}")
    for path, name, line in draw(Path(__file__).parents[2], options):
        print(f"{path}:{line} {name}")


if __name__ == "__main__":
    main(tyro.cli(Options))
