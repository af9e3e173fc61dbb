# SPDX-License-Identifier: Apache-2.0
"""Rows of BERT's batches hold whole instances, and are functions of their number."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bert_jax
from tests.train.experiments import make_experiment
from tests.train.stores import NOWHERE, draw_pieces, piece_store
from train.families.bert.batches import (
    EVALUATION_RATE,
    MaskedLmBatch,
    MaskedLmBatches,
    MaskedLmConfig,
)
from train.families.bert.pieces import PieceStore
from train.loop.setup import set_up

STORE = piece_store(draw_pieces(num_documents=20))
PACKED = MaskedLmConfig(length=32, packed=True, max_instances=4)
PLAIN = MaskedLmConfig(length=32)


def make_batches(config: MaskedLmConfig = PLAIN, **changes) -> MaskedLmBatches:
    return MaskedLmBatches(STORE, config, **{"batch_size": 4, "seed": 3} | changes)


def same(one: MaskedLmBatch, other: MaskedLmBatch) -> bool:
    return all(map(np.array_equal, one.rows, other.rows))


def restored(batch: MaskedLmBatch) -> np.ndarray:
    """Put back what was hidden."""
    rows = batch.rows
    ids = rows.ids.copy()
    row, slot = np.nonzero(rows.weights)
    ids[row, rows.predicted[row, slot]] = rows.targets[row, slot]
    return ids


def check_rows(batch: MaskedLmBatch, store, config: MaskedLmConfig, rate: float):
    """Every instance is whole and its own; return the tokens of each."""
    rows, ids = batch.rows, restored(batch)
    text = store.tokens.tobytes()
    found = []
    specials = store.cls_id, store.sep_id
    for row, sequences in enumerate(rows.sequences):
        number = sequences.max()
        filled = np.flatnonzero(sequences)
        assert filled.tolist() == list(range(len(filled)))
        assert (np.diff(sequences[filled]) >= 0).all()
        assert (ids[row, len(filled) :] == store.pad_id).all()
        assert not rows.segment_ids[row, len(filled) :].any()
        assert 1 <= number <= config.num_instances
        assert not rows.label_weights[row, number:].any()
        predicted = rows.predicted[row][rows.weights[row] > 0]
        assert len(set(predicted)) == len(predicted) <= config.max_predictions
        # Neither specials nor padding are ever hidden.
        assert not set(ids[row, predicted]) & {*specials, store.pad_id}
        for instance in range(number):
            places = np.flatnonzero(sequences == instance + 1)
            assert rows.heads[row, instance] == places[0]
            tokens = ids[row, places]
            np.testing.assert_array_equal(
                rows.positions[row, places], np.arange(len(places))
            )
            ends = np.flatnonzero(tokens == store.sep_id)
            assert tokens[0] == store.cls_id
            assert ends[-1] == len(tokens) - 1
            has_label = rows.label_weights[row, instance]
            assert len(ends) == 2 if has_label else config.pairs != "nsp"
            segments = (np.arange(len(tokens)) > ends[0]).astype(int)
            np.testing.assert_array_equal(rows.segment_ids[row, places], segments)
            passages = [tokens[1 : ends[0]], tokens[ends[0] + 1 : -1]]
            for passage in passages:
                assert passage.astype(store.tokens.dtype).tobytes() in text
            found.append(tokens)
            here = np.isin(predicted, places).sum()
            quota = max(1, round(len(tokens) * rate))
            if config.whole_words:
                assert here <= quota
            else:
                assert here == min(quota, len(tokens) - 1 - len(ends))
    return found


@settings(max_examples=25)
@given(
    st.integers(0, 50),
    st.builds(
        MaskedLmConfig,
        pairs=st.sampled_from(["nsp", "sop", "none"]),
        length=st.integers(8, 50),
        masking_rate=st.sampled_from([0.05, 0.15, 0.2, 0.4, 0.8]),
        whole_words=st.booleans(),
        short_rate=st.sampled_from([0.0, 0.1, 0.9]),
        packed=st.booleans(),
        max_instances=st.integers(1, 9),
    ),
    st.integers(1, 6),
)
def test_rows_hold_whole_instances_and_their_quotas(seed, config, batch_size):
    store = piece_store(draw_pieces(seed, num_documents=6, longest=15))
    batches = MaskedLmBatches(store, config, batch_size=batch_size, seed=seed)
    for number in range(min(batches.epoch_end(0), 3)):
        check_rows(batches[number], store, config, config.masking_rate)


@pytest.mark.parametrize("rate", [0.04, 0.4])
@pytest.mark.parametrize("config", [PLAIN, PACKED], ids=["plain", "packed"])
def test_held_out_text_is_masked_at_the_published_rate(config, rate):
    config = dataclasses.replace(config, masking_rate=rate)
    batches = make_batches(config, masking_rate=EVALUATION_RATE)
    for number in range(3):
        check_rows(batches[number], STORE, config, 0.15)


def test_a_run_masks_its_held_out_text_at_the_published_rate(tmp_path, monkeypatch):
    """Unshuffled and by one seed, or measures of two runs could not be compared."""
    monkeypatch.setattr("train.loop.setup.check_prepared", lambda *_, **__: None)
    monkeypatch.setattr(PieceStore, "open", lambda path: STORE)
    monkeypatch.setattr(bert_jax, "init_params", lambda *arguments: {})
    held_out = []
    for seed in (1, 2):
        experiment = make_experiment("bert", tmp_path, seed=seed)
        config = dataclasses.replace(experiment.objective, masking_rate=0.4)
        experiment = dataclasses.replace(experiment, objective=config)
        objective = set_up(experiment).objectives[0]
        check_rows(objective.batches[0], STORE, config, 0.4)
        check_rows(objective.held_out[0], STORE, config, 0.15)
        held_out.append(objective.held_out[0])
    assert same(*held_out)


@pytest.mark.parametrize("packed", [False, True])
def test_every_token_is_in_one_row_of_an_epoch(packed):
    config = MaskedLmConfig(
        pairs="none", length=32, packed=packed, max_instances=4, short_rate=0.5
    )
    batches = make_batches(config, batch_size=1)
    instances = [
        tokens[1:-1]
        for number in range(batches.epoch_end(0))
        for tokens in check_rows(batches[number], STORE, config, 0.15)
    ]
    ours = np.sort(np.concatenate(instances))
    np.testing.assert_array_equal(ours, np.sort(STORE.tokens))


def test_the_last_batch_of_an_epoch_is_filled_with_its_first_rows():
    single, batches = make_batches(batch_size=1), make_batches(batch_size=64)
    num_rows = single.epoch_end(0)
    assert num_rows % 64
    assert batches.epoch_end(0) == -(-num_rows // 64)
    rows = np.concatenate([restored(batches[n]) for n in range(batches.epoch_end(0))])
    np.testing.assert_array_equal(rows[num_rows:], rows[: len(rows) - num_rows])
    alone = np.concatenate([restored(single[n]) for n in range(num_rows)])
    np.testing.assert_array_equal(rows[:num_rows], alone)


@pytest.mark.parametrize("config", [PLAIN, PACKED], ids=["plain", "packed"])
def test_a_batch_is_a_function_of_the_seed_and_its_number(config):
    one, other = make_batches(config), make_batches(config)
    last = 2 * one.epoch_end(0) + 1
    for number in range(last):
        other[number]
    for number in (last, 2, 0, last - 1, 2):
        assert same(one[number], other[number])
        assert same(one[number], make_batches(config)[number])
    reseeded = make_batches(config, seed=4)
    assert not np.array_equal(restored(one[1]), restored(reseeded[1]))
    assert not np.array_equal(restored(one[0]), restored(one[one.epoch_end(0)]))


def test_the_same_rows_are_masked_in_another_way_each_time():
    batches = make_batches(shuffled=False)
    first, again = batches[0], batches[batches.epoch_end(0)]
    np.testing.assert_array_equal(restored(first), restored(again))
    assert not np.array_equal(first.rows.predicted, again.rows.predicted)
    assert not same(first, make_batches(shuffled=False, seed=9)[0])


@pytest.mark.parametrize("config", [PLAIN, PACKED], ids=["plain", "packed"])
@pytest.mark.parametrize("count", [2, 4])
def test_shares_of_hosts_are_rows_of_the_whole_batch(config, count):
    whole = make_batches(config)
    shares = [make_batches(config, share=(i, count)) for i in range(count)]
    for number in (0, 2, whole.epoch_end(0) - 1, whole.epoch_end(0)):
        parts = [share[number].rows for share in shares]
        for name, rows in whole[number].rows._asdict().items():
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(rows, joined)


def test_room_for_predictions_is_the_published_one():
    assert [MaskedLmConfig(length=n).max_predictions for n in (128, 512)] == [20, 77]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Each of eight instances may round its share up.
        ({"packed": True}, 20 + 7),
        ({"packed": True, "max_instances": 1}, 20),
        ({"max_instances": 3}, 20),
        ({"masking_rate": 0.3}, 39),
        # Held-out text is hidden at 15 % in the same rows.
        ({"masking_rate": 0.05}, 20),
    ],
)
def test_room_for_predictions_by_hand(changes, expected):
    assert MaskedLmConfig(length=128, **changes).max_predictions == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", 8), ("short_rate", 0.0), ("short_rate", 1.0), ("max_instances", 1)],
)
def test_the_ends_of_a_range_are_in_it(name, value):
    assert getattr(MaskedLmConfig(**{name: value}), name) == value


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="batch_size 4 is not a multiple of the 3"):
        make_batches(share=(0, 3))
    with pytest.raises(ValueError, match=f"{Path(NOWHERE)} holds no text"):
        MaskedLmBatches(piece_store([]), PLAIN, batch_size=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 7),
        ("masking_rate", 0.0),
        ("masking_rate", 1.0),
        ("short_rate", 1.1),
        ("max_instances", 0),
    ],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        MaskedLmConfig(**{name: value})
