# SPDX-License-Identifier: Apache-2.0
"""The commands with an ELMo as a user runs them: stopped and mistaken too."""

import csv
import itertools
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import h5py
import jax
import numpy as np
import pandas
import pytest

import elmo_jax
from elmo_jax import ElmoConfig
from elmo_jax import score as score_command
from elmo_jax.options import format_options
from elmo_jax.vocabulary import SPECIALS
from elmo_jax.weights import (
    encoder_tensors,
    softmax_tensors,
)
from embed_jax import __main__ as embed_command
from embed_jax.explore import word_types
from embed_jax.store import VectorStore
from tests.elmo_jax.batches import program_and_plan
from tests.elmo_jax.sentences import (
    ONE_BLOCK,
    VOCABULARY,
    make_params,
    make_tokenizer,
)
from tests.end_to_end.stopping import stopped_after

LINES = [
    "The bank of the river, we ran.",
    "",
    "the\tbank of x\\y",
    "Zürich\u2028 never ran .",
    "   ",
    "we",
    "The bank of the river, we ran.",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "elmo"
    params = make_params(ONE_BLOCK, len(VOCABULARY))
    elmo_jax.save(path, params, make_tokenizer(ONE_BLOCK))
    return path


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def score(*arguments) -> int:
    return score_command.main([*map(str, arguments), "--devices", "1"])


def embed(*arguments) -> int:
    return embed_command.main([*map(str, arguments), "--devices", "1"])


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def expected(model):
    """What the library makes of the lines."""
    params, tokenizer = elmo_jax.load(model)
    return list(elmo_jax.score_sentences(params, tokenizer, LINES))


def read_tsv(path) -> tuple[list[str], list[list[str]]]:
    text = path.read_bytes().decode()
    assert text.endswith("\n")
    # A row is a line, and read by Python's csv as it comes.
    header, *rows = csv.reader(text[:-1].split("\n"), delimiter="\t")
    assert all(len(row) == len(header) for row in rows)
    return header, rows


def printed(capsys) -> dict[str, float]:
    """The figures that the command printed."""
    text = capsys.readouterr().out
    assert "5 sentences, and 2 blank lines" in text
    found = re.search(
        r"perplexity: forward ([\d.]+), backward ([\d.]+), mean ([\d.]+), geometric "
        r"mean ([\d.]+); ([\d,]+) tokens .* (\d+) of them unknown",
        text,
    )
    assert found, text
    names = "forward", "backward", "mean", "geometric", "tokens", "unknown"
    return {
        name: float(value.replace(",", ""))
        for name, value in zip(names, found.groups(), strict=True)
    }


def check_printed(figures, forward: float, backward: float, tokens: int, unknown: int):
    """The sums of a file make the printed figures, to the three digits printed."""
    one, other = math.exp(-forward / tokens), math.exp(-backward / tokens)
    assert figures["forward"] == pytest.approx(one, abs=6e-4)
    assert figures["backward"] == pytest.approx(other, abs=6e-4)
    assert figures["mean"] == pytest.approx((one + other) / 2, abs=6e-4)
    assert figures["geometric"] == pytest.approx(math.sqrt(one * other), abs=6e-4)
    assert (figures["tokens"], figures["unknown"]) == (tokens, unknown)


def test_a_line_for_each_sentence(model, corpus, tmp_path, capsys, expected):
    output = tmp_path / "scores.tsv"
    assert score(model, corpus, output) == 0
    header, rows = read_tsv(output)
    columns = ["line", "tokens", "unknown", "forward_nats", "backward_nats", "text"]
    assert header == columns
    for number, (row, one) in enumerate(zip(rows, expected, strict=True), start=1):
        if not one.words:
            assert row == [str(number), "0", "0", "", "", ""]
            continue
        assert row[:3] == [
            str(number),
            str(len(one.words) + 1),
            str(sum(word not in VOCABULARY.ids for word in one.words)),
        ]
        # As exact as it is long: the sum is not rounded to float32.
        assert float(row[3]) == pytest.approx(one.forward.sum(dtype=float), abs=6e-7)
        assert float(row[4]) == pytest.approx(one.backward.sum(dtype=float), abs=6e-7)
    texts = [row[5] for row in rows]
    assert texts[0] == "The bank of the river , we ran ."
    assert texts[1] == texts[4] == ""
    assert texts[2] == "the bank of x \\ y"
    assert rows[0][1:] == rows[6][1:]
    total = [sum(float(row[column] or 0) for row in rows) for column in (1, 2, 3, 4)]
    check_printed(printed(capsys), total[2], total[3], total[0], total[1])
    assert names_in(tmp_path) == ["corpus.txt", "scores.tsv"]


def test_a_line_for_each_token(model, corpus, tmp_path, capsys, expected):
    output = tmp_path / "tokens.tsv"
    assert score(model, corpus, output, "--per", "token") == 0
    header, rows = read_tsv(output)
    columns = ["line", "position", "token", "unknown", "forward_nats", "backward_nats"]
    assert header == columns
    assert len(rows) == sum(len(one.words) + 2 for one in expected if one.words)
    start = 0
    for number, one in enumerate(expected, start=1):
        if not one.words:
            continue
        mine = rows[start : start + len(one.words) + 2]
        start += len(mine)
        columns = list(zip(*mine, strict=True))
        assert columns[0] == (str(number),) * len(mine)
        assert columns[1] == tuple(map(str, range(len(mine))))
        assert columns[2] == ("<S>", *one.words, "</S>")
        unknown = [str(int(word not in VOCABULARY.ids)) for word in one.words]
        assert columns[3] == ("0", *unknown, "0")
        assert (columns[4][0], columns[5][-1]) == ("", "")
        got = list(map(float, columns[4][1:])), list(map(float, columns[5][:-1]))
        np.testing.assert_allclose(got[0], one.forward, rtol=0, atol=6e-7)
        np.testing.assert_allclose(got[1], one.backward, rtol=0, atol=6e-7)
    forward, backward = (
        sum(float(row[column]) for row in rows if row[column]) for column in (4, 5)
    )
    num_tokens = sum(1 for row in rows if row[4])
    num_unknown = sum(row[3] == "1" for row in rows)
    check_printed(printed(capsys), forward, backward, num_tokens, num_unknown)


def test_json_lines_parse_back(model, corpus, tmp_path, capsys, expected):
    output = tmp_path / "scores.jsonl"
    assert score(model, corpus, output) == 0
    records = [json.loads(line) for line in output.read_bytes().split(b"\n")[:-1]]
    for number, (record, one) in enumerate(
        zip(records, expected, strict=True), start=1
    ):
        names = ["line", "words", "forward", "backward", "unknown", "units"]
        assert list(record) == names
        assert record["units"] == "nats"
        assert (record["line"], record["words"]) == (number, one.words)
        # float32 survives the text exactly.
        of_words = slice(None if one.words else 0)
        for name, scores in (("forward", one.forward), ("backward", one.backward)):
            np.testing.assert_array_equal(np.float32(record[name]), scores[of_words])
        assert record["unknown"] == one.unknown.tolist()
    sums = [
        math.fsum(v for r in records for v in r[k]) for k in ("forward", "backward")
    ]
    num_tokens = sum(len(record["forward"]) for record in records)
    num_unknown = sum(sum(record["unknown"]) for record in records)
    check_printed(printed(capsys), *sums, num_tokens, num_unknown)


def test_split_words_stay_as_they_are(model, corpus, tmp_path, expected):
    output = tmp_path / "scores.tsv"
    assert score(model, corpus, output, "--split") == 0
    _, rows = read_tsv(output)
    assert rows[2][5] == "the bank of x\\y"
    assert [row[1] for row in rows] == ["8", "0", "5", "5", "0", "2", "8"]
    # A single word is the same either way.
    assert float(rows[5][3]) == pytest.approx(expected[5].forward.sum())


def test_csv_and_pandas_read_the_words_that_were_written(model, tmp_path):
    """With their defaults: quotes, what looks missing, and what looks like a number."""
    corpus, output = tmp_path / "corpus.txt", tmp_path / "scores.tsv"
    lines = [
        '" No .',
        'He said " wait " \' and',
        "NA nan 007 null",
        '"',
        '1 "" \\t',
        "",
    ]
    corpus.write_text("\n".join(lines) + "\n")
    assert score(model, corpus, output, "--per", "token", "--split") == 0
    words = [["<S>", *line.split(), "</S>"] for line in lines if line]
    words = [word for of_line in words for word in of_line]
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["token"] for row in rows] == words
    read = pandas.read_csv(output, sep="\t")
    assert [*read.columns] == [*rows[0]]
    kept = [word for word in words if word not in ("NA", "nan", "null")]
    assert read.token.dropna().tolist() == kept
    assert len(read) == len(words)
    read = pandas.read_csv(output, sep="\t", keep_default_na=False, dtype=str)
    assert read.token.tolist() == words
    assert score(model, corpus, output, "--split", "--overwrite") == 0
    read = pandas.read_csv(output, sep="\t", keep_default_na=False)
    assert read.text.tolist() == lines


