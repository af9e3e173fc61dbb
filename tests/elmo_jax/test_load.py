# SPDX-License-Identifier: Apache-2.0
"""A model's files are found or asked for, damage is refused, saving is safe."""

import gzip
import importlib
import json
import shutil
from pathlib import Path

import h5py
import huggingface_hub
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import elmo_jax
from embed_jax.encoder import find_encoder
from embed_jax.recurrence import LstmState
from tests.elmo_jax.published_model import (
    KINDS,
    OPTIONS,
    SENTENCES,
    WORDS,
    assert_same_tensors,
    changed,
    draw_softmax,
    draw_tensors,
    read_hdf5,
    write_hdf5,
    write_model,
)
from tests.elmo_jax.refusal import refused
from tests.families import family_of

TOKENS = KINDS["words"]


def assert_identical(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for (path, a), b in zip(
        jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True
    ):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype == np.float32, path
        assert a.tobytes() == b.tobytes(), path


# Which files


def test_published_names_are_long(tmp_path):
    softmax = draw_softmax(OPTIONS)
    plain = write_model(tmp_path / "plain", OPTIONS, softmax=softmax)
    expected, _ = elmo_jax.load(plain)
    prefix = "elmo_2x4096_512_2048cnn_2xhighway_"
    path = write_model(tmp_path / "long", OPTIONS, softmax=softmax, prefix=prefix)
    (path / "vocab.txt").rename(path / "vocab-2016-09-10.txt")
    for place in (path, str(path), path / f"{prefix}options.json"):
        params, tokenizer = elmo_jax.load(place)
        assert_identical(params, expected)
        assert tokenizer.vocabulary.words == tuple(WORDS)


def test_archives_of_nlpl(tmp_path):
    expected, _ = elmo_jax.load(write_model(tmp_path / "plain", OPTIONS))
    path = write_model(tmp_path / "archive", OPTIONS)
    (path / "weights.hdf5").rename(path / "model.hdf5")
    with gzip.open(path / "vocab.txt.gz", "wb") as file:
        file.write((path / "vocab.txt").read_bytes())
    (path / "vocab.txt").unlink()
    (path / "meta.json").write_text("{}")
    (path / "README").write_text("")
    (path / "._options.json").write_text("left by another system")
    params, tokenizer = elmo_jax.load(path)
    assert_identical(params, expected)
    assert len(tokenizer.vocabulary) == len(WORDS)


def test_several_models_in_a_directory(tmp_path):
    """One prefix begins with the other, as with the published 5.5B model."""
    models = {"big_": 1, "big_5.5B_": 2, "small_": 3}
    for prefix, seed in models.items():
        tensors, softmax = draw_tensors(OPTIONS, seed), draw_softmax(OPTIONS)
        softmax["softmax/b"][:] = seed
        write_model(tmp_path, OPTIONS, tensors, softmax=softmax, prefix=prefix)
    for prefix, seed in models.items():
        params, tokenizer = elmo_jax.load(tmp_path / f"{prefix}options.json")
        table = params.encoder["char_cnn"]["embedding"]
        expected = draw_tensors(OPTIONS, seed)["char_embed"]
        np.testing.assert_array_equal(table, expected)
        assert params.heads["softmax"]["bias"][0] == seed
        assert len(tokenizer.vocabulary) == len(WORDS)  # shared, of no model
    names = (f"{prefix}options.json" for prefix in models)
    refused(tmp_path, tmp_path, *names, "pass the path of one")
    (tmp_path / "big_weights.hdf5").unlink()
    refused(tmp_path / "big_options.json", "no weights", "big_options.json")


@pytest.mark.parametrize(
    ("name", "keyword"),
    [
        ("other.hdf5", "weights"),
        ("other.h5", "weights"),
        ("other_softmax_weights.hdf5", "softmax"),
        ("full-softmax.h5", "softmax"),
        ("vocab_old.txt", "vocabulary"),
        ("vocab.txt.gz", "vocabulary"),
    ],
)
def test_the_choice_between_several_files(name, keyword, tmp_path):
    path = write_model(tmp_path, OPTIONS, softmax=draw_softmax(OPTIONS))
    expected, _ = elmo_jax.load(path)
    chosen = {
        "weights": "weights.hdf5",
        "softmax": "softmax_weights.hdf5",
        "vocabulary": "vocab.txt",
    }[keyword]
    (path / name).write_bytes(b"not even read")
    refused(path, path, chosen, name, f"choose with {keyword}=")
    params, _ = elmo_jax.load(path, **{keyword: path / chosen})
    assert_identical(params, expected)
    params, _ = elmo_jax.load(path / "options.json", **{keyword: str(path / chosen)})
    assert_identical(params, expected)


def test_files_that_lie_elsewhere(tmp_path):
    path = write_model(tmp_path / "model", OPTIONS, softmax=draw_softmax(OPTIONS))
    expected, tokenizer = elmo_jax.load(path)
    files = {
        "weights": "weights.hdf5",
        "softmax": "softmax_weights.hdf5",
        "vocabulary": "vocab.txt",
    }
    elsewhere = {}
    for number, (keyword, name) in enumerate(files.items()):
        elsewhere[keyword] = tmp_path / f"file{number}"
        (path / name).rename(elsewhere[keyword])
    params, found = elmo_jax.load(path, **elsewhere)
    assert_identical(params, expected)
    assert found.vocabulary == tokenizer.vocabulary
    for keyword in files:
        absent = elsewhere | {keyword: tmp_path / "absent"}
        refused(path, f"{tmp_path / 'absent'}: no such file", **absent)


def test_what_is_missing(tmp_path):
    refused(tmp_path, f"{tmp_path}: no options.json")
    path = write_model(tmp_path / "model", OPTIONS)
    (path / "weights.hdf5").unlink()
    refused(path, f"{path}: no weights", "pass weights=")
    absent = tmp_path / "absent"
    refused(absent, f"{absent}: no such directory")
    refused(absent / "options.json", f"{absent / 'options.json'}: no such directory")
    refused("a bad name", "a bad name: no such directory")
    file = write_model(tmp_path / "whole", OPTIONS) / "weights.hdf5"
    refused(file, f"{file} is a file; pass the directory")


@pytest.mark.parametrize(
    ("key", "option"),
    [
        ("lstm__n_layers", "lstm.n_layers"),
        ("char_cnn__n_highway", "char_cnn.n_highway"),
    ],
)
def test_a_billion_layers_are_refused_before_they_are_listed(tmp_path, key, option):
    path = write_model(tmp_path / "model", OPTIONS)
    (path / "options.json").write_text(json.dumps(changed(OPTIONS, **{key: 10**9})))
    refused(path, "options.json asks for 1000000000 layers by", option)


def test_values_of_other_files_are_not_read(tmp_path):
    other = tmp_path / "secret"
    other.write_bytes(bytes(10_000))
    for number, make in enumerate(
        (
            lambda f, name, v: f.create_dataset(
                name, v.shape, v.dtype, external=[(other, 0, v.nbytes)]
            ),
            lambda f, name, v: f.__setitem__(name, h5py.ExternalLink(other, "/v")),
        )
    ):
        path = write_model(tmp_path / f"model{number}", OPTIONS)
        with h5py.File(path / "weights.hdf5", "r+") as file:
            values = file["char_embed"][:]
            del file["char_embed"]
            make(file, "char_embed", values)
        refused(path, "weights.hdf5: char_embed", str(other), "not")


# Words


def test_a_table_of_words_needs_its_vocabulary(tmp_path):
    path = write_model(tmp_path / "model", TOKENS, words=None)
    refused(path, path, "no vocab", "pass vocabulary=")
    refused(path, path, "no vocab", encoder_only=True)
    file = tmp_path / "words"
    file.write_text("\n".join(WORDS))
    params, tokenizer = elmo_jax.load(path, vocabulary=file)
    assert params.config.vocab_size == len(tokenizer.vocabulary) == len(WORDS)
    for words in (WORDS[:-1], [*WORDS, "more"]):
        file.write_text("\n".join(words))
        message = refused(path, file, f"has {len(words)} words", vocabulary=file)
        assert f"embedding of {path / 'weights.hdf5'} has 8 rows" in message
        assert "encoder_only" not in message


def test_rows_of_the_table_are_lines_of_the_vocabulary(tmp_path):
    tensors = draw_tensors(TOKENS)
    params, tokenizer = elmo_jax.load(write_model(tmp_path, TOKENS, tensors))
    layer = elmo_jax.embed(params, tokenizer([["bank", "never"]]), "embeddings")
    rows = tensors["embedding"][[WORDS.index("bank"), WORDS.index("<UNK>")]]
    np.testing.assert_array_equal(layer[0], np.concatenate([rows, rows], axis=1))


@pytest.mark.parametrize(
    "options",
    [
        changed(OPTIONS, char_cnn=...),
        changed(OPTIONS, n_tokens_vocab=999),  # of the softmax, and with characters
    ],
)
def test_a_table_in_a_file_of_its_own(options, tmp_path):
    """As bilm-tf dumps it: the options may still tell of characters."""
    tensors = draw_tensors(TOKENS)
    expected, _ = elmo_jax.load(write_model(tmp_path / "one", TOKENS, tensors))
    rest = draw_tensors(options if "char_cnn" in options else OPTIONS)
    rest |= {name: v for name, v in tensors.items() if name != "embedding"}
    path = write_model(tmp_path / "two", options, rest)
    table = {"embedding": tensors["embedding"]}
    file = write_hdf5(path / "elmo_token_embeddings.hdf5", table)
    params, _ = elmo_jax.load(path, embedding=file)
    assert_identical(params, expected)
    assert params.config.char_cnn is None
    refused(path, "elmo_token_embeddings.hdf5, weights.hdf5", "choose with weights=")
    write_hdf5(file, {"embeddings": tensors["embedding"]})
    refused(path, file, "no tensor embedding", embedding=file)
    write_hdf5(file, table | {"more": np.zeros(1, np.float32)})
    refused(path, file, "unexpected tensor more", embedding=file)
    write_hdf5(file, {"embedding": tensors["embedding"][:, 1:]})
    refused(path, file, "lstm.projection_dim 4", embedding=file)


def test_a_softmax_beside_a_table_predicts_the_words_of_the_table(tmp_path):
    """Of a table of the same words in another order, and of other words."""
    tensors, softmax = draw_tensors(OPTIONS), draw_softmax(OPTIONS)
    path = write_model(tmp_path / "model", OPTIONS, tensors, softmax=softmax)
    turned = [*WORDS[:3], *WORDS[:2:-1]]
    table = np.random.default_rng(3).normal(size=(len(WORDS), 4)).astype(np.float32)
    rows = {word: table[place] for place, word in enumerate(turned)}
    own = {"embedding": np.stack([rows[word] for word in WORDS])}
    other = {"embedding": table}
    words = tmp_path / "words.txt"

    def scored(table: dict, order: list[str]) -> list[np.ndarray]:
        words.write_text("\n".join(order) + "\n")
        file = write_hdf5(tmp_path / "table.hdf5", table)
        params, tokenizer = elmo_jax.load(path, embedding=file, vocabulary=words)
        scores = elmo_jax.score_sentences(params, tokenizer, SENTENCES)
        return [np.concatenate([s.forward, s.backward]) for s in scores]

    for one, another in zip(scored(own, WORDS), scored(other, turned), strict=True):
        np.testing.assert_allclose(another, one, rtol=1e-5, atol=1e-6)
    words.write_text("\n".join([*WORDS[:-1], "else"]) + "\n")
    file = tmp_path / "table.hdf5"
    with pytest.raises(
        ValueError, match=r"words\.txt has other words than .*vocab\.txt"
    ):
        elmo_jax.load(path, embedding=file, vocabulary=words)
    params, _ = elmo_jax.load(path, embedding=file, vocabulary=words, encoder_only=True)
    assert not params.heads


def test_a_softmax_of_another_directory_predicts_the_words_of_the_model(tmp_path):
    softmax = draw_softmax(OPTIONS)
    path = write_model(tmp_path / "model", OPTIONS, softmax=softmax)
    order = [0, 1, 2, *range(len(WORDS) - 1, 2, -1)]
    turned = {name: values[order] for name, values in softmax.items()}
    words = [WORDS[place] for place in order]
    other = write_model(tmp_path / "other", OPTIONS, softmax=turned, words=words)
    file = other / "softmax_weights.hdf5"
    assert_identical(elmo_jax.load(path, softmax=file)[0], elmo_jax.load(path)[0])
    (other / "vocab.txt").unlink()
    params, _ = elmo_jax.load(path, softmax=file)
    np.testing.assert_array_equal(params.heads["softmax"]["bias"], turned["softmax/b"])


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["<S>", "</S>", "<UNK>", "a", "b", "a", "c", "d"], "line 6 repeats 'a'"),
        (["</S>", "<UNK>", *"abcdef"], "no line '<S>'"),
        (["<S>", "<UNK>", *"abcdef"], "no line '</S>'"),
        (["<S>", "</S>", *"abcdef"], "no line '<UNK>'"),
        (["<S>\t0", "</S>\t0", "<UNK>\t0", "a\t1", "b\t2"], "line 5"),
        (["<S>", "</S>", "<UNK>", "", "b"], "line 4 is empty"),
    ],
)
@pytest.mark.parametrize("kind", ["characters", "words"])
def test_vocabularies_that_are_none(kind, lines, part, tmp_path):
    path = write_model(tmp_path, KINDS[kind], words=lines)
    message = refused(path, path / "vocab.txt", part)
    # A reader of characters can do without.
    assert ("encoder_only=True" in message) == (kind == "characters")
    if kind == "characters":
        assert elmo_jax.load(path, encoder_only=True)[1].vocabulary is None
        refused(path, part, encoder_only=True, vocabulary=path / "vocab.txt")


