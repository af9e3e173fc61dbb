"""What devices send each other in a step is what the table of rules makes them send."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import bert_jax
import elmo_jax
from bert_jax.config import BertConfig
from elmo_jax.config import NUM_CHARACTERS, CharCnnConfig, ElmoConfig
from elmo_jax.softmax import BLOCK
from tests.train.experiments import KINDS
from tests.train.stores import PIECES, draw_pieces, draw_words, piece_store, word_store
from train.families.bert.batches import MaskedLmBatches, MaskedLmConfig
from train.families.bert.objective import MaskedLmObjective
from train.families.elmo.batches import BilmBatches
from train.families.elmo.held_out import HeldOutWindows
from train.families.elmo.objective import BilmObjective, measure_batch
from train.loop.compiled import CompiledStep
from train.loop.optimizer import Adagrad, BertAdam, make_optimizer
from train.loop.placement import place_batch, place_state, place_whole
from train.loop.sharding import shardings_of, training_mesh
from train.loop.step import init_state, make_step
from train.planning.collectives import collectives_of

B, T, K, NUM_WORDS = 24, 20, 12, 1501
NUM_READ = 2 * B * T + 2 * K
"""Rows of the softmax that a batch reads, at most."""
NUM_TYPES = 128
"""Distinct words of a batch, padding included."""


def make_elmo(num_words: int = NUM_WORDS) -> tuple[Any, Any, Any]:
    config = ElmoConfig(
        char_cnn=CharCnnConfig(filters=((1, 32), (2, 32)), num_highways=1),
        num_blocks=2,
        cell_dim=128,
        projection_dim=64,
    )
    store = word_store([draw_words(num_sentences=400)], vocab_size=14)
    batches = BilmBatches(store, batch_size=B, unroll_steps=T, num_negatives=K)
    objective = BilmObjective(
        config=config,
        batches=batches,
        held_out=HeldOutWindows(store, batch_size=B, unroll_steps=T, limit=(2, B)),
        num_words=num_words,
        batch_size=B,
        unroll_steps=T,
        reset_state=False,
        dtype=jnp.dtype(jnp.float32),
    )
    params = elmo_jax.init_params(jax.random.key(0), config, num_words)
    return objective, params, Adagrad()


def make_bert() -> tuple[Any, Any, Any]:
    config = BertConfig(
        vocab_size=len(PIECES),
        num_blocks=2,
        num_heads=2,
        layer_dim=64,
        mlp_dim=256,
        max_positions=32,
    )
    data = MaskedLmConfig(pairs="nsp", length=32)
    store = piece_store(draw_pieces(num_documents=20))
    objective = MaskedLmObjective(
        config=config,
        data=data,
        batches=MaskedLmBatches(store, data, batch_size=B),
        held_out=None,
        batch_size=B,
        dtype=jnp.dtype(jnp.float32),
    )
    params = jax.jit(partial(bert_jax.init_params, config=config))(jax.random.key(0))
    return objective, params, BertAdam(warmup_steps=1)


def compile_step(kind: str, num_devices: int, fsdp: int) -> tuple[Any, Any, Any]:
    """Return the program, the state and the batch of a step."""
    objective, params, config = {"elmo": make_elmo, "bert": make_bert}[kind]()
    optimizer, _ = make_optimizer(config, 100)
    mesh = training_mesh(fsdp, jax.devices()[:num_devices])
    objective = dataclasses.replace(objective, mesh=mesh)
    state = place_state(init_state(objective, params, optimizer), mesh)
    batch = place_batch(objective.batches[0], mesh)
    step = make_step(
        objective, optimizer, seed=0, mesh=mesh, sparse_update=config.sparse_update
    )
    return CompiledStep(step, state).compile(state, batch), state, batch


def sizes_explained(kind: str, params: Any) -> dict[str, set[int]]:
    """Return how many numbers an array may have that devices send each other."""
    leaves = jax.tree.leaves(params)
    divided = [leaf for leaf in leaves if not leaf.sharding.is_fully_replicated]
    # Weights are gathered; gradients are summed, each half of an LSTM's kernel alone.
    gathered = {leaf.size for leaf in divided}
    summed = {1} | {leaf.size for leaf in leaves} | {leaf.size // 2 for leaf in leaves}
    if kind == "elmo":
        # Of the softmax the rows that are read; their gradients in the parts where they
        # are read: the targets of both directions, the negatives of each.
        width = params.config.projection_dim
        gathered = gathered - {NUM_WORDS * width}
        if divided:
            gathered.add(NUM_READ * width)
        for number in (NUM_READ, B * T, K):
            summed |= {number, number * width}
        # Each device spells some of the distinct words, and all have their vectors.
        gathered = gathered | {NUM_TYPES * width}
        characters = NUM_CHARACTERS + 1  # 0 is the absence of a word
        summed |= {
            NUM_TYPES * width,
            characters * params.config.char_cnn.embedding_dim,
        }
    return {"all-gather": gathered, "all-reduce": summed}


@pytest.mark.parametrize(("num_devices", "fsdp"), [(8, 1), (4, 2), (8, 8)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_collective_without_a_rule(kind: str, num_devices: int, fsdp: int):
    program, state, batch = compile_step(kind, num_devices, fsdp)
    explained = sizes_explained(kind, state.params)
    found = collectives_of(program.as_text())
    gathered = []
    for each in found:
        for shape in each.results:
            size = math.prod(shape.axes)
            if shape.dtype.startswith("float"):
                assert size in explained[each.kind], each
                gathered += [size] if each.kind == "all-gather" else []
            else:  # Which rows of the softmax are read, every device knows.
                assert kind == "elmo"
                assert size in (NUM_READ, 2 * B * T, 1), each
    leaves = jax.tree.leaves(state.params)
    divided = sum(not leaf.sharding.is_fully_replicated for leaf in leaves)
    if kind == "elmo":
        assert len(batch.types) == NUM_TYPES
        gathered.remove(NUM_TYPES * state.params.config.projection_dim)
    assert len(gathered) == divided
    assert bool(divided) == (fsdp > 1)
    assert any(each.kind == "all-reduce" for each in found)


@pytest.mark.parametrize("fsdp", [4, 8])
def test_held_out_text_is_measured_without_the_whole_softmax(fsdp: int):
    """One block of its words at a time is brought together, and nothing as large."""
    num_words = 2 * BLOCK + 3
    objective, params, _ = make_elmo(num_words)
    mesh = training_mesh(fsdp, jax.devices())
    spread = dataclasses.replace(objective, mesh=mesh)
    placed = place_whole(
        params,
        jax.tree.unflatten(jax.tree.structure(params), shardings_of(params, mesh)),
    )
    batch = place_batch(spread.held_out[0], mesh)
    program = measure_batch.lower(spread, placed, None, batch).compile()
    width = params.config.projection_dim
    weights = {leaf.size for leaf in jax.tree.leaves(params.encoder)}
    gathered = [
        math.prod(shape.axes)
        for each in collectives_of(program.as_text())
        if each.kind == "all-gather"
        for shape in each.results
        if shape.dtype.startswith("float")
    ]
    assert gathered.count(BLOCK * width) == 2  # in the loop of each direction
    # And of each row the sum and the number of the losses of each direction.
    few = {BLOCK * width, len(batch.types) * width, B * 2 * 2}
    assert set(gathered) <= weights | few
    ours, alone = spread.measure(placed), objective.measure(params)
    assert ours == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_weights_falls_with_the_devices_that_share_them(kind: str):
    objective, params, config = {"elmo": make_elmo, "bert": make_bert}[kind]()
    optimizer, _ = make_optimizer(config, 100)
    state = init_state(objective, params, optimizer).replace(carry=())

    def a_device(fsdp: int) -> int:
        mesh = training_mesh(fsdp, jax.devices()[:8])
        leaves, places = jax.tree.leaves(state), shardings_of(state, mesh)
        return sum(
            leaf.dtype.itemsize * math.prod(place.shard_shape(leaf.shape))
            for leaf, place in zip(leaves, places, strict=True)
        )

    whole = a_device(1)
    for fsdp in (2, 4, 8):
        # What is not divided, biases and the like, is a few per cent even here.
        assert a_device(fsdp) < whole / fsdp + 0.05 * whole


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("{{0,1,2,3},{4,5,6,7}}", 4),
        ("[2,4]<=[8]", 4),
        ("[4,2]<=[2,4]T(1,0)", 2),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_1'}", 2),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_0', 'axis_1'}", 8),
        ("mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'b'}", 2),
        ("{}", 0),
    ],
)
def test_groups_are_read_in_every_form(groups: str, size: int):
    line = (
        "  %x = (f32[2,3]{1,0}, bf16[4]{0}, pred[], /*index=3*/s32[5]{0}) all-reduce("
        f'%a, %b), channel_id=1, replica_groups={groups}, metadata={{op_name="jit/f"}}'
    )
    (found,) = collectives_of(line)
    assert found.kind == "all-reduce"
    assert found.num_bytes == 24 + 8 + 1 + 20
    assert (found.group_size, found.source) == (size, "jit/f")


def test_what_an_asynchronous_gather_gives_back_is_not_counted():
    line = (
        "  %s = (f32[2]{0}, f32[8]{0}) all-gather-start(%a), replica_groups=[1,4]<=[4]"
    )
    (found,) = collectives_of(line + "\n  %d = f32[8]{0} all-gather-done(%s)")
    assert found.num_bytes == 32


def test_a_collective_that_goes_on_beside_other_work_is_one():
    line = (
        "  %g{} = f32[8]{{0}} all-gather(%a), channel_id={}, replica_groups=[1,4]<=[4]"
    )
    lines = [line.format(number, channel) for number, channel in enumerate((7, 7, 8))]
    assert len(collectives_of("\n".join(lines))) == 2
