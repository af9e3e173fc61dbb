# SPDX-License-Identifier: Apache-2.0
"""The options of pretraining: with what each is tried, and what it changes there."""

from collections.abc import Callable
from typing import Any

from tests.options.observed_run import GRADIENTS, WEIGHTS
from tests.options.table import Ignored, Option
from tests.oracles import optimizers as oracle
from tests.oracles.lamb import Lamb, lamb_rate

PROCESSES = "--coordinator a:1 --num-processes 4 --process-id 2"


def falling(step: int) -> float:
    """The rate of most runs here: half, and in four steps to zero."""
    return 0.5 * (1 - step / 4)


def updates(of: type, **constants) -> list[list[float]]:
    """What a published optimiser makes of the gradients, by NumPy."""
    factor = constants.pop("loss_factor", 1.0)
    optimizer = of(**constants)
    found = []
    for gradient in GRADIENTS:
        scaled = {name: factor * g.astype(float) for name, g in gradient.items()}
        new = optimizer.step(WEIGHTS, scaled)
        change = [
            *(new["kernel"] - WEIGHTS["kernel"]),
            *(new["bias"] - WEIGHTS["bias"]),
        ]
        found.append([round(float(x), 4) for x in change])
    return found


def adam(**constants) -> list[list[float]]:
    return updates(
        oracle.BertAdam,
        **{"learning_rate": falling, "clip_norm": 1.0, "bias_correction": True}
        | constants,
    )


class LambInTwoPhases:
    """LAMB with a root decay, in a first phase of two steps."""

    def __init__(self, *, power: float = 0.5, **constants) -> None:
        self._power = power
        names = {"clip_norm": "max_norm"}
        given = {names.get(name, name): value for name, value in constants.items()}
        self._lamb = Lamb(**{"corrects_bias": True} | given)

    def step(self, params, grads):
        step = self._lamb.updates
        rate = lamb_rate(step, peak=0.5, warmup_steps=0, num_steps=2, power=self._power)
        return self._lamb.update(
            params, grads, rate, lambda name: oracle.is_decayed(name)
        )


def lamb(**constants) -> list[list[float]]:
    return updates(LambInTwoPhases, **constants)


def adagrad(**constants) -> list[list[float]]:
    return updates(
        oracle.Adagrad,
        **{"learning_rate": 0.5, "clip_norm": 10.0, "loss_factor": 20.0} | constants,
    )


def refused(given: str) -> Option:
    """Text that was prepared by other settings is no other run's."""
    name = given.split()[0].removeprefix("--data.").replace("-", "_")
    return Option(given, "refused", to=[name])


# Of the loop, which is the same for both kinds of model.
LOOP = {
    "--workdir": Option("--workdir elsewhere", "directory", to=["elsewhere"]),
    "--coordinator": Option("--coordinator b:2", "joined", PROCESSES, ["b:2", 4, 2]),
    "--num-processes": Option("--num-processes 3", "joined", PROCESSES, ["a:1", 3, 2]),
    "--process-id": Option("--process-id 3", "joined", PROCESSES, ["a:1", 4, 3]),
    "--tracker": Option(
        "--tracker mine.py",
        "error",
        to="train.pretrain: mine.py: no such file; it would be a Python file of your "
        "own with a function track()\n",
    ),
    "--fsdp": Option("--fsdp 2", "mesh", to={"data": 1, "fsdp": 2}),
    "--num-steps": Option("--num-steps 5", "logged", to=[1, 2, 3, 4, 5]),
    "--log-every": Option("--log-every 2", "logged", to=[2, 4]),
    "--eval-every": Option("--eval-every 3", "measured", to=[3, 4]),
    "--save-every": Option("--save-every 3", "saved", to=[2, 3, 4]),
    "--keep-last": Option(
        "--keep-last 1", "kept", "--num-steps 2 --save-every 1 --eval-every 0", [2]
    ),
    "--num-threads": Option("--num-threads 3", "threads", to=3),
}
# Of every model and text.
EVERY = {
    "--batch-size": Option("--batch-size 16", ("batches", "step")),
    "--seed": Option(
        "--seed 1", ("weights", "batches", "step"), "--model.dropout-rate 0.1"
    ),
    "--grad-accum-steps": Option("--grad-accum-steps 2", "step"),
    "--dtype": Option("--dtype bfloat16", "step"),
    "--remat": Option("--remat blocks", "step"),
    "--init-from": Option("--init-from model", "values", to=[0.25]),
    "--eval-batches": Option("--eval-batches 2", "num_held_out", to=4),
    "--data.directory": Option("--data.directory other", "batches"),
    "--data.held-out-every": refused("--data.held-out-every 4"),
    "--data.vocab-size": refused("--data.vocab-size 41"),
}
FOR_PREPARE = "it is train.prepare that reads it"
IGNORED = {
    "--data.source-directory": Ignored("--data.source-directory x", FOR_PREPARE),
    "--data.num-workers": Ignored("--data.num-workers 3", FOR_PREPARE),
}

