# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.quickstart` and `embed_jax.pretrained`, without a network."""

from pathlib import Path

import pytest

from embed_jax import pretrained
from embed_jax.quickstart import main
from embed_jax.store import VectorStore
from tests.options.embedding import LINES, observer, run, save_model
from tests.options.table import Option, check_entries, check_option, listed_options

OPTIONS = {
    "--directory": Option("--directory other", "folder", to="other"),
    "--word": Option("--word river", "title", to="river: 2 occurrences; nearest to"),
}


@pytest.fixture(scope="module")
def observe(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    save_model("bert", models / "tiny")

    def look(arguments: list[str], folder: Path):
        # A model and a text that are there are used as they are.
        for name in ("quickstart", "other"):
            (folder / name).mkdir()
            (folder / name / "all-MiniLM-L6-v2").symlink_to(models / "tiny")
            text = "\n".join([*LINES, "the window by the window"])
            (folder / name / "corpus.txt").write_text(text, encoding="utf-8")
        ran = run(main, arguments, folder)
        assert ran.status == 0, ran.refusal
        (vectors,) = folder.glob("*/vectors.h5")
        with VectorStore(vectors) as store:
            assert len(store) == len(LINES) + 1
        title = next(line for line in ran.printed.splitlines() if "nearest" in line)
        return {"folder": vectors.parent.name, "title": title}

    return observer(look, lambda: tmp_path_factory.mktemp("run"))


def test_every_option_is_tried():
    check_entries(OPTIONS, listed_options(main))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_what_it_is_for(observe, name):
    check_option(OPTIONS[name], observe)


def test_windows_are_looked_for_unless_told(observe):
    assert observe([])["title"] == "window: 2 occurrences; nearest to"


def test_the_command_that_fetches_has_no_options():
    with pytest.raises(AssertionError, match="lists no options"):
        listed_options(pretrained.main)
