# SPDX-License-Identifier: Apache-2.0
"""CoNLL is read as its words, recognised or as it is said to be."""

import pytest

from embed_jax.corpus.conll import is_conll_u, is_tagged
from embed_jax.corpus.layout import Layout
from embed_jax.corpus.text import describe_reading, read_sentences, survey

CONLL_U = """\
# newdoc id = a
# sent_id = 1
# text = Vámonos al mar.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\t_\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t_\t_\t1\tpunct\t_\t_

1\tSí\tsí\tINTJ\t_\t_\t0\troot\t_\t_
1.1\tquiero\tquerer\tVERB\t_\t_\t_\t_\t_\t_
2\t10 000\t10 000\tNUM\t_\t_\t1\tdep\t_\t_

# newdoc id = b
1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_
"""
SENTENCES = [["Vámonos", "al", "mar", "."], ["Sí", "10 000"], "", ["#"]]


def test_conll_u_is_read_as_its_words(tmp_path):
    """Written words, not the parts of one; no word that the text leaves out."""
    path = tmp_path / "text.conllu"
    path.write_text(CONLL_U, encoding="utf-8")
    assert list(read_sentences(path)) == SENTENCES
    surveyed = survey(path)
    assert surveyed.num_lines == len(SENTENCES)
    assert surveyed.num_bytes == len(CONLL_U.encode())
    # Shares are of sentences, and together they are all of them.
    shares = [surveyed.marks.share(index, 3) for index in range(3)]
    assert [number for share in shares for number in share] == [0, 1, 2, 3]


def test_a_line_that_is_none_of_conll_u_is_named(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(CONLL_U * 8 + "plain text\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"text.txt, line 145: not 10 columns"):
        list(read_sentences(path))


def test_a_column_of_what_is_analysed_is_of_the_parts(tmp_path):
    """A contraction has no lemma, nor an empty node a place; "_" is nothing."""
    path = tmp_path / "text.conllu"
    path.write_text(CONLL_U, encoding="utf-8")
    lemmas = [
        ["ir", "nosotros", "a", "el", "mar", "."],
        ["sí", "10 000"],
        "",
        ["#"],
    ]
    for column in ("LEMMA", "lemma", "3", "-8"):
        assert list(read_sentences(path, Layout(column=column))) == lemmas
    assert list(read_sentences(path, Layout(column="XPOS"))) == [""]
    with pytest.raises(ValueError, match=r"no column 'LEMA'; columns: ID, FORM, L"):
        list(read_sentences(path, Layout(column="LEMA")))
    with pytest.raises(ValueError, match=r"no column 11; there are 10, from 1, or"):
        list(read_sentences(path, Layout(column="11")))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n", [["EU"]]),
        (
            "EU\tB-ORG\nrejects\tO\n\nGerman\tB-MISC\ncalls\tO\n",
            [["EU", "rejects"], ["German", "calls"]],
        ),
        (
            "# id = 1\nEU\tB-ORG\nin\tO\n#\tO\n\n# newdoc\n# a mark\nTwo\tO\nlate\tO\n",
            [["EU", "in", "#"], "", ["Two", "late"]],
        ),
        (
            "The\tDET\tDT\nbank\tNOUN\tNN\n\nran\tVERB\tVBD\n.\tPUNCT\t.\n",
            [["The", "bank"], ["ran", "."]],
        ),
        ("The DET\nbank NOUN\nran VERB\n. .\n", [["The", "bank", "ran", "."]]),
        ("# by me\nA O\n# O\nbank O\n O\ncalls O\n", None),
    ],
)
def test_words_with_their_tags_are_read_as_words(tmp_path, text, sentences):
    path = tmp_path / "text.txt"
    path.write_text(text)
    if sentences is None:  # one line has another number of columns
        with pytest.raises(ValueError, match=r"text.txt:5: 1 column where .* has 2"):
            list(read_sentences(path, Layout(format="conll")))
        return
    surveyed = survey(path)
    assert list(read_sentences(path)) == sentences
    assert surveyed.num_lines == len(sentences)
    assert surveyed.remarks == ["read as CoNLL, the words of column 1"]


def test_a_row_without_a_word_is_left_out(tmp_path):
    path = tmp_path / "text.tsv"
    path.write_text("a\tx\n\ty\nb\t_\n\n \tz\n\nc\t_\n")
    read = list(read_sentences(path, Layout(format="conll")))
    assert read == [["a", "b"], ["c"]]
    # "_" is a word where it is no CoNLL-U.
    assert next(read_sentences(path, Layout(column="-1"))) == ["x", "y", "_"]