def test_a_table_between_commas_is_the_same_table(model, corpus, tmp_path):
    for name in ("scores.tsv", "scores.csv"):
        assert score(model, corpus, tmp_path / name, "--split") == 0
    tabs = pandas.read_csv(tmp_path / "scores.tsv", sep="\t")
    commas = pandas.read_csv(tmp_path / "scores.csv")
    assert commas.equals(tabs)
    assert [*commas.columns][3:] == ["forward_nats", "backward_nats", "text"]


def test_a_text_of_blank_lines_has_no_perplexity(model, tmp_path, capsys):
    corpus, output = tmp_path / "corpus.txt", tmp_path / "scores.tsv"
    corpus.write_text("\n \u3000\n")
    assert score(model, corpus, output) == 0
    out = capsys.readouterr().out
    assert "0 sentences, and 2 blank lines" in out
    assert "perplexity" not in out
    assert len(read_tsv(output)[1]) == 2


def test_boundaries_in_the_text_are_said(model, tmp_path, capsys):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("<S> the bank </S>\nthe river\n<S> we ran\n")
    assert score(model, corpus, tmp_path / "scores.tsv", "--split") == 0
    assert "2 sentences hold <S> or </S>" in capsys.readouterr().out


def test_all_devices_score_alike(model, corpus, tmp_path, expected):
    output = tmp_path / "scores.jsonl"
    assert score_command.main([str(model), str(corpus), str(output)]) == 0
    for line, one in zip(output.read_text().splitlines(), expected, strict=True):
        record = json.loads(line)
        expect = one.forward if one.words else []
        np.testing.assert_allclose(record["forward"], expect, atol=2e-6)


