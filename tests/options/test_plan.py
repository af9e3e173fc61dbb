# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.plan` reaches what it is said to change."""

import functools

import pytest

from tests.options.observed_commands import Planning
from tests.options.pretraining_fields import (
    OF_BERT,
    OF_CONFIGS,
    OF_ELMO,
    OF_KINDS,
    OWN_TEXT,
)
from tests.options.table import (
    Ignored,
    Option,
    check_entries,
    check_ignored,
    check_option,
    listed_options,
)
from train.config import config_names
from train.plan import main

COMMAND = {
    "--topology": Option("--topology v5e:8x8", "topology", to=["v5e:8x8"]),
    "--fsdp": Option("--fsdp 2", "text"),
    "--for": Option("--for embed", "layers", to=["last"]),
    "--layers": Option("--layers mean(all)", "layers", "--for embed", ["mean(all)"]),
    "--largest": Option("--largest", "num_plans", to=2),
    "--output": Option("--output plan.json", "files", to=["plan.json"]),
    "--overwrite": Option("--overwrite", "error", "--output ../taken.json", to=""),
}
EVERY = {
    "--batch-size": Option("--batch-size 16", ("shapes", "text")),
    "--num-steps": Option("--num-steps 5", "text"),
    "--seed": Option("--seed 1", "step"),
    "--grad-accum-steps": Option("--grad-accum-steps 2", "step"),
    "--dtype": Option("--dtype bfloat16", ("step", "text")),
    "--remat": Option("--remat blocks", "step"),
    "--data.vocab-size": Option("--data.vocab-size 41", "shapes"),
}


def model_of(table: dict[str, Option]) -> dict[str, Option]:
    """The fields of a model: what a step computes."""
    return {
        name: Option(option.given, "error" if option.changes == "error" else "step")
        for name, option in table.items()
        if name.startswith("--model.")
    }


OF_KIND = {
    "elmo": model_of(OF_ELMO)
    | {
        "--unroll-steps": Option("--unroll-steps 8", ("shapes", "text")),
        "--num-negatives": Option("--num-negatives 7", "shapes"),
        "--word-input": Option("--word-input ids", "shapes"),
        "--reset-state": Option("--no-reset-state", "step"),
        # There is no text yet that it could contradict.
        "--model.char-cnn.max-characters": Option(
            "--model.char-cnn.max-characters 20", "step"
        ),
    },
    "bert": {
        # The text's counts, which is planned to have data.vocab_size.
        name: option
        for name, option in model_of(OF_BERT).items()
        if name != "--model.vocab-size"
    }
    | {
        "--model.pad-id": Option("--model.pad-id 3", "step"),
        "--objective.pairs": Option("--objective.pairs nsp", ("shapes", "step")),
        "--objective.length": Option("--objective.length 16", ("shapes", "text")),
        "--objective.masking-rate": Option("--objective.masking-rate 0.5", "shapes"),
        "--objective.packed": Option("--objective.no-packed", ("shapes", "step")),
        "--objective.max-instances": Option("--objective.max-instances 2", "shapes"),
    },
}
LONGER = {
    "--long-phase.num-steps": Option("--long-phase.num-steps 1", "text"),
    "--long-phase.length": Option("--long-phase.length 28", ("shapes", "text")),
    "--long-phase.batch-size": Option("--long-phase.batch-size 16", "shapes"),
    "--long-phase.grad-accum-steps": Option("--long-phase.grad-accum-steps 2", "step"),
}
# How far a correction is, is one number more to remember.
ADAM = {
    "--optimizer.corrects-bias": Option("--optimizer.no-corrects-bias", "shapes"),
}
TRIED = {
    "elmo_tiny": COMMAND | EVERY | OF_KIND["elmo"],
    "bert_tiny": EVERY | OF_KIND["bert"] | ADAM,
    "bert_large_lamb": LONGER,
}
CASES = [(config, name) for config, table in TRIED.items() for name in table]
# These would tell where a run lies and of which processes it is made.
NOT_OF_PLAN = {
    "--workdir",
    "--coordinator",
    "--num-processes",
    "--process-id",
    "--tracker",
}


def planned(config: str) -> dict[str, Option]:
    kind, _, _ = config.partition("_")
    some = (LONGER | ADAM).items()
    has = {name: option for name, option in some if name in OF_CONFIGS[config]}
    return COMMAND | EVERY | OF_KIND[kind] | has


def ignored(config: str) -> dict[str, str]:
    """What costs neither time nor memory: for each option what it is given."""
    kind, _, _ = config.partition("_")
    every = {**OF_KINDS[kind], **OF_CONFIGS[config]}
    return {
        name: option.given
        for name, option in every.items()
        if name not in {*planned(config), *NOT_OF_PLAN}
    }


@pytest.fixture(scope="module")
def planning(tmp_path_factory) -> Planning:
    return Planning(tmp_path_factory.mktemp("options"))


@pytest.mark.parametrize("config", config_names())
def test_every_option_has_an_entry(config: str) -> None:
    table = {**planned(config), **ignored(config), **OWN_TEXT}
    check_entries(table, listed_options(main, config))


@pytest.mark.parametrize(("config", "name"), CASES)
def test_an_option_changes_what_it_says(planning, config: str, name: str) -> None:
    check_option(TRIED[config][name], functools.partial(planning.observe, config))


@pytest.mark.parametrize("name", OWN_TEXT)
def test_whose_text_it_is_changes_no_plan(planning, name: str) -> None:
    option = Ignored(OWN_TEXT[name].given, "a plan needs no text")
    observe = functools.partial(planning.observe, "elmo_tiny")
    assert not observe(option.given.split())["error"]
    check_ignored(option, observe, ["text", "shapes"])


@pytest.mark.usefixtures("sigterm_as_before")
def test_an_output_is_refused_before_anything_is_compiled(
    tmp_path, monkeypatch, capsys
) -> None:
    def compiled(name: str) -> None:
        pytest.fail("a topology was asked for")

    monkeypatch.setattr("train.plan.topology_devices", compiled)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.json").write_text("mine", encoding="utf-8")
    line = ["elmo_tiny", "--topology", "v5e:4x4", "--output"]
    assert main([*line, "plan.json"]) == 2
    assert "plan.json exists; --overwrite replaces it" in capsys.readouterr().err
    assert (tmp_path / "plan.json").read_text(encoding="utf-8") == "mine"
    assert main([*line, "nowhere/plan.json"]) == 2
    assert "nowhere: no such directory" in capsys.readouterr().err


@pytest.mark.parametrize("config", ["elmo_tiny", "elmo_original", "bert_large_lamb"])
def test_what_costs_nothing_changes_no_plan(planning, config: str) -> None:
    given = " ".join(ignored(config).values())
    option = Ignored(given, "it costs neither time nor memory")
    observe = functools.partial(planning.observe, config)
    assert not observe(given.split())["error"]
    check_ignored(option, observe, ["text", "shapes"])
