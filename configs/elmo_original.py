# SPDX-License-Identifier: Apache-2.0
"""The biLM of Peters et al. 2018, "original": 93.6 M parameters and the softmax.

Command: python -m train.prepare elmo_original && python -m train.pretrain elmo_original
  --workdir runs/elmo_original (needs the TFDS data set lm1b)
Hardware: published, three GTX 1080, rows of all of them together here in one batch. Not
  run by us.
Time: published, about two weeks, hence about 6,350 words/s; ten epochs, by the program
  1,000,840 steps. The released weights are of step 935,588.
Score: published, 39.7 held-out perplexity, the mean of both directions, on the held-out
  part of the benchmark; a run here measures every thousandth sentence of the rest.
"""

from pathlib import Path

from elmo_jax.config import ElmoConfig
from train.data.sources import TfdsSource
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.loop.optimizer import Adagrad


def config() -> BilmPretraining:
    """Return the published options; one batch has the rows of all three cards.

    In the original each card drew 8,192 negatives of its own for a third of the rows,
    and the two directions read different text; here they read the same.
    """
    return BilmPretraining(
        model=ElmoConfig(),
        data=WordData(
            source=TfdsSource(name="lm1b", form="sentences"),
            directory=Path("data/lm1b_words"),
            vocab_size=793_471,
            held_out_every=1000,
            split="whitespace",
        ),
        batch_size=384,
        num_steps=1_000_840,
        unroll_steps=20,
        num_negatives=8192,
        optimizer=Adagrad(),
        eval_every=5000,
        eval_batches=100,
        save_every=1250,
    )
