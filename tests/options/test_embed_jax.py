# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax`: every option that its help lists reaches what it is for."""

from pathlib import Path

import numpy as np
import pytest

from embed_jax.__main__ import main
from embed_jax.store import VectorStore
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
    "--sentences": Option("--sentences max", "vectors"),
    "--dtype": Option("--dtype float16", "dtype", to="float16"),
    # This process is the sixth of eight, if it asks.
    "--coordinator": Option("--coordinator auto", "parts", to=["5-of-8.h5"]),
    "--num-processes": Option(
        "--num-processes 2", "parts", "--process-id 0", ["0-of-2.h5"]
    ),
    "--process-id": Option(
        "--process-id 1", "parts", "--num-processes 2", ["1-of-2.h5"]
    ),
    "--compression": Option("--compression lzf", "compression", to="lzf"),
    "--resume": Option("--resume", "again", to="complete"),
    "--overwrite": Option("--overwrite", "again", to="the same as before"),
}
BERT, ELMO = (OPTIONS | TABLES[kind] for kind in ("bert", "elmo"))
CASES = [
    (kind, name) for kind, table in (("bert", BERT), ("elmo", ELMO)) for name in table
]
CLUSTER = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[001-008]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "0",
}


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
            line = [models[kind], str(corpus), "vectors.h5", *arguments, *one]
            line += [] if "--layers" in arguments else QUICKLY
            ran = run(main, line, folder)
            # A checksum of what the vectors are stands before the number.
            parts = [p.name.split("-", 1)[1] for p in folder.glob("*.parts/*.h5")]
            seen = {
                **ran._asdict(),
                **read(folder / "vectors.h5"),
                "parts": sorted(parts),
            }

            def run_again() -> str:
                again = run(main, line, folder)
                if again == ran:
                    return "the same as before"
                said = again.printed + again.refusal
                return "complete" if " complete" in said else said

            return Seen(seen | {"again": run_again})

        return observer(look, lambda: tmp_path_factory.mktemp("run"))

    with pytest.MonkeyPatch.context() as patch:
        for name, value in CLUSTER.items():
            patch.setenv(name, value)
        yield {kind: look_at(kind) for kind in models}


def read(path: Path) -> dict:
    """See what a store holds; nothing where there is none."""
    if not path.is_file():
        return {"words": None, "vectors": None}
    with VectorStore(path) as store:
        return {
            "words": store.words(slice(None)),
            "vectors": list(store),
            "dtype": store.dtype.name,
            "width": store.dim,
            "compression": store.vectors.compression,
        }


@pytest.mark.parametrize("table", [BERT, ELMO], ids=["bert", "elmo"])
def test_every_option_is_tried(table):
    check_entries(table, listed_options(main))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_option_changes_what_it_is_for(observers, kind, name):
    table = BERT if kind == "bert" else ELMO
    check_option(table[name], observers[kind])


@pytest.mark.parametrize(("kind", "given", "options"), CALLS)
def test_words_are_those_of_the_function(models, observers, kind, given, options):
    seen = observers[kind](given.split())
    package = PACKAGES[kind]
    params, tokenizer = package.load(models[kind])
    options = {"sentences": LINES, **options}
    expected = list(package.stream_words(params, tokenizer, **options))
    assert seen["words"] == [embedded.words for embedded in expected]
    for ours, theirs in zip(seen["vectors"], expected, strict=True):
        np.testing.assert_allclose(ours, theirs.vectors, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", PACKAGES)
def test_sentences_are_those_of_the_function(models, observers, kind):
    package = PACKAGES[kind]
    params, tokenizer = package.load(models[kind])
    expected = package.embed_sentences(params, tokenizer, LINES, "0", pool="max")
    found = np.concatenate(observers[kind](["--sentences", "max"])["vectors"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("given", "name"), [("none", None), ("gzip", "gzip")])
def test_vectors_are_compressed_as_told(observers, given, name):
    assert observers["bert"](["--compression", given])["compression"] == name
    assert observers["bert"]([])["compression"] == "gzip"


def test_words_beyond_the_end_are_zeros(observers):
    for kind, num_words in (("bert", 14), ("elmo", 16)):  # BERT has [CLS] and [SEP]
        arguments = "--long", "truncate", "--max-length", "16"
        last = observers[kind](list(arguments))["vectors"][-1]
        assert last.any(axis=1).tolist() == [True] * num_words + [False] * (
            48 - num_words
        )


@pytest.mark.parametrize(
    ("kind", "message"),
    [("bert", "sentence 4 has 50 tokens"), ("elmo", "sentence 4 has 48 words")],
)
def test_a_line_that_is_too_long_can_be_an_error(observers, kind, message):
    seen = observers[kind](["--long", "error", "--max-length", "16"])
    assert seen["status"] == 2
    assert seen["refusal"].startswith("embed_jax: ")
    assert message in seen["refusal"]
    assert seen["vectors"] is None


def test_a_bilm_refuses_neighbours(observers):
    seen = observers["elmo"](["--context", "3"])
    assert seen["status"] == 2
    assert "a biLM reads each sentence alone" in seen["refusal"]