def test_an_empty_text_has_no_scores(model, tmp_path, capsys):
    corpus, output = tmp_path / "corpus.txt", tmp_path / "scores.tsv"
    corpus.write_bytes(b"")
    assert score(model, corpus, output) == 0
    assert read_tsv(output)[1] == []
    assert "0 sentences" in capsys.readouterr().out


def without(model, folder, *names):
    """Copy a model without some of its files."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns(*names))
    return folder


def test_what_cannot_be_scored_is_one_line(model, corpus, tmp_path, capsys):
    folder = tmp_path / "models"
    headless = without(model, folder / "headless", "softmax*")
    wordless = without(model, folder / "wordless", "vocab*")
    resized = without(model, folder / "resized")
    (resized / "checksums.json").unlink()
    words = resized / "vocab.txt"
    words.write_text(words.read_text() + "more\n")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"fine\n\xff\n")
    there = tmp_path / "there.tsv"
    there.write_text("precious")
    output = tmp_path / "scores.tsv"
    before = names_in(tmp_path)
    for arguments, message in [
        ((headless, corpus, output), "no softmax"),
        ((wordless, corpus, output), "no vocabulary"),
        ((resized, corpus, output), "vocab.txt has 12 words, but softmax/"),
        ((model, corpus, tmp_path / "a.txt"), "must end in .tsv, .csv or .jsonl"),
        ((model, corpus, there), "--overwrite replaces it"),
        # Found before the model is: it would take long to load.
        (("no/model", bad, output), "bad.txt, line 2"),
        (("no/model/here", corpus, output), "no such directory"),
        ((model, tmp_path / "no.txt", output), "no.txt"),
        ((model, corpus, tmp_path / "no" / "scores.tsv"), "no such directory"),
        ((model, corpus, output, "--token-budget", "0"), "at least 1"),
        ((model, corpus, output, "--softmax", tmp_path / "no.h5"), "no.h5"),
    ]:
        assert score(*arguments) == 2, arguments
        captured = capsys.readouterr()
        assert captured.err.splitlines()[-1].startswith("elmo_jax.score: ")
        assert message in captured.err, captured.err
        assert captured.err.count("\n") == 1
        assert "Traceback" not in captured.err
        assert names_in(tmp_path) == before
    assert there.read_text() == "precious"
    for number, message in (
        ("9", "--devices 9: here are 8"),
        ("0", "devices must be at least 1, not 0"),
    ):
        arguments = [str(model), str(corpus), str(output), "--devices", number]
        assert score_command.main(arguments) == 2
        assert message in capsys.readouterr().err


def test_an_existing_output_is_replaced_on_demand(model, corpus, tmp_path):
    output = tmp_path / "scores.tsv"
    assert score(model, corpus, output) == 0
    first = output.read_bytes()
    output.write_bytes(first.splitlines(keepends=True)[0])
    assert score(model, corpus, output, "--overwrite") == 0
    assert output.read_bytes() == first
    output.write_text("precious")
    assert score(model, corpus, output, "--overwrite") == 2
    assert output.read_text() == "precious"


def test_files_may_lie_elsewhere(model, corpus, tmp_path, expected):
    bare = without(model, tmp_path / "bare", "softmax*", "vocab*")
    output = tmp_path / "scores.tsv"
    given = "--softmax", model / "softmax_weights.hdf5"
    given += "--vocabulary", model / "vocab.txt"
    assert score(bare, corpus, output, *given) == 0
    _, rows = read_tsv(output)
    assert float(rows[0][3]) == pytest.approx(expected[0].forward.sum(), abs=1e-5)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_stopped_run_leaves_nothing(
    model, corpus, tmp_path, capsys, monkeypatch, overwrite
):
    output = tmp_path / "scores.tsv"
    if overwrite:
        assert score(model, corpus, output) == 0
    held = output.read_bytes() if overwrite else b""
    before = names_in(tmp_path)
    add = score_command.PerplexityMeter.add
    numbers = itertools.count(1)

    def stop_at_the_fourth(meter, one):
        add(meter, one)
        if next(numbers) == 4:
            assert names_in(tmp_path) != before  # so much was being written
            raise KeyboardInterrupt

    monkeypatch.setattr(score_command.PerplexityMeter, "add", stop_at_the_fourth)
    assert score(model, corpus, output, *["--overwrite"] * overwrite) == 130
    assert "stopped; nothing is kept" in capsys.readouterr().err
    assert names_in(tmp_path) == before
    if overwrite:
        assert output.read_bytes() == held


@pytest.mark.slow
def test_a_terminated_process_leaves_nothing(model, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the bank of the river\n" * 300_000)
    line = [sys.executable, "-m", "elmo_jax.score", model, corpus]
    with subprocess.Popen(
        [*map(str, line), str(tmp_path / "scores.tsv")],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not any(tmp_path.glob("scores.tsv.*.new")):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "nothing is kept" in error
    assert "Traceback" not in error
    assert names_in(tmp_path) == ["corpus.txt"]


def test_help_is_worth_reading():
    line = [sys.executable, "-m", "elmo_jax.score", "--help"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    for word in ("MODEL", "CORPUS", "OUTPUT", "--per", "--softmax", "geometric"):
        assert word in text


# The command that embeds, and the one of word types.


def test_words_are_embedded(model, corpus, tmp_path, capsys):
    output = tmp_path / "vectors.h5"
    assert embed(model, corpus, output, "--layers", "concat(all)") == 0
    assert "7 sentences, 32 wide" in capsys.readouterr().out
    params, tokenizer = elmo_jax.load(model)
    expected = elmo_jax.embed_words(params, tokenizer, LINES, "concat(all)")
    with VectorStore(output) as store:
        assert len(store) == len(LINES)
        for index, vectors in enumerate(expected):
            np.testing.assert_allclose(store[index], vectors, rtol=0, atol=1e-6)
        assert store.words(0) == [
            "The",
            *["bank", "of", "the", "river", ",", "we", "ran", "."],
        ]
        assert store.words(1) == store.words(4) == []


def test_split_words_are_embedded_as_they_are(model, corpus, tmp_path):
    output = tmp_path / "vectors.h5"
    arguments = "--layers", "concat(all)", "--split", "--words", "first_last"
    assert embed(model, corpus, output, *arguments) == 0
    lines = [line.split() for line in LINES]
    params, tokenizer = elmo_jax.load(model)
    expected = elmo_jax.embed_words(params, tokenizer, lines, "concat(all)")
    with VectorStore(output) as store:
        assert [store.words(index) for index in range(7)] == lines
        for index, vectors in enumerate(expected):
            doubled = np.concatenate([vectors, vectors], axis=-1)
            np.testing.assert_allclose(store[index], doubled, rtol=0, atol=1e-6)


def test_sentences_are_embedded(model, corpus, tmp_path):
    output = tmp_path / "vectors.h5"
    arguments = "--layers", "concat(all)", "--sentences", "mean"
    assert embed(model, corpus, output, *arguments) == 0
    params, tokenizer = elmo_jax.load(model)
    expected = elmo_jax.embed_sentences(params, tokenizer, LINES, "concat(all)")
    with VectorStore(output) as store:
        got = np.concatenate(list(store))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
        assert [text for (text,) in store.words(slice(None))] == LINES
    assert not got[[1, 4]].any()


def test_a_stopped_run_goes_on(model, tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(VOCABULARY.words, n)) for n in rng.integers(0, 12, 90)]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(lines) + "\n")
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    options = "--layers", "concat(all)", "--split"
    assert embed(model, corpus, whole, *options) == 0
    with stopped_after(40):
        assert embed(model, corpus, broken, *options) == 130
    assert "--resume" in capsys.readouterr().err
    assert embed(model, corpus, broken, *options) == 2
    assert "40 sentences" in capsys.readouterr().err
    assert embed(model, corpus, broken, *options, "--resume") == 0
    with VectorStore(whole) as a, VectorStore(broken) as b:
        assert a.words(slice(None)) == b.words(slice(None))
        for index in range(len(lines)):
            np.testing.assert_allclose(a[index], b[index], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--context", "3"], "a biLM reads each sentence alone"),
        (["--context", "document"], "a biLM reads each sentence alone"),
        (["--sentences", "cls"], "mean, max, mean_sqrt_len"),
        (["--token-budget", "0"], "token_budget must be at least 1"),
        (["--max-length", "0"], "max_length must be at least 1"),
        (["--layers", "2"], "0..1"),
    ],
)
def test_a_wrong_option_is_one_line(
    model, corpus, tmp_path, capsys, arguments, message
):
    output = tmp_path / "vectors.h5"
    assert embed(model, corpus, output, *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("embed_jax: ")
    assert message in error
    assert "Traceback" not in error
    assert not output.exists()
    # A mistake leaves nothing that the right command would stumble over.
    assert embed(model, corpus, output, "--layers", "concat(all)") == 0


def test_word_types_are_means_over_all_contexts(model, corpus, tmp_path):
    output = tmp_path / "types.h5"
    arguments = [model, corpus, output, "--layers", "concat(all)", "--devices", "1"]
    assert word_types.main(list(map(str, arguments))) == 0
    params, tokenizer = elmo_jax.load(model)
    stream = list(elmo_jax.stream_words(params, tokenizer, LINES, "concat(all)"))
    types = word_types.read_word_types(output)
    assert set(types.words) == {word for one in stream for word in one.words}
    for word, count, mean in zip(types.words, types.counts, types.mean, strict=True):
        mine = [
            vector
            for one in stream
            for text, vector in zip(one.words, one.vectors, strict=True)
            if text == word
        ]
        assert count == len(mine)
        np.testing.assert_allclose(mean, np.mean(mine, axis=0), rtol=0, atol=1e-6)


# The published size.

VOCAB_SIZE = 793_471
GIBIBYTE = 2**30


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Made-up weights of the published shapes, written a block at a time."""
    folder = tmp_path_factory.mktemp("published")
    config = ElmoConfig()
    (folder / "options.json").write_text(json.dumps(format_options(config, VOCAB_SIZE)))
    write_random(folder / "weights.hdf5", encoder_tensors(config))
    write_random(folder / "softmax_weights.hdf5", softmax_tensors(config, VOCAB_SIZE))
    with (folder / "vocab.txt").open("w") as file:
        file.writelines(f"{special}\n" for special in SPECIALS)
        file.writelines(f"word{number}\n" for number in range(VOCAB_SIZE - 3))
    yield folder
    shutil.rmtree(folder)


