# SPDX-License-Identifier: Apache-2.0
"""`python -m train.probe`: every option that its help lists reaches what it is for."""

import functools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.compilations import compiling_quickly
from tests.options.table import (
    Observe,
    Option,
    check_entries,
    check_option,
    listed_options,
)
from tests.train.probe_run import run, write_pairs, write_pos, write_senses
from tests.train.quick_models import save_bert
from train.probe import main

COMMON = "--model bert --output out/it --tasks pos --layers 1".split()

TABLE = {
    "--model": Option("--model other", "scores"),
    "--output": Option(
        "--output new/all",
        "files",
        to=[
            f"new/{name}"
            for name in "all-pos.json all-pos.md all.json all.md all.png".split()
        ],
    ),
    "--tasks": Option("--tasks wsd,sts", "tables", to=["it", "it-sts", "it-wsd"]),
    "--layers": Option(
        "--layers last", "rows", to=["most frequent tag", "layer 0", "layer 1", "last"]
    ),
    "--cache": Option("--cache kept", "cache", to=["kept"]),
    "--pos-data": Option(
        "--pos-data pos2",
        "data",
        to="pos2: train 9 sentences, 18 words; dev 9 sentences, 18 words; "
        "test 9 sentences, 18 words",
    ),
    "--wsd-data": Option("--wsd-data wsd2", "scores", "--tasks wsd"),
    "--sts-data": Option("--sts-data sts2", "scores", "--tasks sts"),
    "--tags": Option("--tags xpos upos", "metrics"),
    "--csv": Option(
        "--csv seeds.csv",
        "seeds",
        to=[
            "task,spec,seed,UPOS dev,UPOS test",
            "pos,most frequent tag,",
            *(f"pos,{layer}," for layer in (0, 1)),
        ],
    ),
    "--probe.num-seeds": Option("--probe.num-seeds 2", "num_seeds", "--tasks wsd", 2),
    "--probe.seed": Option("--probe.seed 7", "deviations"),
    "--probe.penalty": Option("--probe.penalty 1000", "steps"),
    "--probe.tolerance": Option("--probe.tolerance 0.01", "steps"),
    "--probe.max-steps": Option("--probe.max-steps 2", "steps"),
    "--probe.num-resamples": Option("--probe.num-resamples 5", "deviations"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Two models, and two sets of the data of each task, none of which can be told."""
    folder = tmp_path_factory.mktemp("inputs")
    save_bert(folder / "bert")
    save_bert(folder / "other", seed=1)
    draw = random.Random(0)
    words = "the a good bad bank river was saw".split()

    def sentence() -> list[tuple[str, str, str]]:
        return [
            (draw.choice(words), draw.choice("ABC"), draw.choice("DE"))
            for _ in range(2)
        ]

    usual = "pos_ud_english_ewt", "wsd_semcor_masc", "sts_benchmark"
    for names, size in ((usual, 20), (("pos2", "wsd2", "sts2"), 9)):
        splits = "train", "dev", "test"
        write_pos(
            folder / names[0],
            {name: [sentence() for _ in range(size)] for name in splits},
        )
        (folder / names[1]).mkdir()
        write_senses(
            folder / names[1] / "masc_noad.jsonl.gz",
            [[[(draw.choice(words), draw.choice("ab"))] * 2] * 2 for _ in range(size)],
        )
        write_pairs(
            folder / names[2],
            {
                name: [
                    (draw.random(), draw.choice(words), draw.choice(words))
                    for _ in range(size)
                ]
                for name in splits[1:]
            },
        )
    (folder / "features").mkdir()
    return folder


@pytest.fixture(scope="module")
def observe(inputs, tmp_path_factory) -> Observe:
    """Observe each list of arguments once; the features of all lie in one folder."""

    @functools.cache
    def look(arguments: tuple[str, ...]) -> Mapping[str, Any]:
        folder = tmp_path_factory.mktemp("run")
        for name in "bert other pos2 wsd2 sts2".split():
            (folder / name).symlink_to(inputs / name)
        (folder / "data").mkdir()
        (folder / "data/features").symlink_to(inputs / "features")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CONTEXTUAL_DATA", str(inputs))
            ran = run([*COMMON, *arguments], folder)
        assert ran.status == 0, ran.error
        (first, *_) = [rows for name, rows in ran.tables.items() if "-" in name]
        rows = list(first.values())
        (facts, *_) = [facts for name, facts in ran.facts.items() if "-" in name]
        return {
            "files": [name for name in ran.files if not name.endswith(".h5")],
            "cache": sorted({n.split("/")[0] for n in ran.files if n.endswith(".h5")}),
            "tables": sorted(ran.tables),
            "rows": [row.name for row in rows],
            "metrics": list(rows[-1].scores),
            "scores": [dict(row.scores) for row in rows[1:]],
            "num_seeds": len(next(iter(rows[-1].scores.values()))),
            "data": facts.get("data"),
            "steps": facts.get("steps"),
            "deviations": [
                dict(row.deviations)
                for table in ran.tables.values()
                for row in table.values()
            ],
            "seeds": seeds_of(folder / "seeds.csv"),
        }

    with compiling_quickly():
        yield lambda arguments: look(tuple(arguments))


def seeds_of(path: Path) -> list[str]:
    """Return the header of a table, and of each line what its scores are of."""
    if not path.exists():
        return []
    header, *lines = path.read_text().splitlines()
    return [header, *(line.rsplit(",", 2)[0] for line in lines)]


def test_every_option_is_tried():
    check_entries(TABLE, listed_options(main))


@pytest.mark.parametrize("name", TABLE)
def test_an_option_changes_what_it_is_for(observe, name):
    check_option(TABLE[name], observe)
