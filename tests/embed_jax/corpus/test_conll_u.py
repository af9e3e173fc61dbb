# SPDX-License-Identifier: Apache-2.0
"""CoNLL that is given as text: CoNLL-U is read, what has words first is refused."""

import pytest

from embed_jax.corpus.conll_u import is_conll_u, is_tagged
from embed_jax.corpus.text import read_sentences, survey

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


@pytest.mark.parametrize(
    "text",
    [
        "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n",
        "EU\tB-ORG\nrejects\tO\n\nGerman\tB-MISC\ncalls\tO\n",
        "The\tDET\tDT\nbank\tNOUN\tNN\n\nran\tVERB\tVBD\n.\tPUNCT\t.\n",
        "The DET\nbank NOUN\nran VERB\n. .\n",
    ],
)
def test_words_with_their_tags_are_not_text(tmp_path, text):
    path = tmp_path / "text.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"text.txt is CoNLL, .* awk 'NF"):
        survey(path)


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
