# SPDX-License-Identifier: Apache-2.0
"""The bar moves with the device, never past the end, and ends at it."""

import re

import tqdm

from embed_jax.corpus import progress
from embed_jax.corpus.progress import Progress


def test_computed_rows_count_before_they_are_written(capsys, monkeypatch):
    class EagerBar(tqdm.tqdm):
        """Shows every change, not one every tenth of a second."""

        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options, mininterval=0)

    monkeypatch.setattr(progress, "tqdm", EagerBar)
    with Progress("vectors.h5", total=10, done=4) as bar:
        for rows in (2, 3, 7):
            bar.computed(rows)
        for _ in range(6):
            bar.written(num_words=5)
    error = capsys.readouterr().err
    shown = [int(number) for number in re.findall(r"(\d+)/10 ", error)]
    assert [*dict.fromkeys(shown)] == [4, 6, 9, 10]
    assert shown == sorted(shown)
    assert "vectors.h5" in error
