# SPDX-License-Identifier: Apache-2.0
import gzip
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given

from train.data import builders
from train.tasks.data import conll
from train.tasks.data.conll import (
    TaggedSentence,
    find_split,
    read_conll,
    read_splits,
    write_conll,
)
from train.tasks.data.tagged_datasets import read_tfds
from train.tasks.spans import to_bio

BIO = ("B-PER", "I-PER", "O", "B-LOC")


def _file(tmp_path: Path, text: str | bytes, name: str = "train.conll") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "Ann\tB-PER\nLee\tI-PER\nin\tO\nUlm\tB-LOC\n",
        "Ann B-PER\nLee I-PER\nin O\nUlm B-LOC",
        "Ann I-PER\nLee I-PER\nin O\nUlm I-LOC\n\n\n",
        "Ann\tB-PER\r\nLee\tE-PER\r\nin\tO\r\nUlm\tS-LOC\r\n\r\n",
        "Ann  NNP B-NP  B-PER\nLee NNP I-NP L-PER\nin IN O O\nUlm NNP B-NP U-LOC\n",
        "\ufeff# text = Ann Lee in Ulm\nAnn\tB-PER\nLee\tI-PER\nin\tO\nUlm\tB-LOC\n",
        "Ann\tB-PER \r\nLee\tI-PER\r\nin\tO\r\nUlm\tB-LOC\r\n\t\r\n",
        "-DOCSTART- (1 DPA)\n\nAnn\tI-PER\nLee\tI-PER\nin\tO\nUlm\tI-LOC\n",
        "# id 1 O\n# text\nAnn\tI-PER\nLee\tI-PER\nin\tO\nUlm\tI-LOC\n",
        "-DOCSTART- -X- O O\n \nAnn N C I-PER\nLee N C I-PER\nin N C O\nUlm N C I-LOC",
    ],
)
def test_one_sentence_in_many_forms(tmp_path: Path, text: str):
    (sentence,) = read_conll(_file(tmp_path, text))
    assert sentence.words == ("Ann", "Lee", "in", "Ulm")
    assert sentence.tags == BIO
    assert sentence.document == 0


def test_documents_and_lines(tmp_path: Path):
    text = "-DOCSTART-\tO\n\na\tO\n\nb\tO\n\n-DOCSTART-\tO\n\n# newdoc id = x\nc\tO\n"
    sentences = read_conll(_file(tmp_path, text))
    assert [sentence.document for sentence in sentences] == [0, 0, 1]
    assert [sentence.line for sentence in sentences] == [3, 5, 10]


def test_what_looks_odd_but_is_a_word(tmp_path: Path):
    text = "#\tO\n#tag\tB-A\n\u00a0x\tO\na b\tO\n\u2028y\tO\n"
    (sentence,) = read_conll(_file(tmp_path, text))
    assert sentence.words == ("#", "#tag", "\u00a0x", "a b", "\u2028y")


def test_tags_that_are_no_spans(tmp_path: Path):
    path = _file(tmp_path, "Dogs\tNOUN\tNNS\tdog\nbark\tVERB\tVBP\tbark\n")
    (sentence,) = read_conll(path, column=1, scheme="none")
    assert sentence.tags == ("NOUN", "VERB")


@pytest.mark.parametrize("separator", ["\t", " "])
def test_comments_are_no_words_whatever_tags_are(tmp_path: Path, separator: str):
    word = separator.join(["#", "SYM", "NN", "#"])
    text = f"# newdoc\n# sent_id = 7\n{word}\n\n# newdoc id = b\n# text = #\n{word}\n"
    first, second = read_conll(_file(tmp_path, text), column=1, scheme="none")
    assert first == (("#",), ("SYM",), 3, 0)
    assert second == (("#",), ("SYM",), 7, 1)


def test_a_file_of_hashtags(tmp_path: Path):
    (sentence,) = read_conll(_file(tmp_path, "# by me\n#a\tO\n#\tB-X\n"))
    assert sentence == (("#a", "#"), ("O", "B-X"), 2, 0)


def test_compressed(tmp_path: Path):
    path = _file(tmp_path, gzip.compress(b"a\tB-X\n"), "train.conll.gz")
    assert read_conll(path)[0].tags == ("B-X",)


