# SPDX-License-Identifier: Apache-2.0
"""Functions of tokens say what to pass, where they are given something else."""

import jax
import numpy as np
import pandas as pd
import pytest
from jaxtyping import config

import bert_jax
import elmo_jax
from tests.bert_jax.words import CONFIG, make_tokenizer

BERT = (
    jax.eval_shape(lambda key: bert_jax.init_params(key, CONFIG), jax.random.key(0)),
    make_tokenizer(),
)
ELMO = (
    jax.eval_shape(
        lambda key: elmo_jax.init_params(key, elmo_jax.TINY), jax.random.key(0)
    ),
    elmo_jax.ElmoTokenizer(elmo_jax.TINY),
)
CARRY = elmo_jax.zero_carry(elmo_jax.TINY, 1)
# Each with the parameters and the tokeniser of its family.
DOORS = {
    "bert embed": (bert_jax.embed, *BERT),
    "bert encode": (bert_jax.encode, *BERT),
    "bert apply": (bert_jax.apply_encoder, *BERT),
    "bert pooler": (bert_jax.pooler_output, *BERT),
    "bert masked": (bert_jax.masked_lm_logits, *BERT),
    "bert next": (bert_jax.next_sentence_logits, *BERT),
    "bert sequence": (bert_jax.sequence_logits, *BERT),
    "bert token": (bert_jax.token_logits, *BERT),
    "bert choices": (bert_jax.multiple_choice_scores, *BERT),
    "bert answers": (bert_jax.question_answering_logits, *BERT),
    "elmo embed": (elmo_jax.embed, *ELMO),
    "elmo carried": (
        lambda params, tokens: elmo_jax.embed(params, tokens, carry=CARRY),
        *ELMO,
    ),
    "elmo encode": (elmo_jax.encode, *ELMO),
    "elmo apply": (elmo_jax.apply_bilm, *ELMO),
}
TEXTS = [
    "the bank",
    b"the bank",
    ["the bank", "a river"],
    [["the", "bank"]],
    np.array(["the bank"]),
    pd.Series(["the bank"], index=["x"]),
]


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Do without the checks of annotations, as users do."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: type(text).__name__)
@pytest.mark.parametrize("door", DOORS)
def test_text_is_no_tokens(door, text):
    function, params, _ = DOORS[door]
    expected = r"tokens are read here, not text \(.*tokenizer\(.* embed_sentences\("
    with pytest.raises(ValueError, match=expected):
        function(params, text)


@pytest.mark.parametrize("door", DOORS)
def test_one_row_is_no_batch(door):
    function, params, tokenizer = DOORS[door]
    batch = tokenizer(["the bank"])
    row = {name: getattr(batch, name)[0] for name in batch._fields if name != "types"}
    with pytest.raises(
        ValueError, match=r"shape \[\d+\] are one row, .*\[None\]"
    ) as it:
        function(params, batch._replace(**row))
    # What it says to do makes a batch.
    for name in row:
        assert name in str(it.value)
    assert "types" not in str(it.value)
    with pytest.raises(ValueError, match=r"shape \[1, 1, \d+\], and a batch"):
        function(params, batch._replace(mask=batch.mask[None]))


@pytest.mark.parametrize("door", DOORS)
def test_other_things_are_no_tokens(door):
    function, params, tokenizer = DOORS[door]
    kind = type(tokenizer(["a"])).__name__
    _, _, other = DOORS["elmo embed" if kind == "BertTokens" else "bert embed"]
    for thing in (None, np.zeros((1, 3), np.int32), other(["the bank"]), [], {"a": 1}):
        with pytest.raises(ValueError, match=f"is no {kind}; pass what the tokeniser"):
            function(params, thing)


@pytest.mark.parametrize("wrong", [-1, 99999])
@pytest.mark.parametrize("door", DOORS)
def test_ids_that_the_model_lacks_are_refused_everywhere(door, wrong):
    function, params, tokenizer = DOORS[door]
    batch = tokenizer(["the bank"])
    name = "ids" if "bert" in door else "types"
    ids = np.array(getattr(batch, name))
    ids[0, 0] = wrong
    with pytest.raises(ValueError, match=f"{name} reach from .* do model and tokenise"):
        function(params, batch._replace(**{name: ids}))
    if name == "types":
        far = np.full_like(batch.words, wrong)
        with pytest.raises(ValueError, match=r"words reach from .* the model knows"):
            function(params, batch._replace(words=far))


def test_positions_to_score_are_those_of_the_rows():
    _, params, tokenizer = DOORS["bert masked"]
    batch = tokenizer(["the bank"])
    for wrong in (-1, batch.ids.shape[1]):
        with pytest.raises(
            ValueError, match=r"positions reach from .* rows have token"
        ):
            bert_jax.masked_lm_logits(params, batch, np.array([[wrong]]))


def test_vectors_in_place_of_types_have_the_models_width():
    _, params, tokenizer = DOORS["elmo apply"]
    batch = tokenizer([["the", "bank"]])
    vectors = np.zeros((len(batch.types), elmo_jax.TINY.projection_dim), np.float32)
    jax.eval_shape(elmo_jax.embed, params, batch._replace(types=vectors))
    with pytest.raises(ValueError, match="vectors of another width than the model's"):
        elmo_jax.embed(params, batch._replace(types=vectors[:, 1:]))


def test_a_row_is_refused_where_it_is_traced_too():
    _, params, tokenizer = DOORS["bert embed"]
    with pytest.raises(ValueError, match="are one row"):
        jax.eval_shape(jax.vmap(bert_jax.embed, (None, 0)), params, tokenizer(["a"]))
