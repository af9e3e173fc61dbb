# SPDX-License-Identifier: Apache-2.0
"""Rows that csv and pandas read back with their defaults."""

import csv
import io

import hypothesis
import hypothesis.strategies as st
import pandas
import pytest

from embed_jax.files.separated import separated

CELLS = st.text(
    st.one_of(
        st.sampled_from("\t\r\"' ,;\\#"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\n\0"),
    )
)


@pytest.mark.parametrize("separator", ["\t", ","])
@hypothesis.given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1))
def test_csv_and_pandas_read_what_was_written(separator, rows):
    text = "".join(separated(row, separator) for row in [("a", "b", "c"), *rows])
    # A row is a line, for tools that know no quotes.
    assert text.count("\n") == len(rows) + 1
    read = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    assert read[1:] == [*map(list, rows)]
    frame = pandas.read_csv(
        io.StringIO(text, newline=""), sep=separator, keep_default_na=False, dtype=str
    )
    assert frame.to_numpy().tolist() == [*map(list, rows)]


def test_plain_cells_stay_as_they_are():
    assert separated([1, "it's", "", 0.5]) == "1\tit's\t\t0.5\n"


@pytest.mark.parametrize("cells", [[""], ["a", "b\nc"]])
def test_what_a_row_cannot_hold_is_refused(cells):
    with pytest.raises(ValueError, match="a row has two cells or more"):
        separated(cells)
