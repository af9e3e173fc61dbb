# SPDX-License-Identifier: Apache-2.0
"""Every command that writes, on inputs so small that it takes about a second.

`benchmarks.kills` and `benchmarks.two_at_once` run them; a command's outcome is what
must be the same however often it was killed, and whoever ran beside it.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from embed_jax.files.run_directory import read_weights
from embed_jax.store import StoreWriter, VectorStore
from tests.train.command import WithoutTorch
from tests.train.experiments import KINDS, make_experiment, prepare_data
from tests.train.tasks.finetuning_data import labelled, tagged, write_labelled
from tests.train.tasks.finetuning_data import write_tagged as write_sentences

# Seconds of a command are not what it finds.
_PASSING = ("seconds", "command", "versions", "on", "epochs")

VECTORS = "vectors"
Outcome = Mapping[str, Any]
"""By name, what was written, or its digest; vectors are compared to rounding."""


@dataclasses.dataclass(frozen=True)
class Small:
    """A command on small inputs.

    Attributes:
      name: for the table.
      module: as in `python -m MODULE`.
      arguments: given the folder of the inputs and the one to write to.
      outcome: what it wrote into a folder.
      resume: what to add to the arguments when it goes on.
      is_killed: whether `benchmarks.kills` runs it: it takes long on large inputs.
      in_bucket: whether it can write to a bucket.
    """

    name: str
    module: str
    arguments: Callable[[Path, Path], list[str]]
    outcome: Callable[[Path], Outcome]
    resume: tuple[str, ...] = ()
    is_killed: bool = True
    in_bucket: bool = False


def differences(found: Outcome, expected: Outcome) -> list[str]:
    """Return the names of what differs; of arrays, which are of vectors, not the noise.

    A resumed run computes a row together with others than a whole one does, which moves
    the last bits.
    """
    different = []
    for name in {**found, **expected}:
        one, other = found.get(name), expected.get(name)
        if name == VECTORS and one and other and len(one) == len(other):
            is_same = np.allclose(one, other, rtol=0, atol=2e-6)
        else:
            is_same = one == other
        if not is_same:
            different.append(name)
    return different


def import_all() -> None:
    """Import what any command needs, without a backend of jax."""
    # tensorboardX takes it along where it can: seconds, for nothing that is used.
    sys.meta_path.insert(0, WithoutTorch())
    for small in COMMANDS:
        importlib.import_module(small.module)
    for module in (
        *(
            "orbax.checkpoint",
            "matplotlib.figure",
            "tensorboardX",
            "flax.traverse_util",
        ),
        *("bert_jax", "elmo_jax", "embed_jax.corpus.docstrings", "tokenizers"),
    ):
        importlib.import_module(module)
    for kind in KINDS:
        importlib.import_module(f"train.families.{kind}")


def make_inputs(inputs: Path) -> None:
    """Write models, texts and prepared data; begins jax, so call it in a fork."""
    from tests.train import quick_models

    inputs.mkdir(parents=True, exist_ok=True)
    quick_models.save_bert(inputs / "bert")
    quick_models.save_elmo(inputs / "elmo")
    prepare_data(inputs)
    lines = (inputs / "corpus.txt").read_text(encoding="utf-8").splitlines()
    text = [line for line in lines if line] * 2
    (inputs / "lines.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    (inputs / "tagged").mkdir()
    (inputs / "texts").mkdir()
    for number, split in enumerate(("train", "dev", "test")):
        write_sentences(inputs / f"tagged/{split}.conll", tagged(24, number))
        write_labelled(inputs / f"texts/{split}.tsv", labelled(24, number))
    pairs = "".join(f"g\tf\ty\t0\t{i % 6}\ta river\tthe {i}\n" for i in range(12))
    (inputs / "pairs").mkdir()
    for split in ("dev", "test"):
        (inputs / f"pairs/sts-{split}.csv").write_text(pairs, encoding="utf-8")
    _pretrained(inputs, "bert")
    _save_words(inputs / "scorer")


def go_small(inputs: Path, save_every: int = 2) -> None:
    """Make what commands do small, in a fork: models, and stretches between commits."""
    import jax

    import train.config

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    jax.config.update("jax_disable_most_optimizations", True)
    find = train.config.experiment_named
    kinds = {f"{kind}_tiny": kind for kind in KINDS}

    def experiment_named(name: str, kind: Any = train.config.Pretraining) -> Any:
        if name in kinds:
            changes = {"num_steps": 24, "save_every": save_every, "eval_every": 6}
            return make_experiment(kinds[name], inputs, **changes)
        found = find(name, kind)
        small = {
            "ner_small": {"cell_dim": 4, "num_epochs": 2, "num_seeds": 2},
            "finetune_polarity": {"num_epochs": 2, "max_length": 32},
        }
        return dataclasses.replace(found, **small.get(name, {}))

    train.config.experiment_named = experiment_named
    # Else all of so short a text is one commit, and nothing would be resumed.
    defaults = StoreWriter.__init__.__kwdefaults__
    assert defaults is not None
    defaults |= {"commit_bytes": 1 << 15}


def _pretrained(inputs: Path, kind: str) -> None:
    from train.pretrain import pretrain

    pretrain(make_experiment(kind, inputs, num_steps=3), inputs / "run")


def _save_words(path: Path) -> None:
    """Save a biLM with a softmax, whose words are of the corpus."""
    import elmo_jax
    from tests.elmo_jax.sentences import ONE_BLOCK, VOCABULARY, make_params

    params = make_params(ONE_BLOCK, len(VOCABULARY))
    elmo_jax.save(path, params, elmo_jax.ElmoTokenizer(ONE_BLOCK, VOCABULARY))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _of_store(folder: Path) -> Outcome:
    with VectorStore(folder / "vectors.h5") as store:
        words = store.words(slice(None))
        return {
            "offsets": _digest(store.offsets.tobytes()),
            "words": _digest(repr(words).encode()),
            VECTORS: store.read_rows(0, int(store.offsets[-1])).tolist(),
        }


def _of_types(folder: Path) -> Outcome:
    from embed_jax.explore.word_types import read_word_types

    types = read_word_types(folder / "types.h5")
    return {
        "words": list(types.words),
        "counts": types.counts.tolist(),
        "mean": _digest(types.mean.tobytes()),
        "sum": _digest(types.sum.tobytes()),
        "word2vec": _digest((folder / "types.txt").read_bytes()),
    }


def _of_run(folder: Path) -> Outcome:
    from embed_jax.tree import name_leaves

    weights, step = read_weights(folder / "run")
    return {
        "metrics.jsonl": _digest((folder / "run/metrics.jsonl").read_bytes()),
        "step": step,
        "weights": {
            name: _digest(np.asarray(leaf).tobytes())
            for name, leaf in name_leaves(weights).items()
        },
    }


def _of_files(folder: Path, *patterns: str) -> Outcome:
    """Return the files that match; none that a kill may leave has such a name."""
    names = {
        path.relative_to(folder).as_posix(): path
        for pattern in patterns
        for path in folder.glob(pattern)
        if path.is_file() and not path.name.endswith((".new", "claim"))
    }
    kept = {
        name: path
        for name, path in names.items()
        if not any(part.startswith(".") for part in Path(name).parts)
    }
    assert kept, f"{folder} holds nothing that was meant to be written"
    return {
        name: _plain(json.loads(path.read_bytes()))
        if path.suffix == ".json" and path.stem != "tokenizer"
        else _digest(path.read_bytes())
        for name, path in sorted(kept.items())
    }


def _plain(record: Any) -> Any:
    if isinstance(record, dict):
        return {
            name: _plain(value)
            for name, value in record.items()
            if name not in _PASSING
        }
    return [_plain(each) for each in record] if isinstance(record, list) else record


def _prepare(kind: str, inputs: Path, out: Path) -> list[str]:
    del inputs  # The configuration names the text.
    given = {"directory": out / "data", "source-directory": out / "source"}
    options = [f"--data.{name}={path}" for name, path in given.items()]
    return [f"{kind}_tiny", *options]


def _pretrain(kind: str, inputs: Path, out: Path) -> list[str]:
    del inputs  # The configuration names the data.
    return [f"{kind}_tiny", "--workdir", str(out / "run")]


def _embed(kind: str, inputs: Path, out: Path) -> list[str]:
    budget = ["--token-budget", "512", "--devices", "1"]
    named = [inputs / kind, inputs / "lines.txt", out / "vectors.h5"]
    return [*map(str, named), *budget]


def _ner(inputs: Path, out: Path) -> list[str]:
    named = {"model": inputs / "bert", "data": inputs / "tagged", "output": out}
    named |= {"cache": out / "cache", "predictions": out / "predictions"}
    options = [f"--{name}={value}" for name, value in named.items()]
    return ["ner_small", *options, "--jobs=1", "--layers", "0", "mix(all)"]


COMMANDS = (
    *(
        Small(
            f"pretrain, {kind}",
            "train.pretrain",
            partial(_pretrain, kind),
            _of_run,
            in_bucket=True,
        )
        for kind in KINDS
    ),
    *(
        Small(
            f"prepare, {kind}",
            "train.prepare",
            partial(_prepare, kind),
            lambda out: _of_files(out, "data/**/*", "source/**/*"),
        )
        for kind in KINDS
    ),
    *(
        Small(
            f"embed, {kind}",
            "embed_jax.__main__",
            partial(_embed, kind),
            _of_store,
            resume=("--resume",),
        )
        for kind in KINDS
    ),
    Small(
        "word_types",
        "embed_jax.word_types",
        lambda inputs, out: [
            *map(str, (inputs / "bert", inputs / "lines.txt", out / "types.h5")),
            *("--word2vec", str(out / "types.txt"), "--devices", "1"),
        ],
        _of_types,
    ),
    Small("ner", "train.ner", _ner, lambda out: _of_files(out, "*.json", "*/*.conll")),
    Small(
        "finetune",
        "train.finetune",
        lambda inputs, out: [
            "finetune_polarity",
            *("--model", str(inputs / "bert")),
            *("--data", str(inputs / "texts"), "--output", str(out / "tuned")),
        ],
        lambda out: _of_files(out, "tuned/**/*"),
    ),
    Small(
        "contexts",
        "embed_jax.contexts",
        lambda inputs, out: [
            *map(str, (inputs / "bert", inputs / "lines.txt")),
            *("--word", "river", "--output", str(out / "page.html")),
            *("--max-contexts", "40", "--devices", "1"),
        ],
        lambda out: _of_files(out, "page.html"),
        is_killed=False,
    ),
    Small(
        "score",
        "elmo_jax.score",
        lambda inputs, out: [
            *map(str, (inputs / "scorer", inputs / "lines.txt", out / "scores.tsv")),
            *("--devices", "1"),
        ],
        lambda out: _of_files(out, "scores.tsv"),
        is_killed=False,
    ),
    Small(
        "export",
        "embed_jax.export.__main__",
        lambda inputs, out: [str(inputs / "bert"), str(out / "artefact")],
        lambda out: _of_files(out, "artefact/*.bin", "artefact/*.json"),
        is_killed=False,
    ),
    Small(
        "train.export",
        "train.export",
        lambda inputs, out: [str(inputs / "run"), str(out / "model")],
        lambda out: _of_files(out, "model/*"),
        is_killed=False,
    ),
    Small(
        "probe",
        "train.probe",
        lambda inputs, out: [
            *("--model", str(inputs / "bert"), "--output", str(out / "probe")),
            *("--tasks", "sts", "--sts-data", str(inputs / "pairs")),
        ],
        lambda out: _of_files(out, "*.json"),
        is_killed=False,
    ),
)
