# SPDX-License-Identifier: Apache-2.0
"""Tables are cut to the rows that are read, and these alone are put back."""

import jax.numpy as jnp
import numpy as np

from train.loop.sparse_rows import put_rows, take_rows, unique_rows

TABLE = np.arange(10, dtype=np.float32).reshape(5, 2)


def test_rows_are_ascending_each_once_and_then_of_no_table():
    """The first row and the last one among them."""
    assert unique_rows(jnp.array([4, 0, 4, 0]), 5).tolist() == [0, 4, 7, 8]


def trees():
    """Weights, and what is remembered of them; and tables of names that end alike."""
    table = jnp.asarray(TABLE)
    heads = {"softmax": {"weights": table, "other": table}}
    return {"heads": heads, "sums": ({"heads": heads}, table), "foreheads": heads}


ROWS = {"heads.softmax.weights": jnp.array([0, 4, 7, 8])}


def test_what_is_read_is_taken_wherever_a_tree_has_the_table():
    cut = take_rows(trees(), ROWS)
    expected = [[0, 1], [8, 9], [0, 0], [0, 0]]
    for heads in (cut["heads"], cut["sums"][0]["heads"]):
        assert heads["softmax"]["weights"].tolist() == expected
        np.testing.assert_array_equal(heads["softmax"]["other"], TABLE)
    np.testing.assert_array_equal(cut["sums"][1], TABLE)
    np.testing.assert_array_equal(cut["foreheads"]["softmax"]["weights"], TABLE)


def test_rows_that_were_not_read_stay_as_they_are():
    whole = trees()
    cut = take_rows(whole, ROWS)
    cut["heads"]["softmax"]["weights"] += 100
    cut["sums"] = (cut["sums"][0], cut["sums"][1] + 1)
    back = put_rows(whole, ROWS, cut)
    expected = [[100, 101], [2, 3], [4, 5], [6, 7], [108, 109]]
    assert back["heads"]["softmax"]["weights"].tolist() == expected
    np.testing.assert_array_equal(back["sums"][0]["heads"]["softmax"]["weights"], TABLE)
    # What is no table is replaced as a whole.
    np.testing.assert_array_equal(back["sums"][1], TABLE + 1)