def test_a_tag_without_a_word_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = _file(tmp_path, "\tO\na\tO\nb\tB-X\n\n\tO\n\nc\tO\n")
    assert read_conll(path) == [
        (("a", "b"), ("O", "B-X"), 2, 0),
        (("c",), ("O",), 7, 0),
    ]
    assert f"{path}:1" in caplog.text
    assert f"{path}:5" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tO\nb\n", r":2: 1 column where the file's first word has 2: 'b'"),
        ("a\tO\nb\tO\tO\n", r":2: 3 columns"),
        ("a\tO\n\nb\tX-PER\n", r":3: 'X-PER' is no tag of a span"),
        ("a\tB-\n", r":1: 'B-' is no tag"),
        ("a\n", r":1: one column"),
        ("a\tO\n\tB-X\n", r":2: no word"),
        ("#a\tO\n#b\tX-X\n#c\tO\td\ne\n", r":4: one column"),
        ("a\t\n", r":1: no tag"),
        ("Dogs O\n\nbark\tO\n", r":3: 1 column .* separate them by spaces"),
        (b"a\tO\n\xff\tO\n", r"line 2: byte 1 \(0xff\) is not UTF-8"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str | bytes, message: str):
    with pytest.raises(ValueError, match=message):
        read_conll(_file(tmp_path, text))


def test_a_column_that_is_not_there(tmp_path: Path):
    with pytest.raises(ValueError, match="no column 5 for tags; there are 2"):
        read_conll(_file(tmp_path, "a\tO\n"), column=5)


def test_splits_by_their_usual_names(tmp_path: Path):
    for name in ("eng.train", "valid.txt", "testb"):
        _file(tmp_path, "a\tO\n", name)
    assert {name: len(split) for name, split in read_splits(str(tmp_path)).items()} == {
        "train": 1,
        "dev": 1,
        "test": 1,
    }
    (tmp_path / "test").mkdir()
    _file(tmp_path, "a\tO\n", "test.conll")
    with pytest.raises(ValueError, match=r"2 files for test: test.conll, testb"):
        find_split(tmp_path, "test")
    (tmp_path / "valid.txt").unlink()
    with pytest.raises(ValueError, match="no file for dev: dev or valid"):
        read_splits(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_splits(str(tmp_path / "absent"))
    _file(tmp_path, "", "dev.txt")
    (tmp_path / "testb").unlink()
    with pytest.raises(ValueError, match="the dev split has no sentences"):
        read_splits(str(tmp_path))


words = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\0"), min_size=1),
    st.sampled_from(
        ["#", "# newdoc", "#a", "-DOCSTART", "\ufeff", "a b", " c ", "\xa0d"]
    ),
).filter(lambda word: word.strip() and word.split(maxsplit=1)[0] != "-DOCSTART-")
tagged = st.lists(
    st.tuples(words, st.sampled_from(["O", "B-X", "I-X", "B-Y-Z"])), min_size=1
)


@pytest.mark.parametrize("with_documents", [True, False])
@given(st.lists(st.tuples(tagged, st.booleans()), min_size=1, max_size=5))
def test_what_is_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, with_documents: bool, corpus
):
    path = tmp_path_factory.mktemp("conll") / "a.conll"
    texts = [[word for word, _ in sentence] for sentence, _ in corpus]
    tags = [[tag for _, tag in sentence] for sentence, _ in corpus]
    documents = np.cumsum([new for _, new in corpus])
    documents = (with_documents * (documents - documents[0])).tolist()
    others = [[tag[::-1] for tag in sentence] for sentence in tags]
    write_conll(
        path, texts, others, tags, documents=documents if with_documents else None
    )
    back = read_conll(path, scheme="none")
    assert [list(sentence.words) for sentence in back] == texts
    assert [list(sentence.tags) for sentence in back] == tags
    assert [sentence.document for sentence in back] == documents
    assert [sentence.tags for sentence in read_conll(path)] == [*map(to_bio, tags)]
    back = read_conll(path, column=1, scheme="none")
    assert [list(sentence.tags) for sentence in back] == others


