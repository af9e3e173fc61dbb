# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.word_types`: every option reaches what it is for."""

import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas
import pytest

from embed_jax.explore.word_types import main, read_word_types
from tests.options.embedding import (
    CALLS,
    LINES,
    PACKAGES,
    QUICKLY,
    TABLES,
    Seen,
    observer,
    run,
    save_model,
)
from tests.options.table import Option, check_entries, check_option, listed_options

OPTIONS = {
    "--layers": Option("--layers last,0", "width", to=32),
    "--words": Option("--words first_last", "width", to=32),
    "--word2vec": Option("--word2vec types.txt", "files", to=["types.h5", "types.txt"]),
    "--csv": Option("--csv types.csv", "files", to=["types.csv", "types.h5"]),
    "--sum": Option("--sum", "text", "--word2vec types.txt"),
    "--min-count": Option("--min-count 3", "words"),
    "--lowercase": Option("--lowercase", "words"),
    "--overwrite": Option("--overwrite", "again", to="the same as before"),
}
BERT, ELMO = (OPTIONS | TABLES[kind] for kind in ("bert", "elmo"))
CASES = [
    (kind, name) for kind, table in (("bert", BERT), ("elmo", ELMO)) for name in table
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: save_model(kind, folder / kind) for kind in PACKAGES}


@pytest.fixture(scope="module")
def observers(models, tmp_path_factory):
    corpus = tmp_path_factory.mktemp("text") / "corpus.txt"
    corpus.write_text("\n".join(LINES) + "\n", encoding="utf-8")

    def look_at(kind):
        def look(arguments: list[str], folder: Path):
            one = [] if "--devices" in arguments else ["--devices", "1"]
            line = [models[kind], str(corpus), "types.h5", *arguments, *one]
            line += [] if "--layers" in arguments else QUICKLY
            ran = run(main, line, folder)
            seen = ran._asdict() | read(folder)

            def run_again() -> str:
                again = run(main, line, folder)
                return "the same as before" if again == ran else again.refusal

            return Seen(seen | {"again": run_again})

        return observer(look, lambda: tmp_path_factory.mktemp("run"))

    return {kind: look_at(kind) for kind in models}


def read(folder: Path) -> dict:
    """See what was written; nothing where a run was refused."""
    files = sorted(path.name for path in folder.iterdir())
    if not files:
        return {"files": files, "words": None, "vectors": None}
    types, text = read_word_types(folder / "types.h5"), folder / "types.txt"
    table = folder / "types.csv"
    return {
        "files": files,
        "words": types.words,
        "vectors": types.mean,
        "width": types.mean.shape[1],
        "sums": types.sum,
        "text": text.read_text(encoding="utf-8") if text.exists() else None,
        "table": table.read_text(encoding="utf-8") if table.exists() else None,
        "counts": types.counts.tolist(),
    }


@pytest.mark.parametrize("table", [BERT, ELMO], ids=["bert", "elmo"])
def test_every_option_is_tried(table):
    check_entries(table, listed_options(main))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_option_changes_what_it_is_for(observers, kind, name):
    check_option((BERT if kind == "bert" else ELMO)[name], observers[kind])


@pytest.mark.parametrize(("kind", "given", "options"), CALLS)
def test_means_are_those_of_the_functions_vectors(
    models, observers, kind, given, options
):
    seen = observers[kind](given.split())
    package = PACKAGES[kind]
    params, tokenizer = package.load(models[kind])
    options = {"sentences": LINES, **options}
    vectors = defaultdict(list)
    for found in package.stream_words(params, tokenizer, **options):
        for place, word in enumerate(found.words):
            if place not in found.unread:
                vectors[word].append(found.vectors[place])
    assert sorted(seen["words"]) == sorted(vectors)
    expected = [np.mean(vectors[word], axis=0) for word in seen["words"]]
    np.testing.assert_allclose(seen["vectors"], expected, rtol=0, atol=1e-5)


def test_the_table_has_means_or_sums(observers):
    for given, name in (([], "vectors"), (["--sum"], "sums")):
        seen = observers["bert"](["--csv", "types.csv", *given])
        table = pandas.read_csv(
            io.StringIO(seen["table"]), keep_default_na=False, dtype={"word": str}
        )
        assert table.word.tolist() == seen["words"]
        assert table["count"].tolist() == seen["counts"]
        numbers = table[[f"v{index}" for index in range(16)]]
        np.testing.assert_allclose(numbers, seen[name], rtol=1e-6)


def test_the_text_has_means_or_sums(observers):
    for given, name in (([], "vectors"), (["--sum"], "sums")):
        seen = observers["bert"](["--word2vec", "types.txt", *given])
        header, *rows = seen["text"].splitlines()
        assert header == f"{len(seen['words'])} 16"
        numbers = [[float(number) for number in row.split(" ")[1:17]] for row in rows]
        np.testing.assert_allclose(numbers, seen[name], rtol=1e-6)
