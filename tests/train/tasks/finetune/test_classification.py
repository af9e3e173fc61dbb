# SPDX-License-Identifier: Apache-2.0
"""Files of labelled texts as they are met, and what is wrong with them, by line."""

import zipfile

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.tasks.finetune.classification import (
    LabelledText,
    check_labels,
    read_pang_lee,
    read_text_splits,
    read_texts,
    split_texts,
    write_texts,
)
from train.tasks.finetune.scoring import score_labels


def read(tmp_path, content: bytes | str, name: str = "a.tsv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(text.label, text.text, text.pair) for text in read_texts(path)]


GOOD_BAD = [("good", "a film", None), ("bad", "an end", None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "good\ta film\nbad\tan end\n"),
        ("a.tsv", "\ufeffgood\ta film\r\n\r\nbad\tan end"),
        ("a.tsv", "sentence\tlabel\na film\tgood\nan end\tbad\n"),
        ("a.tsv", "idx\tText\tLabel\n0\ta film\tgood\n1\tan end\tbad\n"),
        ("a.csv", 'good,a film\n"bad","an end"\n'),
        ("a.csv", "label,text\ngood,a film\nbad,an end\n"),
    ],
)
def test_the_forms_that_are_met(tmp_path, name, content):
    assert read(tmp_path, content, name) == GOOD_BAD


def test_pairs_and_quotes(tmp_path):
    assert read(tmp_path, "yes\ta b\tc d\n") == [("yes", "a b", "c d")]
    assert read(tmp_path, "sentence1\tsentence2\tlabel\na\tb\tno\n") == [
        ("no", "a", "b")
    ]
    # Quotes mean nothing in TSV, and everything in CSV, line ends included.
    assert read(tmp_path, 'good\t"a\n') == [("good", '"a', None)]
    quoted = 'good,"a, ""b""\nc"\nbad,d\n'
    assert read(tmp_path, quoted, "a.csv") == [
        ("good", 'a, "b"\nc', None),
        ("bad", "d", None),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "good\ta\nbad\n", r"a\.tsv, line 2: 1 columns, and 2 before it"),
        ("a.tsv", "good\ta\n\nbad\tb\tc\n", r"a\.tsv, line 3: 3 columns"),
        ("a.tsv", "good\ta\n \tb\n", r"a\.tsv, line 2: no label"),
        ("a.tsv", "good\t \n", r"a\.tsv, line 1: a text of this line is empty"),
        ("a.tsv", "just words\n", r"a\.tsv, line 1: a label and 0 texts"),
        ("a.tsv", "a\tb\tc\td\n", r"a\.tsv, line 1: a label and 3 texts"),
        ("a.tsv", "", r"a\.tsv has no labelled line"),
        ("a.tsv", "label\ttext\n", r"a\.tsv has no labelled line"),
        ("a.tsv", b"good\ta\nbad\t\xff\n", r"a\.tsv, line 2: byte 5 .0xff."),
        ("a.csv", 'good,a\nbad,"b\n', r"a\.csv, line 2: unexpected end of data"),
        ("a.csv", 'good,"a\nb"\nbad,\n', r"a\.csv, line 3: a text of this line is"),
    ],
)
def test_a_bad_line_is_named(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content, name)


def test_splits_of_a_folder(tmp_path):
    for name in ("train.tsv", "dev.csv"):
        separator = "\t" if name.endswith("tsv") else ","
        (tmp_path / name).write_text(f"good{separator}a\nbad{separator}b\n")
    with pytest.raises(ValueError, match=r"has no test.tsv or test.csv"):
        read_text_splits(tmp_path, seed=0)
    (tmp_path / "test.tsv").write_text("good\ta\tb\n")
    with pytest.raises(ValueError, match="pairs in one file and single texts in ano"):
        read_text_splits(tmp_path, seed=0)
    (tmp_path / "test.tsv").write_text("good\ta\n")
    splits = read_text_splits(tmp_path, seed=0)
    assert {name: len(texts) for name, texts in splits.items()} == {
        "train": 2,
        "dev": 2,
        "test": 1,
    }
    (tmp_path / "test.csv").write_text("good,a\n")
    with pytest.raises(ValueError, match=r"has test.tsv and test.csv; keep one"):
        read_text_splits(tmp_path, seed=0)
    with pytest.raises(ValueError, match="no such folder"):
        read_text_splits(tmp_path / "absent", seed=0)


