# SPDX-License-Identifier: Apache-2.0
"""BERT is trained as its published program trains it, packed rows like single ones."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
from bert_jax.config import BertConfig
from bert_jax.encoder import Remat
from bert_jax.weights import disassemble
from tests.oracles.optimizers import warmup_linear_decay
from tests.train.stores import PIECES, draw_pieces, piece_store
from train.families.bert.batches import (
    MaskedLmBatch,
    MaskedLmBatches,
    MaskedLmConfig,
    MaskedLmRows,
)
from train.families.bert.held_out import HeldOutRows
from train.families.bert.objective import MaskedLmObjective
from train.loop.optimizer import BertAdam, make_optimizer
from train.loop.step import init_state, make_step

STORE = piece_store(draw_pieces(num_documents=20))
CONFIG = BertConfig(
    vocab_size=len(PIECES),
    num_blocks=1,
    num_heads=2,
    layer_dim=16,
    mlp_dim=32,
    max_positions=64,
    init_std=0.1,
    dropout_rate=0.0,
    attention_dropout_rate=0.0,
)


def make_objective(batch_size: int = 4, remat: Remat = "none", **data):
    config = MaskedLmConfig(**{"length": 24} | data)
    return MaskedLmObjective(
        config=CONFIG,
        data=config,
        batches=MaskedLmBatches(STORE, config, batch_size=batch_size),
        held_out=None,
        batch_size=batch_size,
        dtype=jnp.dtype(jnp.float32),
        remat=remat,
    )


def draw_params() -> bert_jax.BertParams:
    return jax.jit(lambda key: bert_jax.init_params(key, CONFIG))(jax.random.key(0))


@pytest.mark.parity
def test_training_takes_the_same_course_as_in_torch(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    from tests.oracles.masked_lm import (
        TorchBertAdam,
        pretraining_loss,
        train_padding_row,
    )

    num_steps, rate = 30, 5e-3
    objective, params = make_objective(), draw_params()
    settings = BertAdam(learning_rate=rate, warmup_steps=6, max_norm=1.0)
    optimizer, _ = make_optimizer(settings, num_steps)
    step = jax.jit(make_step(objective, optimizer, seed=0))
    state = init_state(objective, params, optimizer)

    bert_jax.save(tmp_path / "model", params, STORE.tokenizer)
    model = transformers.BertForPreTraining.from_pretrained(tmp_path / "model").eval()
    train_padding_row(model)
    theirs = TorchBertAdam(
        model.named_parameters(),
        warmup_linear_decay(rate, 6, num_steps),
        clip_norm=1.0,
    )
    norms = []
    for number in range(num_steps):
        batch = objective.batches[number]
        state, means = step(state, batch)
        rows = batch.rows
        assert rows.label_weights.all()
        loss, masked, pair = pretraining_loss(
            model,
            {
                "ids": torch.tensor(rows.ids),
                "segment_ids": torch.tensor(rows.segment_ids),
                "mask": torch.tensor(rows.sequences > 0),
                "masked_positions": torch.tensor(rows.predicted),
                "masked_ids": torch.tensor(rows.targets),
                "masked_weights": torch.tensor(rows.weights),
                "next_sentence_labels": torch.tensor(rows.labels[:, 0]),
            },
        )
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        ours = {name: float(mean.total / mean.weight) for name, mean in means.items()}
        assert ours["masked_loss"] == pytest.approx(masked.item(), rel=1e-4), number
        assert ours["pair_loss"] == pytest.approx(pair.item(), rel=1e-4), number
        norms.append(ours["gradient_norm"])
    assert max(norms) > settings.max_norm
    start, trained, arrays = (
        disassemble(params),
        disassemble(state.params),
        model.state_dict(),
    )
    for name, values in trained.items():
        name = name if name in arrays else f"bert.{name}"
        expected = arrays[name].numpy()
        moved = np.linalg.norm(expected - start[name.removeprefix("bert.")])
        # The keys' biases change nothing, and their gradients are rounding errors.
        assert np.linalg.norm(values - expected) < 0.01 * moved + 1e-4, name


def test_a_run_of_full_sentences_has_no_pairs():
    objective = make_objective(pairs="none")
    params = draw_params()
    params = params.replace(heads={"mlm": params.heads["mlm"]})
    batch = jax.tree.map(jnp.asarray, objective.batches[0])
    weights = objective.weights_of(batch)
    loss, (_, means) = jax.jit(objective.loss)(
        params, (), batch, weights, jax.random.key(0)
    )
    assert set(means) == {"masked_loss", "masked_accuracy"}
    mean = means["masked_loss"]
    assert float(loss) == pytest.approx(float(mean.total / mean.weight), rel=1e-5)


def test_held_out_figures_are_sums_over_all_batches_divided_once():
    """Long texts have many hidden tokens and an order, single short sentences neither.

    So the mean of the batches' means is another number. Only as many batches as are
    asked for are measured.
    """
    texts = draw_pieces(num_documents=24, most=5) + [[[5, 6]], [[7, 8, 9]]] * 12
    data = MaskedLmConfig(pairs="sop", length=24, short_rate=0.0)
    store = piece_store(texts)
    number = len(HeldOutRows(store, data, batch_size=4))
    held_out = HeldOutRows(store, data, batch_size=4, max_rows=4 * (number - 1))
    objective = dataclasses.replace(make_objective(pairs="sop"), held_out=held_out)
    params, loss = draw_params(), jax.jit(objective.loss)
    parts = []
    for index in range(number - 1):
        batch = jax.tree.map(jnp.asarray, held_out[index])
        _, (_, means) = loss(
            params, (), batch, objective.weights_of(batch), jax.random.key(0)
        )
        parts.append({name: np.array(mean) for name, mean in means.items()})
    assert len(parts) > 2
    figures = objective.measure(params)
    for name in parts[0]:
        totals, weights = np.array([part[name] for part in parts]).T
        expected = totals.sum() / weights.sum()
        assert figures[name] == pytest.approx(expected, rel=1e-5)
        of_means = np.mean(totals / np.maximum(weights, 1))
        assert abs(of_means - expected) > 1e-3 * expected > 0, name
    assert figures["held_out_predictions"] == weights_of(parts, "masked_loss")
    assert figures["loss"] == pytest.approx(
        figures["masked_loss"] + figures["pair_loss"]
    )
    assert figures["masked_perplexity"] == pytest.approx(np.exp(figures["masked_loss"]))


def weights_of(parts: list[dict[str, np.ndarray]], name: str) -> float:
    return float(sum(part[name][1] for part in parts))


def test_tokens_are_counted_with_specials_and_without_padding():
    """Documents of 15 pieces in rows of 24, each with [CLS] and [SEP]."""
    store = piece_store([[[5] * 5] * 3] * 6)
    data = MaskedLmConfig(pairs="none", length=24, short_rate=0.0)
    objective = dataclasses.replace(
        make_objective(), batches=MaskedLmBatches(store, data, batch_size=4)
    )
    assert objective.tokens_per_batch == 4 * 17
    # Six rows are two batches of four.
    assert objective.epoch_steps == 2


def unpacked(batch: MaskedLmBatch, num_rows: int) -> MaskedLmBatch:
    """Give every instance of packed rows a row of its own."""
    rows = batch.rows
    shape, width = (num_rows, rows.ids.shape[1]), rows.predicted.shape[1]
    alone = {
        name: np.zeros(shape, np.int32)
        for name in ("ids", "segment_ids", "sequences", "positions")
    }
    for name in ("predicted", "targets"):
        alone[name] = np.zeros((num_rows, width), np.int32)
    alone["weights"] = np.zeros((num_rows, width), np.float32)
    heads = np.zeros((num_rows, 1), np.int32)
    labels, label_weights = heads.copy(), np.zeros((num_rows, 1), np.float32)
    number = 0
    for row in range(len(rows.ids)):
        for instance in range(rows.sequences[row].max()):
            places = np.flatnonzero(rows.sequences[row] == instance + 1)
            here = slice(0, len(places))
            alone["ids"][number, here] = rows.ids[row, places]
            alone["segment_ids"][number, here] = rows.segment_ids[row, places]
            alone["sequences"][number, here] = 1
            alone["positions"][number, here] = np.arange(len(places))
            slots = np.flatnonzero(
                np.isin(rows.predicted[row], places) & (rows.weights[row] > 0)
            )
            of = slice(0, len(slots))
            alone["predicted"][number, of] = rows.predicted[row, slots] - places[0]
            alone["targets"][number, of] = rows.targets[row, slots]
            alone["weights"][number, of] = 1
            labels[number] = rows.labels[row, instance]
            label_weights[number] = rows.label_weights[row, instance]
            number += 1
    assert number > len(rows.ids)
    return MaskedLmBatch(
        MaskedLmRows(**alone, heads=heads, labels=labels, label_weights=label_weights)
    )


def loss_and_gradient(objective: MaskedLmObjective, batch: MaskedLmBatch):
    batch = jax.tree.map(jnp.asarray, batch)

    def run(params, batch):
        weights = objective.weights_of(batch)
        return objective.loss(params, (), batch, weights, jax.random.key(0))[0]

    loss, gradient = jax.jit(jax.value_and_grad(run))(draw_params(), batch)
    leaves = jax.tree_util.tree_flatten_with_path(gradient)[0]
    return float(loss), {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def assert_same(one, other, tolerance: float) -> None:
    assert one[0] == pytest.approx(other[0], rel=tolerance)
    scale = max(np.abs(leaf).max() for leaf in one[1].values())
    for name, leaf in one[1].items():
        np.testing.assert_allclose(
            leaf, other[1][name], rtol=0, atol=tolerance * scale, err_msg=name
        )


def test_packed_rows_give_what_single_ones_give():
    settings = {"length": 60, "packed": True, "max_instances": 4, "short_rate": 1.0}
    packing = make_objective(**settings)
    packed = packing.batches[0]
    assert packed.rows.label_weights.sum() > 4
    expected = loss_and_gradient(make_objective(length=60), unpacked(packed, 16))
    ours = loss_and_gradient(packing, packed)
    assert_same(ours, expected, 1e-5)
    for remat in ("elementwise", "blocks"):
        again = make_objective(**settings, remat=remat)
        assert_same(loss_and_gradient(again, packed), ours, 1e-6)


def test_the_more_is_computed_again_the_less_is_kept():
    def kept(remat):
        objective = make_objective(length=60, remat=remat)
        batch = jax.tree.map(jnp.asarray, objective.batches[0])
        params = bert_jax.init_params(
            jax.random.key(0), CONFIG, ("pooler", "mlm", "nsp")
        )

        def forward(params):
            weights = objective.weights_of(batch)
            loss = objective.loss(params, (), batch, weights, jax.random.key(0))
            return loss[0]

        residuals = jax.eval_shape(lambda params: jax.vjp(forward, params)[1], params)
        return sum(leaf.size for leaf in jax.tree.leaves(residuals))

    assert kept("none") > kept("elementwise") > kept("blocks")