OF_ELMO = {
    "--model.char-cnn.embedding-dim": Option(
        "--model.char-cnn.embedding-dim 5", "weights"
    ),
    "--model.char-cnn.filters": Option("--model.char-cnn.filters 1 4 3 4", "weights"),
    "--model.char-cnn.activation": Option("--model.char-cnn.activation tanh", "step"),
    "--model.char-cnn.num-highways": Option(
        "--model.char-cnn.num-highways 2", "weights"
    ),
    "--model.char-cnn.max-characters": Option(
        "--model.char-cnn.max-characters 20", "error"
    ),
    # Words are read by their characters, and a table besides is refused.
    "--model.vocab-size": Option("--model.vocab-size 9", "error"),
    "--model.num-blocks": Option("--model.num-blocks 3", "weights"),
    "--model.cell-dim": Option("--model.cell-dim 12", "weights"),
    "--model.projection-dim": Option("--model.projection-dim 6", "weights"),
    "--model.cell-clip": Option("--model.cell-clip 1.0", "step"),
    "--model.projection-clip": Option("--model.projection-clip None", "step"),
    "--model.skip-connections": Option("--model.no-skip-connections", "step"),
    "--model.bidirectional": Option("--model.no-bidirectional", "error"),
    "--model.dropout-rate": Option("--model.dropout-rate 0.5", "step"),
    "--data.min-count": refused("--data.min-count 2"),
    "--data.vocabulary": Option(
        "--data.vocabulary text/vocab.txt", "refused", to=["vocabulary"]
    ),
    "--data.split": refused("--data.split whitespace"),
    "--data.max-characters": Option(
        "--data.max-characters 20", "refused", to=["max_characters"]
    ),
    "--unroll-steps": Option("--unroll-steps 8", "batches"),
    "--num-negatives": Option("--num-negatives 7", "batches"),
    "--word-input": Option("--word-input tied_ids", ("weights", "batches", "model")),
    "--reset-state": Option("--no-reset-state", "step"),
}
OF_BERT = {
    "--model.num-blocks": Option("--model.num-blocks 2", "weights"),
    "--model.num-heads": Option("--model.num-heads 4", "step"),
    "--model.layer-dim": Option("--model.layer-dim 12", "weights"),
    "--model.mlp-dim": Option("--model.mlp-dim 16", "weights"),
    "--model.max-positions": Option("--model.max-positions 40", "weights"),
    # The prepared text decides.
    "--model.vocab-size": Option("--model.vocab-size 99", "error"),
    "--model.pad-id": Option("--model.pad-id 3", "error"),
    "--model.num-segments": Option("--model.num-segments 3", "weights"),
    "--model.hidden-act": Option("--model.hidden-act relu", "step"),
    "--model.norm-epsilon": Option("--model.norm-epsilon 1e-3", "step"),
    "--model.dropout-rate": Option("--model.dropout-rate 0.5", "step"),
    "--model.attention-dropout-rate": Option(
        "--model.attention-dropout-rate 0.5", "step"
    ),
    "--model.init-std": Option("--model.init-std 0.5", "weights"),
    "--model.tied-decoder": Option("--model.no-tied-decoder", "weights"),
    "--model.classifier-dropout-rate": Option(
        "--model.classifier-dropout-rate 0.3", "model"
    ),
    # No head of pretraining has classes.
    "--model.labels": Option("--model.labels yes no", "error"),
    "--data.cased": refused("--data.cased"),
    "--data.kind": refused("--data.kind sentencepiece"),
    "--data.tokenizer": Option(
        "--data.tokenizer text/tokenizer", "refused", to=["tokenizer"]
    ),
    "--objective.pairs": Option("--objective.pairs nsp", ("batches", "weights")),
    "--objective.length": Option("--objective.length 16", "batches"),
    "--objective.masking-rate": Option("--objective.masking-rate 0.5", "batches"),
    "--objective.whole-words": Option("--objective.whole-words", "batches"),
    "--objective.short-rate": Option("--objective.short-rate 0.9", "batches"),
    "--objective.short-for": Option(
        "--objective.short-for chunk", "batches", "--objective.short-rate 0.5"
    ),
    "--objective.packed": Option("--objective.no-packed", "batches"),
    "--objective.max-instances": Option(
        "--objective.max-instances 1", "instances", "--objective.short-rate 1", 1
    ),
}
ROOT = 0.5**0.5


