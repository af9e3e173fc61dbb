# SPDX-License-Identifier: Apache-2.0
"""No file of train/ but those of a family knows which families there are."""

import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import train
from tests.train.tiny_models import save_bert, save_elmo
from train.families.registry import (
    all_families,
    family_named,
    family_of_model,
    known_kinds,
)

ROOT = Path(train.__file__ or "").parent
FAMILIES = ROOT / "families"


def shared_files() -> list[Path]:
    paths = [
        path
        for path in sorted(ROOT.rglob("*.py"))
        # The protocol and what finds a family are shared, its answers are not.
        if not any(path.is_relative_to(FAMILIES / kind) for kind in known_kinds())
    ]
    assert len(paths) > 60
    return paths


def named_by(source: str) -> Iterator[str]:
    """Yield what tells families apart: their packages, classes of theirs, kinds."""
    kinds = known_kinds()
    for kind in kinds:
        for package in (f"{kind}_jax", f"families.{kind}"):
            if package in source:
                yield package
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)) if text in kinds:
                yield repr(text)
            case ast.Call(func=ast.Name("isinstance"), args=[what, *_]):
                if ast.unparse(what).rpartition(".")[2] in ("experiment", "params"):
                    yield ast.unparse(node)


@pytest.mark.parametrize(
    "source",
    [
        "import bert_jax",
        "from elmo_jax.config import ElmoConfig",
        '"""What `bert_jax.load` gave."""',
        "from train.families.bert.pieces import PieceStore",
        "is_elmo = kind_of(run) == 'elmo'",
        "isinstance(experiment, Pretraining)",
        "isinstance(setup.params, dict)",
    ],
)
def test_a_family_that_is_named_is_found(source):
    assert list(named_by(source))


def test_no_shared_file_names_a_family():
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in shared_files()
        for name in named_by(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_the_import_contract_lists_every_shared_module():
    text = (ROOT.parent / "pyproject.toml").read_text(encoding="utf-8")
    contracts = {
        contract["name"]: contract
        for contract in tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    }
    listed = contracts["training asks a family"]["source_modules"]
    modules = {
        f"train.{path.stem}"
        for path in ROOT.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        if path.stem != "__init__" and path != FAMILIES
    } | {
        f"train.families.{path.stem}"
        for path in FAMILIES.glob("*.py")
        if path.stem != "__init__"
    }
    assert set(listed) == modules


# The packages of the models bring jax of themselves, whatever part of them is asked
# for; in their place stand empty ones with the same files.
LIGHT = """
import sys, types
for name in ("bert_jax", "elmo_jax"):
    package = types.ModuleType(name)
    package.__path__ = [name]
    sys.modules[name] = package
import train.prepare, train.families.registry
import train.families.bert.preparing, train.families.elmo.preparing
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_text_is_prepared_without_jax():
    """By many processes, to each of which it would be seconds."""
    result = subprocess.run(
        [sys.executable, "-c", LIGHT],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(result.stdout.split())
    assert {"train", "numpy", "tokenizers"} <= loaded
    assert not loaded & {"jax", "flax", "optax", "orbax", "h5py"}


@pytest.mark.parametrize("kind", known_kinds())
def test_a_family_is_what_its_experiments_and_its_encoder_call_it(kind):
    family = family_named(kind)
    assert family.name == kind
    assert family in all_families()
    config = importlib.import_module(f"configs.{kind}_tiny").config()
    assert config.kind == kind
    assert type(config.data) is family.data


@pytest.mark.parametrize(("kind", "save"), [("bert", save_bert), ("elmo", save_elmo)])
def test_a_model_finds_its_family(kind, save, tmp_path):
    assert family_of_model(save(tmp_path / "model")).name == kind


def test_a_path_that_is_no_model_has_no_family(tmp_path):
    with pytest.raises(ValueError, match="is not a model that is known here"):
        family_of_model(str(tmp_path))