def test_a_first_word_that_looks_like_a_byte_order_mark(tmp_path: Path):
    write_conll(tmp_path / "a", [["\ufeffa", "b"]], [["O", "B-X"]])
    assert read_conll(tmp_path / "a")[0].words == ("\ufeffa", "b")


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ([["a\tb"]], [["O"]], "sentence 0: .* cannot be a line"),
        ([["a"], ["-DOCSTART-"]], [["O"], ["O"]], "sentence 1: .* cannot be a line"),
        ([["a"]], [["O "]], "sentence 0: .* cannot be a line"),
        ([["\u3000"]], [["O"]], "sentence 0: .* cannot be a line"),
        ([["a"], []], [["O"], []], r"sentence 1 has columns of \[0, 0\] words"),
        ([["a"]], [["O", "O"]], r"sentence 0 has columns of \[1, 2\] words"),
        ([["a"], ["b"]], [["O"]], r"columns of \[1, 2\] sentences"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, words, tags, message: str):
    with pytest.raises(ValueError, match=message):
        write_conll(tmp_path / "a", words, tags)
    assert not list(tmp_path.iterdir())


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (
            "ner_wnut17",
            {
                "train": (3394, 62730, 1975),
                "dev": (1009, 15733, 836),
                "test": (1287, 23394, 1079),
            },
        ),
        (
            "ner_btc",
            {
                "train": (6338, 99933, 8779),
                "dev": (1000, 15023, 1730),
                "test": (2001, 35425, 4376),
            },
        ),
    ],
)
def test_real_files_have_their_published_counts(data_dir: Path, name: str, counts):
    for split, sentences in read_splits(str(data_dir / name)).items():
        found = (
            len(sentences),
            sum(len(sentence.words) for sentence in sentences),
            sum(tag[0] == "B" for sentence in sentences for tag in sentence.tags),
        )
        assert found == counts[split]


@pytest.mark.data
@pytest.mark.slow
def test_real_parts_of_speech_have_their_published_counts(data_dir: Path):
    folder = data_dir / "pos_ud_english_ewt"
    for split, counts in {
        "train": (12_544, 204_577),
        "dev": (2_001, 25_147),
        "test": (2_077, 25_094),
    }.items():
        read = read_conll(folder / f"{split}.tsv", column=1, scheme="none")
        assert (len(read), sum(len(sentence.words) for sentence in read)) == counts
        assert len({tag for sentence in read for tag in sentence.tags}) == 17


class Toy(tfds.core.GeneratorBasedBuilder):
    """Sentences with names, in the form of conll2003."""

    VERSION = tfds.core.Version("1.0.0")
    LABELS = ("O", "B-PER", "I-PER")
    SPLITS = ("train", "dev", "test")

    def _info(self):
        labels = tfds.features.ClassLabel(names=self.LABELS)
        features = {
            "tokens": tfds.features.Sequence(tfds.features.Text()),
            "ner": tfds.features.Sequence(labels),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in self.SPLITS}

    def _generate_examples(self, split):
        yield 0, {"tokens": [split, "Lee"], "ner": [2, 2]}
        yield 1, {"tokens": [" ", "é", " ", "Ö"], "ner": [1, 0, 1, 2]}
        yield 2, {"tokens": [], "ner": []}


class ToyOfLabels(Toy):
    LABELS = ("O", "PER", "I-PER")


class ToyWithoutTest(Toy):
    SPLITS = ("train", "dev")


def test_tfds_in_the_form_of_conll2003(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Toy(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    read = read_tfds("toy", str(tmp_path))
    assert sorted(read["dev"]) == [
        (("dev", "Lee"), ("I-PER", "I-PER")),
        (("é", "Ö"), ("O", "I-PER")),
    ]
    monkeypatch.setattr(conll, "read_tfds", lambda name: read_tfds(name, str(tmp_path)))
    splits = read_splits("tfds:toy")
    assert sorted(sentence[:2] for sentence in splits["test"]) == [
        (("test", "Lee"), ("B-PER", "I-PER")),
        (("é", "Ö"), ("O", "B-PER")),
    ]
    assert [sentence.document for sentence in splits["test"]] == [0, 1]
    with pytest.raises(ValueError, match="TFDS has prepared no such data set here"):
        read_tfds("conll2003", str(tmp_path))


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (ToyOfLabels, "'PER' of 'ner' is no tag of a span"),
        (ToyWithoutTest, "has no test split; it has"),
    ],
)
def test_what_tfds_has_in_another_form(
    tmp_path: Path, builder: type[Toy], message: str
):
    made = builder(data_dir=tmp_path, file_format="array_record")
    made.download_and_prepare()
    with pytest.raises(ValueError, match=message):
        read_tfds(made.name, str(tmp_path))