def longer_rows(half: float = 0.5) -> dict[str, Option]:
    """Options of a second phase of two steps.

    Args:
      half: what a rate falls to when half of the steps are made.
    """
    first = [0.5, round(0.5 * half, 5)]
    return {
        "--long-phase.num-steps": Option(
            "--long-phase.num-steps 1", ("batches", "rates")
        ),
        "--long-phase.length": Option("--long-phase.length 28", "batches"),
        "--long-phase.batch-size": Option("--long-phase.batch-size 16", "batches"),
        "--long-phase.grad-accum-steps": Option(
            "--long-phase.grad-accum-steps 2", "step"
        ),
        "--long-phase.learning-rate": Option(
            "--long-phase.learning-rate 0.125",
            "rates",
            to=[*first, 0.125, round(0.125 * half, 5)],
        ),
        "--long-phase.warmup-steps": Option(
            "--long-phase.warmup-steps 1",
            "rates",
            to=[*first, 0.0, round(0.25 * half, 5)],
        ),
    }


LONGER_ROWS = longer_rows()

ADAGRAD = {
    "--optimizer.learning-rate": Option(
        "--optimizer.learning-rate 1", "rates", to=[1.0, 1.0, 1.0, 1.0]
    ),
    "--optimizer.initial-accumulator": Option(
        "--optimizer.initial-accumulator 2",
        "update",
        to=adagrad(initial_accumulator=2.0),
    ),
    "--optimizer.loss-factor": Option(
        "--optimizer.loss-factor 10", "update", to=adagrad(loss_factor=10.0)
    ),
    "--optimizer.max-norm": Option(
        "--optimizer.max-norm 2", "update", to=adagrad(clip_norm=2.0)
    ),
    "--optimizer.decays": Option(
        "--optimizer.decays", "rates", to=[0.5, 0.375, 0.25, 0.125]
    ),
}


def of_moments(
    make: Callable[..., list[list[float]]],
    rates: tuple[list[float], list[float], Option],
) -> dict[str, Option]:
    """Options of an optimiser that remembers means of gradients and of their squares.

    Args:
      make: what changes weights, of constants.
      rates: with the highest one doubled, and with a warm-up of two steps; and the
        option of the power of the decay.
    """
    doubled, warmed, power = rates
    return {
        "--optimizer.learning-rate": Option(
            "--optimizer.learning-rate 1", "rates", to=doubled
        ),
        "--optimizer.warmup-steps": Option(
            "--optimizer.warmup-steps 2", "rates", to=warmed
        ),
        "--optimizer.decay-power": power,
        "--optimizer.beta1": Option(
            "--optimizer.beta1 0.5", "update", to=make(beta1=0.5)
        ),
        "--optimizer.beta2": Option(
            "--optimizer.beta2 0.5", "update", to=make(beta2=0.5)
        ),
        "--optimizer.epsilon": Option(
            "--optimizer.epsilon 0.1", "update", to=make(epsilon=0.1)
        ),
        "--optimizer.weight-decay": Option(
            "--optimizer.weight-decay 0.5", "update", to=make(weight_decay=0.5)
        ),
        "--optimizer.max-norm": Option(
            "--optimizer.max-norm 0.28", "update", to=make(clip_norm=0.28)
        ),
    }


