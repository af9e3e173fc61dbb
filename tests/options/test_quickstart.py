# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.quickstart` and `tests.pretrained`, without a network."""

import errno
from pathlib import Path

import huggingface_hub
import pytest

from embed_jax.quickstart import FILES, MODEL, main
from embed_jax.store import VectorStore
from tests import pretrained
from tests.options.embedding import LINES, observer, run, save_model
from tests.options.table import Option, check_entries, check_option, listed_options

pytestmark = pytest.mark.usefixtures("sigterm_as_before")

OPTIONS = {
    "--model": Option("--model tiny", "model", to="tiny"),
    "--directory": Option("--directory other", "folder", to="other"),
    "--word": Option("--word river", "title", to="river: 2 occurrences; nearest to"),
}


def write_texts(folder: Path) -> None:
    """A text that is there is used as it is."""
    for name in ("quickstart", "other"):
        (folder / name).mkdir()
        text = "\n".join([*LINES, "the window by the window"])
        (folder / name / "corpus.txt").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def observe(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    save_model("bert", models / "tiny")

    def fetched(name: str, **options: object) -> str:
        assert name == MODEL
        return str(models / "tiny")

    def look(arguments: list[str], folder: Path):
        (folder / "tiny").symlink_to(models / "tiny")
        write_texts(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(huggingface_hub, "snapshot_download", fetched)
            ran = run(main, arguments, folder)
        assert ran.status == 0, ran.refusal
        (vectors,) = folder.glob("*/vectors.h5")
        with VectorStore(vectors) as store:
            assert len(store) == len(LINES) + 1
            model = store.metadata["model"]
        title = next(line for line in ran.printed.splitlines() if "nearest" in line)
        return {"folder": vectors.parent.name, "title": title, "model": model}

    return observer(look, lambda: tmp_path_factory.mktemp("run"))


def test_every_option_is_tried():
    check_entries(OPTIONS, listed_options(main))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_what_it_is_for(observe, name):
    check_option(OPTIONS[name], observe)


def test_windows_are_looked_for_unless_told(observe):
    assert observe([])["title"] == "window: 2 occurrences; nearest to"


def test_without_the_hub_a_line_says_which_files_to_fetch_from_where(
    tmp_path, monkeypatch
):
    def refuse(*arguments: object, **options: object):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    ran = run(main, [], tmp_path)
    assert ran.status == 2
    assert ran.refusal.startswith("embed_jax.quickstart: the hub cannot be reached")
    for said in (*FILES, f"https://huggingface.co/{MODEL}/tree/main", "--model DIR"):
        assert said in ran.refusal
    assert "no route" in ran.refusal


def test_errors_bear_its_own_name_whatever_goes_wrong(tmp_path):
    write_texts(tmp_path)
    refused = run(main, ["--model", "./nowhere"], tmp_path)
    assert refused.status == 2
    assert refused.refusal.startswith("embed_jax.quickstart: ./nowhere")
    save_model("bert", tmp_path / "tiny")
    unknown = run(main, ["--model", "tiny", "--word", "zebra"], tmp_path)
    assert unknown.status == 2
    assert unknown.refusal.startswith("embed_jax.quickstart: quickstart/vectors.h5 has")
    # What is there is of another model, and is not taken for one's own.
    other = run(main, ["--model", "other"], tmp_path)
    assert other.status == 2
    assert "holds vectors of tiny; give another --directory" in other.refusal


def test_the_command_that_fetches_has_no_options():
    with pytest.raises(AssertionError, match="lists no options"):
        listed_options(pretrained.main)


def test_a_text_that_a_full_disk_has_cut_is_not_taken_for_whole(
    tmp_path, monkeypatch, capsys
):
    def fail(new: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("embed_jax.files.output_file.put_in_place", fail)
    monkeypatch.setattr("embed_jax.quickstart.read_paragraphs", lambda: ["A text."])
    folder = tmp_path / "folder"
    assert main(["--model", str(tmp_path), "--directory", str(folder)]) == 2
    assert f"No space left on device: '{folder}/corpus.txt'" in capsys.readouterr().err
    assert not list(tmp_path.rglob("corpus*"))
