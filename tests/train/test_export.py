# SPDX-License-Identifier: Apache-2.0
"""Trained weights as others read them: transformers, and the oracle of ELMo."""

import dataclasses
import json
import re
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from elmo_jax.scoring import perplexity, score_sentences
from embed_jax import __main__ as embed_command
from embed_jax.files.run_directory import best_step, saved_steps
from embed_jax.store import VectorStore
from tests.oracles import bilm
from tests.train.experiments import (
    KINDS,
    make_experiment,
    one_device,
)
from train import evaluate, export
from train.families.bert.config import LongPhase
from train.families.bert.finetuned import BertClassifier, fresh_classifier
from train.families.bert.objective import MaskedLmObjective
from train.families.elmo.objective import BilmObjective
from train.families.elmo.words import WordStore
from train.prepare import prepare
from train.pretrain import pretrain

SENTENCES = ["The walrus sees the old bank .", "Bread !", "My sister runs again ."]
PACKAGES = {"elmo": elmo_jax, "bert": bert_jax}


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory) -> dict[str, Path]:
    """Runs whose best step, 3, is not their last, 6."""
    path = tmp_path_factory.mktemp("runs")
    for kind, objective in (("elmo", BilmObjective), ("bert", MaskedLmObjective)):
        figures = iter([{"loss": 1.0}, {"loss": 2.0}])
        experiment = make_experiment(kind, folder, num_steps=6, eval_every=3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objective, "measure", lambda *_, it=figures, **__: next(it))
            pretrain(experiment, path / kind, mesh=one_device())
    return {kind: path / kind for kind in KINDS}


@pytest.fixture(scope="module")
def models(runs, tmp_path_factory) -> dict[str, Path]:
    """The last weights of each."""
    path = tmp_path_factory.mktemp("models")
    for kind, run in runs.items():
        assert export.export(run, path / kind, step=6) == 6
    return {kind: path / kind for kind in KINDS}


@pytest.mark.parity
def test_transformers_opens_a_bert(runs, models):
    import torch
    import transformers

    params, tokenizer = bert_jax.load(runs["bert"])
    theirs = transformers.BertForPreTraining.from_pretrained(models["bert"]).eval()
    tokens = tokenizer(SENTENCES, SENTENCES[::-1])
    with torch.no_grad():
        output = theirs(
            input_ids=torch.tensor(np.asarray(tokens.ids, np.int64)),
            token_type_ids=torch.tensor(np.asarray(tokens.segment_ids, np.int64)),
            attention_mask=torch.tensor(np.asarray(tokens.mask, np.int64)),
        )
    real = np.asarray(tokens.mask)
    logits = np.asarray(bert_jax.masked_lm_logits(params, tokens))
    np.testing.assert_allclose(
        logits[real], output.prediction_logits.numpy()[real], atol=1e-5
    )
    np.testing.assert_allclose(
        bert_jax.next_sentence_logits(params, tokens),
        output.seq_relationship_logits.numpy(),
        atol=1e-5,
    )
    pieces = transformers.AutoTokenizer.from_pretrained(models["bert"])
    for row, (one, other) in enumerate(zip(SENTENCES, SENTENCES[::-1], strict=True)):
        ids = pieces(one, other)["input_ids"]
        assert list(np.asarray(tokens.ids)[row][real[row]]) == ids


