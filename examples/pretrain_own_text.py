# SPDX-License-Identifier: Apache-2.0
"""Pretrain a BERT on your own text, and use it while it trains.

    python examples/pretrain_own_text.py "texts/*.txt"

Needs `pip install -e '.[train]'`. Without a pattern the docstrings of this machine are
the text. Everything is kept in the folder `own_text`: run it again, and what is done is
not done again. The same from the command line: `train.prepare`, `train.pretrain`.
"""

import dataclasses
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bert_jax
from configs import bert_tiny
from embed_jax.files.run_directory import saved_steps
from train.config import Pretraining
from train.data.sources import TextSource
from train.export import export
from train.prepare import prepare
from train.pretrain import pretrain

FOLDER = Path("own_text")
SENTENCES = ["Return the value .", "The value of the key is returned ."]


def experiment_for(pattern: str | None, num_steps: int) -> Pretraining:
    """Return `bert_tiny` with another text and another length."""
    experiment = bert_tiny.config()
    data = dataclasses.replace(
        experiment.data,
        directory=FOLDER / "data",
        source_directory=None,
        vocab_size=1000,
        num_workers=1,
    )
    if pattern:
        source = TextSource(patterns=(pattern,), form="prose")
        data = dataclasses.replace(data, source=source)
    return dataclasses.replace(
        experiment,
        model=bert_jax.TINY,  # leave this out for a model that is of use
        data=data,
        num_steps=num_steps,
        log_every=50,
        save_every=50,
        eval_every=0,
    )


def main(pattern: str | None = None, num_steps: str = "200") -> None:
    """Prepare the text, train in the background, look in, and export the model."""
    experiment, run = experiment_for(pattern, int(num_steps)), FOLDER / "run"
    prepare(experiment.data, print)
    training = ThreadPoolExecutor().submit(pretrain, experiment, run)

    # The run's folder is a model as soon as it has a checkpoint.
    seen: list[int] = []
    while not training.done():
        time.sleep(1)
        if (steps := saved_steps(run)) != seen:
            seen = steps
            params, tokenizer = bert_jax.load(run)
            words = bert_jax.embed_words(params, tokenizer, SENTENCES, "last")
            print(f"step {steps[-1]}: 'value' is {words[1][1][:3].round(3)} …")
    training.result()  # raises what went wrong

    export(run, FOLDER / "model", overwrite=True)
    params, tokenizer = bert_jax.load(FOLDER / "model")  # transformers opens it too
    vectors = bert_jax.embed_sentences(params, tokenizer, SENTENCES, "mean(all)")
    print(f"sentences embedded by the exported model: {vectors.shape}")


if __name__ == "__main__":
    main(*sys.argv[1:])