ADAM_RATES = (
    [1.0, 0.75, 0.5, 0.25],
    [0.0, 0.25, 0.25, 0.125],
    Option("--optimizer.decay-power 2", "rates", to=[0.5, 0.28125, 0.125, 0.03125]),
)
LAMB_RATES = (
    [1.0, round(ROOT, 5), 0.25, round(0.25 * ROOT, 5)],
    [0.0, 0.25, 0.25, round(0.25 * ROOT, 5)],
    Option("--optimizer.decay-power 1", "rates", to=[0.5, 0.25, 0.25, 0.125]),
)
LAMB = of_moments(lamb, LAMB_RATES) | {
    "--optimizer.corrects-bias": Option(
        "--optimizer.no-corrects-bias", "update", to=lamb(corrects_bias=False)
    ),
    "--optimizer.adapts-all": Option(
        "--optimizer.adapts-all", "update", to=lamb(trust_everywhere=True)
    ),
}


def of_adam(weight_decay: float) -> dict[str, Option]:
    """Options of an Adam whose weights decay so."""

    def make(**constants: Any) -> list[list[float]]:
        return adam(**{"weight_decay": weight_decay} | constants)

    return of_moments(make, ADAM_RATES) | {
        "--optimizer.corrects-bias": Option(
            "--optimizer.no-corrects-bias", "update", to=make(bias_correction=False)
        )
    }


def of_source(*given: str) -> dict[str, Option]:
    """Options of a source: text of another one is no longer what was prepared."""
    options = [f"--data.source.{text}" for text in given]
    return {text.split()[0]: Option(text, "refused", to=["source"]) for text in options}


DOCSTRINGS = of_source("packages jax numpy")
TEXT = of_source("patterns corpus.txt", "form sentences")
TFDS = of_source(
    *("name imdb", "split test", "feature title", "form documents", "data-dir x")
)

# Of every configuration: other text than its own, which was not prepared.
OWN_TEXT = {
    name: Option(given, "refused", to=["source"])
    for name, given in {
        "--text": "--text other.txt",
        "--tfds": "--tfds lm1b",
        "--docstrings": "--docstrings",
        "--field": "--text corpus.txt --field body",
        "--form": "--text corpus.txt --form documents",
    }.items()
}

# What else the others are made of, besides what every run of their kind has.
OF_CONFIGS = {
    "bert_base": TFDS | of_adam(0.01) | LONGER_ROWS,
    "bert_large": TFDS | of_adam(0.01) | LONGER_ROWS,
    "bert_large_lamb": TFDS | LAMB | longer_rows(ROOT),
    "bert_mini": TFDS | of_adam(0.01) | LONGER_ROWS,
    "bert_novels": TEXT | of_adam(0.01),
    "bert_small": TFDS | of_adam(0.01) | LONGER_ROWS,
    "bert_tiny": DOCSTRINGS | of_adam(0.01),
    "elmo_medium": TFDS | ADAGRAD,
    "elmo_novels": TEXT | of_adam(0.0),
    "elmo_original": TFDS | ADAGRAD,
    "elmo_small": TFDS | ADAGRAD,
    "elmo_tiny": DOCSTRINGS | of_adam(0.0),
}
OF_KINDS = {
    "elmo": LOOP | EVERY | IGNORED | OF_ELMO,
    "bert": LOOP | EVERY | IGNORED | OF_BERT,
}
