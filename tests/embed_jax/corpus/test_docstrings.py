# SPDX-License-Identifier: Apache-2.0
"""The corpus of the standard library is prose, and there is plenty of it."""

import itertools

from embed_jax.corpus.docstrings import read_paragraphs, source_files


def test_the_standard_library_has_prose():
    paragraphs = list(itertools.islice(read_paragraphs(), 2000))
    assert len(paragraphs) == len(set(paragraphs)) == 2000
    assert not any("\n" in p or ">>>" in p for p in paragraphs)
    assert sum(len(p.split()) for p in paragraphs) > 20_000


def test_only_paragraphs_of_prose_are_taken(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""The module has one paragraph of prose,\nover two lines of text.\n\n'
        "    >>> code()\n    1\n\n"
        "Too short.\n\nkey: value without an end\n\n"
        'name    a table with columns, which is no sentence at all.\n"""\n'
        'def f():\n    """The module has one paragraph of prose,\n'
        '    over two lines of text."""\n'
    )
    broken = tmp_path / "broken.py"
    broken.write_text("def (")
    assert list(read_paragraphs([broken, path])) == [
        "The module has one paragraph of prose, over two lines of text."
    ]


def test_whatever_has_a_docstring_is_read(tmp_path):
    path = tmp_path / "module.py"
    kinds = {"class": "class A", "function": "def f()", "coroutine": "async def g()"}
    path.write_text(
        "\n".join(
            f'{start}:\n    """The text that a {kind} has is a sentence of its own."""'
            for kind, start in kinds.items()
        )
    )
    assert list(read_paragraphs([path])) == [
        f"The text that a {kind} has is a sentence of its own." for kind in kinds
    ]


def test_tests_and_packages_are_left_out():
    assert not any("site-packages" in path.parts for path in source_files())
