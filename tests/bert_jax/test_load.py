# SPDX-License-Identifier: Apache-2.0
"""One tiny model in every form that is published; damage refused; saving is safe."""

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import errors as hub_errors
from jax.sharding import NamedSharding, PartitionSpec

import bert_jax
from bert_jax import BertConfig
from bert_jax.heads import ARCHITECTURES
from bert_jax.huggingface import write_config
from bert_jax.load import TORCH_FILES
from bert_jax.weights import NEED_POOLER
from embed_jax.devices.mesh import data_mesh, replicate
from tests.bert_jax.words import WORDS, make_tokenizer
from tests.families import family_of

CONFIG = BertConfig(
    vocab_size=len(WORDS) + 2,
    num_blocks=2,
    num_heads=2,
    layer_dim=8,
    mlp_dim=12,
    max_positions=40,
)
SETTINGS = {
    "model_type": "bert",
    "vocab_size": len(WORDS) + 2,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 8,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
}
HEADS = ("pooler", "mlm", "nsp")
ENCODER = ("embeddings.", "encoder.", "pooler.")
TABLE = "embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"
DECODER_BIAS = "cls.predictions.decoder.bias"
BIAS = "cls.predictions.bias"

Tensors = dict[str, np.ndarray]


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Write down what the field publishes, independently of the package's table."""
    V, D, F = SETTINGS["vocab_size"], 8, 12
    shapes: dict[str, tuple[int, ...]] = {
        TABLE: (V, D),
        "embeddings.position_embeddings.weight": (40, D),
        "embeddings.token_type_embeddings.weight": (2, D),
        "embeddings.LayerNorm.weight": (D,),
        "embeddings.LayerNorm.bias": (D,),
    }
    for i, (name, num_out, num_in) in itertools.product(
        range(2),
        [
            ("attention.self.query", D, D),
            ("attention.self.key", D, D),
            ("attention.self.value", D, D),
            ("attention.output.dense", D, D),
            ("intermediate.dense", F, D),
            ("output.dense", D, F),
        ],
    ):
        shapes[f"encoder.layer.{i}.{name}.weight"] = (num_out, num_in)
        shapes[f"encoder.layer.{i}.{name}.bias"] = (num_out,)
    for i, name in itertools.product(range(2), ["attention.output", "output"]):
        shapes[f"encoder.layer.{i}.{name}.LayerNorm.weight"] = (D,)
        shapes[f"encoder.layer.{i}.{name}.LayerNorm.bias"] = (D,)
    return shapes | {
        "pooler.dense.weight": (D, D),
        "pooler.dense.bias": (D,),
        "cls.predictions.transform.dense.weight": (D, D),
        "cls.predictions.transform.dense.bias": (D,),
        "cls.predictions.transform.LayerNorm.weight": (D,),
        "cls.predictions.transform.LayerNorm.bias": (D,),
        BIAS: (V,),
        "cls.seq_relationship.weight": (2, D),
        "cls.seq_relationship.bias": (2,),
    }


@pytest.fixture
def tensors() -> Tensors:
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in published_shapes().items()
    }


def write(path: Path, tensors: Tensors | None, **changes) -> Path:
    """Write config.json, tokeniser and, if there are tensors, model.safetensors."""
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(SETTINGS | changes))
    make_tokenizer().save(path)
    if tensors is not None:
        safetensors.numpy.save_file(tensors, path / "model.safetensors")
    return path


def prefixed(tensors: Tensors) -> Tensors:
    return {f"bert.{n}" if n.startswith(ENCODER) else n: v for n, v in tensors.items()}


def tensorflow_named(tensors: Tensors) -> Tensors:
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): values
        for name, values in tensors.items()
    }


def without(tensors: Tensors, prefix: str) -> Tensors:
    return {n: v for n, v in tensors.items() if not n.startswith(prefix)}


def assert_identical(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype == np.float32, path
        assert a.tobytes() == b.tobytes(), path


def refused(path, *parts: str, **options) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the parts are the match)
        bert_jax.load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


# What is read


def test_values_and_places(tensors, tmp_path):
    params, tokenizer = bert_jax.load(write(tmp_path, tensors))
    assert params.config == CONFIG
    assert set(params.heads) == set(HEADS)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))
    assert tokenizer.max_length == 40
    block, heads = params.encoder["layer_1"], params.heads
    first, theirs = params.encoder["embeddings"], "encoder.layer.1"
    for ours, values in [
        (first["token"]["embedding"], tensors[TABLE]),
        (first["norm"]["scale"], tensors["embeddings.LayerNorm.weight"]),
        (
            block["attention"]["value"]["kernel"],
            tensors[f"{theirs}.attention.self.value.weight"].T,
        ),
        (
            block["mlp"]["up"]["kernel"],
            tensors[f"{theirs}.intermediate.dense.weight"].T,
        ),
        (block["mlp"]["down"]["kernel"], tensors[f"{theirs}.output.dense.weight"].T),
        (
            block["attention_norm"]["bias"],
            tensors[f"{theirs}.attention.output.LayerNorm.bias"],
        ),
        (block["mlp_norm"]["bias"], tensors[f"{theirs}.output.LayerNorm.bias"]),
        (heads["nsp"]["dense"]["kernel"], tensors["cls.seq_relationship.weight"].T),
        (heads["mlm"]["bias"], tensors[BIAS]),
    ]:
        np.testing.assert_array_equal(ours, values)
    num_leaves = len(jax.tree.leaves(params))
    assert num_leaves == len(tensors)


