# SPDX-License-Identifier: Apache-2.0
"""Every option of every command and configuration, at values without a meaning.

The options are those of the dataclasses that commands are parsed into, found from the
commands themselves, so that a new one is tried too. A value is refused where the
dataclass is made, by a message that names the field; or it has a meaning, which is
written down here. Nothing is run.
"""

import copy
import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elmo_jax import score
from elmo_jax.config import ElmoConfig
from embed_jax import __main__ as embed
from embed_jax import quickstart as small
from embed_jax.explore import nearest, word_types
from embed_jax.explore.contexts import command as contexts
from embed_jax.export import __main__ as artefact
from train import evaluate, export, finetune, ner, plan, pretrain, probe, quickstart
from train.config import config_names, experiment_named
from train.families.bert.config import LongPhase

_COMMANDS = (
    score.Command("m", Path("c"), Path("o")),
    embed.Command("m", Path("c"), Path("o")),
    small.Command(),
    nearest.Command(Path("s"), "w"),
    word_types.Command(("a", "b", "c")),
    contexts.Command("m", Path("c"), ("w",)),
    artefact.Command("m", Path("o")),
    evaluate.Command(model=Path("m"), data=Path("d")),
    export.Command(Path("r"), Path("m")),
    finetune.Options(model="m", data="d", output=Path("o")),
    ner.Options(model="m", data="d"),
    plan.Options(topology="v5e:2x2"),
    pretrain.Options(workdir=Path("r"), processes=embed.Processes()),
    probe.Command(model="m", output=Path("o")),
    quickstart.Command(),
    LongPhase(num_steps=1),
    ElmoConfig(char_cnn=None, vocab_size=9),
)

_HUGE = 10**30
_BY_KIND: dict[Any, tuple[Any, ...]] = {
    int: (-1, 0, _HUGE, math.nan, math.inf, 2.5, "7", True),
    float: (-1.0, 0.0, 1e300, math.nan, math.inf, "0.1", True),
    bool: (2, "yes", math.nan),
    str: (3, math.nan),
    Path: (3, math.nan),
}

# What zero means, where it has a meaning.
OF_ZERO = {
    "attention_dropout_rate": "nothing is dropped",
    "batches": "all of them",
    "beta1": "the gradient itself, without a mean",
    "beta2": "the square of the gradient itself",
    "classifier_dropout_rate": "nothing is dropped",
    "context": "no neighbouring sentences",
    "count": "none are listed",
    "dropout_rate": "nothing is dropped",
    "eval_every": "nothing is measured",
    "frozen_steps": "the encoder is trained from the first step",
    "held_out_every": "nothing is held out",
    "init_std": "all weights begin at zero",
    "initial_accumulator": "the first step has the size of the learning rate",
    "mix_penalty": "no penalty",
    "num_highways": "no highways",
    "num_layers": "a linear model",
    "num_negatives": "the full softmax",
    "num_workers": "as many as cores",
    "pad_id": "the first of the vocabulary",
    "patience": "no early end",
    "process_id": "the first process",
    "seed": "a seed like others",
    "short_rate": "no short instances",
    "step": "refused by name where a run has no such checkpoint",
    "vocab_size": "no table of words: they are read by their characters",
    "warmup_rate": "no warm-up",
    "warmup_steps": "no warm-up",
    "weight_decay": "no decay",
}
# Where zero has none, though it has one in another class.
NOT_OF_ZERO = {
    "ElmoConfig.vocab_size": "of this instance, which reads words by a table",
    "BertConfig.vocab_size": "",
    "PieceData.vocab_size": "",
    "WordData.vocab_size": "",
    "Tagging.patience": "",
}


def _parts(config: Any) -> Iterator[Any]:
    """Yield a dataclass and those in it."""
    yield config
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _parts(value)


def _every() -> dict[type, Any]:
    """Return an instance of every class of options."""
    found: dict[type, Any] = {}
    configs = (experiment_named(name, object) for name in config_names(object))
    for whole in (*_COMMANDS, *configs):
        for part in _parts(whole):
            found.setdefault(type(part), part)
    return found


EVERY = _every()


def _alternatives(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _values(hint: Any) -> list[Any]:
    """Return values to try a field of a kind with."""
    kinds = _alternatives(hint)
    tried: list[Any] = []
    for kind in kinds:
        if kind in _BY_KIND:
            tried += _BY_KIND[kind]
        elif typing.get_origin(kind) is typing.Literal:
            tried += ["nonsense"] if int in kinds else ["nonsense", 3]
        elif kind is not types.NoneType:
            tried += [3, "nonsense"]
    if types.NoneType not in kinds:
        tried.append(None)
    if str in kinds:
        tried = [value for value in tried if not isinstance(value, str)]
    return tried


def _refusal(config: Any, name: str, value: Any) -> str | None:
    """Return what is said of a dataclass with another value; None if it is taken.

    It is made past the checks of annotations that there are in tests.
    """
    made = copy.copy(config)
    object.__setattr__(made, name, value)
    try:
        made.__post_init__()
    except ValueError as error:
        return str(error)
    return None


CASES = [
    pytest.param(kind, field.name, id=f"{kind.__module__}.{kind.__name__}.{field.name}")
    for kind in EVERY
    for field in dataclasses.fields(kind)
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_value_without_a_meaning_is_refused_by_name(kind: type, name: str) -> None:
    zero_means = name in OF_ZERO and f"{kind.__name__}.{name}" not in NOT_OF_ZERO
    hint = typing.get_type_hints(kind)[name]
    for value in _values(hint):
        is_zero = value == 0 and not isinstance(value, bool)
        refusal = _refusal(EVERY[kind], name, value)
        if is_zero and zero_means:
            assert refusal is None, f"{name} is documented at zero"
        else:
            assert refusal is not None, f"{name}={value!r} is taken"
            assert name in refusal


def test_what_zero_means_is_said_of_options_that_there_are() -> None:
    names = {case.values[1] for case in CASES}
    assert names >= OF_ZERO.keys()