def test_other_file_formats_are_told_how_to_convert(tmp_path: Path):
    builders.build(tmp_path / "text/1.0.0", ["a"], "Prose.")
    info = tmp_path / "text/1.0.0/dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(ValueError, match="cannot be read at random; run tfds build te"):
        read_tfds("text", str(tmp_path))


def test_other_features_are_named(tmp_path: Path):
    builders.build(tmp_path / "text/1.0.0", ["a"], "Prose.")
    with pytest.raises(ValueError, match=r"text has no feature 'tokens'"):
        read_tfds("text", str(tmp_path))


CONLL_U = """\
# newdoc id = a
1-2\tal\t_\t_\t_\t_\t_\t_\t_\t_
1\ta\ta\tADP\t_\t_\t3\tcase\t_\tO
2\tel\tel\tDET\t_\t_\t3\tdet\t_\tB-LOC
3\tMar\tmar\tNOUN\t_\t_\t0\troot\t_\tI-LOC
3.1\tva\tir\tVERB\t_\t_\t_\t_\t_\t_

# newdoc id = b
1\tSí\tsí\tINTJ\t_\t_\t0\troot\t_\tO
"""


def test_the_words_of_conll_u_are_those_that_are_tagged(tmp_path):
    """The parts of a contraction, and no empty node; the tags are the last column."""
    path = _file(tmp_path, CONLL_U)
    assert read_conll(path) == [
        TaggedSentence(("a", "el", "Mar"), ("O", "B-LOC", "I-LOC"), 3, 0),
        TaggedSentence(("Sí",), ("O",), 9, 1),
    ]
    first, second = read_conll(path, column="UPOS", word_column="LEMMA", scheme="none")
    assert (first.words, first.tags) == (("a", "el", "mar"), ("ADP", "DET", "NOUN"))
    assert second.words == ("sí",)
    with pytest.raises(ValueError, match=r"no column 'UPO'; columns: ID, FORM"):
        read_conll(path, column="UPO")
    with pytest.raises(ValueError, match=r":3: column 2 cannot be that of the words"):
        read_conll(path, column="FORM")
    with pytest.raises(ValueError, match=r":3: 'ADP' is no tag of a span"):
        read_conll(path, column="4")


def test_tags_may_be_values_in_a_column(tmp_path):
    """As name=B-PER in MISC, where a word that is no name has none."""
    rows = ("Ann\tname=B-PER|SpaceAfter=No", "Lee\tname=I-PER", "ran\t_", ".\tSpell=x")
    lines = [
        f"{number}\t{word}\t_\t_\t_\t_\t_\t_\t_\t{misc}\n"
        for number, (word, misc) in enumerate((row.split("\t") for row in rows), 1)
    ]
    path = _file(tmp_path, "".join(lines))
    (sentence,) = read_conll(path, column="misc:name")
    assert sentence.words == ("Ann", "Lee", "ran", ".")
    assert sentence.tags == ("B-PER", "I-PER", "O", "O")


def test_columns_of_words_and_tags_are_counted_from_1(tmp_path):
    path = _file(tmp_path, "# one\n1 EU B-ORG -\n2 # O -\n# 1 2 3\n")
    (sentence,) = read_conll(path, column="3", word_column="2")
    assert sentence.words == ("EU", "#")
    assert sentence.tags == ("B-ORG", "O")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_table_in_another_encoding_is_named(tmp_path, encoding):
    path = tmp_path / "train.conll"
    path.write_bytes("EU\tB-ORG\nrejects\tO\n".encode(encoding))
    with pytest.raises(ValueError, match=r"train.conll is not text .* but UTF-16"):
        read_conll(path)


def test_numbers_before_the_words_are_no_words(tmp_path):
    """GermEval's form: number, word, tags, tags within others."""
    text = "1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n\n1\tJa\tO\tO\n"
    path = _file(tmp_path, text, "train.tsv")
    with pytest.raises(ValueError, match="the first column counts the words"):
        read_conll(path)
    first, second = read_conll(path, word_column="2", column="3")
    assert (first.words, first.tags) == (("Schartau", "sagte"), ("B-PER", "O"))
    assert second.words == ("Ja",)