def test_the_oracle_reads_an_elmo(runs, models):
    params, tokenizer = elmo_jax.load(runs["elmo"])
    options = json.loads((models["elmo"] / "options.json").read_text())
    weights: dict[str, np.ndarray] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name] = item[()]

    with h5py.File(models["elmo"] / "weights.hdf5") as file:
        file.visititems(note)
    sentences = [sentence.split() for sentence in SENTENCES]
    expected = [bilm.run_sentence(options, weights, words)[0] for words in sentences]
    for layer in range(3):
        vectors = elmo_jax.embed_words(params, tokenizer, sentences, str(layer))
        for ours, theirs in zip(vectors, expected, strict=True):
            np.testing.assert_allclose(ours, theirs[layer], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_run_and_model_embed_alike(runs, models, tmp_path, kind):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES) + "\n")
    for name, path in (("run", runs[kind]), ("model", models[kind])):
        output = tmp_path / f"{name}.h5"
        assert embed_command.main([str(path), str(corpus), str(output)]) == 0
    with (
        VectorStore(tmp_path / "run.h5") as run,
        VectorStore(tmp_path / "model.h5") as model,
    ):
        assert len(run) == len(SENTENCES)
        for one, other in zip(run, model, strict=True):
            assert one.any()
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_weights_are_taken(runs, models, tmp_path, capsys, kind):
    run, package = runs[kind], PACKAGES[kind]
    assert (saved_steps(run), best_step(run)) == ([3, 6], 3)
    path = tmp_path / "model"
    assert export.main([str(run), str(path)]) == 0
    assert (
        f"{path}: the weights of step 3, held-out loss 1: the best of the 2 kept; the "
        "latest is of step 6\n"
    ) == capsys.readouterr().out
    leaves = {}
    for name, model in (("best", path), ("last", models[kind])):
        params, _ = package.load(model)
        leaves[name] = params.heads["softmax" if kind == "elmo" else "mlm"]["bias"]
    assert not np.array_equal(leaves["best"], leaves["last"])

    assert export.main([str(run), str(path)]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert export.main([str(run), str(path), "--latest", "--overwrite"]) == 0
    assert capsys.readouterr().out.endswith(
        "of step 6, held-out loss 2: the latest; the best kept is of step 3\n"
    )
    params, _ = package.load(path)
    last = params.heads["softmax" if kind == "elmo" else "mlm"]["bias"]
    np.testing.assert_array_equal(last, leaves["last"])
    assert export.main([str(run), str(path), "--step", "6", "--overwrite"]) == 0
    assert export.main([str(run), str(tmp_path / "x"), "--step", "5"]) == 2
    assert "no checkpoint of step 5, only 3, 6" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_what_is_no_run_is_not_exported(tmp_path, capsys):
    assert export.main([str(tmp_path), str(tmp_path / "model")]) == 2
    assert "is no run of train.pretrain" in capsys.readouterr().err


def test_figures_of_an_elmo(folder, runs, models, capsys):
    data = folder / "words"
    command = evaluate.Command(model=runs["elmo"], data=data, batch_size=8, batches=0)
    of_run = evaluate.evaluate(command)
    as_served = evaluate.evaluate(dataclasses.replace(command, reset_state=True))

    line = [str(models["elmo"]), "--data", str(data), "--batch-size", "8"]
    assert evaluate.main(line) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert figures != of_run
    # Sentences that begin anew have the same figures in windows of any length.
    for name, figure in figures.items():
        np.testing.assert_allclose(figure, as_served[name], rtol=1e-6)
    assert re.search(r"evaluating: .* [1-9]\d*/[1-9]\d* ", said.err)
    params, tokenizer = elmo_jax.load(models["elmo"])
    store = WordStore.open(data / "held_out")
    sentences = [
        [store.types[index] for index in store.sentence(number)]
        for number in range(store.num_sentences)
    ]
    expected = perplexity(score_sentences(params, tokenizer, sentences))
    assert figures["held_out_words"] == expected.num_tokens
    for direction in ("forward", "backward"):
        np.testing.assert_allclose(
            figures[f"{direction}_perplexity"], getattr(expected, direction), rtol=1e-5
        )


def test_figures_of_a_bert(folder, runs, models):
    command = evaluate.Command(
        model=runs["bert"], data=folder / "pieces", batch_size=8, batches=2
    )
    of_run = evaluate.evaluate(command)
    alike = dataclasses.replace(
        command, model=models["bert"], pairs="nsp", length=24, packed=True
    )
    assert evaluate.evaluate(alike) == of_run
    earlier = evaluate.evaluate(dataclasses.replace(command, step=3))
    assert earlier["loss"] != of_run["loss"]


def test_missing_data_names_the_command(runs, tmp_path, capsys):
    line = [str(runs["bert"]), "--data", str(tmp_path)]
    assert evaluate.main(line) == 2
    assert "no such data; python -m train.prepare makes it" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_another_vocabulary_is_refused(kind, folder, runs, tmp_path, capsys):
    data = dataclasses.replace(
        make_experiment(kind, folder).data, vocab_size=30, directory=tmp_path / "data"
    )
    prepare(data, lambda _: None)
    assert evaluate.main([str(runs[kind]), "--data", str(data.directory)]) == 2
    error = capsys.readouterr().err
    assert "was prepared with" in error
    assert f"{runs[kind]}" in error
    assert error.count("\n") == 1


def test_the_best_is_that_of_the_last_phase(folder, tmp_path, monkeypatch, capsys):
    """The losses of long rows do not compare with those of short ones."""
    losses = {1: 0.5, 2: 0.4, 3: 0.6, 4: 3.0, 5: 2.0, 6: 2.5, 7: 2.6}
    figures = iter(losses.values())
    monkeypatch.setattr(
        MaskedLmObjective, "measure", lambda *_, **__: {"loss": next(figures)}
    )
    experiment = make_experiment(
        "bert",
        folder,
        num_steps=7,
        eval_every=1,
        keep_last=1,
        long_phase=LongPhase(num_steps=4, length=32, batch_size=8),
    )
    run = tmp_path / "run"
    pretrain(experiment, run, mesh=one_device())
    # The best of each phase, and the latest.
    assert saved_steps(run) == [2, 5, 7]
    assert (best_step(run), best_step(run, 3)) == (2, 5)
    assert export.main([str(run), str(tmp_path / "model")]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path / 'model'}: the weights of step 5, held-out loss 2: the best of "
        "the 2 kept in the last phase; the latest is of step 7\n"
    )
    # Also where the class of the run is the user's own, and cannot be asked for phases.
    written = json.loads((run / "experiment.json").read_text())
    written["type"] = "MyPretraining"
    (run / "experiment.json").write_text(json.dumps(written))
    (run / "checksums.json").unlink()
    assert export.main([str(run), str(tmp_path / "again")]) == 0
    assert "the weights of step 5, held-out loss 2: the" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("cased", [True, False])
def test_transformers_opens_sentence_pieces_of_a_run(folder, tmp_path, cased):
    """Exported, and with a classifier: the pieces are those of the run."""
    import transformers

    plain = make_experiment("bert", folder, num_steps=2, eval_every=0)
    data = dataclasses.replace(
        plain.data, kind="sentencepiece", cased=cased, directory=tmp_path / "pieces"
    )
    prepare(data, lambda line: None)
    run = tmp_path / "run"
    pretrain(dataclasses.replace(plain, data=data), run, mesh=one_device())
    export.export(run, tmp_path / "exported")
    params, tokenizer = bert_jax.load(run)
    classifier = BertClassifier(
        fresh_classifier(jax.random.key(0), params, "token", ["O", "B"]), tokenizer
    )
    classifier.save(tmp_path / "kept", classifier.weights)
    for path in (tmp_path / "exported", tmp_path / "kept"):
        theirs = transformers.AutoTokenizer.from_pretrained(path)
        assert len(theirs) == tokenizer.vocab_size
        for text in (*SENTENCES, "Unaffable é中", "", "  a  b "):
            assert theirs(text)["input_ids"] == tokenizer([text]).ids[0].tolist()
