# SPDX-License-Identifier: Apache-2.0
"""Every option of a model trains, or is refused before there is a directory of a run.

`test_pretrain.py` looks at what is about to be computed; here steps are made.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from embed_jax.files.run_directory import saved_steps
from tests.compilations import compiling_quickly
from tests.options.observed_run import Corpora, small
from tests.options.table import listed_options
from train.loop.log import read_metrics
from train.pretrain import main

# Several at a time, since each line is a program that has to be compiled.
TRAINED = {
    "elmo_tiny": [
        """
        --model.char-cnn.embedding-dim 5 --model.char-cnn.filters 1 4 3 4
        --model.char-cnn.activation tanh --model.char-cnn.num-highways 2
        --model.num-blocks 3 --model.cell-dim 12 --model.projection-dim 6
        --model.cell-clip None --model.projection-clip 1.0 --model.no-skip-connections
        --model.dropout-rate 0.5
        """,
        # Nothing before the first layer, no projection, the smallest filter.
        """
        --model.char-cnn.filters 1 4 --model.char-cnn.num-highways 0
        --model.num-blocks 1 --model.cell-dim 4 --model.projection-dim 4
        --model.cell-clip 0.5 --model.projection-clip None
        """,
    ],
    "bert_tiny": [
        """
        --model.num-blocks 2 --model.num-heads 3 --model.layer-dim 12
        --model.mlp-dim 16 --model.max-positions 40 --model.num-segments 3
        --model.hidden-act gelu_new --model.norm-epsilon 1e-3 --model.dropout-rate 0.5
        --model.attention-dropout-rate 0.5 --model.init-std 0.5
        --model.no-tied-decoder --model.classifier-dropout-rate 0.3
        --objective.pairs nsp
        """,
        "--model.num-segments 1 --model.init-std 0 --objective.pairs none",
    ],
}
REFUSED = {
    "elmo_tiny": {
        "--model.no-bidirectional": "model.bidirectional must be true",
        "--model.vocab-size 9": "one of both",
        "--model.char-cnn.max-characters 20": "is not the data.max_characters 12",
        "--model.char-cnn.max-characters 2": "model.char_cnn.max_characters 2 leaves",
        "--model.char-cnn.filters 13 4": "a filter of width 13",
        "--num-negatives 99999": "num_negatives 99999 must be below the",
        "--num-negatives -1": "num_negatives must be at least 0",
        "--seed 4294967296": "seed must be at least 0 and below 4294967296",
        "--optimizer.max-norm 0": "optimizer.max_norm must be above 0",
        "--optimizer.beta2 1.5": "optimizer.beta2 must be at least 0 and below 1",
    },
    "bert_tiny": {
        "--model.vocab-size 99": "which decides",
        "--model.pad-id 3": "which decides",
        "--model.labels yes no": "have no head in pretraining",
        "--model.num-heads 3": "model.layer_dim 8 is not a multiple",
        "--model.num-segments 1 --objective.pairs nsp": "no segment for the second",
        "--optimizer.weight-decay -1": "optimizer.weight_decay must be at least 0",
    },
    "bert_large_lamb": {
        "--long-phase.learning-rate None --long-phase.warmup-steps 1": "phase's own",
        "--long-phase.warmup-steps 9": "long_phase.warmup_steps 9 is above long_phase.",
        "--long-phase.batch-size 0": "long_phase.batch_size must be at least 1",
        "--optimizer.max-norm -1": "max_norm must be above 0",
    },
}
CASES = [(config, given) for config in REFUSED for given in REFUSED[config]]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpora]:
    with compiling_quickly():
        yield Corpora(tmp_path_factory.mktemp("models"))


def train(corpora: Corpora, config: str, given: str) -> tuple[int, Path]:
    """Run the command in a directory of its own; return its status and its run."""
    directory = corpora.directory_for(config)
    line = [config, "--workdir", "run", *small(config), *given.split()]
    with contextlib.chdir(directory):
        try:
            status = main(line)
        except SystemExit as end:
            status = int(end.code or 0)
    return status, directory / "run"


@pytest.mark.parametrize("config", TRAINED)
def test_every_option_of_a_model_is_tried_here(config: str) -> None:
    tried = " ".join([*TRAINED[config], *REFUSED[config]]).replace(
        "--model.no-", "--model."
    )
    names = {name for name in listed_options(main, config) if name[:8] == "--model."}
    assert names
    assert names == {word for word in tried.split() if word[:8] == "--model."}


@pytest.mark.parametrize(
    ("config", "given"), [(c, given) for c in TRAINED for given in TRAINED[c]]
)
def test_a_model_of_other_options_trains(corpora, config: str, given: str) -> None:
    steps = "--num-steps 2 --eval-every 0 --log-every 1"
    status, run = train(corpora, config, f"{given} {steps}")
    assert status == 0
    assert saved_steps(run) == [2]
    lines = read_metrics(run, "train")
    assert [line["step"] for line in lines] == [1, 2]
    assert all(
        math.isfinite(value) for name, value in lines[-1].items() if "loss" in name
    )


@pytest.mark.parametrize(("config", "given"), CASES)
def test_an_option_without_a_meaning_is_refused_before_there_is_a_run(
    corpora, capsys, config: str, given: str
) -> None:
    status, run = train(corpora, config, given)
    assert status == 2
    assert REFUSED[config][given] in " ".join(capsys.readouterr().err.split())
    assert not run.exists()
