# SPDX-License-Identifier: Apache-2.0
"""A biLM learns a text by heart."""

import pytest

from elmo_jax.config import CharCnnConfig, ElmoConfig
from tests.train.experiments import one_device
from train import evaluate
from train.data.sources import TextSource
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.loop.optimizer import Adagrad
from train.prepare import prepare
from train.pretrain import pretrain


@pytest.mark.data
@pytest.mark.slow
def test_the_training_fixture_of_bilm_tf_falls_below_a_perplexity_of_20(
    data_dir, tmp_path
):
    """Upstream's own bar, with its optimiser and its whole vocabulary."""
    fixture = data_dir / "elmo_fixtures_bilm_tf/tests/fixtures/train"
    experiment = BilmPretraining(
        model=ElmoConfig(
            char_cnn=CharCnnConfig(
                embedding_dim=4, filters=((1, 8), (2, 16), (3, 32)), num_highways=1
            ),
            cell_dim=64,
            projection_dim=16,
        ),
        data=WordData(
            source=TextSource(patterns=(str(fixture / "data.txt"),)),
            directory=tmp_path / "words",
            vocabulary=fixture / "vocab.txt",
            split="whitespace",
            held_out_every=0,
            num_workers=1,
        ),
        batch_size=4,
        num_steps=150,
        num_negatives=0,
        optimizer=Adagrad(),
        log_every=50,
        save_every=150,
    )
    prepare(experiment.data, lambda _: None)
    pretrain(experiment, tmp_path / "run", mesh=one_device())
    command = evaluate.Command(
        model=tmp_path / "run", data=tmp_path / "words", part="train", batch_size=1
    )
    figures = evaluate.evaluate(command)
    assert figures["forward_perplexity"] < 20
    assert figures["backward_perplexity"] < 20
    assert figures["held_out_words"] == 134 + 5  # every word and every sentence end
