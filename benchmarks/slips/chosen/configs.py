# SPDX-License-Identifier: Apache-2.0
"""Slips in the experiments."""

from benchmarks.slips.slip import Slip

TESTS = (
    "tests/configs",
    "tests/train/test_config.py",
    "tests/train/loop/test_phases.py",
)

SLIPS = [
    Slip(
        behaviour="bert_mini has the heads of the published one",
        before="num_blocks=4, num_heads=4, layer_dim=256, mlp_dim=1024",
        after="num_blocks=4, num_heads=2, layer_dim=256, mlp_dim=1024",
        tests=TESTS,
    ),
    Slip(
        behaviour="bert_novels warms up over 300 steps",
        before="dataclasses.replace(tiny.optimizer, warmup_steps=300)",
        after="dataclasses.replace(tiny.optimizer, warmup_steps=100)",
        tests=TESTS,
    ),
    Slip(
        behaviour="bert_tiny hides a fifth of the tokens",
        before="""
            pairs="none", length=32, packed=True, masking_rate=0.2
        """,
        after="""
            pairs="none", length=32, packed=True
        """,
        tests=TESTS,
    ),
    Slip(
        behaviour="elmo_small has the one highway of the published one",
        before="""
            char_cnn=CharCnnConfig(num_highways=1), cell_dim=1024, projection_dim=128
        """,
        after="""
            char_cnn=CharCnnConfig(), cell_dim=1024, projection_dim=128
        """,
        tests=TESTS,
    ),
]