# The softmax


def test_the_softmax_may_be_left_out(tmp_path):
    path = write_model(tmp_path, OPTIONS, softmax=draw_softmax(OPTIONS))
    params, _ = elmo_jax.load(path)
    bare, tokenizer = elmo_jax.load(path, encoder_only=True)
    assert bare.heads == {}
    assert_identical(bare.encoder, params.encoder)
    assert tokenizer.vocabulary is None
    (path / "softmax_weights.hdf5").write_bytes(b"not even read")
    assert elmo_jax.load(path, encoder_only=True)


def test_the_softmax_may_stand_among_the_weights(tmp_path):
    tensors, softmax = draw_tensors(OPTIONS), draw_softmax(OPTIONS)
    path = write_model(tmp_path, OPTIONS, tensors | softmax)
    params, _ = elmo_jax.load(path)
    np.testing.assert_array_equal(
        params.heads["softmax"]["weights"], softmax["softmax/W"]
    )
    assert elmo_jax.load(path, encoder_only=True)[0].heads == {}
    other = {name: values + 1 for name, values in softmax.items()}
    write_hdf5(path / "softmax_weights.hdf5", other)
    params, _ = elmo_jax.load(path)
    np.testing.assert_array_equal(params.heads["softmax"]["bias"], other["softmax/b"])


