# SPDX-License-Identifier: Apache-2.0
"""First weights from a model that exists: what is taken over, what starts anew."""

import dataclasses
import logging
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from elmo_jax.vocabulary import Vocabulary
from tests.train.experiments import (
    losses,
    make_experiment,
    one_device,
)
from train.families.bert.continuation import piece_ids
from train.families.elmo.words import WordStore
from train.loop.setup import set_up
from train.pretrain import pretrain


@pytest.fixture(scope="module")
def words(folder) -> Vocabulary:
    return WordStore.open(folder / "words" / "train").vocabulary


def first_params(kind: str, folder: Path, model: Path, **changes):
    experiment = make_experiment(kind, folder, init_from=model, **changes)
    return set_up(experiment).params


def save_elmo(folder: Path, model: Path, words: Vocabulary | None, **changes):
    """Save a biLM drawn with another seed; without a vocabulary it has no softmax."""
    config = dataclasses.replace(make_experiment("elmo", folder).model, **changes)
    params = elmo_jax.init_params(
        jax.random.key(7), config, len(words) if words else None
    )
    elmo_jax.save(model, params, elmo_jax.ElmoTokenizer(config, words))
    return params


def check_equal(ours, theirs) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_an_elmo_without_softmax(folder, tmp_path, caplog):
    given = save_elmo(folder, tmp_path / "model", None)
    params = first_params("elmo", folder, tmp_path / "model")
    check_equal(params.encoder, given.encoder)
    fresh = set_up(make_experiment("elmo", folder)).params
    check_equal(params.heads, fresh.heads)
    assert "has no softmax; it is trained from nothing" in caplog.text


def test_an_elmo_of_the_same_vocabulary(folder, tmp_path, words, caplog):
    caplog.set_level(logging.WARNING)
    given = save_elmo(folder, tmp_path / "model", words)
    params = first_params("elmo", folder, tmp_path / "model")
    check_equal((params.encoder, params.heads), (given.encoder, given.heads))
    assert not [record for record in caplog.records if "train" in record.name]


def test_an_elmo_of_another_vocabulary(folder, tmp_path, words, caplog):
    some = ("<S>", "</S>", "<UNK>", *words.words[::-2], "zebra")
    theirs = Vocabulary(tuple(dict.fromkeys(some)))
    given = save_elmo(folder, tmp_path / "model", theirs)
    params = first_params("elmo", folder, tmp_path / "model")
    check_equal(params.encoder, given.encoder)
    fresh = set_up(make_experiment("elmo", folder)).params
    known = 0
    for row, word in enumerate(words.words):
        source = given if word in theirs.ids else fresh
        place = theirs.ids.get(word, row)
        known += word in theirs.ids
        for name in ("weights", "bias"):
            np.testing.assert_array_equal(
                params.heads["softmax"][name][row],
                source.heads["softmax"][name][place],
            )
    assert f"{known} of {len(words)} entries are taken from it" in caplog.text
    assert 3 < known < len(words)


def test_an_elmo_of_another_shape(folder, tmp_path, words):
    save_elmo(folder, tmp_path / "model", words, cell_dim=24, dropout_rate=0.5)
    with pytest.raises(ValueError, match="another shape") as caught:
        first_params("elmo", folder, tmp_path / "model")
    assert str(caught.value).endswith("model: cell_dim 24, not 16")


def save_bert(folder: Path, model: Path, heads, **changes):
    fresh = set_up(make_experiment("bert", folder))
    config = dataclasses.replace(fresh.params.config, **changes)
    params = bert_jax.init_params(jax.random.key(7), config, heads)
    bert_jax.save(model, params, fresh.tokenizer)
    return params


def test_a_bert_without_some_heads(folder, tmp_path, caplog):
    given = save_bert(folder, tmp_path / "model", ("mlm",))
    params = first_params("bert", folder, tmp_path / "model")
    check_equal(params.encoder, given.encoder)
    fresh = set_up(make_experiment("bert", folder)).params
    check_equal(params.heads["mlm"], given.heads["mlm"])
    for name in ("pooler", "nsp"):
        check_equal(params.heads[name], fresh.heads[name])
        assert f"has no head '{name}'; it is trained from nothing" in caplog.text
    assert "'mlm'" not in caplog.text


def test_a_bert_of_another_vocabulary(folder, tmp_path, caplog):
    """The rows of pieces that both have are taken over, the rest is taken whole."""
    fresh = set_up(make_experiment("bert", folder))
    ours = piece_ids(fresh.tokenizer)
    kept = [piece for piece in sorted(ours, key=ours.__getitem__) if "e" not in piece]
    pieces = [*kept[:5], "zebra", *reversed(kept[5:])]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    theirs = bert_jax.WordPieceTokenizer.from_vocab(tmp_path / "vocab.txt", cased=False)
    config = dataclasses.replace(fresh.params.config, vocab_size=len(pieces))
    given = bert_jax.init_params(jax.random.key(7), config, ("pooler", "mlm", "nsp"))
    given.heads["mlm"]["bias"] = jax.numpy.arange(len(pieces), dtype=float)
    bert_jax.save(tmp_path / "model", given, theirs)
    params = first_params("bert", folder, tmp_path / "model")
    check_equal(params.encoder["layer_0"], given.encoder["layer_0"])
    check_equal(params.heads["nsp"], given.heads["nsp"])
    tables = [p.encoder["embeddings"]["token"]["embedding"] for p in (params, given)]
    biases = [p.heads["mlm"]["bias"] for p in (params, given)]
    fresh_table = fresh.params.encoder["embeddings"]["token"]["embedding"]
    for piece, row in ours.items():
        if piece in pieces:
            at = pieces.index(piece)
            np.testing.assert_array_equal(tables[0][row], tables[1][at])
            assert biases[0][row] == biases[1][at]
        else:
            np.testing.assert_array_equal(tables[0][row], fresh_table[row])
            assert biases[0][row] == 0
    assert f"{len(kept)} of {len(ours)} entries are taken from it" in caplog.text


def test_a_piece_that_was_added_to_a_vocabulary_has_its_row():
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the")
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces)
    tokenizer.backend.add_special_tokens(["[ENT]"])
    assert piece_ids(tokenizer) == {
        piece: row for row, piece in enumerate([*pieces, "[ENT]"])
    }


def test_a_bert_of_another_shape(folder, tmp_path):
    save_bert(folder, tmp_path / "model", ("mlm",), mlp_dim=48)
    with pytest.raises(ValueError, match="mlp_dim 48, not 32"):
        first_params("bert", folder, tmp_path / "model")


def test_a_run_goes_on_from_another_run(folder, tmp_path):
    """The weights are those of the other run; steps and rates begin at the first."""
    short = make_experiment("elmo", folder, num_steps=2, eval_every=0)
    pretrain(short, tmp_path / "first", mesh=one_device())
    params, _ = elmo_jax.load(tmp_path / "first")
    check_equal(first_params("elmo", folder, tmp_path / "first").heads, params.heads)
    second = dataclasses.replace(short, init_from=tmp_path / "first")
    pretrain(second, tmp_path / "second", mesh=one_device())
    assert [line["step"] for line in losses(tmp_path / "second")] == [1, 2]
    assert losses(tmp_path / "second") != losses(tmp_path / "first")
