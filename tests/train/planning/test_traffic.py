# SPDX-License-Identifier: Apache-2.0
"""What a program moves, counted by hand and by the compiler."""

from collections import Counter

import jax
import jax.numpy as jnp
import pytest

from train.planning.program import read_program
from train.planning.traffic import Traffic, traffic_of

ROW = 512 * 4
TABLE = "f32[1000,512]{1,0:T(8,128)}"


def count(entry, *computations):
    text = "\n".join([*computations, "ENTRY %main () -> f32[] {", *entry, "}"])
    return traffic_of(read_program(text))


def test_the_parts_that_move_most_come_first():
    sources = {
        "jit(f)/Encoder/layer_0/mlp/up/dot_general": 5,
        "jit(f)/softmax/dot_general": 40,
        "jit(f)/Encoder/layer_1/mlp/down/dot_general": 6,
        "jit(f)/add": 20,
    }
    parts = Traffic(71, 71, Counter(sources)).by_part()
    assert list(parts.items()) == [
        ("softmax", 40),
        ("the rest", 20),
        ("Encoder/layer/mlp", 11),
    ]


def test_an_instruction_reads_its_operands_and_writes_its_results():
    traffic = count(
        [
            "  %a = f32[10]{0} parameter(0)",
            "  %b = (f32[10]{0:T(8)S(1)}, /*index=1*/bf16[4]{0}) fusion(%a, %a), "
            'calls=%f, metadata={op_name="jit(f)/Encoder/layer_1/mlp/add"}',
        ],
        "%f (x: f32[10], y: f32[10]) -> f32[10] {",
        "  %x = f32[10]{0} parameter(0)",
        "  %y = f32[10]{0} parameter(1)",
        "  ROOT %t = (f32[10]{0}, bf16[4]{0}) custom-call(%x, %y)",
        "}",
    )
    assert traffic.num_bytes == 40 + 40 + 40 + 8
    assert traffic.of_memory == 40 + 40 + 8
    assert traffic.by_part() == {"Encoder/layer/mlp": 128}


def test_of_a_table_the_rows_count():
    gathering = [
        "%gathers (t: f32[1000,512], i: s32[3]) -> f32[3,512] {",
        f"  %t = {TABLE} parameter(0)",
        "  %i = s32[3]{0} parameter(1)",
        "  ROOT %g = f32[3,512]{1,0} gather(%t, %i), offset_dims={1}",
        "}",
    ]
    updating = [
        "%updates (t: f32[1000,512], i: s32[3], u: f32[3,512]) -> f32[1000,512] {",
        f"  %t = {TABLE} parameter(0)",
        "  %i = s32[3]{0} parameter(1)",
        "  %u = f32[3,512]{1,0} parameter(2)",
        f"  ROOT %s = {TABLE} scatter(%t, %i, %u), to_apply=%add",
        "}",
    ]
    traffic = count(
        [
            f"  %t = {TABLE} parameter(0)",
            "  %i = s32[3]{0} parameter(1)",
            "  %r = f32[3,512]{1,0} fusion(%t, %i), calls=%gathers",
            f"  %w = {TABLE} fusion(%t, %i, %r), calls=%updates",
        ],
        *gathering,
        *updating,
    )
    # Rows read and written out; rows read, updates read, rows written; ids twice.
    assert traffic.num_bytes == (2 * 3 + 3 * 3) * ROW + 2 * 12


def test_what_is_sent_meanwhile_is_not_counted_again():
    row = "f32[1,512]{1,0}"
    traffic = count(
        [
            f"  %t = {TABLE} parameter(0)",
            f"  %r = {row} parameter(1)",
            f"  %f = ({row}, {TABLE}, {TABLE}, {TABLE}) fusion(%r, %t, %t, %t), "
            "calls=%async_collective_fusion.1",
        ],
        "%async_collective_fusion.1 (r: f32[1,512], t: f32[1000,512]) -> f32[1,512] {",
        f"  %r = {row} parameter(0)",
        f"  %t = {TABLE} parameter(1)",
        f"  %u = {TABLE} parameter(2)",
        f"  %s = {TABLE} parameter(3)",
        f"  %n = {row} negate(%r)",
        f"  %g = {TABLE} all-gather(%t), channel_id=1",
        "  %i = s32[] constant(3)",
        f"  %d = {TABLE} dynamic-update-slice(%u, %n, %i, %i)",
        f"  ROOT %all = ({row}, {TABLE}, {TABLE}, {TABLE}) tuple(%n, %g, %s, %d)",
        "}",
    )
    # A row read and written, a row of a table read and written over.
    assert traffic.num_bytes == 4 * ROW