def test_a_softmax_predicts_the_words_of_the_vocabulary(tmp_path):
    path = write_model(tmp_path, OPTIONS, softmax=draw_softmax(OPTIONS, 9))
    message = refused(path, path / "vocab.txt", "8 words", "softmax_weights.hdf5")
    assert "has 9 rows" in message
    assert "encoder_only=True" in message
    (path / "vocab.txt").unlink()
    params, tokenizer = elmo_jax.load(path)
    assert params.heads["softmax"]["bias"].shape == (9,)
    assert tokenizer.vocabulary is None


def test_a_softmax_that_is_the_table(tmp_path):
    options = changed(TOKENS, share_embedding_softmax=True)
    tensors, softmax = draw_tensors(options), draw_softmax(options)
    bias = {"softmax/b": softmax["softmax/b"]}
    path = write_model(tmp_path / "tied", options, tensors, softmax=bias)
    params, tokenizer = elmo_jax.load(path)
    np.testing.assert_array_equal(params.softmax[0], tensors["embedding"])
    np.testing.assert_array_equal(params.softmax[1], bias["softmax/b"])
    # No array stands in the tree twice, or no step could be given the tree's buffers.
    leaves = jax.tree.leaves(params)
    assert len({id(leaf) for leaf in leaves}) == len(leaves)
    elmo_jax.save(tmp_path / "saved", params, tokenizer)
    assert_identical(elmo_jax.load(tmp_path / "saved")[0], params)
    assert read_hdf5(tmp_path / "saved/softmax_weights.hdf5").keys() == {"softmax/b"}
    held = json.loads((tmp_path / "saved/options.json").read_text())
    assert held["share_embedding_softmax"] is True
    path = write_model(tmp_path / "own", TOKENS, tensors, softmax=bias)
    refused(path, path / "softmax_weights.hdf5", "no tensor softmax/W")