def test_labels_that_training_lacks(tmp_path):
    train = [LabelledText("good", "a"), LabelledText("bad", "b")]
    dev = [LabelledText("god", "c", place="dev.tsv, line 7")]
    assert check_labels({"train": train, "dev": train}) == ("bad", "good")
    with pytest.raises(
        ValueError, match=r'dev.tsv, line 7: label \'god\' of dev.*did you mean "good"'
    ):
        check_labels({"train": train, "dev": dev})
    with pytest.raises(ValueError, match="one label, 'good'"):
        check_labels({"train": train[:1]})


@given(st.integers(1, 400), st.integers(0, 5))
def test_a_division_loses_nothing_and_depends_on_the_seed_alone(number, seed):
    texts = [LabelledText("x", str(index)) for index in range(number)]
    splits = split_texts(texts, seed)
    joined = [text for part in splits.values() for text in part]
    assert sorted(joined, key=id) == sorted(texts, key=id)
    assert splits == split_texts(texts, seed)
    if number > 40:
        assert splits != split_texts(texts, seed + 1)
        assert abs(len(splits["train"]) - 0.8 * number) <= 1
        assert abs(len(splits["dev"]) - 0.05 * number) <= 1


def test_a_zip_file(tmp_path):
    path = tmp_path / "polarity.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/rt-polarity.neg", "dull .\nslow .\n")
        archive.writestr("x/rt-polarity.pos", "fun !\n")
    labels = [(text.label, text.text) for text in read_pang_lee(path)]
    assert labels == [
        ("negative", "dull ."),
        ("negative", "slow ."),
        ("positive", "fun !"),
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/rt-polarity.neg", "dull .\n")
    with pytest.raises(ValueError, match=r"has none of rt-polarity.neg, .*gt9.5000"):
        read_pang_lee(path)
    path.write_bytes(b"PK, but no zip")
    with pytest.raises(ValueError, match=r"polarity.zip is damaged"):
        read_pang_lee(path)


@pytest.mark.data
def test_the_real_ones(data_dir):
    folder = data_dir / "cls_pang_lee_cc_by"
    polarity = read_pang_lee(folder / "sentence_polarity.zip")
    assert [t.label for t in polarity].count("positive") == 5331 == len(polarity) / 2
    assert polarity[0].text == "simplistic , silly and tedious ."
    subjectivity = read_pang_lee(folder / "subjectivity.zip")
    assert [t.label for t in subjectivity].count("objective") == 5000
    assert len(subjectivity) == 10_000
    splits = split_texts(polarity, 0)
    assert [len(part) for part in splits.values()] == [8530, 533, 1599]


@pytest.mark.parametrize("pair", [None, "and b\there"])
def test_predictions_are_read_back(tmp_path, pair):
    texts = [LabelledText("good", "a\tfilm\n", pair), LabelledText("bad", '"c', pair)]
    path = tmp_path / "dev.tsv"
    write_texts(path, texts, ["bad", "bad"])
    lines = path.read_text().splitlines()
    tail = "" if pair is None else "\tand b here"
    assert lines[1:] == [f"good\tbad\ta film{tail}", f'bad\tbad\t"""c"{tail}']
    assert lines[0].startswith("label\tpredicted\ttext")
    assert pandas.read_csv(path, sep="\t").text.tolist() == ["a film", '"c']


@given(st.lists(st.tuples(*[st.sampled_from("abc")] * 2), min_size=1))
def test_scores_are_those_of_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    gold, predicted = zip(*pairs, strict=True)
    scores = score_labels(gold, predicted)
    expected = 100 * metrics.f1_score(gold, predicted, average="macro")
    assert scores["macro_f1"] == pytest.approx(expected)
    same = sum(a == b for a, b in pairs)
    assert scores["accuracy"] == pytest.approx(100 * same / len(pairs))
