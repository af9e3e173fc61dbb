# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that TensorFlow wrote becomes the same numbers in our tree."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax import google
from bert_jax.google import published_name
from embed_jax.files.tensorflow_checkpoint import TensorFlowCheckpoint
from tests.families import family_of

FIXTURE = Path(__file__).parents[1] / "fixtures" / "google_bert_tiny"
CHECKPOINT = "bert_model.ckpt"


@pytest.fixture
def directory(tmp_path) -> Path:
    path = tmp_path / "google"
    path.mkdir()
    for file in FIXTURE.iterdir():
        if file.is_file() and file.name != "expected.npz":
            shutil.copy(file, path)
    return path


def change_settings(directory: Path, **changes) -> None:
    file = directory / "bert_config.json"
    settings = json.loads(file.read_text()) | changes
    kept = {key: value for key, value in settings.items() if value != "absent"}
    file.write_text(json.dumps(kept))


def rename_variables(monkeypatch, names: dict[str, str]) -> None:
    """Let the checkpoint hold some variables under other names; "" leaves one out."""

    read = google.read_tensorflow_checkpoint

    class Renamed(TensorFlowCheckpoint):
        def __init__(self, prefix):
            super().__init__(prefix)
            stored = {name: name for name in self.shapes}
            for old, new in names.items():
                stored[new] = stored.pop(old)
            stored.pop("", None)
            self.stored = stored
            self.shapes = {name: self.shapes[own] for name, own in stored.items()}

        def __getitem__(self, name):
            return super().__getitem__(self.stored[name])

        def __iter__(self):
            return iter(self.stored)

        def __len__(self):
            return len(self.stored)

        def __contains__(self, name):
            return name in self.stored

    monkeypatch.setattr(
        google,
        "read_tensorflow_checkpoint",
        lambda path: Renamed(read(path).prefix),
    )


