# SPDX-License-Identifier: Apache-2.0
"""The bar moves with the device, never past the end, and ends at it."""

from embed_jax.progress import Progress


def test_computed_rows_count_before_they_are_written(capsys):
    with Progress("vectors.h5", total=10, done=4) as progress:
        shown = [progress._bar.n]
        for rows in (2, 3, 7):
            progress.computed(rows)
            shown.append(progress._bar.n)
        for _ in range(6):
            progress.written(num_words=5)
            shown.append(progress._bar.n)
    assert shown[:4] == [4, 6, 9, 10]
    assert shown == sorted(shown)
    assert shown[-1] == 10
    assert "vectors.h5" in capsys.readouterr().err