def write_random(path, tensors, rows: int = 8192):
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for tensor in tensors:
            dataset = file.create_dataset(tensor.name, tensor.shape, np.float32)
            flat = tensor.shape[0]
            for start in range(0, flat, rows):
                shape = min(rows, flat - start), *tensor.shape[1:]
                values = rng.random(shape, np.float32)
                dataset[start : start + rows] = 0.1 * values - 0.05


MEASURED = """
import json, resource, sys
import elmo_jax

def gibibytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

figures = {}
params, tokenizer = elmo_jax.load(sys.argv[1])
figures["load"] = gibibytes()
sentences = [["the", "bank", "of", "word7"], [], ["word700000"], ["unheard"] * 60]
vectors = elmo_jax.embed_words(params, tokenizer, sentences, "mean(all)")
figures["embed"] = gibibytes()
scores = list(elmo_jax.score_sentences(params, tokenizer, sentences))
figures["score"] = gibibytes()
figures["shapes"] = [list(v.shape) for v in vectors]
[context] = elmo_jax.embed_words(params, tokenizer, [["word700000"]])
figures["context"] = context.tolist()
figures["end"] = float(scores[2].forward[1])
figures["unknown"] = [int(score.unknown.sum()) for score in scores]
print(json.dumps(figures))
"""


