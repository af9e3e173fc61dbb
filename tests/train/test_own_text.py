# SPDX-License-Identifier: Apache-2.0
"""People's own text for every configuration, whatever source it names."""

import json
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.train.experiments import write_corpus
from train.config import NoOptions, config_names, experiment_named, read_command
from train.data.prepared import check_prepared
from train.data.sources import (
    DocstringSource,
    RecordSource,
    TextSource,
    TfdsSource,
    open_documents,
)
from train.data.store import TokenStore
from train.prepare import main


def read(*arguments: str):
    return read_command(list(arguments), "prog", NoOptions, "What it does.")[1]


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_takes_text_of_any_kind(name):
    model = experiment_named(name).model
    directories = set()
    for arguments, source in {
        "--text novels/*.txt": TextSource(patterns=("novels/*.txt",), form="prose"),
        "--text a.txt.gz b.txt --form documents": TextSource(
            patterns=("a.txt.gz", "b.txt"), form="documents"
        ),
        "--text a.jsonl.zst --field body": RecordSource(
            patterns=("a.jsonl.zst",), field="body"
        ),
        "--text *.parquet": RecordSource(patterns=("*.parquet",)),
        "--text texts/* --field body": RecordSource(
            patterns=("texts/*",), field="body"
        ),
        "--tfds imdb --field review": TfdsSource(name="imdb", feature="review"),
        "--docstrings": DocstringSource(),
    }.items():
        experiment = read(name, *arguments.split())
        assert experiment.data.source == source
        assert experiment.model == model
        # What was chosen for the configuration's own text is not for this one.
        assert experiment.data.held_out_every == 20
        assert getattr(experiment.data, "split", "moses") == "moses"
        directories.add(experiment.data.directory)
    # And what was prepared of that is not replaced.
    assert len(directories) == 7
    assert experiment_named(name).data.directory not in directories


def test_options_of_the_source_are_those_of_the_one_that_is_given():
    experiment = read(
        *("bert_small", "--data.source.field", "body", "--text", "a.jsonl"),
        *("--data.directory", "here", "--data.held-out-every", "7"),
    )
    assert experiment.data.source == RecordSource(patterns=("a.jsonl",), field="body")
    assert experiment.data.directory == Path("here")
    assert experiment.data.held_out_every == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--text a.txt --docstrings", "--text and --docstrings: give one"),
        ("--field body", "--field is of --text or --tfds"),
        ("--docstrings --form prose", "--form is of --text or --tfds"),
        ("--text a.jsonl b.txt", "a.jsonl is of records and b.txt of lines"),
        # As where a variable of the shell is empty: not the configuration's own text.
        ("--text", "--text: expected at least one argument"),
        ("--text a.jsonl --field ''", "--field is empty; name one"),
        ("--tfds ''", "--tfds is empty; name one"),
    ],
)
def test_options_that_contradict_each_other_or_lack_a_value_are_refused(
    arguments, message
):
    with pytest.raises(ValueError, match=message):
        read("elmo_tiny", *shlex.split(arguments))


def write_records(path: Path, texts: list[str]) -> None:
    rows = [{"id": number, "body": text} for number, text in enumerate(texts)]
    if ".jsonl" in path.name:
        content = "\n".join(map(json.dumps, rows)).encode()
    else:
        sink = pa.BufferOutputStream()
        pa.parquet.write_table(pa.Table.from_pylist(rows), sink)
        content = sink.getvalue().to_pybytes()
    if path.suffix == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst", "a.parquet"])
def test_each_record_is_a_document_in_sentences(tmp_path, name):
    texts = ["Mr. Hall came in.\nHe sat.", "  ", "No walrus sat."]
    write_records(tmp_path / name, texts)
    patterns = (str(tmp_path / "a.*"),)
    source = RecordSource(patterns=patterns, field="body")
    documents = open_documents(source, tmp_path / "made")
    held = [documents[index] for index in range(len(documents))]
    assert held == [["Mr. Hall came in.", "He sat."], ["No walrus sat."]]
    with pytest.raises(ValueError, match=r"no field 'text'; .*fields: id, body"):
        open_documents(RecordSource(patterns=patterns), tmp_path / "other")
    with pytest.raises(ValueError, match=r"holds records.*--field text"):
        open_documents(TextSource(patterns=patterns), tmp_path / "other")


@pytest.mark.usefixtures("sigterm_as_before")
@pytest.mark.parametrize("config", ["elmo_small", "bert_small"])
def test_a_published_configuration_is_prepared_of_own_text(
    tmp_path, monkeypatch, capsys, config
):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "text", 4)
    texts = (tmp_path / "text").read_text(encoding="utf-8").split("\n\n")
    write_records(tmp_path / "crawl.parquet", texts)
    asked = "--text crawl.parquet --field body --data.num-workers 1"
    assert main([config, *asked.split()]) == 0
    said = capsys.readouterr().out
    # Three documents are fewer than the default holds out of, and that is said.
    assert "no text is held out: of 4 documents none is the 20th" in said
    *_, command = said.splitlines()
    assert command == f"now: python -m train.pretrain {config} {asked} --workdir RUN"
    experiment = read(*shlex.split(command.split("train.pretrain ")[1])[:-2])
    check_prepared(experiment.data)
    assert experiment.data.directory.parts[:1] == ("data",)
    assert experiment.data.directory.name.startswith(f"{config}-crawl-")
    assert TokenStore.open(experiment.data.directory / "train").num_documents == 4