def refused(path, *parts: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the parts are the match)
        bert_jax.load(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def expected_leaf(path: tuple[str, ...], values) -> np.ndarray:
    """Look a leaf of our tree up among the values that TensorFlow was given.

    Our kernels are [in, out], as TensorFlow's are, so nothing is transposed but the
    one matrix that Google multiplies the other way round.
    """
    norm = {"scale": "gamma", "bias": "beta"}
    match path:
        case ("encoder", "embeddings", "norm", part):
            name = f"bert/embeddings/LayerNorm/{norm[part]}"
        case ("encoder", "embeddings", table, _):
            theirs = {"token": "word", "position": "position", "segment": "token_type"}
            name = f"bert/embeddings/{theirs[table]}_embeddings"
        case ("encoder", layer, "attention", "out", part):
            name = f"bert/encoder/{layer}/attention/output/dense/{part}"
        case ("encoder", layer, "attention", which, part):
            name = f"bert/encoder/{layer}/attention/self/{which}/{part}"
        case ("encoder", layer, "attention_norm", part):
            name = f"bert/encoder/{layer}/attention/output/LayerNorm/{norm[part]}"
        case ("encoder", layer, "mlp", which, part):
            theirs = {"up": "intermediate", "down": "output"}
            name = f"bert/encoder/{layer}/{theirs[which]}/dense/{part}"
        case ("encoder", layer, "mlp_norm", part):
            name = f"bert/encoder/{layer}/output/LayerNorm/{norm[part]}"
        case ("heads", "pooler", "dense", part):
            name = f"bert/pooler/dense/{part}"
        case ("heads", "mlm", "transform", part):
            name = f"cls/predictions/transform/dense/{part}"
        case ("heads", "mlm", "norm", part):
            name = f"cls/predictions/transform/LayerNorm/{norm[part]}"
        case ("heads", "mlm", "bias"):
            name = "cls/predictions/output_bias"
        case ("heads", "nsp", "dense", "kernel"):
            return values["cls/seq_relationship/output_weights"].T
        case ("heads", "nsp", "dense", "bias"):
            name = "cls/seq_relationship/output_bias"
        case _:
            raise AssertionError(path)
    return values[name]


@pytest.mark.parametrize("prefix", ["", CHECKPOINT, f"{CHECKPOINT}.index"])
def test_values_are_those_that_tensorflow_was_given(prefix, directory):
    params, _ = bert_jax.load(directory / prefix)
    values = dict(np.load(FIXTURE / "expected.npz"))
    tree = {"encoder": params.encoder, "heads": params.heads}
    leaves = jax.tree.leaves_with_path(tree)
    for path, leaf in leaves:
        assert isinstance(leaf, jax.Array)
        name = tuple(entry.key for entry in path)
        np.testing.assert_array_equal(leaf, expected_leaf(name, values), str(name))
    ignored = [n for n in values if "adam_" in n or n == "global_step"]
    assert len(ignored) == 5
    assert len(leaves) == len(values) - len(ignored)


def test_encoder_only_leaves_everything_above_out(directory, monkeypatch):
    whole, _ = bert_jax.load(directory)
    assert set(whole.heads) == {"pooler", "mlm", "nsp"}
    rename_variables(monkeypatch, {"cls/predictions/output_bias": "output_bias"})
    params, _ = bert_jax.load(directory, encoder_only=True)
    assert params.heads == {}
    jax.tree.map(np.testing.assert_array_equal, params.encoder, whole.encoder)


@pytest.mark.parametrize(
    "name",
    [
        "bert/pooler/dense/kernel/AdamWeightDecayOptimizer",
        "bert/pooler/dense/kernel/AdamWeightDecayOptimizer_1",
        "bert/pooler/dense/kernel/lamb_m",
        "bert/pooler/dense/kernel/adam_v_3",
        "global_step_1",
    ],
)
def test_slots_of_other_optimisers_are_no_model(name, directory, monkeypatch):
    slot = "bert/embeddings/LayerNorm/gamma/adam_m"
    rename_variables(monkeypatch, {slot: name})
    bert_jax.load(directory)


@pytest.mark.parametrize(
    "name",
    [
        "output_weights",
        "cls/squad/hidden_bias",
        "bert/pooler/adam_model",
        "bert/encoder/layer_7/output/dense/bias",
    ],
)
def test_an_unknown_variable_is_refused_by_its_name(name, directory, monkeypatch):
    rename_variables(monkeypatch, {"bert/embeddings/LayerNorm/gamma/adam_m": name})
    refused(directory, f"{directory / CHECKPOINT}: unexpected tensor {name};")


def test_what_run_squad_trained_is_question_answering(directory, monkeypatch):
    """Its output is [2, D], start and end, as the one of two sentences is."""
    parts = "output_weights", "output_bias"
    nsp, squad = "cls/seq_relationship", "cls/squad"
    rename_variables(
        monkeypatch, {f"{nsp}/{name}": f"{squad}/{name}" for name in parts}
    )
    params, _ = bert_jax.load(directory)
    assert set(params.heads) == {"pooler", "mlm", "question_answering"}
    values, head = np.load(FIXTURE / "expected.npz"), params.heads["question_answering"]
    weights, bias = (values[f"{nsp}/{name}"] for name in parts)
    np.testing.assert_array_equal(head["dense"]["kernel"], weights.T)
    np.testing.assert_array_equal(head["dense"]["bias"], bias)


def test_a_missing_variable_is_refused(directory, monkeypatch):
    rename_variables(monkeypatch, {"bert/encoder/layer_1/output/dense/bias": ""})
    name = "encoder.layer.1.output.dense.bias"
    refused(directory, f"{directory / CHECKPOINT}: no tensor {name}")


def test_half_a_pooler_is_refused(directory, monkeypatch):
    rename_variables(monkeypatch, {"bert/pooler/dense/kernel": ""})
    refused(directory, f"{directory / CHECKPOINT}: no tensor pooler.dense.weight")


def test_sizes_that_contradict_the_variables(directory):
    change_settings(directory, intermediate_size=48)
    refused(directory, CHECKPOINT, "encoder.layer.0.intermediate.dense", "[48, 16]")


def test_a_billion_blocks_are_refused_before_they_are_listed(directory):
    change_settings(directory, num_hidden_layers=10**9)
    refused(directory, "1000000000 blocks (num_hidden_layers)")


def test_segments_default_to_sixteen(directory):
    change_settings(directory, type_vocab_size="absent")
    refused(directory, CHECKPOINT, "token_type_embeddings", "[2, 16]", "[16, 16]")


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new", "relu"])
def test_the_activation_is_the_one_that_the_file_names(hidden_act, directory):
    change_settings(directory, hidden_act=hidden_act)
    assert bert_jax.load(directory)[0].config.hidden_act == hidden_act


def test_a_whole_directory_is_needed(directory):
    for name, message in (
        ("vocab.txt", "it comes with the checkpoint"),
        (f"{CHECKPOINT}.data-00000-of-00001", ": no such file"),
        (f"{CHECKPOINT}.index", "no TensorFlow checkpoint here"),
    ):
        hidden = directory.parent / name
        (directory / name).rename(hidden)
        refused(directory, str(directory), message)
        assert family_of(directory) == "bert"
        hidden.rename(directory / name)
    bert_jax.load(directory)


def test_a_checkpoint_counts_where_hugging_face_s_configuration_stands_too(directory):
    (directory / "config.json").write_text("{}")
    assert bert_jax.load(directory)[0].config.num_blocks == 2


def test_one_of_several_checkpoints_is_chosen_by_its_prefix(directory):
    for part in ("index", "data-00000-of-00001"):
        shutil.copy(directory / f"{CHECKPOINT}.{part}", directory / f"model-7.{part}")
    refused(directory, "holds 2 checkpoints", str(directory / "model-7"))
    params, _ = bert_jax.load(directory / "model-7")
    assert params.config.num_blocks == 2
    assert family_of(directory / "model-7") == "bert"
    refused(directory / "model-8", "model-8: no such directory")


def test_damage_is_refused(directory):
    data = directory / f"{CHECKPOINT}.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    refused(directory, str(data), "damaged or cut short")
    data.write_bytes(content[:5000] + b"\xff\x00\xff\x00" + content[5004:])
    refused(directory, str(data), "checksum")
    (directory / "bert_config.json").write_text("[]")
    refused(directory, "bert_config.json holds no JSON object")


def test_words_of_two_hundred_characters(directory):
    _, tokenizer = bert_jax.load(directory)
    pieces = tokenizer.encode(["e" * 200, "e" * 201])
    assert len(pieces[0].ids) == 200
    assert pieces[1].ids.tolist() == [tokenizer.unk_id]


def test_capitals_are_kept_where_the_vocabulary_has_some(directory):
    vocab = directory / "vocab.txt"
    assert not bert_jax.load(directory)[1].cased
    assert bert_jax.load(directory, cased=True)[1].cased
    vocab.write_text(vocab.read_text().replace("river", "River"))
    _, tokenizer = bert_jax.load(directory)
    assert tokenizer.cased
    assert tokenizer.encode(["River"])[0].ids[0] != tokenizer.unk_id
    assert not bert_jax.load(directory, cased=False)[1].cased


def test_a_vocabulary_larger_than_the_table(directory):
    vocab = directory / "vocab.txt"
    vocab.write_text(vocab.read_text() + "one\nmore\n")
    refused(directory, f"{vocab} has 65 pieces", "only 63 rows")


def test_what_google_released_is_saved_as_hugging_face(directory, tmp_path):
    params, tokenizer = bert_jax.load(directory)
    bert_jax.save(tmp_path / "saved", params, tokenizer)
    again, _ = bert_jax.load(tmp_path / "saved")
    assert again.config == params.config
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_names():
    for variable, name in {
        "bert/embeddings/word_embeddings": "embeddings.word_embeddings.weight",
        "bert/embeddings/LayerNorm/gamma": "embeddings.LayerNorm.weight",
        "bert/encoder/layer_11/attention/output/LayerNorm/beta": (
            "encoder.layer.11.attention.output.LayerNorm.bias"
        ),
        "cls/predictions/output_bias": "cls.predictions.bias",
        "output_bias": "bias",
    }.items():
        assert published_name(variable) == name
