# SPDX-License-Identifier: Apache-2.0
"""The operations of a step, counted on paper.

A multiplication with its addition is two; the backward pass is two such products for
every one of the forward pass, so that a step is six times what is counted below.
"""

from pathlib import Path

import jax.numpy as jnp
import pytest

from bert_jax.config import BertConfig
from elmo_jax.config import CharCnnConfig, ElmoConfig
from train.config import experiment_named
from train.data.sources import DocstringSource
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.config import LongPhase, MaskedLmPretraining
from train.families.bert.data import PieceData
from train.families.bert.setup import masked_lm_objective
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.families.elmo.setup import bilm_objective

FLOAT32 = jnp.dtype("float32")
A_STEP = 2 * 3
NOWHERE = Path("nowhere")


def masked_lm(experiment: MaskedLmPretraining):
    return [
        masked_lm_objective(phase.experiment, FLOAT32, phase.experiment.model)
        for phase in experiment.phases()
    ]


def test_bert_scores_the_vocabulary_at_the_hidden_tokens_alone():
    experiment = MaskedLmPretraining(
        model=BertConfig(
            vocab_size=10,
            num_blocks=2,
            num_heads=2,
            layer_dim=4,
            mlp_dim=8,
            max_positions=16,
        ),
        data=PieceData(source=DocstringSource(), directory=NOWHERE, vocab_size=10),
        objective=MaskedLmConfig(length=8),
        batch_size=3,
        num_steps=10,
        long_phase=LongPhase(num_steps=4, length=16, batch_size=2),
    )
    short, long = masked_lm(experiment)
    # Query, key, value and output are 4 by 4, the two products of the MLP 4 by 8.
    dense = 4 * (4 * 4) + 2 * (4 * 8)
    # Each token with as many keys as the row is long, and with as many values.
    blocks_of_8, blocks_of_16 = 2 * (dense + 2 * 8 * 4), 2 * (dense + 2 * 16 * 4)
    # 15 % of 8 is 1.2, of 16 it is 2.4: room for 2 and 3. A product of 4 by 4, then the
    # table of 10 pieces.
    head = 4 * 4 + 4 * 10
    assert short.encoder_flops_per_batch == A_STEP * 3 * 8 * blocks_of_8 == 55_296
    assert short.flops_per_batch == 55_296 + A_STEP * 3 * 2 * head == 57_312
    assert long.encoder_flops_per_batch == A_STEP * 2 * 16 * blocks_of_16 == 98_304
    assert long.flops_per_batch == 98_304 + A_STEP * 2 * 3 * head == 100_320


def test_bert_base_as_published():
    """Of a row of 128 11.2 billion multiplications, of one of 512 the attention more.

    In a block 4 x 768² + 2 x 768 x 3072 = 7,077,888 for a token, and twice its 768 for
    every token that it looks at. In the head 768² + 768 x 30,522 = 24,030,720.
    """
    experiment = experiment_named("bert_base", MaskedLmPretraining)
    short, long = masked_lm(experiment)
    of_128 = 128 * 12 * (7_077_888 + 2 * 128 * 768)
    of_512 = 512 * 12 * (7_077_888 + 2 * 512 * 768)
    assert short.encoder_flops_per_batch == A_STEP * 256 * of_128
    assert short.flops_per_batch == A_STEP * 256 * (of_128 + 20 * 24_030_720)
    assert long.encoder_flops_per_batch == A_STEP * 256 * of_512
    assert long.flops_per_batch == A_STEP * 256 * (of_512 + 77 * 24_030_720)


def bilm(num_negatives: int, projection_dim: int = 4):
    experiment = BilmPretraining(
        model=ElmoConfig(
            char_cnn=CharCnnConfig(filters=((1, 2),)),
            num_blocks=2,
            cell_dim=8,
            projection_dim=projection_dim,
        ),
        data=WordData(source=DocstringSource(), directory=NOWHERE),
        batch_size=3,
        unroll_steps=5,
        num_negatives=num_negatives,
    )
    return bilm_objective(experiment, FLOAT32, 11)


BOTH_DIRECTIONS = 2
POSITIONS = 3 * 5


@pytest.mark.parametrize(("num_negatives", "scored"), [(6, 6), (0, 11)])
def test_a_bilm_reads_and_predicts_in_both_directions(num_negatives, scored):
    """In training the negatives are scored, or without them the whole vocabulary."""
    objective = bilm(num_negatives)
    # Input and state, 4 wide, to four gates of 8; the cell of 8 to an output of 4.
    layer = (4 + 4) * 4 * 8 + 8 * 4
    layers = A_STEP * BOTH_DIRECTIONS * POSITIONS * 2 * layer
    softmax = A_STEP * BOTH_DIRECTIONS * POSITIONS * scored * 4
    assert objective.encoder_flops_per_batch == layers == 103_680
    assert objective.flops_per_batch == layers + softmax


def test_a_bilm_without_a_projection_has_none_to_compute():
    layer = (8 + 8) * 4 * 8
    expected = A_STEP * BOTH_DIRECTIONS * POSITIONS * 2 * layer
    assert bilm(6, projection_dim=8).encoder_flops_per_batch == expected
