# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.contexts` as a user runs it, with a BERT and with an ELMo."""

import json
import re

import numpy as np
import pytest

import bert_jax
import elmo_jax
from embed_jax.explore.contexts import command as command
from embed_jax.explore.contexts.embedding import embed_contexts, plan_layers
from embed_jax.explore.contexts.occurrences import WordForms
from embed_jax.layers.layer_spec import parse_layer_spec
from tests.embed_jax.explore.contexts.models import LINES, save_bert, save_elmo

MODELS = {
    "bert": (bert_jax.ENCODER, save_bert),
    "elmo": (elmo_jax.ENCODER, save_elmo),
}


@pytest.fixture(scope="module", params=list(MODELS))
def model(request, tmp_path_factory):
    encoder, save = MODELS[request.param]
    path = tmp_path_factory.mktemp("models") / request.param
    save(path)
    return encoder, str(path)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bert"
    save_bert(path)
    return str(path)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def run(*arguments) -> int:
    try:
        return command.main([str(argument) for argument in arguments])
    except SystemExit as end:  # for an option without a meaning
        return int(end.code or 0)


def read_data(page):
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script id="data".*?>(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("layers", ["last", "sum(first,last)"])
def test_every_layer_of_a_word_is_what_the_encoder_gives(model, layers):
    encoder, path = model
    params, tokenizer = encoder.load(path)
    spec = parse_layer_spec(layers)
    plan = plan_layers(encoder, params, spec, "first")
    embedded = embed_contexts(
        encoder,
        params,
        tokenizer,
        plan,
        WordForms(("bank",)),
        list(enumerate(LINES)),
        query="we sat by the bank of the bank",
    )
    assert [context.line for context in embedded.contexts] == [1, 3, 5, 5, 6, 8]
    assert embedded.query is not None
    assert embedded.query.before == "we sat by the "
    names = ["layer 0", "layer 1", "layer 2"]
    combined = [] if layers == "last" else [layers]
    assert [view.name for view in embedded.views] == names + combined
    specs = ["0", "1", "2", *combined]
    sentences = [LINES[0], LINES[4]]
    for view, each in zip(embedded.views, specs, strict=True):
        expected = []
        for found in encoder.stream_words(params, tokenizer, sentences, each):
            places = [i for i, w in enumerate(found.words) if w.lower() == "bank"]
            expected += [found.vectors[place] for place in places]
        np.testing.assert_allclose(view.vectors[[0, 2, 3]], expected, atol=1e-5)
    chosen = specs[embedded.chosen]
    assert chosen == {"last": "2"}.get(layers, layers)


def test_a_page_and_lists_are_written(model, corpus, tmp_path, capsys):
    page = tmp_path / "bank.html"
    arguments = [model[1], corpus, "--word", "bank", "--word", "banks"]
    arguments += ["--query", "money, by the bank", "--clusters", 2, "--count", 3]
    assert run(*arguments, "--output", page) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == (
        f"bank, banks in {corpus}: 7 contexts on 6 lines; by layer 2"
    )  # "embankment" is none of them
    assert output[2] == "nearest to  money, by the [bank]"
    cosines = [float(line.split()[0]) for line in output[3:6]]
    assert cosines == sorted(cosines, reverse=True)
    assert output[7].startswith("2 clusters, silhouette ")
    data = read_data(page)
    assert data["line"] == [1, 3, 5, 5, 6, 7, 8]
    assert len(data["views"]) == 3
    assert data["query"] == ["money, by the ", "bank", ""]
    assert sorted(set(data["cluster"])) == [0, 1]
    assert run(*arguments, "--output", page) == 2
    assert "--overwrite" in capsys.readouterr().err
    before = page.read_bytes()
    assert run(*arguments, "--output", page, "--overwrite") == 0
    assert page.read_bytes() == before


def test_without_query_and_page_the_contexts_are_listed(bert, corpus, capsys):
    assert run(bert, corpus, "--word", "bank", "--clusters", 1, "--split") == 0
    output = capsys.readouterr().out
    assert "nearest" not in output
    assert "cluster 1, 6 contexts" in output
    assert "We sat by the [bank,] by the water" in output


def test_contexts_over_the_limit_are_sampled_evenly(bert, corpus, tmp_path, capsys):
    page = tmp_path / "bank.html"
    options = ["--max-contexts", 3, "--output", page]
    assert run(bert, corpus, "--word", "bank", *options) == 0
    assert "sampled evenly from the 5 lines" in capsys.readouterr().out
    data = read_data(page)
    assert len(data["line"]) == 3
    assert "sampled evenly" in data["sampling"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--word", "bnak"], 'no word bnak; near ones that it has: "bank" ('),
        (["--word", "bank", "--query", "a river"], "--query lacks the word bank"),
        (["--word", "two words"], "is not one word"),
        (["--word", "bank", "--layers", "7"], "7"),
        (["--word", "bank", "--layers", "lust"], "last"),
        (["--word", "bank", "--max-contexts", "0"], "max_contexts must be at least 1"),
        (
            ["--word", "bank", "--max-contexts", "5001"],
            "max_contexts must be",
        ),
        (["--word", "bank", "--clusters", "0"], "clusters must be at least 1, not 0"),
        (["--word", "bank", "--clusters", "99"], "99 clusters"),
        (["--word", "bank", "--output", "no/such/folder.html"], "no such directory"),
    ],
)
def test_what_is_wrong_is_one_line(bert, corpus, capsys, arguments, message):
    assert run(bert, corpus, *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("embed_jax.contexts: ")
    assert message in error


def test_so_many_contexts_may_be_asked_for(bert, corpus, capsys):
    assert run(bert, corpus, "--word", "bank", "--max-contexts", "5000") == 0
    assert "6 contexts on 5 lines" in capsys.readouterr().out


def test_unknown_models_and_missing_files_are_one_line(tmp_path, corpus, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    assert run(tmp_path, corpus, "--word", "bank") == 2
    assert "no installed encoder reads model type" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "absent.txt", "--word", "bank") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_word_that_the_tokeniser_never_splits_off_is_told(bert, tmp_path, capsys):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the river-bank/side\n")
    assert run(bert, corpus, "--word", "bank", "--split") == 2
    assert "only inside of longer words" in capsys.readouterr().err
