# SPDX-License-Identifier: Apache-2.0
"""`python -m elmo_jax.score`: every option reaches what it is for."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import elmo_jax
from elmo_jax.score import main
from tests.elmo_jax.sentences import VOCABULARY
from tests.options.embedding import (
    LAYOUT,
    LINES,
    SPLIT_LINES,
    Seen,
    observer,
    run,
    save_model,
)
from tests.options.table import Option, check_entries, check_option, listed_options

OPTIONS = LAYOUT | {
    "--per": Option(
        "--per token",
        "columns",
        to="line position token unknown forward_nats backward_nats",
    ),
    "--units": Option(
        "--units bits",
        ("columns", "forward", "backward", "units"),
    ),
    "--softmax": Option("--softmax zeros.hdf5", "forward"),
    "--vocabulary": Option("--vocabulary rivers.txt", "unknown"),
    "--split": Option("--split", "words", to=SPLIT_LINES),
    "--compute": Option("--compute bfloat16", "forward"),
    # One row of 64 words at a time: 48 and 6 and 6 of them, then 5.
    "--token-budget": Option("--token-budget 64", "batches", to=[3, 1]),
    "--devices": Option("--devices 2", "devices", to=2),
    "--overwrite": Option("--overwrite", "again", to=0),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    path = Path(save_model("elmo", folder / "elmo"))
    # A softmax of zeros finds all words equally likely.
    zeros = folder / "zeros.hdf5"
    shutil.copy(path / "softmax_weights.hdf5", zeros)
    with h5py.File(zeros, "r+") as file:
        for name in ("softmax/W", "softmax/b"):
            file[name][...] = 0
    words = ["river" if word == "bank" else word for word in VOCABULARY.words]
    (folder / "rivers.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def observe(model, tmp_path_factory):
    corpus = model.parent / "corpus.txt"
    corpus.write_text("\n".join(LINES) + "\n", encoding="utf-8")

    def look(arguments: list[str], folder: Path):
        for name in ("zeros.hdf5", "rivers.txt"):
            (folder / name).symlink_to(model.parent / name)
        one = [] if "--devices" in arguments else ["--devices", "1"]
        line = [str(model), str(corpus), "scores.jsonl", *arguments, *one]
        ran = run(main, line, folder)
        if ran.status and {*arguments} & {*LAYOUT}:
            return Seen(ran._asdict())
        assert ran.status == 0, ran.refusal
        text = (folder / "scores.jsonl").read_text(encoding="utf-8")
        records = [json.loads(record) for record in text.splitlines()]

        def columns() -> str:
            table = [*line[:2], "scores.tsv", *line[3:]]
            if not (folder / "scores.tsv").exists():
                assert run(main, table, folder).status == 0
            with (folder / "scores.tsv").open(encoding="utf-8") as file:
                return " ".join(next(file).split())

        return Seen(
            **ran._asdict(),
            **{key: [record[key] for record in records] for key in records[0]},
            columns=columns,
            again=lambda: run(main, line, folder).status,
        )

    return observer(look, lambda: tmp_path_factory.mktemp("run"))


def test_every_option_is_tried():
    check_entries(OPTIONS, listed_options(main))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_what_it_is_for(observe, name):
    check_option(OPTIONS[name], observe)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("", {}),
        ("--split", {"sentences": SPLIT_LINES}),
        ("--compute bfloat16", {"dtype": "bfloat16"}),
    ],
)
def test_scores_are_those_of_the_function(model, observe, given, options):
    seen = observe(given.split())
    params, tokenizer = elmo_jax.load(model)
    arguments = {"sentences": LINES, **options}
    expected = elmo_jax.score_sentences(params, tokenizer, **arguments)
    for forward, backward, one in zip(
        seen["forward"], seen["backward"], expected, strict=True
    ):
        # A blank line is no sentence, and has no token in a file of scores.
        wanted = (one.forward, one.backward) if one.words else ([], [])
        np.testing.assert_allclose(forward, wanted[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(backward, wanted[1], rtol=0, atol=1e-5)


def test_a_softmax_of_zeros_finds_all_words_equally_likely(observe):
    seen = observe(["--softmax", "zeros.hdf5"])
    for scores in seen["forward"]:
        np.testing.assert_allclose(scores, -np.log(len(VOCABULARY)), atol=1e-6)


def test_bits_are_nats_by_the_logarithm_of_two(observe):
    nats, bits = observe([]), observe(["--units", "bits"])
    assert bits["columns"] == "line tokens unknown forward_bits backward_bits text"
    assert set(bits["units"]) == {"bits"}
    for name in ("forward", "backward"):
        for one, other in zip(nats[name], bits[name], strict=True):
            np.testing.assert_allclose(np.array(other) * np.log(2), one, rtol=1e-6)
    assert nats["printed"] == bits["printed"]  # perplexities have no units


def test_another_vocabulary_knows_other_words(observe):
    words, known = observe([])["words"][0], VOCABULARY.ids
    assert words == ["we", "sat", "by", "the", "river", "bank"]
    unknown = [word not in known for word in words]
    assert observe([])["unknown"][0] == unknown == [0, 1, 1, 0, 1, 0]
    other = observe(["--vocabulary", "rivers.txt"])["unknown"][0]
    assert other == [0, 1, 1, 0, 0, 1]
