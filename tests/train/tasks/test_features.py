import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from train.tasks import features
from train.tasks.features import cached_features

SENTENCES = [["the", "bank", "of", "it"], ["we", "sat"], ["a", "river", "bank"]]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "bert"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "bank", "of", "it"]
    pieces += ["we", "sa", "##t", "a", "ri", "##ver"]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(
        pieces, cased=False, max_length=64
    )
    params = bert_jax.init_params(jax.random.key(0), bert_jax.TINY)
    bert_jax.save(path, params, tokenizer)
    return str(path)


@pytest.fixture(scope="module")
def elmo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "elmo"
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
    elmo_jax.save(path, params, elmo_jax.ElmoTokenizer(elmo_jax.TINY))
    return str(path)


@pytest.mark.parametrize("model", ["bert", "elmo"])
def test_all_layers_as_embed_words_gives_them(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
):
    path = request.getfixturevalue(model)
    package = {"bert": bert_jax, "elmo": elmo_jax}[model]
    held = cached_features(path, SENTENCES, tmp_path, name="x", dtype="float32")
    assert held.offsets.tolist() == [0, 4, 6, 9]
    params, tokenizer = package.load(path)
    rows = held.read(range(held.num_layers))
    for layer in range(held.num_layers):
        expected = package.embed_words(params, tokenizer, SENTENCES, str(layer))
        np.testing.assert_allclose(rows[:, layer], np.concatenate(expected), atol=1e-6)
    np.testing.assert_array_equal(held.read([1, 0])[:, 1], rows[:, 0])


def test_computed_once(bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = cached_features(bert, SENTENCES, tmp_path, name="x")
    monkeypatch.setattr(features, "StoreWriter", None)
    again = cached_features(bert, SENTENCES, tmp_path, name="x")
    assert again.path == first.path
    with pytest.raises(TypeError):
        cached_features(bert, SENTENCES[:2], tmp_path, name="x")
    with pytest.raises(TypeError):
        cached_features(bert, SENTENCES, tmp_path, name="x", pool="last")


def test_context_stays_within_the_document(bert: str, tmp_path: Path):
    options = {"name": "x", "dtype": "float32", "context": "document"}
    apart = cached_features(bert, SENTENCES, tmp_path, documents=[0, 0, 1], **options)
    together = cached_features(bert, SENTENCES, tmp_path, **options)
    alone = cached_features(bert, SENTENCES, tmp_path, name="x", dtype="float32")
    assert apart.offsets.tolist() == [0, 4, 6, 9]
    last = [held.read([1])[:, 0] for held in (apart, together, alone)]
    assert np.abs(last[0][:6] - last[1][:6]).max() > 1e-3
    np.testing.assert_allclose(last[0][6:], last[2][6:], atol=1e-6)
    assert np.abs(last[1][6:] - last[2][6:]).max() > 1e-3


def test_only_what_is_kept(bert: str, tmp_path: Path):
    keep = [np.array([1]), np.array([], int), np.array([0, 2])]
    documents = [0, 1, 1]
    options = {"name": "x", "documents": documents, "context": 8}
    kept = cached_features(bert, SENTENCES, tmp_path, keep=keep, **options)
    whole = cached_features(bert, SENTENCES, tmp_path, **options)
    assert kept.offsets.tolist() == [0, 1, 1, 3]
    np.testing.assert_array_equal(kept.read([0, 1]), whole.read([0, 1])[[1, 6, 8]])


@pytest.mark.parametrize("context", [0, 8])
def test_goes_on_where_it_was_interrupted(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: int
):
    options = {"name": "x", "context": context, "documents": [0, 1, 1]}
    whole = cached_features(bert, SENTENCES, tmp_path / "whole", **options)
    append = features.StoreWriter.append

    def fail(writer, vectors, words):
        if words == ["a", "river", "bank"]:
            raise KeyboardInterrupt
        append(writer, vectors, words)

    with monkeypatch.context() as patched:
        patched.setattr(features.StoreWriter, "append", fail)
        with pytest.raises(KeyboardInterrupt):
            cached_features(bert, SENTENCES, tmp_path, **options)
    resumed = cached_features(bert, SENTENCES, tmp_path, **options)
    np.testing.assert_array_equal(resumed.offsets, whole.offsets)
    np.testing.assert_allclose(resumed.read([2]), whole.read([2]), atol=2e-3)


def test_what_cannot_be(bert: str, tmp_path: Path):
    with pytest.raises(ValueError, match="sentence 1 of x has no words"):
        cached_features(bert, [["a"], []], tmp_path, name="x")
    held = cached_features(bert, SENTENCES, tmp_path, name="x")
    with pytest.raises(ValueError, match=r"layers 0 to 2, not \[3\]"):
        held.read([0, 3])


def test_whatever_the_vectors_depend_on_names_the_file(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def path(model: str = bert, sentences=SENTENCES, **options) -> Path:
        held = cached_features(model, sentences, tmp_path, name="x", **options)
        return held.path

    first = path()
    assert path(documents=[0, 0, 1]) == first  # nothing is shown to anything
    others = [
        path(sentences=[*SENTENCES[:2], ["a", "river", "of"]]),
        path(pool="last"),
        path(dtype="float32"),
        path(keep=[np.array([0])] * 3),
        path(keep=[np.array([1])] * 3),
        path(context=3),
        path(context="document"),
        path(context=3, documents=[0, 0, 1]),
        path(context=3, documents=[0, 1, 1]),
    ]
    params, tokenizer = bert_jax.load(bert)
    doubled = jax.tree.map(lambda leaf: 2 * np.asarray(leaf), params)
    changed = tmp_path / "model"
    bert_jax.save(changed, params, tokenizer)
    assert path(str(changed)) == first  # the same weights elsewhere
    bert_jax.save(changed, doubled, tokenizer, overwrite=True)
    others.append(path(str(changed)))
    config = dataclasses.replace(params.config, num_heads=1)
    bert_jax.save(changed, params.replace(config=config), tokenizer, overwrite=True)
    others.append(path(str(changed)))
    pieces = [tokenizer.piece(index) for index in range(tokenizer.vocab_size)]
    cased = bert_jax.WordPieceTokenizer.from_vocab(pieces, cased=True, max_length=64)
    bert_jax.save(changed, params, cased, overwrite=True)
    others.append(path(str(changed)))
    monkeypatch.setattr("embed_jax.model_identity.FORM", 7)
    others.append(path())
    assert len({first, *others}) == len(others) + 1


def test_going_on_late_in_a_document_shows_what_was_before(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A sentence sees as far back as the model reads, 62 sentences of one piece."""
    words = np.random.default_rng(0).choice(["the", "bank", "of", "it", "we"], 130)
    sentences = [[word] for word in words]
    options = {"name": "x", "context": "document", "dtype": "float32"}
    whole = cached_features(bert, sentences, tmp_path / "whole", **options)
    append = features.StoreWriter.append
    numbers = iter(range(130))

    def fail(writer, vectors, words):
        if next(numbers) == 100:
            raise KeyboardInterrupt
        append(writer, vectors, words)

    with monkeypatch.context() as patched:
        patched.setattr(features.StoreWriter, "append", fail)
        with pytest.raises(KeyboardInterrupt):
            cached_features(bert, sentences, tmp_path, **options)
    resumed = cached_features(bert, sentences, tmp_path, **options)
    np.testing.assert_allclose(resumed.read([2]), whole.read([2]), atol=1e-5)
