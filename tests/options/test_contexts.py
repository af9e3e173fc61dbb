# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.contexts`: every option reaches what it is for."""

import re
from pathlib import Path

import pytest

from embed_jax.explore.contexts.command import main
from tests.embed_jax.explore.contexts.models import LINES
from tests.options.embedding import (
    LAYOUT,
    PACKAGES,
    Seen,
    observer,
    run,
    save_model,
)
from tests.options.table import Option, check_entries, check_option, listed_options

OPTIONS = LAYOUT | {
    "--word": Option("--word money", "lines", to=[1, 3, 5, 5, 5, 6, 6, 7, 8]),
    "--query": Option("--query bank", "asked", to="nearest to  [bank]"),
    "--output": Option("--output page.html", "files", to=["page.html"]),
    "--layers": Option("--layers 0", "cosines", "--query bank"),
    "--pool": Option("--pool last", "cosines", "--word sinking --query sinking"),
    "--clusters": Option("--clusters 1", "sizes", to=[6]),
    # Of so many clusters no two seeds find the same.
    "--seed": Option(
        "--seed 1", "clusters", "--word the --word money --word by --clusters 9"
    ),
    # Five lines have six of them.
    "--max-contexts": Option("--max-contexts 5", "sizes", "--clusters 1", to=[5]),
    "--count": Option("--count 2", "cosines", "--query bank"),
    # "Bank" on line 5 is left out.
    "--ignore-case": Option("--no-ignore-case", "lines", to=[1, 3, 5, 6, 8]),
    "--split": Option("--split", "shown"),
    "--compute": Option("--compute bfloat16", "page", "--output page.html"),
    "--devices": Option("--devices 2", "devices", to=2),
    "--overwrite": Option("--overwrite", "again", "--output page.html", to=0),
}


@pytest.fixture(scope="module")
def observers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contexts")
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(LINES) + "\n", encoding="utf-8")

    def look_at(kind):
        model = save_model(kind, folder / kind)

        def look(arguments: list[str], folder: Path):
            one = [] if "--devices" in arguments else ["--devices", "1"]
            line = [model, str(corpus), "--word", "bank", *one, *arguments]
            ran = run(main, line, folder)
            if ran.status and {*arguments} & {*LAYOUT}:
                return Seen(ran._asdict())
            assert ran.status == 0, ran.refusal
            files = sorted(path.name for path in folder.iterdir())
            page = folder / "page.html"
            return Seen(
                **ran._asdict(),
                **read(ran.printed),
                files=files,
                page=page.read_text(encoding="utf-8") if files else None,
                again=lambda: run(main, line, folder).status,
            )

        return observer(look, lambda: tmp_path_factory.mktemp("run"))

    return {kind: look_at(kind) for kind in PACKAGES}


def read(printed: str) -> dict:
    """Take apart what the command prints."""
    asked = re.search("^nearest to .*", printed, re.MULTILINE)
    before, *clusters = re.split(r"^cluster \d+, ", printed, flags=re.MULTILINE)
    shown = [re.findall(r"line (\d+) +(.*)", cluster) for cluster in clusters]
    return {
        "asked": asked and asked[0],
        "cosines": re.findall(r"^ *(-?\d\.\d{3})  line", before, re.MULTILINE),
        "sizes": [int(cluster.split()[0]) for cluster in clusters],
        "clusters": [sorted(int(line) for line, _ in each) for each in shown],
        "lines": sorted(int(line) for each in shown for line, _ in each),
        "shown": sorted(text for each in shown for _, text in each),
    }


def test_every_option_is_tried():
    check_entries(OPTIONS, listed_options(main))


CASES = [
    *(("bert", name) for name in OPTIONS),
    # What reaches the encoder; a biLM has one vector a word, whatever the pool.
    *(("elmo", name) for name in ("--query", "--layers", "--compute")),
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_option_changes_what_it_is_for(observers, kind, name):
    check_option(OPTIONS[name], observers[kind])


def test_so_many_are_listed_as_are_asked_for(observers):
    seen = observers["bert"](["--query", "bank", "--count", "2"])
    assert len(seen["cosines"]) == 2
    assert max(map(len, seen["clusters"])) == 2
    assert sum(seen["sizes"]) == 6


def test_words_that_are_split_keep_their_punctuation(observers):
    assert (
        "We sat by the [bank,] by the water" in observers["bert"](["--split"])["shown"]
    )
    assert "We sat by the [bank], by the water" in observers["bert"]([])["shown"]
