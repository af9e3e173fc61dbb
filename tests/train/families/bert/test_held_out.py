# SPDX-License-Identifier: Apache-2.0
"""A row that is measured counts once, and is masked alike in whatever batch it is."""

import dataclasses

import numpy as np
import pytest

from tests.train.stores import draw_pieces, piece_store
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.held_out import HeldOutRows

STORE = piece_store(draw_pieces(num_documents=20))
CONFIGS = {
    "plain": MaskedLmConfig(length=32),
    "packed": MaskedLmConfig(length=32, packed=True, max_instances=4),
    "words": MaskedLmConfig(length=32, whole_words=True, pairs="sop", short_rate=0.5),
}


def all_rows(config: MaskedLmConfig, batch_size: int, **how) -> dict[str, np.ndarray]:
    """Return the rows of all batches one below the other."""
    batches = HeldOutRows(STORE, config, batch_size=batch_size, **how)
    parts = [batches[number].rows._asdict() for number in range(len(batches))]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("max_rows", [None, 21])
def test_rows_are_the_same_at_any_batch_size(config, max_rows):
    alone = all_rows(config, 1, max_rows=max_rows)
    number = len(alone["ids"])
    assert number == max_rows or max_rows is None
    for size in (7, 64, 200):
        rows = all_rows(config, size, max_rows=max_rows)
        assert len(rows["ids"]) == -(-number // size) * size
        for name, values in alone.items():
            np.testing.assert_array_equal(rows[name][:number], values, err_msg=name)
        # What fills the last batch up counts nothing.
        for name in ("weights", "label_weights"):
            assert not rows[name][number:].any()


def test_rows_of_hosts_are_rows_of_the_whole():
    whole = HeldOutRows(STORE, CONFIGS["packed"], batch_size=8)
    shares = [
        HeldOutRows(STORE, CONFIGS["packed"], batch_size=8, share=(host, 4))
        for host in range(4)
    ]
    for number in range(len(whole)):
        parts = [share[number].rows for share in shares]
        for name, rows in whole[number].rows._asdict().items():
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(rows, joined)


def test_no_two_rows_are_masked_by_the_same_draws():
    """Of rows that are alike, other places are hidden."""
    store = piece_store([[[5] * 30]] * 12)
    config = MaskedLmConfig(length=32, pairs="none", short_rate=0.0)
    rows = HeldOutRows(store, config, batch_size=12)[0].rows
    assert len({tuple(predicted) for predicted in rows.predicted.tolist()}) > 9
    again = HeldOutRows(store, config, batch_size=12)[0].rows
    np.testing.assert_array_equal(again.predicted, rows.predicted)


def test_it_is_hidden_at_15_percent_whatever_the_training():
    often = dataclasses.replace(CONFIGS["plain"], masking_rate=0.4)
    counts = [
        all_rows(config, 8)["weights"].sum() for config in (often, CONFIGS["plain"])
    ]
    assert counts[0] == counts[1]
