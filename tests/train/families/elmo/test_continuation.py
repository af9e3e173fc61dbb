# SPDX-License-Identifier: Apache-2.0
"""A published ELMo is continued whole: every row by its word, tied, with its start."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import elmo_jax
from elmo_jax.vocabulary import Vocabulary
from tests.train.experiments import make_experiment, one_device
from tests.train.families.test_continuation import check_equal
from tests.train.stores import word_store
from train.data.encoding import TRAIN
from train.export import export
from train.families.elmo.config import BilmPretraining
from train.families.elmo.word_order import check_order
from train.families.elmo.words import WordStore
from train.loop.setup import set_up
from train.prepare import prepare
from train.pretrain import pretrain


@pytest.fixture(scope="module")
def words(folder) -> Vocabulary:
    return WordStore.open(folder / "words" / TRAIN).vocabulary


def save_model(
    folder: Path,
    model: Path,
    words: Vocabulary,
    *,
    word_input: str = "ids",
    start: bool = False,
) -> elmo_jax.ElmoParams:
    """Save a biLM drawn with another seed, as it may be published."""
    experiment = make_experiment("elmo", folder, word_input=word_input)
    assert isinstance(experiment, BilmPretraining)
    config = experiment.model_for(len(words))
    params = elmo_jax.init_params(
        jax.random.key(7), config, len(words), tied=word_input == "tied_ids"
    )
    bias = np.random.default_rng(0).normal(size=len(words)).astype(np.float32)
    params.heads["softmax"]["bias"] = jax.numpy.asarray(bias)
    tokenizer = elmo_jax.ElmoTokenizer(config, words)
    if start:
        params = elmo_jax.warm_start(params, tokenizer, ["The cat sees a house ."])
    elmo_jax.save(model, params, tokenizer)
    return params


def measured(experiment) -> dict[str, float]:
    setup = set_up(experiment)
    return setup.objectives[0].measure(setup.params)


@pytest.mark.parametrize("word_input", ["ids", "tied_ids"])
def test_words_in_another_order_keep_their_rows(
    folder, tmp_path, words, word_input, caplog
):
    """Held out, the model is as good as with its own vocabulary: all rows follow."""
    other = Vocabulary((*words.words[:3], *reversed(words.words[3:])))
    given = save_model(folder, tmp_path / "other", other, word_input=word_input)
    rows = np.array([other.ids[word] for word in words.words])
    ours = given.replace(
        encoder=given.encoder
        | {"words": {"embedding": given.encoder["words"]["embedding"][rows]}},
        heads={
            "softmax": {
                name: leaf[rows] for name, leaf in given.heads["softmax"].items()
            }
        },
    )
    elmo_jax.save(tmp_path / "ours", ours, elmo_jax.ElmoTokenizer(ours.config, words))
    experiment = make_experiment("elmo", folder, word_input=word_input)
    continued = dataclasses.replace(experiment, init_from=tmp_path / "other")
    check_equal(set_up(continued).params, ours)
    assert f"{len(words)} of {len(words)} entries are taken from it" in caplog.text
    assert "from nothing" not in caplog.text
    same = dataclasses.replace(experiment, init_from=tmp_path / "ours")
    assert measured(continued) == measured(same)


def test_words_that_a_model_lacks_begin_anew_in_both_tables(folder, tmp_path, words):
    theirs = Vocabulary((*words.words[:3], "zebra", *words.words[3::2]))
    given = save_model(folder, tmp_path / "model", theirs)
    experiment = make_experiment("elmo", folder, word_input="ids")
    fresh = set_up(experiment).params
    params = set_up(
        dataclasses.replace(experiment, init_from=tmp_path / "model")
    ).params
    for row, word in enumerate(words.words):
        source, place = (
            (given, theirs.ids[word]) if word in theirs.ids else (fresh, row)
        )
        np.testing.assert_array_equal(
            params.encoder["words"]["embedding"][row],
            source.encoder["words"]["embedding"][place],
        )
        np.testing.assert_array_equal(params.softmax[0][row], source.softmax[0][place])


def test_a_tied_softmax_is_trained_tied_and_stays_so(folder, tmp_path, words):
    save_model(folder, tmp_path / "model", words, word_input="tied_ids", start=True)
    experiment = make_experiment(
        "elmo",
        folder,
        word_input="tied_ids",
        init_from=tmp_path / "model",
        num_steps=2,
        save_every=2,
        eval_every=2,
    )
    pretrain(experiment, tmp_path / "run", mesh=one_device())
    given, _ = elmo_jax.load(tmp_path / "model")
    trained, _ = elmo_jax.load(tmp_path / "run")
    assert trained.has_tied_softmax
    assert not np.array_equal(trained.softmax[0], given.softmax[0])
    # The first state of serving is kept beside what is trained.
    check_equal(trained.start, given.start)
    export(tmp_path / "run", tmp_path / "exported")
    exported, tokenizer = elmo_jax.load(tmp_path / "exported")
    check_equal(exported, trained)
    elmo_jax.save(tmp_path / "saved", exported, tokenizer)
    options = json.loads((tmp_path / "saved/options.json").read_text())
    assert options["share_embedding_softmax"] is True


def test_the_gradient_of_a_tied_table_is_that_of_both_uses(folder):
    """With equal tables, tied has the sum of what both get untied."""
    setup = set_up(make_experiment("elmo", folder, word_input="tied_ids"))
    tied, objective = setup.params, setup.objectives[0]
    table, bias = tied.softmax
    untied = tied.replace(heads={"softmax": {"weights": table, "bias": bias}})
    batch = jax.tree.map(jax.numpy.asarray, objective.batches[0])

    @jax.jit
    def loss(params):
        weights = objective.weights_of(batch)
        key = jax.random.key(0)
        return objective.loss(params, objective.init_carry(), batch, weights, key)[0]

    ours, apart = jax.grad(loss)(tied), jax.grad(loss)(untied)
    np.testing.assert_allclose(
        ours.encoder["words"]["embedding"],
        apart.encoder["words"]["embedding"] + apart.heads["softmax"]["weights"],
        rtol=1e-5,
        atol=1e-7,
    )
    assert objective.rows_read(batch) == (batch, {})


def test_a_start_is_left_where_sentences_begin_from_zeros(
    folder, tmp_path, words, caplog
):
    given = save_model(folder, tmp_path / "model", words, start=True)
    assert given.start is not None
    experiment = make_experiment(
        "elmo", folder, word_input="ids", init_from=tmp_path / "model"
    )
    carried = set_up(experiment)
    assert carried.params.start is None
    assert carried.served is not None
    check_equal(carried.served.start, given.start)
    assert "start.hdf5" not in caplog.text
    zeros = set_up(dataclasses.replace(experiment, reset_state=True))
    assert zeros.served is not None
    assert zeros.served.start is None
    assert "start.hdf5), which are left out" in caplog.text


@pytest.mark.parametrize(
    ("held", "asked", "said"),
    [
        ("tied_ids", "ids", "are the word table; continue it with --word-input tied_"),
        ("ids", "tied_ids", "are not the word table; continue it with --word-input id"),
        ("ids", "characters", "reads words by their ids; continue it with --word-inpu"),
    ],
)
def test_another_input_is_named(folder, tmp_path, words, held, asked, said):
    save_model(folder, tmp_path / "model", words, word_input=held)
    experiment = make_experiment(
        "elmo", folder, word_input=asked, init_from=tmp_path / "model"
    )
    with pytest.raises(ValueError, match=said):
        set_up(experiment)


def test_a_softmax_without_a_vocabulary_is_told_from_none(
    folder, tmp_path, words, caplog
):
    save_model(folder, tmp_path / "model", words, word_input="characters")
    (tmp_path / "model/vocab.txt").unlink()
    (tmp_path / "model/checksums.json").unlink()
    set_up(make_experiment("elmo", folder, init_from=tmp_path / "model"))
    assert "has a softmax but no vocab.txt" in caplog.text
    assert "has no softmax" not in caplog.text


def store_of(vocabulary: list[str]) -> WordStore:
    """Return a text whose words are as frequent as their numbers are low."""
    draws = np.random.default_rng(1).zipf(1.3, 5000) % 200
    sentences = [[f"w{n}" for n in part] for part in np.split(draws, 500)]
    specials = ("<S>", "</S>", "<UNK>")
    return word_store([sentences], Vocabulary((*specials, *vocabulary)))


def test_an_order_that_is_not_that_of_frequency_is_refused(caplog):
    names = [f"w{n}" for n in range(200)]
    check_order(store_of(names))
    assert "its words are taken to be sorted by falling frequency" in caplog.text
    check_order(store_of(names[:20]))
    # In the order of their last letters, or of nothing at all.
    for other in (sorted(names, key=lambda name: name[::-1]), names[::-1]):
        with pytest.raises(ValueError, match="not that of falling frequency"):
            check_order(store_of(other))


def test_a_published_vocabulary_without_counts_serves_sampling(
    folder, tmp_path, words, caplog
):
    (tmp_path / "vocab.txt").write_text("\n".join(words.words) + "\n")
    experiment = make_experiment("elmo", folder)
    data = dataclasses.replace(
        experiment.data,
        vocabulary=tmp_path / "vocab.txt",
        directory=tmp_path / "words",
    )
    prepare(data, lambda line: None)
    counted = set_up(experiment).objectives[0].batches[0]
    setup = set_up(dataclasses.replace(experiment, data=data))
    assert "its words are taken to be sorted by falling frequency" in caplog.text
    check_equal(setup.objectives[0].batches[0].negatives, counted.negatives)
