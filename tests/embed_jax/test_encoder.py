"""The family of a model is found without naming any, on disk and on the hub."""

import importlib.metadata
import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import embed_jax
from embed_jax.encoder import GROUP, Encoder, encoder_named, find_encoder
from tests import toy_family
from tests.train.tiny_models import save_bert, save_elmo

MODELS = {
    "bert": save_bert,
    "elmo": save_elmo,
    "toy": lambda path: toy_family.save(
        path, toy_family.init_params(toy_family.ToyConfig())
    ),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A hub of `models/NAME` in the test's folder; gives what was fetched from it."""
    fetched: list[str] = []

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        source, target = tmp_path / "hub" / name, tmp_path / "cache" / name
        if not source.is_dir():
            raise OSError(f"there is no {name}")
        target.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                fetched.append(file.name)
                shutil.copy(file, target)
        return str(target)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return fetched


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("toy_registered")
def test_a_family_is_found_on_disk_and_loads(name: str, tmp_path: Path):
    path = MODELS[name](tmp_path / "model")
    encoder = find_encoder(path)
    assert isinstance(encoder, Encoder)
    assert encoder.name == name
    params, tokenizer = embed_jax.load(path)
    (vectors,) = encoder.corpus.embed_words(params, tokenizer, [["we", "sat"]])
    assert vectors.shape == (2, params.config.layer_dim)


@pytest.mark.parametrize(
    ("name", "looked_at"),
    [("bert", "config.json"), ("elmo", "options.json"), ("toy", "config.json")],
)
@pytest.mark.usefixtures("toy_registered")
def test_a_model_of_the_hub_is_looked_at_and_not_guessed(
    name: str, looked_at: str, tmp_path: Path, hub: list[str]
):
    """Though bert is asked first, and every one looks like its name."""
    MODELS[name](tmp_path / "hub/someone/model")
    assert find_encoder("someone/model").name == name
    assert hub == [looked_at]
    params, _ = embed_jax.load("someone/model")
    assert params.config.num_blocks


@pytest.mark.parametrize("model_type", ["roberta", "electra", "my_encoder"])
def test_what_nobody_reads_is_refused_by_its_model_type(
    model_type: str, tmp_path: Path, hub: list[str]
):
    for folder in (tmp_path / "model", tmp_path / "hub/someone/model"):
        folder.mkdir(parents=True)
        settings = {"model_type": model_type, "distilled_from": "bert"}
        (folder / "config.json").write_text(json.dumps(settings))
    for path in (tmp_path / "model", "someone/model"):
        with pytest.raises(ValueError, match=rf"reads model type '{model_type}'.*bert"):
            find_encoder(path)


def test_a_name_that_the_hub_lacks_is_no_model(hub: list[str]):
    with pytest.raises(ValueError, match="typo: no such directory, and not to be had"):
        find_encoder("typo")


def test_a_directory_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"not a model .* it has no config\.json"):
        find_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"name": "bert"}')
    with pytest.raises(ValueError, match=r"config\.json names no model_type"):
        find_encoder(tmp_path)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"options.json": "{"},
            "options.json is named like .* ELMo, but is damaged",
        ),
        ({"options.json": "{}"}, "holds no lstm"),
        ({"elmo_weights.hdf5": ""}, r"elmo_weights.hdf5, but no options.json"),
        ({"config.json": "[]"}, "config.json holds no JSON object"),
        ({"0_BERT/config.json": "{}", "modules.json": "[]"}, "weights, .*/0_BERT"),
        ({"snapshots/0a1b/config.json": "{}"}, "weights, .*/snapshots/0a1b"),
    ],
)
def test_what_is_nearly_a_model_is_told_why_not(tmp_path: Path, files, reason):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=reason):
        find_encoder(tmp_path)


def test_a_damaged_configuration_is_named(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"')
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        find_encoder(tmp_path)


def test_one_family_may_read_several_model_types(monkeypatch: pytest.MonkeyPatch):
    entry = importlib.metadata.EntryPoint("bort", "bert_jax:ENCODER", GROUP)
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: importlib.metadata.EntryPoints([entry]),
    )
    assert encoder_named("bort", "config.json").name == "bert"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("toy_registered")