def test_how_a_file_is_read_can_be_said(tmp_path):
    path = tmp_path / "text.conllu"
    path.write_text(CONLL_U, encoding="utf-8")
    assert describe_reading(path) == "read as CoNLL-U, the words of column FORM"
    as_text = Layout(format="text")
    assert describe_reading(path, as_text) is None
    assert list(read_sentences(path, as_text)) == CONLL_U.splitlines()
    # Any columns: the second is that of the words, here with what a text has not.
    as_columns = Layout(format="conll", column="2")
    assert describe_reading(path, as_columns) == "read as CoNLL, the words of column 2"
    assert list(read_sentences(path, as_columns))[1] == ["Sí", "quiero", "10 000"]
    with pytest.raises(ValueError, match=r"--column 1: .* as text, which has no col"):
        survey(path, layout=Layout(format="text", column="1"))
    with pytest.raises(ValueError, match=r"--field text: .*conllu is read as no rec"):
        survey(path, layout=Layout(field="text"))


def test_the_texts_of_records_are_sentences(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "a bank", "id": 1}\n\n{"text": "", "id": 2}\n')
    surveyed = survey(path)
    assert list(read_sentences(path)) == ["a bank", ""]
    assert surveyed.num_lines == 2
    assert surveyed.num_bytes == len("a bank\n\n")
    assert surveyed.remarks == ["read as JSON lines, the texts of field text"]
    with pytest.raises(ValueError, match=r"line 1: field 'id' is a number, not text"):
        survey(path, layout=Layout(field="id"))
    with pytest.raises(ValueError, match=r"--column 2: .* is read as records"):
        survey(path, layout=Layout(column="2"))
    assert len(list(read_sentences(path, Layout(format="text")))) == 3


def test_the_texts_of_parquet_are_sentences(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "text.parquet"
    table = pa.table({"body": ["a bank", "b"], "words": [["a", "bank"], ["b"]]})
    parquet.write_table(table, path)
    layout = Layout(field="body")
    assert list(read_sentences(path, layout)) == ["a bank", "b"]
    assert survey(path, layout=layout).remarks == [
        "read as Parquet, the texts of field body"
    ]
    with pytest.raises(ValueError, match=r"no field 'text'; fields: body, words"):
        survey(path)
    with pytest.raises(ValueError, match=r"field 'words' is list<.*>, not text"):
        survey(path, layout=Layout(field="words"))


@pytest.mark.parametrize(
    "text",
    [
        "A bank .\nThe river .\nTwo banks .\nA window .\n",
        "The\twindow\tclosed\t.\nA\tbank\tof\tthe\triver\t.\n",
        "I\nO\nO\nO\n",
        "1\tThe window closed .\n2\tA bank .\n3\tA river .\n4\tA word .\n",
        "# NOUN\n# VERB\n",
        "",
    ],
)
def test_text_is_not_taken_for_a_table(text):
    lines = text.split("\n")
    assert not is_conll_u(lines)
    assert not is_tagged(lines)


NUMBERED = """\
#\thttp://example.org\t[2009-10-17]
1\tSchartau\tB-PER\tO
2\tsagte\tO\tO
3\t.\tO\tO

1\tJa\tO\tO
"""


def test_a_column_of_numbers_is_not_read_as_words(tmp_path):
    """As GermEval's files have one before the words."""
    path = tmp_path / "germeval.tsv"
    path.write_text(NUMBERED, encoding="utf-8")
    with pytest.raises(ValueError, match=r"germeval.tsv: the first column counts"):
        list(read_sentences(path))
    words = [["Schartau", "sagte", "."], ["Ja"]]
    assert list(read_sentences(path, Layout(column="2"))) == words
    # Who says so has them.
    numbers = [["1", "2", "3"], ["1"]]
    assert list(read_sentences(path, Layout(column="1"))) == numbers


@pytest.mark.parametrize("option", ["column", "field"])
def test_an_empty_name_is_not_the_first_column(tmp_path, option):
    """As of a shell's variable that is not set: the numbers would be read as words."""
    path = tmp_path / ("a.jsonl" if option == "field" else "a.conll")
    path.write_text('{"text": "a"}\n' if option == "field" else "1 EU\n2 rejects\n")
    with pytest.raises(ValueError, match=rf"^--{option} is empty; name one, or leave"):
        list(read_sentences(path, Layout(**{option: ""})))


def test_words_that_are_numbers_are_words(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("1 O\n\n1 O\n3 O\n2 O\n\n1 O\n2 O\n", encoding="utf-8")
    assert list(read_sentences(path)) == [["1"], ["1", "3", "2"], ["1", "2"]]