def on_several_devices(tensors: Tensors) -> Tensors:
    return {f"module.{name}": values for name, values in prefixed(tensors).items()}


VARIANTS = {
    "data_parallel": on_several_devices,
    "within_another_model": lambda t: {f"model.encoder_q.{n}": v for n, v in t.items()},
    "bert_prefix": prefixed,
    "tensorflow_names": tensorflow_named,
    "prefix_and_tensorflow_names": lambda t: prefixed(tensorflow_named(t)),
    "position_ids": lambda t: t | {"embeddings.position_ids": np.arange(40)[None]},
    "prefixed_position_ids": lambda t: (
        prefixed(t) | {"bert.embeddings.position_ids": np.arange(40)[None]}
    ),
    "tied_decoder_stored": lambda t: t | {DECODER: t[TABLE]},
    "decoder_bias_stored": lambda t: t | {DECODER_BIAS: t[BIAS]},
    "decoder_bias_only": lambda t: without(t, BIAS) | {DECODER_BIAS: t[BIAS]},
    "everything": lambda t: (
        prefixed(tensorflow_named(t)) | {DECODER: t[TABLE], DECODER_BIAS: t[BIAS]}
    ),
    "float64": lambda t: {name: values.astype(float) for name, values in t.items()},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_the_same_model(variant, tensors, tmp_path):
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    changed = VARIANTS[variant](tensors)
    params, _ = bert_jax.load(write(tmp_path / "variant", changed))
    assert_identical(params, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pytorch_files_hold_the_same_model(variant, tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    path = write(tmp_path / "variant", None)
    changed = {n: torch.tensor(v) for n, v in VARIANTS[variant](tensors).items()}
    torch.save(changed, path / "pytorch_model.bin")
    assert_identical(bert_jax.load(path)[0], expected)


@pytest.mark.parametrize("old_format", [True, False])
def test_pytorch_parameters_with_gradients(old_format, tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    path = write(tmp_path / "variant", None)
    changed = {n: torch.nn.Parameter(torch.tensor(v)) for n, v in tensors.items()}
    torch.save(
        changed,
        path / "pytorch_model.bin",
        _use_new_zipfile_serialization=not old_format,
    )
    assert_identical(bert_jax.load(path)[0], expected)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_sixteen_bits_give_the_rounded_values(dtype, form, tensors, tmp_path):
    rounded = {n: v.astype(dtype) for n, v in tensors.items()}
    widened = {n: v.astype(np.float32) for n, v in rounded.items()}
    expected, _ = bert_jax.load(write(tmp_path / "wide", widened))
    if form == "torch":
        torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
        path = write(tmp_path / "narrow", None)
        kind = torch.float16 if dtype == np.float16 else torch.bfloat16
        narrow = {n: torch.tensor(v).to(kind) for n, v in widened.items()}
        torch.save(narrow, path / "pytorch_model.bin")
    else:
        path = write(tmp_path / "narrow", rounded)
    assert_identical(bert_jax.load(path)[0], expected)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_beside_the_state_of_a_training(key, tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    path = write(tmp_path / "trained", None)
    state = {n: torch.tensor(v) for n, v in on_several_devices(tensors).items()}
    torch.save({"epoch": 3, key: state}, path / "pytorch_model.bin")
    assert_identical(bert_jax.load(path)[0], expected)


def test_two_encoders_in_one_file_are_named(tensors, tmp_path):
    both = {f"query.{n}": v for n, v in prefixed(tensors).items()}
    both |= {f"passage.{n}": v for n, v in prefixed(tensors).items()}
    path = write(tmp_path, both)
    refused(path, "holds several encoders", "'passage.bert.', 'query.bert.'")


def test_pytorch_shards_are_one_model(tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    path, names = write(tmp_path / "shards", None), list(tensors)
    weight_map = {}
    for shard in range(2):
        file = f"pytorch_model-{shard + 1:05d}-of-00002.bin"
        part = {name: torch.tensor(tensors[name]) for name in names[shard::2]}
        torch.save(part, path / file)
        weight_map |= dict.fromkeys(part, file)
    refused(path, "pytorch_model-00001-of-00002.bin", "model.bin.index.json too")
    index = path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert_identical(bert_jax.load(path)[0], expected)
    (path / file).unlink()
    refused(path, f"{path / file}: no such file")


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_an_early_directory_has_google_s_configuration(form, tensors, tmp_path):
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    path = write(tmp_path / "early", tensors if form == "safetensors" else None)
    settings = {key: value for key, value in SETTINGS.items() if key != "model_type"}
    (path / "bert_config.json").write_text(json.dumps(settings))
    (path / "config.json").unlink()
    if form == "torch":
        torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
        state = {n: torch.tensor(v) for n, v in tensorflow_named(tensors).items()}
        torch.save(state, path / "pytorch_model.bin")
    assert family_of(path) == "bert"
    assert_identical(bert_jax.load(path)[0], expected)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("tf_model.h5", "from_tf=True"),
        ("flax_model.msgpack", "from_flax=True"),
        ("model.onnx", "fetch model.safetensors"),
        ("bert_model.ckpt.index", "bert_config.json"),
        ("weights.safetensors", "name it model.safetensors"),
    ],
)
def test_weights_of_other_programs_are_named(name, remedy, tmp_path):
    path = write(tmp_path, None)
    (path / name).write_bytes(b"")
    refused(path, "has no weights", f"there is {name}", remedy)


def write_shards(path: Path, tensors: Tensors) -> dict:
    """Spread the tensors over three files; return the index."""
    write(path, None)
    names, weight_map = list(tensors), {}
    for shard in range(3):
        file = f"model-{shard + 1:05d}-of-00003.safetensors"
        part = {name: tensors[name] for name in names[shard::3]}
        safetensors.numpy.save_file(part, path / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


@pytest.mark.parametrize("file", ["../m.safetensors", "/etc/passwd", "a/m.safetensors"])
def test_an_index_names_no_file_elsewhere(file, tensors, tmp_path):
    index = write_shards(tmp_path / "shards", tensors)
    index["weight_map"][TABLE] = file
    path = tmp_path / "shards" / "model.safetensors.index.json"
    path.write_text(json.dumps(index))
    refused(tmp_path / "shards", str(path), repr(file), "does not lie beside it")


def test_a_billion_blocks_are_refused_before_they_are_listed(tensors, tmp_path):
    path = write(tmp_path, tensors, num_hidden_layers=10**9)
    refused(path, "model.safetensors", "1000000000 blocks (num_hidden_layers)")


def test_shards_are_one_model(tensors, tmp_path):
    expected, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    write_shards(tmp_path / "shards", prefixed(tensors))
    assert_identical(bert_jax.load(tmp_path / "shards")[0], expected)


@pytest.mark.parametrize(
    ("absent", "heads"),
    [
        ((), {"pooler", "mlm", "nsp"}),
        (("cls.seq",), {"pooler", "mlm"}),
        (("cls.pred",), {"pooler", "nsp"}),
        (("cls.",), {"pooler"}),
        (("pooler", "cls.seq"), {"mlm"}),
        (("pooler", "cls."), set()),
    ],
)
def test_only_the_heads_that_are_there(absent, heads, tensors, tmp_path):
    for prefix in absent:
        tensors = without(tensors, prefix)
    params, _ = bert_jax.load(write(tmp_path, tensors))
    assert set(params.heads) == heads


def with_classifier(tensors: Tensors, num_labels: int) -> Tensors:
    rng = np.random.default_rng(1)
    return without(tensors, "cls.") | {
        "classifier.weight": rng.normal(size=(num_labels, 8)).astype(np.float32),
        "classifier.bias": rng.normal(size=num_labels).astype(np.float32),
    }


@pytest.mark.parametrize("kind", ["Sequence", "Token"])
def test_labels_keep_the_order_of_their_numbers(kind, tensors, tmp_path):
    labels = {str(i): f"class {i}" for i in range(12)}
    in_text_order = {key: labels[key] for key in sorted(labels)}
    assert list(in_text_order)[:3] == ["0", "1", "10"]
    path = write(
        tmp_path,
        with_classifier(tensors, 12),
        architectures=[f"BertFor{kind}Classification"],
        id2label=in_text_order,
    )
    params, _ = bert_jax.load(path)
    assert params.config.labels == tuple(labels.values())
    assert set(params.heads) == {"pooler", kind.lower()}


def test_a_classifier_without_architecture(tensors, tmp_path):
    whole = with_classifier(tensors, 2)
    params, _ = bert_jax.load(write(tmp_path / "pooler", whole))
    assert set(params.heads) == {"pooler", "sequence"}
    assert params.config.labels == ("LABEL_0", "LABEL_1")
    params, _ = bert_jax.load(write(tmp_path / "none", without(whole, "pooler")))
    assert set(params.heads) == {"token"}


def test_heads_that_read_a_pooler_need_it(tensors, tmp_path):
    path = write(tmp_path / "pretraining", without(tensors, "pooler"))
    refused(path, "no tensor pooler.dense.weight, pooler.dense.bias")
    path = write(
        tmp_path / "sequence",
        without(with_classifier(tensors, 2), "pooler"),
        architectures=["BertForSequenceClassification"],
    )
    refused(path, "no tensor pooler.dense.weight, pooler.dense.bias")


def test_labels_must_fit_the_classifier(tensors, tmp_path):
    path = write(tmp_path, with_classifier(tensors, 3), id2label={"0": "a", "1": "b"})
    refused(path, "config.json", "2 labels", "classifier.bias has 3")


def test_encoder_only_opens_models_with_unknown_heads(tensors, tmp_path):
    plain, _ = bert_jax.load(write(tmp_path / "plain", tensors), encoder_only=True)
    assert plain.heads == {}
    rng = np.random.default_rng(1)
    unknown = prefixed(without(without(tensors, "cls."), "pooler")) | {
        "relations.weight": rng.normal(size=(2, 8)).astype(np.float32),
        "relations.bias": np.zeros(2, np.float32),
    }
    path = write(tmp_path / "relations", unknown, architectures=["BertForRelations"])
    refused(
        path,
        "model.safetensors: unexpected tensor relations.bias, relations.weight",
        "encoder_only=True",
    )
    assert_identical(bert_jax.load(path, encoder_only=True)[0], plain)


def test_a_classifier_of_an_unknown_kind_is_not_taken_for_another(tensors, tmp_path):
    """What it classifies is not in its tensors: the class says so, or nobody does."""
    whole = with_classifier(tensors, 2)
    for name in ("BertForRelations", "BertForQuestionAnswering"):
        path = write(tmp_path / name, whole, architectures=[name])
        refused(path, f"config.json: {name} has a classifier", "encoder_only=True")
        assert bert_jax.load(path, encoder_only=True)[0].heads == {}
    for name in ("BertModel", "BertForMaskedLM"):
        path = write(tmp_path / name, whole, architectures=[name])
        assert set(bert_jax.load(path)[0].heads) == {"pooler", "sequence"}


def test_a_multiple_choice_is_no_classifier_of_one_class(tensors, tmp_path):
    whole, named = with_classifier(tensors, 1), "BertForMultipleChoice"
    path = write(tmp_path / "choices", whole, architectures=[named])
    params, tokenizer = bert_jax.load(path)
    assert set(params.heads) == {"pooler", "multiple_choice"}
    bert_jax.save(tmp_path / "saved", params, tokenizer)
    settings = json.loads((tmp_path / "saved/config.json").read_text())
    assert settings["architectures"] == [named]
    path = write(tmp_path / "two", with_classifier(tensors, 2), architectures=[named])
    refused(path, "classifier.weight has shape [2, 8]", "makes it [1, 8]")


@pytest.mark.parametrize("head", ["question_answering", "multiple_choice", "mlm"])
def test_labels_are_written_for_a_head_that_has_them(tensors, tmp_path, head):
    """Of others transformers would make a head of as many outputs."""
    params, _ = bert_jax.load(write(tmp_path / "plain", tensors))
    labelled = dataclasses.replace(params.config, labels=("x", "y", "z"))
    heads = {"pooler": {}, head: {}}
    assert "id2label" not in write_config(params.replace(config=labelled, heads=heads))
    classifier = params.replace(config=labelled, heads={"pooler": {}, "sequence": {}})
    assert write_config(classifier)["id2label"] == {"0": "x", "1": "y", "2": "z"}


def test_an_untied_decoder_is_its_own_matrix(tensors, tmp_path):
    rng = np.random.default_rng(1)
    own = rng.normal(size=tensors[TABLE].shape).astype(np.float32)
    other = rng.normal(size=tensors[BIAS].shape).astype(np.float32)
    untied = tensors | {DECODER: own, DECODER_BIAS: other}
    path = write(tmp_path / "untied", untied, tie_word_embeddings=False)
    params, _ = bert_jax.load(path)
    np.testing.assert_array_equal(params.heads["mlm"]["decoder"], own)
    np.testing.assert_array_equal(params.heads["mlm"]["bias"], other)
    remedy = "tie_word_embeddings"
    path = write(tmp_path / "weight", tensors | {DECODER: own})
    refused(path, "model.safetensors", DECODER, "differs from", remedy)
    path = write(tmp_path / "bias", tensors | {DECODER_BIAS: other})
    refused(path, "model.safetensors", DECODER_BIAS, "differs from", remedy)


def test_a_decoder_does_not_stand_in_for_the_table(tensors, tmp_path):
    decoder = without(tensors, TABLE) | {DECODER: tensors[TABLE]}
    refused(write(tmp_path, decoder), f"no tensor {TABLE}")


# What is refused


@pytest.mark.parametrize("name", published_shapes())
def test_every_tensor_is_needed_and_checked(name, tensors, tmp_path):
    path = write(tmp_path / "missing", {n: v for n, v in tensors.items() if n != name})
    refused(path, "model.safetensors: no tensor", name)
    longer = np.concatenate([tensors[name], tensors[name][:1]])
    path = write(tmp_path / "longer", tensors | {name: longer})
    refused(path, "model.safetensors", name, str(list(longer.shape)))
    deeper = tensors | {name: tensors[name][None]}
    refused(write(tmp_path / "deeper", deeper), "model.safetensors", name)
    whole = tensors | {name: tensors[name].astype(np.int8)}
    refused(write(tmp_path / "whole", whole), name, "int8")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("encoder.layer.2.output.dense.weight", "has no such part"),
        ("encoder.layer.1.output.adapter.weight", "has no such part"),
        ("embeddings.extra", "has no such part"),
        ("LayerNorm.weight", "encoder_only=True"),
        ("cls.seq_relationship.extra", "encoder_only=True"),
        ("nonsense", "encoder_only=True"),
    ],
)
def test_nothing_is_left_over(name, remedy, tensors, tmp_path):
    path = write(tmp_path, tensors | {name: np.zeros(1, np.float32)})
    refused(path, f"model.safetensors: unexpected tensor {name};", remedy)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("pooler.dense.bias", "bert.pooler.dense.bias"),
        ("embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma"),
    ],
)
def test_a_tensor_under_two_names(name, second, tensors, tmp_path):
    path = write(tmp_path, tensors | {second: np.zeros(8, np.float32)})
    refused(path, f"model.safetensors: {name} stands there under two names")


def test_truncated_safetensors(tensors, tmp_path):
    path = write(tmp_path, tensors)
    file = path / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for cut in [0, 1, 7, 8, 9, header // 2, header, header + 1, len(whole) - 1]:
        file.write_bytes(whole[:cut])
        refused(path, str(file), "damaged or cut short", "fetch it again")
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(path, f"{file} is no safetensors file but a Git LFS", "git lfs pull")
    file.write_bytes(b"<!DOCTYPE html><html>")
    refused(path, f"{file} is no safetensors file but a web page")


def test_damaged_shards(tensors, tmp_path):
    index = write_shards(tmp_path, tensors)
    missing = tmp_path / "model-00002-of-00003.safetensors"
    content = missing.read_bytes()
    missing.unlink()
    refused(tmp_path, f"{missing}: no such file")
    missing.write_bytes(content[:-1])
    refused(tmp_path, str(missing), "damaged or cut short")
    shutil.copy(tmp_path / "model-00001-of-00003.safetensors", missing)
    refused(tmp_path, "model.safetensors.index.json", "two of its files hold")
    file = tmp_path / "model.safetensors.index.json"
    first = dict.fromkeys(index["weight_map"], "model-00001-of-00003.safetensors")
    for content, message in [
        (json.dumps({"weight_map": first}), "no tensor"),
        (json.dumps({"weight_map": list(first)}), "no weight_map"),
        (json.dumps({}), "no weight_map"),
        (json.dumps({"weight_map": {}}), "no tensor"),
        (json.dumps({"weight_map": {"a": 3}}), "no such file"),
        ("[]", "holds no JSON object"),
        ("{", "is not JSON"),
    ]:
        file.write_text(content)
        refused(tmp_path, message)


def test_no_weights(tmp_path):
    refused(write(tmp_path, None), str(tmp_path), "no weights", "model.safetensors")


class Payload:
    """Unpickled without care, it leaves a file behind."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return (os.system, (f"echo > {self.witness}",))


@pytest.mark.parametrize("old_format", [True, False])
def test_a_pickle_with_code_is_not_run(old_format, tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    path, witness = write(tmp_path / "model", None), tmp_path / "witness"
    file = path / "pytorch_model.bin"
    torch.save(
        {TABLE: torch.tensor(tensors[TABLE]), "payload": Payload(witness)},
        file,
        _use_new_zipfile_serialization=not old_format,
    )
    refused(path, str(file), "more than weights")
    assert not witness.exists()
    torch.load(file, weights_only=False)  # the payload is a real one
    assert witness.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_damaged_pytorch_files(content, tmp_path):
    pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    path = write(tmp_path, None)
    (path / "pytorch_model.bin").write_bytes(content)
    refused(path, "pytorch_model.bin is damaged")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<html>", "a web page"),
        (b"\x1f\x8b\x08", "gzip"),
    ],
)
def test_what_lies_there_for_a_pytorch_file_is_named(content, cause, tmp_path):
    path = write(tmp_path, None)
    (path / "pytorch_model.bin").write_bytes(content)
    refused(path, "pytorch_model.bin is no PyTorch file but", cause)


def test_pytorch_files_that_hold_no_state_dict(tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    path = write(tmp_path, None)
    nested = {"weights": {n: torch.tensor(v) for n, v in tensors.items()}}
    for content in [nested, [torch.zeros(2)], {0: torch.zeros(2)}]:
        torch.save(content, path / "pytorch_model.bin")
        refused(path, "pytorch_model.bin", "tensors by name")


def test_pytorch_files_that_claim_more_than_they_hold(tensors, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    path = write(tmp_path, None)
    content = {name: torch.tensor(values) for name, values in tensors.items()}
    content[TABLE] = torch.zeros(1, 1).expand(1 << 20, 1 << 20)
    torch.save(content, path / "pytorch_model.bin")
    refused(path, "pytorch_model.bin", TABLE, "but fewer values")


def test_pytorch_files_without_torch(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    path = write(tmp_path, None)
    (path / "pytorch_model.bin").write_bytes(b"")
    refused(path, "pytorch_model.bin is a PyTorch file", "pip install torch")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ('"bert"', "holds no JSON object"),
        ("null", "holds no JSON object"),
    ],
)
def test_config_that_is_no_object(content, message, tensors, tmp_path):
    path = write(tmp_path, tensors)
    (path / "config.json").write_text(content, encoding="utf-8")
    refused(path, str(path / "config.json"), message)
    (path / "config.json").write_bytes(b"\xff\xfe{}")
    refused(path, str(path / "config.json"), "is not JSON")


def test_config_is_needed(tensors, tmp_path):
    path = write(tmp_path, tensors)
    (path / "config.json").unlink()
    refused(path, f"{path / 'config.json'}: no such file")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"hidden_size": 10}, ["shape [", ", 8]"]),
        ({"vocab_size": 200}, [TABLE, "200"]),
        ({"num_hidden_layers": 3}, ["no tensor encoder.layer.2.", "and 12 more"]),
        ({"num_hidden_layers": 1}, ["unexpected tensor encoder.layer.1."]),
        ({"intermediate_size": 16}, ["intermediate.dense.weight", "[16, 8]"]),
        ({"max_position_embeddings": 12}, ["position_embeddings", "[12, 8]"]),
        ({"type_vocab_size": 1}, ["token_type_embeddings", "[1, 8]"]),
    ],
)
def test_config_that_contradicts_the_tensors(changes, parts, tensors, tmp_path):
    refused(write(tmp_path, tensors, **changes), "model.safetensors", *parts)


def test_tokeniser_is_needed_and_fits(tensors, tmp_path):
    path = write(tmp_path, tensors)
    larger = [*WORDS, "more", "than", "rows"]
    (path / "tokenizer.json").unlink()
    (path / "vocab.txt").write_text("\n".join(larger))
    refused(path, "vocab.txt has", str(len(larger)), f"only {len(WORDS) + 2} rows")
    (path / "vocab.txt").write_text("\n".join(larger[:-1]))
    assert bert_jax.load(path)[1].vocab_size == CONFIG.vocab_size
    (path / "vocab.txt").unlink()
    refused(path, str(path), "no tokeniser", "vocab.txt")
    (path / "tokenizer.json").write_text("{}")
    refused(path, "tokenizer.json is not")


def test_cased_is_not_for_directories_that_tell(tensors, tmp_path):
    refused(write(tmp_path, tensors), str(tmp_path), "leave cased out", cased=True)


def test_paths_that_are_no_directory(tensors, tmp_path):
    file = write(tmp_path, tensors) / "model.safetensors"
    refused(file, str(file), "is a file; pass the directory")
    refused(str(file), str(file), "is a file; pass the directory")
    absent = tmp_path / "absent"
    refused(absent, f"{absent}: no such directory")
    refused("a bad name", "a bad name: no such directory")


# The hub


def hub(monkeypatch, directory: Path | None = None, error: Exception | None = None):
    """Replace the hub; return the list of the calls made to it."""
    calls = []

    def snapshot_download(name, *, allow_patterns):
        calls.append((name, allow_patterns))
        if error:
            raise error
        return str(directory)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_a_hub_id_is_fetched_once_in_one_form(tensors, monkeypatch, tmp_path):
    expected, _ = bert_jax.load(write(tmp_path / "model", tensors))
    calls = hub(monkeypatch, tmp_path / "model")
    params, _ = bert_jax.load("someone/some-bert")
    assert_identical(params, expected)
    ((name, patterns),) = calls
    assert name == "someone/some-bert"
    assert "pytorch_model.bin" not in patterns
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= {*patterns}


def test_an_old_hub_id_has_only_pytorch_files(tensors, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch", reason="pytorch_model.bin needs torch")
    path = write(tmp_path / "model", None)
    torch.save(
        {n: torch.tensor(v) for n, v in tensors.items()}, path / "pytorch_model.bin"
    )
    calls = hub(monkeypatch, path)
    assert set(bert_jax.load("some-bert")[0].heads) == set(HEADS)
    assert [patterns for _, patterns in calls][1:] == [[*TORCH_FILES]]


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (hub_errors.LocalEntryNotFoundError("no snapshot\non the disk"), "on the disk"),
        (hub_errors.OfflineModeIsEnabled("offline mode"), "offline mode"),
        (hub_errors.HFValidationError("bad repo id"), "bad repo id"),
        (ConnectionError(), "ConnectionError"),
        (OSError("connection\n\nrefused"), "connection refused"),
    ],
)
def test_a_hub_that_cannot_be_reached(error, part, monkeypatch):
    hub(monkeypatch, error=error)
    message = refused("someone/some-bert", part, "no such directory", "hub")
    assert message.startswith("someone/some-bert: ")


# Saving


def make_params(heads=HEADS, **changes) -> bert_jax.BertParams:
    labels = ("a", "b", "c") if {"sequence", "token"} & set(heads) else ()
    config = dataclasses.replace(CONFIG, labels=labels, **changes)
    params = bert_jax.init_params(jax.random.key(0), config, heads)
    rng = np.random.default_rng(0)
    noise = lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32)  # noqa: E731
    return jax.tree.map(noise, params)


COMBINATIONS = [
    (*heads, *classifier)
    for size in range(4)
    for heads in itertools.combinations(HEADS, size)
    for classifier in [(), *((task,) for task in ARCHITECTURES)]
    if "pooler" in heads or not NEED_POOLER & {*heads, *classifier}
]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("heads", COMBINATIONS, ids="-".join)
def test_what_is_saved_is_loaded(heads, tied, tmp_path):
    params = make_params(heads, tied_decoder=tied)
    bert_jax.save(tmp_path / "model", params, make_tokenizer())
    again, tokenizer = bert_jax.load(tmp_path / "model")
    assert again.config == params.config
    assert_identical(again, params)
    sentences = ["the bank", ["sat", "down"]]
    for ours, theirs in zip(
        tokenizer(sentences), make_tokenizer()(sentences), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("heads", "prefix"), [((), ""), (("pooler",), ""), (("mlm",), "bert.")]
)
def test_an_encoder_below_a_head_is_saved_under_its_name(heads, prefix, tmp_path):
    """As `transformers` names it; a bare encoder has no name of its own."""
    bert_jax.save(tmp_path / "model", make_params(heads), make_tokenizer())
    names = safetensors.numpy.load_file(tmp_path / "model/model.safetensors")
    encoder = "embeddings.", "encoder.", "pooler."
    found = {n for n in names if n.startswith((*encoder, "bert."))}
    assert len(found) > 30
    assert all(name.startswith(tuple(prefix + e for e in encoder)) for name in found)


@pytest.fixture
def without_tokenizer_json(tmp_path):
    """A model whose tokeniser is its vocabulary and what a few settings say."""
    path = tmp_path / "model"
    vocab = [*WORDS[:-1], "é"]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(vocab, cased=False)
    bert_jax.save(path, make_params(()), tokenizer)
    for name in ("tokenizer.json", "checksums.json"):  # as others publish it
        (path / name).unlink()

    def load(settings: dict) -> bert_jax.WordPieceTokenizer:
        content = json.dumps(settings)
        (path / "tokenizer_config.json").write_text(content, encoding="utf-8")
        return bert_jax.load(path)[1]

    return load


def test_settings_beside_a_vocabulary_say_whether_accents_stay(without_tokenizer_json):
    for settings, words in (({"strip_accents": False}, "é"), ({}, "e")):
        tokenizer = without_tokenizer_json({"do_lower_case": True, **settings})
        (pieces,) = tokenizer.encode(["É"])
        assert [tokenizer.backend.id_to_token(i) for i in pieces.ids] == [words]


def test_settings_beside_a_vocabulary_say_whether_capitals_stay(without_tokenizer_json):
    # No piece has a capital, so without the setting there would be none.
    for settings, cased in (({"do_lower_case": False}, True), ({}, False)):
        tokenizer = without_tokenizer_json(settings)
        assert tokenizer.cased is cased
        (pieces,) = tokenizer.encode(["The"])
        found = [tokenizer.backend.id_to_token(i) for i in pieces.ids]
        assert found == (["[UNK]"] if cased else ["the"])


def test_parents_are_made_and_nothing_is_left_beside(tmp_path):
    path = tmp_path / "some" / "where" / "model"
    bert_jax.save(path, make_params(), make_tokenizer())
    assert [*path.parent.iterdir()] == [path]
    assert {file.name for file in path.iterdir()} == {
        "checksums.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    bert_jax.save(path, make_params(("mlm",)), make_tokenizer(), overwrite=True)
    assert [*path.parent.iterdir()] == [path]
    assert set(bert_jax.load(path)[0].heads) == {"mlm"}


@pytest.mark.parametrize(
    ("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o007, 0o770, 0o660)]
)
def test_permissions_follow_the_umask(umask, folder, file, tmp_path):
    path, before = tmp_path / "model", os.umask(umask)
    try:
        bert_jax.save(path, make_params(), make_tokenizer())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == folder
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in path.iterdir()}
    assert modes == dict.fromkeys(modes, file)


def snapshot(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_overwriting_is_asked_for(tmp_path):
    path, tokenizer = tmp_path / "model", make_tokenizer()
    bert_jax.save(path, make_params(), tokenizer)
    before = snapshot(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        bert_jax.save(path, make_params(("mlm",)), tokenizer)
    assert snapshot(path) == before
    (path / "stale.safetensors").touch()
    bert_jax.save(path, make_params(("mlm",)), tokenizer, overwrite=True)
    assert not (path / "stale.safetensors").exists()
    assert set(bert_jax.load(path)[0].heads) == {"mlm"}


def test_overwriting_replaces_models_only(tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").write_text("years")
    for path in (precious, precious / "chapter.tex"):
        with pytest.raises(FileExistsError, match=r"holds no config\.json"):
            bert_jax.save(path, make_params(), make_tokenizer(), overwrite=True)
    assert snapshot(precious) == {"chapter.tex": b"years"}
    empty = tmp_path / "empty"
    empty.mkdir()
    bert_jax.save(empty, make_params(), make_tokenizer(), overwrite=True)
    assert bert_jax.load(empty)


class DiskFullError(Exception):
    pass


def fail(*args, **kwargs):
    raise DiskFullError


@pytest.mark.parametrize(
    "step",
    [
        "safetensors.numpy.save_file",
        "bert_jax.huggingface.write_config",
        "bert_jax.tokenizer.WordPieceTokenizer.save",
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_in_the_middle_changes_nothing(step, exists, monkeypatch, tmp_path):
    path = tmp_path / "model"
    if exists:
        bert_jax.save(path, make_params(), make_tokenizer())
        before = snapshot(path)
    monkeypatch.setattr(step, fail)
    with pytest.raises(DiskFullError):
        bert_jax.save(path, make_params(("mlm",)), make_tokenizer(), overwrite=True)
    assert [*tmp_path.iterdir()] == ([path] if exists else [])
    if exists:
        assert snapshot(path) == before


def test_a_failure_between_the_two_renames_brings_the_old_back(monkeypatch, tmp_path):
    path = tmp_path / "model"
    bert_jax.save(path, make_params(), make_tokenizer())
    before, rename = snapshot(path), Path.rename

    def rename_all_but_new(self, target):
        if self.name == "new":
            raise DiskFullError
        return rename(self, target)

    def without(*_, **__):
        raise OSError("no C library, whose call makes one step of both")

    monkeypatch.setattr("ctypes.CDLL", without)
    monkeypatch.setattr(Path, "rename", rename_all_but_new)
    with pytest.raises(DiskFullError):
        bert_jax.save(path, make_params(("mlm",)), make_tokenizer(), overwrite=True)
    assert [*tmp_path.iterdir()] == [path]
    assert snapshot(path) == before


def test_params_wherever_they_live(tmp_path):
    params = make_params()
    mesh = data_mesh(jax.devices()[:2])

    def spread(leaf):
        axis = PartitionSpec("data") if leaf.shape[0] % 2 == 0 else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, axis))

    for name, moved in {
        "host": jax.tree.map(np.asarray, params),
        "other_device": jax.device_put(params, jax.devices()[5]),
        "replicated": replicate(params, mesh),
        "sharded": jax.tree.map(spread, params),
        "transposed": jax.tree.map(lambda leaf: jnp.asarray(leaf.T).T, params),
    }.items():
        bert_jax.save(tmp_path / name, moved, make_tokenizer())
        assert_identical(bert_jax.load(tmp_path / name)[0], params)
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    bert_jax.save(tmp_path / "narrow", narrow, make_tokenizer())
    widened = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), narrow)
    assert_identical(bert_jax.load(tmp_path / "narrow")[0], widened)


def test_the_same_model_is_saved_as_the_same_bytes(tmp_path):
    params = bert_jax.init_params(jax.random.key(0), CONFIG, ("pooler", "mlm"))
    saved = []
    # The library orders the metadata anew each time, of which half would be the same.
    for index in range(8):
        bert_jax.save(tmp_path / str(index), params, make_tokenizer())
        saved.append((tmp_path / str(index) / "model.safetensors").read_bytes())
    assert set(saved) == {saved[0]}


def test_a_tokeniser_that_does_not_fit_is_not_saved(tmp_path):
    params = make_params(vocab_size=len(WORDS) - 1)
    with pytest.raises(ValueError, match="the tokeniser has"):
        bert_jax.save(tmp_path / "model", params, make_tokenizer())
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (("sequence",), "need the pooler"),
        (("mlm", "nsp"), "need the pooler"),
        (("pooler", "sequence", "token"), "save one"),
        (("pooler", "sequence", "multiple_choice"), "save one"),
        (("token", "question_answering"), "save one"),
        (("multiple_choice",), "need the pooler"),
    ],
)
def test_heads_that_would_not_come_back_are_not_saved(heads, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        bert_jax.save(tmp_path / "model", make_params(heads), make_tokenizer())
    assert not [*tmp_path.iterdir()]


def test_claims(tensors, tmp_path):
    assert family_of(write(tmp_path / "bert", tensors)) == "bert"
    roberta = write(tmp_path / "roberta", tensors, model_type="roberta")
    assert family_of(roberta) != "bert"
    assert family_of(tmp_path) != "bert"
    assert family_of(tmp_path / "absent") != "bert"
    # Before there were model types.
    early = write(tmp_path / "early", tensors)
    settings = json.loads((early / "config.json").read_text())
    del settings["model_type"]
    settings["type_vocab_size"] = 2
    (early / "config.json").write_text(json.dumps(settings))
    assert family_of(early) == "bert"
    settings["architectures"] = ["BertForMaskedLM"]
    (early / "config.json").write_text(json.dumps(settings))
    assert family_of(early) == "bert"
    # The same keys, and another model: early RoBERTas have no model_type either.
    settings["architectures"] = ["RobertaForMaskedLM"]
    (early / "config.json").write_text(json.dumps(settings))
    assert family_of(early) != "bert"
    refused(early, "no model_type, and the architecture RobertaForMaskedLM")
    assert family_of("no/such/model") != "bert"


# Checksums


def test_a_changed_byte_of_a_saved_model_is_refused_by_tensor_or_file(tmp_path):
    path = tmp_path / "model"
    bert_jax.save(path, make_params(), make_tokenizer())
    weights = path / "model.safetensors"
    whole = weights.read_bytes()
    tensors = safetensors.numpy.load(whole)
    name = "bert.encoder.layer.1.output.dense.weight"
    place = whole.index(tensors[name].tobytes())
    weights.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ValueError, match=rf"model\.safetensors: {name} is damaged"):
        bert_jax.load(path)
    # Whoever writes the file anew has written what he wanted.
    safetensors.numpy.save_file(tensors, weights)
    bert_jax.load(path)
    for file in ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        content = (path / file).read_bytes()
        (path / file).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=rf"{file} is damaged: it is not what was"):
            bert_jax.load(path)
        (path / file).write_bytes(content)
    bert_jax.load(path)
