# SPDX-License-Identifier: Apache-2.0
"""Commands that read their corpus twice: it is a file, and stays what it was."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import elmo_jax
import elmo_jax.score
import embed_jax.__main__
from embed_jax.explore import word_types
from embed_jax.explore.contexts import command as contexts
from tests.elmo_jax import sentences
from tests.options.embedding import LINES, QUICKLY, Run, run, save_model


class Reading(NamedTuple):
    """A command, what stands before and after its corpus, and its model's loader."""

    module: Any
    before: list[str]
    after: list[str]
    loader: str = "find_encoder"


COMMANDS = {
    "embed_jax": Reading(embed_jax.__main__, ["bert"], ["out.h5", *QUICKLY]),
    "word_types": Reading(word_types, ["bert"], ["out.h5", *QUICKLY]),
    "contexts": Reading(
        contexts, ["bert"], ["--word", "bank", "--output", "out.html", *QUICKLY]
    ),
    "score": Reading(elmo_jax.score, ["scorer"], ["out.tsv"], "load"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model("bert", folder / "bert")
    params = sentences.make_params(sentences.ONE_BLOCK, len(sentences.VOCABULARY))
    tokenizer = elmo_jax.ElmoTokenizer(sentences.ONE_BLOCK, sentences.VOCABULARY)
    elmo_jax.save(folder / "scorer", params, tokenizer)
    return folder


@pytest.fixture
def folder(models, tmp_path) -> Path:
    """A folder with the models and a corpus."""
    for name in ("bert", "scorer"):
        shutil.copytree(models / name, tmp_path / name)
    (tmp_path / "corpus.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return tmp_path


def start(name: str, folder: Path, corpus: str = "corpus.txt", *more: str) -> Run:
    reading = COMMANDS[name]
    line = [*reading.before, corpus, *reading.after, "--devices", "1", *more]
    return run(reading.module.main, line, folder)


def outputs(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix in (".h5", ".html")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_pipe_is_refused(folder, name):
    (folder / "corpus.txt").unlink()
    os.mkfifo(folder / "corpus.txt")
    ended = start(name, folder)
    assert ended.status == 2
    assert "corpus.txt can be read only once" in ended.refusal
    assert outputs(folder) == []


def when_it_loads(
    monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], None]
) -> None:
    """Have something happen between the two times that a command reads its corpus."""

    def changing(load: Callable[..., Any]) -> Callable[..., Any]:
        def act_and_load(*given: Any, **options: Any) -> Any:
            act()
            return load(*given, **options)

        return act_and_load

    module, loader = COMMANDS[name].module, COMMANDS[name].loader
    found = getattr(module, loader)
    if loader == "load":
        patched = changing(found)
    else:

        def patched(model: str) -> Any:
            encoder = found(model)
            return dataclasses.replace(encoder, load=changing(encoder.load))

    monkeypatch.setattr(module, loader, patched)


@pytest.mark.parametrize("change", ["longer", "shorter", "replaced"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_corpus_that_changes_meanwhile_is_noticed(folder, monkeypatch, name, change):
    def rewrite() -> None:
        lines = {"longer": LINES * 2, "shorter": LINES[:2]}.get(change, LINES[::-1])
        text = "\n".join(lines) + "\n"
        (folder / "corpus.txt").write_text(text, encoding="utf-8")

    when_it_loads(monkeypatch, name, rewrite)
    ended = start(name, folder)
    assert ended.status == 2
    assert "corpus.txt was changed while it was read" in ended.refusal
    assert outputs(folder) == []


# A page of contexts has no survey of its corpus to hold it against.
@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"contexts"}))
def test_a_corpus_that_is_touched_meanwhile_has_not_changed(folder, monkeypatch, name):
    # Of a field that is not the default one: it is read again as it was read.
    records = [json.dumps({"text": "other", "body": line}) for line in LINES]
    corpus = folder / "corpus.jsonl"
    corpus.write_text("\n".join(records) + "\n", encoding="utf-8")
    when_it_loads(monkeypatch, name, lambda: os.utime(corpus, (1, 1)))
    assert start(name, folder, corpus.name, "--field", "body").status == 0
