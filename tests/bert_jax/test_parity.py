# SPDX-License-Identifier: Apache-2.0
"""Every number agrees with `transformers`, from random weights, at 1e-5."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax import BertConfig
from tests.bert_jax.words import WORDS, make_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.parity

SMALL = BertConfig(
    vocab_size=len(WORDS),
    num_blocks=2,
    num_heads=4,
    layer_dim=32,
    mlp_dim=64,
    max_positions=40,
    init_std=0.1,  # five times the usual, so that a wrong activation is seen
)

CONFIGS = {
    "plain": {},
    "one_head": {"num_heads": 1},
    "many_narrow_heads": {"num_heads": 16},
    "tanh_gelu": {"hidden_act": "gelu_new"},
    "pytorch_tanh_gelu": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
    "silu": {"hidden_act": "silu"},
    "large_epsilon": {"norm_epsilon": 1e-2},
    "one_segment": {"num_segments": 1},
    "many_segments": {"num_segments": 5},
    "few_positions": {"max_positions": 12},
    "odd_width": {"layer_dim": 60, "num_heads": 5, "mlp_dim": 100},
    "odd_head": {"layer_dim": 39, "num_heads": 3, "mlp_dim": 17},
    "untied": {"tied_decoder": False},
    "deep": {"num_blocks": 6},
    "other_pad": {"pad_id": 7},
}


def reference(config: BertConfig, architecture: str, num_labels: int = 3):
    """Build a random model of transformers; biases and norms are random too."""
    from bert_jax.huggingface import CONFIG_KEYS

    settings = {theirs: getattr(config, ours) for ours, theirs, _ in CONFIG_KEYS}
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(
        transformers.BertConfig(
            **settings, num_labels=num_labels, attn_implementation="eager"
        )
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter += 0.3 * torch.randn_like(parameter)
    return model


def batch(config: BertConfig) -> bert_jax.BertTokens:
    """Make rows of four lengths, each other row being a pair, with padding."""
    rng = np.random.default_rng(0)
    shape = (4, config.max_positions)
    ids = rng.integers(0, config.vocab_size, shape).astype(np.int32)
    lengths = [shape[1], 1, shape[1] // 2, shape[1] - 1]
    mask = np.arange(shape[1])[None] < np.array(lengths)[:, None]
    segments = rng.integers(0, config.num_segments, shape).astype(np.int32)
    ids = np.where(mask, ids, config.pad_id).astype(np.int32)
    return bert_jax.BertTokens(ids, segments, mask, -np.ones_like(ids), mask)


def run(model, tokens: bert_jax.BertTokens):
    if isinstance(model, transformers.BertForMultipleChoice):  # [questions, choices, T]
        tokens = tokens._replace(
            **{name: rows.reshape(2, 2, -1) for name, rows in tokens._asdict().items()}
        )
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(tokens.ids).long(),
            attention_mask=torch.tensor(tokens.mask).long(),
            token_type_ids=torch.tensor(tokens.segment_ids).long(),
            output_hidden_states=True,
        )


def assert_close(ours, theirs, mask=None):
    ours, theirs = np.asarray(ours), theirs.numpy()
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    if mask is not None:
        difference = difference[mask]
    assert difference.max() <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
def test_all_layers_and_pretraining_heads(name, tmp_path):
    config = dataclasses.replace(SMALL, **CONFIGS[name])
    model = reference(config, "BertForPreTraining")
    model.save_pretrained(tmp_path)
    make_tokenizer().save(tmp_path)
    params, _ = bert_jax.load(tmp_path)
    assert params.config == config
    tokens = batch(config)
    theirs = run(model, tokens)
    ours = np.asarray(bert_jax.encode(params, tokens))
    assert ours.shape[1] == len(theirs.hidden_states) == config.num_blocks + 1
    for layer, hidden in enumerate(theirs.hidden_states):
        assert_close(ours[:, layer], hidden, tokens.mask)
    logits = bert_jax.masked_lm_logits(params, tokens)
    assert_close(logits, theirs.prediction_logits, tokens.mask)
    nsp = bert_jax.next_sentence_logits(params, tokens)
    assert_close(nsp, theirs.seq_relationship_logits)
    with torch.no_grad():
        pooled = model.bert.pooler(theirs.hidden_states[-1])
    assert_close(bert_jax.pooler_output(params, tokens), pooled)


def test_scores_of_choices(tmp_path):
    """Two questions of two choices each are four rows here, and [2, 2] there."""
    model = reference(SMALL, "BertForMultipleChoice")
    model.save_pretrained(tmp_path)
    make_tokenizer().save(tmp_path)
    params, _ = bert_jax.load(tmp_path)
    tokens = batch(SMALL)
    ours = bert_jax.multiple_choice_scores(params, tokens).reshape(2, 2)
    assert_close(ours, run(model, tokens).logits)


def test_where_an_answer_starts_and_ends(tmp_path):
    model = reference(SMALL, "BertForQuestionAnswering", num_labels=2)
    model.save_pretrained(tmp_path)
    make_tokenizer().save(tmp_path)
    params, _ = bert_jax.load(tmp_path)
    tokens = batch(SMALL)
    ours, theirs = (
        bert_jax.question_answering_logits(params, tokens),
        run(model, tokens),
    )
    assert_close(ours[..., 0], theirs.start_logits, tokens.mask)
    assert_close(ours[..., 1], theirs.end_logits, tokens.mask)


@pytest.mark.parametrize(
    ("architecture", "apply"),
    [
        ("BertForSequenceClassification", bert_jax.sequence_logits),
        ("BertForTokenClassification", bert_jax.token_logits),
    ],
)
def test_classification_heads(architecture, apply, tmp_path):
    model = reference(SMALL, architecture)
    model.save_pretrained(tmp_path)
    make_tokenizer().save(tmp_path)
    params, _ = bert_jax.load(tmp_path)
    assert params.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    tokens = batch(SMALL)
    mask = tokens.mask if architecture.endswith("TokenClassification") else None
    assert_close(apply(params, tokens), run(model, tokens).logits, mask)


def test_masked_positions_are_scored_like_all(tmp_path):
    params = bert_jax.init_params(jax.random.key(0), SMALL)
    tokens = batch(SMALL)
    positions = np.array([[0, 5, 39], [0, 0, 0], [3, 2, 1], [38, 0, 7]], np.int32)
    some = bert_jax.masked_lm_logits(params, tokens, positions)
    every = bert_jax.masked_lm_logits(params, tokens)
    expected = np.take_along_axis(np.asarray(every), positions[..., None], axis=1)
    np.testing.assert_allclose(some, expected, atol=1e-6)


CLASSIFIERS = {"sequence", "token"}
ARCHITECTURES = {
    "BertModel": ("pooler",),
    "BertForMaskedLM": ("mlm",),
    "BertForNextSentencePrediction": ("pooler", "nsp"),
    "BertForPreTraining": ("pooler", "mlm", "nsp"),
    "BertForSequenceClassification": ("pooler", "sequence"),
    "BertForTokenClassification": ("token",),
    "BertForMultipleChoice": ("pooler", "multiple_choice"),
    "BertForQuestionAnswering": ("question_answering",),
}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_directory_opens_in_transformers(architecture, tied, tmp_path):
    config = dataclasses.replace(SMALL, labels=("a", "b", "c"), tied_decoder=tied)
    heads = ARCHITECTURES[architecture]
    params = bert_jax.init_params(jax.random.key(1), config, heads)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [
        leaf + 0.1 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    params = jax.tree.unflatten(structure, leaves)
    bert_jax.save(tmp_path / "model", params, make_tokenizer())
    settings = json.loads((tmp_path / "model/config.json").read_text())
    assert settings["architectures"] == [architecture]
    model, report = getattr(transformers, architecture).from_pretrained(
        tmp_path / "model", output_loading_info=True, attn_implementation="eager"
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], kind
    tokens = batch(config)
    theirs = run(model.eval(), tokens)
    ours = np.asarray(bert_jax.encode(params, tokens))
    for layer, hidden in enumerate(theirs.hidden_states):
        assert_close(ours[:, layer], hidden, tokens.mask)
    if architecture == "BertForMaskedLM":
        assert_close(
            bert_jax.masked_lm_logits(params, tokens), theirs.logits, tokens.mask
        )
    again, tokenizer = bert_jax.load(tmp_path / "model")
    assert dataclasses.replace(again.config, labels=config.labels) == config
    assert again.config.labels == (
        config.labels if again.heads.keys() & CLASSIFIERS else ()
    )
    jax.tree.map(np.testing.assert_array_equal, again.encoder, params.encoder)
    jax.tree.map(np.testing.assert_array_equal, again.heads, params.heads)
    assert tokenizer.encode(["the river"])[0].ids.tolist()