def test_what_is_fetched_ahead_is_of_the_large_memory_once():
    traffic = count(
        [
            "  %w = f32[8,128]{1,0:T(8,128)} parameter(0)",
            "  %f = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)}, "
            "u32[]{:S(2)}) copy-start(%w)",
            "  %d = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%f)",
            "  %j = f32[8,128]{1,0:T(8,128)S(1)} custom-call(%d), "
            'custom_call_target="ConcatBitcast"',
            "  %n = f32[8,128]{1,0:T(8,128)S(1)} negate(%j)",
        ],
    )
    assert traffic.num_bytes == 2 * 4096
    assert traffic.of_memory == 4096


def test_of_a_slice_what_it_takes_counts():
    traffic = count(
        [
            f"  %t = {TABLE} parameter(0)",
            "  %i = s32[] parameter(1)",
            "  %s = f32[2,512]{1,0} slice(%t), slice={[3:5], [0:512]}",
            "  %d = f32[7,512]{1,0} dynamic-slice(%t, %i, %i), sizes={7,512}",
        ]
    )
    # Two rows and seven, read and written; and where the seven begin, on two axes.
    assert traffic.num_bytes == 2 * (2 + 7) * ROW + 2 * 4


def test_a_loop_in_a_loop_counts_as_often_as_both_run():
    carried = "(s32[], f32[10]{0})"
    loops = [
        "%inner_body (p: (s32[], f32[10])) -> (s32[], f32[10]) {",
        f"  %p = {carried} parameter(0)",
        "  %x = f32[10]{0} get-tuple-element(%p), index=1",
        "  %n = f32[10]{0} negate(%x)",
        "}",
        "%outer_body (p: (s32[], f32[10])) -> (s32[], f32[10]) {",
        f"  %p = {carried} parameter(0)",
        f"  %v = {carried} while(%p), condition=%five, body=%inner_body",
        "}",
    ]
    for name, turns in (("three", 3), ("five", 5)):
        loops += [
            f"%{name} (p: (s32[], f32[10])) -> pred[] {{",
            f"  %k = s32[] constant({turns})",
            "  ROOT %l = pred[] compare(%i, %k), direction=LT",
            "}",
        ]
    once = [f"  %w = {carried} while(%t), condition=%three, body=%outer_body"]
    assert count(once, *loops).num_bytes == 3 * 5 * (40 + 40)


def test_a_loop_counts_as_often_as_it_runs():
    w = jnp.ones((64, 64))

    def turns(number):
        def run(x):
            step = lambda x, _: (jnp.tanh(x @ w), None)  # noqa: E731
            return jax.lax.scan(step, x, length=number)[0]

        program = jax.jit(run).lower(jnp.ones((8, 64))).compile()
        return traffic_of(read_program(program.as_text() or "")).num_bytes

    once = (turns(20) - turns(10)) / 10
    assert once >= 4 * (64 * 64 + 2 * 8 * 64)
    assert turns(50) - turns(20) == pytest.approx(30 * once, rel=0.01)


def test_without_loops_and_tables_it_is_the_compilers_count():
    def run(x, w):
        return jax.grad(lambda w: jnp.sum(jnp.tanh(x @ w) @ w.T))(w)

    program = jax.jit(run).lower(jnp.ones((256, 512)), jnp.ones((512, 512))).compile()
    counted = (program.cost_analysis() or {})["bytes accessed"]
    ours = traffic_of(read_program(program.as_text() or "")).num_bytes
    assert ours == pytest.approx(counted, rel=0.02)