def test_weights_that_are_no_numbers_are_refused(name: str, tmp_path: Path):
    path = MODELS[name](tmp_path / "model")
    spoil(Path(path))
    (Path(path) / "checksums.json").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="holds values that are not finite"):
        embed_jax.load(path)


def spoil(path: Path) -> None:
    """Write NaN into the first tensor of a model."""
    import h5py
    from safetensors.numpy import load_file, save_file

    for file in path.iterdir():
        if file.suffix == ".safetensors":
            tensors = load_file(file)
            next(iter(tensors.values())).flat[0] = np.nan
            save_file(tensors, file, {"format": "pt"})
        elif file.suffix == ".npy":
            table = np.load(file)
            table.flat[0] = np.nan
            np.save(file, table)
        elif file.suffix == ".hdf5":
            with h5py.File(file, "r+") as opened:
                node = opened
                while isinstance(node, h5py.Group):
                    node = next(iter(node.values()))
                node[...] = np.nan


def test_what_users_type_is_there():
    assert set(embed_jax.__all__) <= set(dir(embed_jax))
    for name in embed_jax.__all__:
        assert getattr(embed_jax, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        embed_jax.nothing  # noqa: B018


DTYPES = ["bfloat16", "float16", np.float32, jnp.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["bert", "elmo"])
def test_weights_are_rounded_to_the_dtype_that_is_asked_for(name, dtype, tmp_path):
    path = MODELS[name](tmp_path / "model")
    exact, _ = embed_jax.load(path)
    params, tokenizer = embed_jax.load(path, dtype=dtype)
    for ours, leaf in zip(jax.tree.leaves(params), jax.tree.leaves(exact), strict=True):
        assert isinstance(ours, jax.Array)
        assert (ours.dtype, leaf.dtype) == (jnp.dtype(dtype), np.float32)
        np.testing.assert_array_equal(ours, leaf.astype(jnp.dtype(dtype)))
    assert jax.tree.structure(params) == jax.tree.structure(exact)
    # Computed in float32: nothing but the weights is rounded.
    widened = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    corpus, text = find_encoder(path).corpus, [["we", "sat"]]
    (found,) = corpus.embed_words(params, tokenizer, text, "concat(all)")
    (expected,) = corpus.embed_words(widened, tokenizer, text, "concat(all)")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "elmo"])
def test_dtypes_of_no_weights_are_refused(name, tmp_path):
    path = MODELS[name](tmp_path / "model")
    for load in (embed_jax.load, find_encoder(path).load):
        with pytest.raises(ValueError, match=r"^load\(\): dtype 'int8' is not one of"):
            load(path, dtype="int8")
        with pytest.raises(ValueError, match=r"^load\(\): dtype 'brain' is not one of"):
            load(path, dtype="brain")
        with pytest.raises(ValueError, match=r"float64 needs jax\.config\.update"):
            load(path, dtype="float64")
        with pytest.raises(ValueError, match=r"^load\(\): step 3 is of a training run"):
            load(path, step=3)


@pytest.mark.parametrize("name", ["bert", "elmo"])
def test_weights_of_64_bits_where_jax_is_set_to_them(name, tmp_path):
    path = MODELS[name](tmp_path / "model")
    exact, _ = embed_jax.load(path)
    with jax.enable_x64():
        params, tokenizer = embed_jax.load(path, dtype="float64")
        for ours, leaf in zip(
            jax.tree.leaves(params), jax.tree.leaves(exact), strict=True
        ):
            assert ours.dtype == np.float64
            np.testing.assert_array_equal(ours, leaf)
        corpus = find_encoder(path).corpus
        (wide,) = corpus.embed_words(params, tokenizer, [["we", "sat"]], "all")
    (narrow,) = corpus.embed_words(exact, tokenizer, [["we", "sat"]], "all")
    assert wide.dtype == np.float32
    np.testing.assert_allclose(wide, narrow, atol=1e-5)


@pytest.mark.usefixtures("toy_registered")
def test_a_family_without_an_option_of_load_is_named(tmp_path):
    path = MODELS["toy"](tmp_path / "model")
    given: list[dict[str, Any]] = [{"dtype": "bfloat16"}, {"step": 3}]
    for options in given:
        (option,) = options
        with pytest.raises(ValueError, match=f"'toy' are loaded without {option}"):
            embed_jax.load(path, **options)
    params, _ = embed_jax.load(path, dtype="float32")
    assert params.table.dtype == np.float32