# The state before a sentence


def draw_start(config, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(rng.normal(size=leaf.shape), np.float32),
        elmo_jax.zero_carry(config, 1),
    )


@pytest.mark.parametrize("kind", ["characters", "one_layer_forward"])
def test_the_start_is_saved_and_loaded(kind, tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", KINDS[kind]))
    params = params.replace(start=draw_start(params.config))
    elmo_jax.save(tmp_path / "saved", params, tokenizer)
    again, _ = elmo_jax.load(tmp_path / "saved")
    assert_identical(again, params)
    assert all(isinstance(s, LstmState) for way in again.start for s in way)
    stored = read_hdf5(tmp_path / "saved/start.hdf5")
    np.testing.assert_array_equal(stored["forward/0/cell"], params.start[0][0].cell)
    if kind == "characters":
        hidden = params.start[1][1].hidden
        np.testing.assert_array_equal(stored["backward/1/hidden"], hidden)
    (tmp_path / "saved/start.hdf5").unlink()
    assert elmo_jax.load(tmp_path / "saved")[0].start is None


def test_a_start_of_another_model(tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", OPTIONS))
    params = params.replace(start=draw_start(params.config))
    elmo_jax.save(tmp_path / "saved", params, tokenizer)
    file = tmp_path / "saved/start.hdf5"
    states = read_hdf5(file)
    (tmp_path / "saved/checksums.json").unlink()
    for wrong, part in [
        ({n: v for n, v in states.items() if "backward/1" not in n}, "no tensor back"),
        (states | {"forward/2/cell": states["forward/1/cell"]}, "unexpected tensor"),
        (states | {"forward/1/cell": np.zeros((1, 7), np.float32)}, "lstm.dim 6"),
        (states | {"forward/1/cell": np.full((1, 6), np.nan)}, "not finite"),
    ]:
        write_hdf5(file, wrong)
        refused(tmp_path / "saved", file, part)


# Damage


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with everything, and what it is when it is whole."""
    path = tmp_path_factory.mktemp("model") / "model"
    softmax = draw_softmax(OPTIONS)
    source = write_model(path.with_name("source"), OPTIONS, softmax=softmax)
    params, tokenizer = elmo_jax.load(source)
    params = params.replace(start=draw_start(params.config))
    elmo_jax.save(path, params, tokenizer)
    (path / "checksums.json").unlink()  # As others publish it.
    return path, params


HDF5_FILES = ("weights.hdf5", "softmax_weights.hdf5", "start.hdf5")


@given(data=st.data())
def test_a_file_that_is_cut_short_anywhere(model, data):
    path, _ = model
    file = path / "weights.hdf5"
    whole = file.read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1))
    try:
        file.write_bytes(whole[:length])
        refused(path, file, "is truncated or no HDF5 file: fetch it again")
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("name", HDF5_FILES)
def test_every_file_may_be_cut_short(name, model):
    path, _ = model
    whole = (path / name).read_bytes()
    try:
        for length in [0, 1, 8, 96, len(whole) // 2, len(whole) - 1]:
            (path / name).write_bytes(whole[:length])
            refused(path, path / name, "is truncated or no HDF5 file: fetch it")
    finally:
        (path / name).write_bytes(whole)


@given(content=st.binary(max_size=200))
def test_a_file_of_something_else(model, content):
    path, _ = model
    file = path / "weights.hdf5"
    whole = file.read_bytes()
    try:
        for prefix in (b"", whole[:8]):
            file.write_bytes(prefix + content)
            refused(path, file, "no HDF5 file")
    finally:
        file.write_bytes(whole)


def test_other_files_in_place_of_the_weights(model):
    path, _ = model
    file = path / "weights.hdf5"
    whole = file.read_bytes()
    try:
        for content in [b"version https://git-lfs.github.com/spec/v1\n", b"<html>"]:
            file.write_bytes(content)
            refused(path, f"{file} is no HDF5 file but a", "fetch")
        shutil.copy(path / "softmax_weights.hdf5", file)
        refused(path, file, "no tensor char_embed")
    finally:
        file.write_bytes(whole)


@given(data=st.data())
def test_bits_that_flip_in_the_structure_of_a_file(model, data):
    """Refused in one line or, where the bit meant nothing, the same shape of model."""
    path, params = model
    file = path / "weights.hdf5"
    whole = bytearray(file.read_bytes())
    with h5py.File(file) as opened:
        offset = opened["char_embed"].id.get_offset()
        table = range(offset, offset + opened["char_embed"].id.get_storage_size())
    place = data.draw(
        st.integers(0, len(whole) - 1).filter(lambda place: place not in table)
    )
    damaged = whole.copy()
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    message = None
    try:
        file.write_bytes(damaged)
        again, _ = elmo_jax.load(path)
    except ValueError as error:
        message = str(error)
    finally:
        file.write_bytes(whole)
    if message is None:
        assert jax.tree.structure(again) == jax.tree.structure(params)
    else:
        assert "\n" not in message
        assert str(file) in message


def test_names_that_are_no_text(tmp_path):
    path = write_model(tmp_path, OPTIONS)
    with h5py.File(path / "weights.hdf5", "a") as file:
        file[b"CNN\xff"] = np.zeros(1, np.float32)
    refused(path, path / "weights.hdf5", r"unexpected tensor CNN\xff")


def test_a_damaged_chunk_is_met_when_it_is_read(tmp_path):
    path = write_model(tmp_path, OPTIONS)
    file = path / "weights.hdf5"
    with h5py.File(file, "a") as opened:
        values = opened["char_embed"][()]
        del opened["char_embed"]
        opened.create_dataset("char_embed", data=values, compression="gzip")
    assert elmo_jax.load(path)
    with h5py.File(file) as opened:
        chunk = opened["char_embed"].id.get_chunk_info(0)
    content = bytearray(file.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle : middle + 8] = b"\xff" * 8
    file.write_bytes(content)
    refused(path, file, "is damaged: fetch it again")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{}"])
def test_damaged_options(content, tmp_path):
    path = write_model(tmp_path, OPTIONS)
    (path / "options.json").write_bytes(content)
    refused(path, path / "options.json")


def test_a_damaged_vocabulary(tmp_path):
    path = write_model(tmp_path, OPTIONS)
    (path / "vocab.txt").rename(path / "vocab.txt.gz")
    refused(path, path / "vocab.txt.gz", "damaged")
    (path / "vocab.txt.gz").write_bytes(gzip.compress("\n".join(WORDS).encode())[:-9])
    refused(path, path / "vocab.txt.gz", "damaged")


# The hub


def test_a_hub_id_is_fetched(tmp_path, monkeypatch):
    path = write_model(tmp_path, OPTIONS, softmax=draw_softmax(OPTIONS))
    expected, _ = elmo_jax.load(path)
    calls = []

    def snapshot_download(name, *, allow_patterns):
        calls.append((name, allow_patterns))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert_identical(elmo_jax.load("someone/some-elmo")[0], expected)
    ((name, patterns),) = calls
    assert name == "someone/some-elmo"
    assert {"*options.json", "*.hdf5"} <= {*patterns}


def test_a_hub_that_cannot_be_reached(monkeypatch):
    def snapshot_download(name, *, allow_patterns):
        raise OSError("connection\n\nrefused")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    refused("someone/some-elmo", "someone/some-elmo: ", "connection refused", "hub")


# Saving


def test_what_a_saved_model_is(tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", OPTIONS))
    path = tmp_path / "some" / "where" / "saved"
    elmo_jax.save(path, params, tokenizer)
    assert [*path.parent.iterdir()] == [path]
    names = {"options.json", "weights.hdf5", "vocab.txt", "checksums.json"}
    assert {file.name for file in path.iterdir()} == names
    bare = elmo_jax.ElmoTokenizer(params.config)
    elmo_jax.save(path, params, bare, overwrite=True)
    assert {file.name for file in path.iterdir()} == names - {"vocab.txt"}


def test_overwriting_is_asked_for_and_replaces_models_only(tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", OPTIONS))
    path = tmp_path / "saved"
    elmo_jax.save(path, params, tokenizer)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        elmo_jax.save(path, params, tokenizer)
    (path / "stale.hdf5").touch()
    elmo_jax.save(path, params, tokenizer, overwrite=True)
    assert not (path / "stale.hdf5").exists()
    (path / "options.json").unlink()
    before = {file.name for file in path.iterdir()}
    with pytest.raises(FileExistsError, match=r"holds no options\.json"):
        elmo_jax.save(path, params, tokenizer, overwrite=True)
    assert {file.name for file in path.iterdir()} == before


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("step", ["write_hdf5", "write_vocabulary"])
def test_a_failure_in_the_middle_changes_nothing(step, exists, monkeypatch, tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", OPTIONS))
    path = tmp_path / "saved"
    if exists:
        elmo_jax.save(path, params, tokenizer)
    before = sorted(tmp_path.rglob("*"))

    def fail(*args):
        raise OSError("no space left")

    # Not by its path: the function of the same name hides the module.
    monkeypatch.setattr(importlib.import_module("elmo_jax.load"), step, fail)
    with pytest.raises(OSError, match="no space left"):
        elmo_jax.save(path, params, tokenizer, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_parameters_of_sixteen_bits_are_widened(tmp_path):
    params, tokenizer = elmo_jax.load(write_model(tmp_path / "model", OPTIONS))
    narrow = jax.tree.map(lambda leaf: leaf.astype(jax.numpy.bfloat16), params)
    elmo_jax.save(tmp_path / "saved", narrow, tokenizer)
    widened = jax.tree.map(lambda leaf: leaf.astype(np.float32), narrow)
    assert_identical(elmo_jax.load(tmp_path / "saved")[0], widened)


def test_a_tokeniser_of_another_model_is_not_saved(tmp_path):
    path = write_model(tmp_path / "characters", OPTIONS, softmax=draw_softmax(OPTIONS))
    params, tokenizer = elmo_jax.load(path)
    _, of_words = elmo_jax.load(write_model(tmp_path / "words", TOKENS))
    more = elmo_jax.Vocabulary((*WORDS, "more"))
    for other, message in [
        (of_words, "reads words in another way"),
        (elmo_jax.ElmoTokenizer(elmo_jax.TINY), "reads words in another way"),
        (elmo_jax.ElmoTokenizer(params.config, more), "has 9 words, the softmax 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            elmo_jax.save(tmp_path / "saved", params, other)
    assert not (tmp_path / "saved").exists()
    elmo_jax.save(tmp_path / "saved", params, tokenizer)


# Recognising


def test_claims(tmp_path):
    path = write_model(tmp_path / "elmo", OPTIONS, prefix="some_")
    (path / "some_weights.hdf5").write_bytes(b"not even read")
    assert family_of(path) == "elmo"
    assert family_of(str(path)) == "elmo"
    assert family_of(path / "some_options.json") == "elmo"
    for other in (path / "some_weights.hdf5", path / "vocab.txt", tmp_path):
        assert family_of(other) != "elmo"
    assert family_of(tmp_path / "absent") != "elmo"
    assert family_of(tmp_path / "absent/options.json") != "elmo"


@pytest.mark.parametrize("content", ["[]", "{}", '"lstm"'])
def test_options_of_something_else_are_not_claimed(content, tmp_path):
    (tmp_path / "options.json").write_text(content)
    for path in (tmp_path, tmp_path / "options.json"):
        with pytest.raises(ValueError, match=r"options\.json .* but holds no lstm"):
            find_encoder(path)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\xff"])
def test_damaged_options_are_named(content, tmp_path):
    (tmp_path / "options.json").write_bytes(content.encode("latin-1"))
    for path in (tmp_path, tmp_path / "options.json"):
        with pytest.raises(ValueError, match=r"options\.json .* but is damaged"):
            find_encoder(path)


def test_a_bert_is_not_claimed(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "tf_model.h5").write_bytes(b"")
    assert family_of(tmp_path) == "bert"


def test_the_same_bytes_come_back_through_every_form(tmp_path):
    """Characters, then saved, then saved again."""
    tensors, softmax = draw_tensors(OPTIONS), draw_softmax(OPTIONS)
    path = write_model(tmp_path / "0", OPTIONS, tensors, softmax=softmax)
    for number in (1, 2):
        elmo_jax.save(tmp_path / str(number), *elmo_jax.load(path))
        path = tmp_path / str(number)
    assert_same_tensors(read_hdf5(path / "weights.hdf5"), tensors)
    assert Path(path / "vocab.txt").read_text().split() == WORDS


# Checksums


@pytest.mark.parametrize("name", [*HDF5_FILES, "options.json", "vocab.txt"])
def test_a_changed_byte_of_a_saved_model_is_refused_by_file(model, tmp_path, name):
    params, tokenizer = elmo_jax.load(model[0])
    path = tmp_path / "saved"
    elmo_jax.save(path, params, tokenizer)
    elmo_jax.load(path)
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(
        path, file, f"{name} is damaged: it is not what was written", "delete checksums"
    )
