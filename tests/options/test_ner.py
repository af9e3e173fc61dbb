# SPDX-License-Identifier: Apache-2.0
"""`python -m train.ner`: every option that its help lists reaches what it is for."""

import functools
import json
import random
from collections.abc import Callable, Mapping
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
from tests.train.ner_run import run, written_files
from tests.train.quick_models import save_bert
from train.ner import main

CONFIGS = ("ner_small", "ner_table7")
# A linear tagger on the mix of all layers, which compiles at once.
COMMON = "--model bert --data towns --layers mix(all) --num-layers 0 --num-seeds 2"
SMALL = f"{COMMON} --num-epochs 2 --batch-words 16".split()

# Weights of the mix of two layers, and of an affine map from 16 to three tags.
LINEAR = 2 + 1 + 16 * 3 + 3

TABLE = {
    "--model": Option("--model other", "vectors"),
    "--data": Option(
        "--data more",
        "data",
        to="train 40 sentences, 160 words; dev 4 sentences, 16 words; "
        "test 4 sentences, 16 words",
    ),
    "--output": Option(
        "--output tables",
        "files",
        to=[f"tables/ner-towns-bert.{kind}" for kind in ("json", "md", "png")],
    ),
    "--name": Option(
        "--name it",
        "files",
        to=[f"results/it.{kind}" for kind in ("json", "md", "png")],
    ),
    "--cache": Option("--cache kept", "cache", to="kept"),
    "--retrain": Option("--retrain", "trained", to=["mix(all)"]),
    "--jobs": Option(
        "--jobs 3", "processes", "--retrain --layers 0 1 mix(all)", to=[3]
    ),
    "--predictions": Option(
        "--predictions found", "predictions", to=["found/mix(all).conll"]
    ),
    "--csv": Option(
        "--csv seeds.csv",
        "seeds",
        to=["task,spec,seed,dev F1,test F1", "ner,mix(all),0", "ner,mix(all),1"],
    ),
    # A word is its tag, and a tag its word.
    "--column": Option("--column -1", "error"),
    "--tag-column": Option("--tag-column 1", "error"),
    "--test-fraction": Option(
        "--test-fraction 0.25",
        "data",
        "--data single/one.conll",
        to="train 12 sentences, 48 words; dev 6 sentences, 24 words; "
        "test 6 sentences, 24 words",
    ),
    "--layers": Option("--layers last 0", "rows", to=["last", "0"]),
    "--num-seeds": Option("--num-seeds 3", "num_scores", to=3),
    "--seed": Option("--seed 5", "learnt"),
    # Two directions; each has four gates, which read 16 numbers, the cell's own, a one.
    "--cell-dim": Option(
        "--cell-dim 3",
        "num_weights",
        "--num-layers 1 --cell-dim 2",
        to=2 + 1 + 2 * 4 * 3 * (16 + 3 + 1) + (2 * 3 * 3 + 3),
    ),
    "--num-layers": Option(
        "--num-layers 1",
        "num_weights",
        "--cell-dim 2",
        to=2 + 1 + 2 * 4 * 2 * (16 + 2 + 1) + (2 * 2 * 3 + 3),
    ),
    # From tag to tag, to the first and from the last.
    "--decoder": Option("--decoder crf", "num_weights", to=LINEAR + 3 * 3 + 3 + 3),
    "--dropout-rate": Option("--dropout-rate 0.1", "learnt"),
    "--mix-penalty": Option("--mix-penalty 0.1", "mixes"),
    "--learning-rate": Option("--learning-rate 0.02", "learnt"),
    "--max-gradient-norm": Option("--max-gradient-norm 0.01", "learnt"),
    "--batch-words": Option("--batch-words 32", "learnt"),
    "--num-epochs": Option("--num-epochs 3", "learnt"),
    # What is learnt by heart in some epochs cannot become better.
    "--patience": Option(
        "--patience 1",
        "num_epochs",
        "--num-epochs 30 --learning-rate 0.05 --patience 30",
    ),
    "--context": Option("--context 3", "vectors"),
    "--pool": Option("--pool mean", "vectors"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Two models, and two data sets with a frequent name and a rare one."""
    folder = tmp_path_factory.mktemp("inputs")
    save_bert(folder / "bert")
    save_bert(folder / "other", seed=1)
    _write_sentences(folder / "towns", 24)
    _write_sentences(folder / "more", 40)
    (folder / "single").mkdir()
    (folder / "single/one.conll").symlink_to(folder / "towns/train.conll")
    for name in ("features-of-True", "features-of-False"):
        (folder / name).mkdir()
    return folder


def _write_sentences(folder: Path, num_train: int) -> None:
    draw = random.Random(0)
    folder.mkdir()
    for name, number in (("train", num_train), ("dev", 4), ("test", 4)):
        lines = []
        for index in range(number):
            words = [draw.choice(["the", "a", "good", "was", "saw"]) for _ in range(2)]
            rare = index % (12 if name == "train" else 2) == 1
            words += ["rivers" if rare else "bank", draw.choice(["the", "was"])]
            tags = ["O", "O", "B-LOC" if rare else "B-ORG", "O"]
            if index % 2 == 0:
                lines.append("-DOCSTART- O\n")
            lines.append(
                "".join(f"{w} {t}\n" for w, t in zip(words, tags, strict=True))
            )
        (folder / f"{name}.conll").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def observer(inputs, tmp_path_factory) -> Callable[..., Observe]:
    """Observe a configuration; the features of all runs lie in one folder."""

    @functools.cache
    def observe(
        config: str, learns: bool, times: int, arguments: tuple[str, ...]
    ) -> Mapping[str, Any]:
        folder = tmp_path_factory.mktemp("run")
        for name in ("bert", "other", "towns", "more", "single"):
            (folder / name).symlink_to(inputs / name)
        (folder / "data").mkdir()
        (folder / "data/features").symlink_to(inputs / f"features-of-{learns}")
        for _ in range(times):
            ran = run([config, *SMALL, *arguments], folder, learns=learns)
        if ran.status:
            return {"error": ran.error.splitlines()[-1], "data": None}
        return _seen(ran, folder)

    with compiling_quickly():
        yield (
            lambda config, learns=True, times=1: (
                lambda given: observe(config, learns, times, tuple(given))
            )
        )


def _seen(ran: Any, folder: Path) -> Mapping[str, Any]:
    files = written_files(folder)
    tables = [
        name for name in files if "kept/" not in name and not name.endswith(".conll")
    ]
    record = json.loads(
        (folder / ran.printed.split()[-1]).with_suffix(".json").read_text()
    )
    outcomes = list(ran.outcomes.values())
    table = folder / "seeds.csv"
    seeds = table.read_text().splitlines() if table.exists() else [""]
    return {
        "error": "",
        "seeds": [seeds[0], *(",".join(each.split(",")[:3]) for each in seeds[1:])],
        "vectors": ran.vectors["test"],
        "data": record["facts"]["data"],
        "files": tables,
        "cache": ran.cache,
        "trained": ran.trained,
        "processes": ran.processes,
        "predictions": [name for name in files if name.endswith(".conll")],
        "rows": [row["name"] for row in record["rows"]],
        "num_scores": len(record["rows"][0]["scores"]["test F1"]),
        "learnt": [gamma for outcome in outcomes for gamma in outcome.gammas],
        "mixes": [shares for outcome in outcomes for shares in outcome.mixes],
        "num_weights": outcomes[0].num_params,
        "num_epochs": ran.num_epochs,
    }


@pytest.mark.parametrize("config", CONFIGS)
def test_every_option_is_tried(config):
    check_entries(TABLE, listed_options(main, config))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", TABLE)
def test_an_option_changes_what_it_is_for(observer, config, name):
    entry = TABLE[name]
    # What the cache has, a second run does not train again.
    times = 2 if name == "--retrain" else 1
    learns = entry.changes in ("learnt", "mixes", "num_epochs")
    check_option(entry, observer(config, learns, times))


def test_learnt_results_of_other_options_are_not_taken(observer):
    """All runs above share a cache; what each gives is that of a cache of its own."""
    for given in ([], ["--learning-rate", "0.02"], ["--context", "3"]):
        shared = observer("ner_small")(given)
        alone = observer("ner_small")([*given, "--cache", "alone"])
        assert [gamma.tolist() for gamma in shared["learnt"]] == [
            gamma.tolist() for gamma in alone["learnt"]
        ]