@pytest.mark.slow
def test_the_published_model_loads_embeds_and_scores_within_8_gibibytes(published):
    process = subprocess.run(
        [sys.executable, "-c", MEASURED, str(published)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    figures = json.loads(process.stdout)
    print(figures)  # noqa: T201 (shown with -s, to be recorded)
    assert figures["shapes"] == [[4, 1024], [0, 1024], [1, 1024], [60, 1024]]
    assert figures["unknown"] == [3, 0, 0, 60]
    # What follows the word, over the whole vocabulary in float64.
    [context] = np.array(figures["context"])
    with h5py.File(published / "softmax_weights.hdf5") as file:
        logits = np.concatenate(
            [
                file["softmax/W"][start : start + 65536].astype(float) @ context[:512]
                for start in range(0, VOCAB_SIZE, 65536)
            ]
        )
        logits += file["softmax/b"][:]
    normaliser = logits.max() + np.log(np.exp(logits - logits.max()).sum())
    assert figures["end"] == pytest.approx(logits[1] - normaliser, abs=1e-5)
    assert max(figures[stage] for stage in ("load", "embed", "score")) < 8
    assert figures["load"] > 1.9  # it is all there


@pytest.mark.slow
@pytest.mark.parametrize("what", ["words", "scores"])
def test_no_batch_of_the_published_model_needs_more_than_8_gibibytes(what):
    """As the compiler lays it out: with the longest rows that are not read in parts.

    A quarter of the words are distinct; in English text of that length fewer are.
    """
    config = ElmoConfig()
    params = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, config, VOCAB_SIZE), jax.random.key(0)
    )
    # Neither what is compiled nor the batches depend on the size of a model.
    small = make_params(ONE_BLOCK, len(VOCABULARY)), make_tokenizer(ONE_BLOCK), []
    if what == "words":
        stream = partial(elmo_jax.stream_words, *small, "concat(all)")
        compute, plan = program_and_plan(elmo_jax.corpus, stream)
    else:
        stream = partial(elmo_jax.score_sentences, *small)
        compute, plan = program_and_plan(elmo_jax.scoring, stream)
    batch = max(plan([1024] * 64), key=lambda batch: batch.num_rows * batch.length)
    shape = batch.num_rows, batch.length
    struct = jax.ShapeDtypeStruct
    real = struct(shape, bool)
    types = struct((math.prod(shape) // 4, config.projection_dim), np.float32)
    tokens = elmo_jax.ElmoTokens(types, struct(shape, np.int32), real, real, real)
    dtype = np.dtype(np.float32)
    targets = struct((*shape, 3), np.int32) if what == "scores" else None
    heads = params.heads if what == "scores" else {}
    computed = jax.jit(partial(compute, dtype=dtype))
    lowered = computed.lower(params.replace(heads=heads), tokens, targets, None)
    memory = lowered.compile().memory_analysis()
    # Results of three batches wait while the fourth is computed.
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    needed += 4 * memory.output_size_in_bytes
    print(what, shape, needed / GIBIBYTE)  # noqa: T201
    assert needed < 7.5 * GIBIBYTE  # Python and its libraries take the rest
