# SPDX-License-Identifier: Apache-2.0
import hypothesis.strategies as st
import pytest
from hypothesis import given
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from train.tasks.spans import Span, find_spans, score_spans, to_bio

TAGS = ["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in ("A", "B-C"))]
sentences = st.lists(st.sampled_from(TAGS), min_size=1, max_size=9)


@given(sentences)
def test_spans_are_those_of_seqeval(tags: list[str]):
    expected = {Span(label, start, end + 1) for label, start, end in get_entities(tags)}
    assert find_spans(tags) == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.lists(st.tuples(sentences, st.randoms()), min_size=1, max_size=4))
def test_scores_are_those_of_seqeval(cases):
    gold = [tags for tags, _ in cases]
    predicted = [
        [tag if random.random() < 0.7 else random.choice(TAGS) for tag in tags]
        for tags, random in cases
    ]
    score = score_spans(gold, predicted)
    for ours, theirs in (
        (score.f1, f1_score),
        (score.precision, precision_score),
        (score.recall, recall_score),
    ):
        assert ours == pytest.approx(100 * theirs(gold, predicted, zero_division=0))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("I-A I-A O", [("A", 0, 2)]),
        ("B-A B-A I-A", [("A", 0, 1), ("A", 1, 3)]),
        ("I-A I-B I-B", [("A", 0, 1), ("B", 1, 3)]),
        ("B-A O I-A", [("A", 0, 1), ("A", 2, 3)]),
        ("S-A B-A I-A E-A I-A", [("A", 0, 1), ("A", 1, 4), ("A", 4, 5)]),
        ("U-A B-A L-A L-A", [("A", 0, 1), ("A", 1, 3), ("A", 3, 4)]),
        ("I-A U-A U-A", [("A", 0, 1), ("A", 1, 2), ("A", 2, 3)]),
        ("O O", []),
    ],
)
def test_spans_by_hand(tags: str, expected: list):
    assert find_spans(tags.split()) == {Span(*span) for span in expected}


def test_score_by_hand():
    gold = [["B-A", "I-A", "O", "B-B"], ["B-A", "O"]]
    predicted = [["B-A", "I-A", "O", "B-A"], ["B-A", "I-A"]]
    score = score_spans(gold, predicted)
    assert (score.num_gold, score.num_predicted, score.num_correct) == (3, 3, 1)
    assert score.f1 == pytest.approx(100 / 3)
    assert score.by_label["A"].precision == pytest.approx(100 / 3)
    assert score.by_label["A"].recall == 50
    assert score.by_label["B"].f1 == 0


def test_nothing_is_zero_and_lengths_must_agree():
    assert score_spans([["O"]], [["O"]]).f1 == 0
    with pytest.raises(ValueError, match="sentence 1 has 2 words and 1 predictions"):
        score_spans([["O"], ["O", "O"]], [["O"], ["O"]])


@given(sentences)
def test_bio_has_the_same_spans(tags: list[str]):
    converted = to_bio(tags)
    assert find_spans(converted) == find_spans(tags)
    assert {tag[0] for tag in converted} <= set("BIO")
    assert to_bio(converted) == converted
