# SPDX-License-Identifier: Apache-2.0
"""Tests reach our packages by public names alone, so that what is inside may move."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("bert_jax", "configs", "elmo_jax", "embed_jax", "train")
TESTS = Path(__file__).parent

# By file: the private names that it reaches, and why.
EXCEPTIONS = {
    # Runs the command in a process of its own, which does not wait half a minute for
    # whoever is gone.
    "train/command.py": {"_SECONDS_TO_BE_SEEN"},
}

# Of a NamedTuple; the underscore keeps them apart from its fields.
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES


def own_names(nodes: list[ast.AST]) -> set[str]:
    """Return what the file defines itself, as a function or as an attribute of self."""
    names = {
        node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    return names | {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def private_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of what a file reaches that is not its own."""
    nodes = list(ast.walk(ast.parse(source)))
    own = own_names(nodes) | OF_NAMED_TUPLES
    foreign = {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if not is_ours(alias.name)
    }
    for node in nodes:
        match node:
            case ast.ImportFrom(module=str(module)) if is_ours(module):
                for part in [*module.split("."), *(alias.name for alias in node.names)]:
                    if is_private(part):
                        yield node.lineno, part
            case ast.Attribute(value=ast.Name(name)) if name in foreign:
                pass
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                yield node.lineno, name
            # getattr, and setattr of monkeypatch: by name, or by a path of names.
            case ast.Call(func=ast.Name(called) | ast.Attribute(attr=called)):
                if called in ("getattr", "setattr", "delattr", "hasattr"):
                    for argument in node.args[:2]:
                        path = getattr(argument, "value", None)
                        name = path.split(".")[-1] if isinstance(path, str) else None
                        if is_private(name) and name not in own:
                            yield node.lineno, name


@pytest.mark.parametrize(
    "source",
    [
        "from elmo_jax.embed import _embed",
        "from elmo_jax._inner import embed",
        "corpus._select.lower()",
        "writer()._files['words']",
        "class Probe(Module):\n  def run(self): self._split()",
        "patch.setattr(build, '_fill', None)",
        "patch.setattr('train.build._fill', None)",
        "getattr(build, '_fill')",
    ],
)
def test_a_private_name_is_found(source):
    assert len(list(private_names(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from jax._src import core",
        "import os\nos._exit(1)",
        "tokens._replace(ids=ids)",
        "from train.plan import __doc__",
        "class A:\n  def __init__(self): self._bar = 1\n  def bar(self): self._bar",
        "class A:\n  def _bar(self): pass\n  def bar(self): self._bar()",
        "patch.setattr(build, 'fill', '_fill')",
    ],
)
def test_what_is_public_or_of_others_is_left_alone(source):
    assert list(private_names(source)) == []


def test_tests_reach_for_public_names_alone():
    found: dict[str, set[str]] = {}
    lines = []
    for path in sorted(TESTS.rglob("*.py")):
        file = path.relative_to(TESTS).as_posix()
        for line, name in private_names(path.read_text(encoding="utf-8")):
            found.setdefault(file, set()).add(name)
            if name not in EXCEPTIONS.get(file, ()):
                lines.append(f"tests/{file}:{line}: {name}")
    assert lines == []
    # What is an exception no more is taken off the list.
    assert {file: names for file, names in found.items() if file in EXCEPTIONS} == (
        EXCEPTIONS
    )
