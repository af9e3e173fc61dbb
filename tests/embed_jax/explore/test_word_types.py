# SPDX-License-Identifier: Apache-2.0
"""One vector a word type: against brute force, through files, as a command."""

import json
import os
import re
import signal
import subprocess
import sys
import tracemalloc

import h5py
import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from gensim.models import KeyedVectors

import bert_jax
from embed_jax.corpus.stream import Embedded
from embed_jax.explore import word_types
from embed_jax.explore.word2vec import write_word2vec
from embed_jax.explore.word_types import (
    WordTypes,
    collect_word_types,
    read_word_types,
    stream_store,
    write_word_types,
)
from embed_jax.files.sealed_hdf5 import seal_file
from embed_jax.store import StoreWriter, VectorStore
from tests.bert_jax.words import CONFIG, make_tokenizer

LINES = [
    "the bank of the river",
    "",
    "The bank ran deep, the river ran down",
    "we sat \u200b by the bank",
    "money",
]
# What no format may tear or lose. The last but one is five words to a careless reader.
STRANGE = [
    "Zürich",
    "東京",
    "🙂",
    '"quoted"',
    "'",
    "1\u00a0000",
    "a\u3000b",
    "a\u2028b\u2029c\x85d\x1ce",
    "\ufeffbom",
]
TORN = ["", " ", "New York", "a\tb", "a\nb", "a\rb", "a\vb", "a\fb", "\ud800"]


def sentence(words, vectors, unread=()):
    return Embedded(list(words), np.asarray(vectors, np.float32), tuple(unread))


def random_types(words, width=4, seed=0):
    """Types of one context each, as many as there are words."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(words), width))
    return collect_word_types([sentence(words, vectors)], metadata={"model": "m"})


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    params = bert_jax.init_params(jax.random.key(0), CONFIG, ())
    bert_jax.save(path, params, make_tokenizer())
    return path


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def run(*arguments) -> int:
    return word_types.main([str(argument) for argument in arguments])


def run_command(*arguments) -> int:
    # One device: rows of one shape are compiled once, whatever the test.
    return run(*arguments, "--devices", 1)


def brute_force(model, split=False, lowercase=False):
    """Words, counts, means and sums by way of a list of all vectors of each word."""
    params, tokenizer = bert_jax.load(model)
    lines = [line.split() for line in LINES] if split else LINES
    contexts: dict[str, list[np.ndarray]] = {}
    for words, vectors, _ in bert_jax.stream_words(params, tokenizer, lines, "last"):
        for word, vector in zip(words, vectors, strict=True):
            if vector.any():
                key = word.lower() if lowercase else word
                contexts.setdefault(key, []).append(np.float64(vector))
    words = sorted(contexts, key=lambda word: -len(contexts[word]))
    return (
        words,
        [len(contexts[word]) for word in words],
        np.stack([np.mean(contexts[word], axis=0) for word in words]),
        np.stack([np.sum(contexts[word], axis=0) for word in words]),
    )


def assert_equal(types, expected):
    words, counts, means, sums = expected
    assert types.words == words
    assert types.counts.tolist() == counts
    np.testing.assert_allclose(types.mean, means, atol=1e-5)
    np.testing.assert_allclose(types.sum, sums, atol=1e-5)


@pytest.mark.parametrize("lowercase", [False, True])
def test_means_and_sums_of_bert_agree_with_brute_force(model, lowercase):
    params, tokenizer = bert_jax.load(model)
    stream = bert_jax.stream_words(params, tokenizer, LINES, "last")
    types = collect_word_types(stream, lowercase=lowercase)
    expected = brute_force(model, lowercase=lowercase)
    assert_equal(types, expected)
    assert types.mean.dtype == types.sum.dtype == np.float32
    assert ("The" in types.words) != lowercase
    assert types.words[0] == "the"
    assert types.counts[0] == 4 + lowercase


def test_types_are_ordered_by_count_and_then_by_appearance():
    rows = np.arange(6)[:, None]
    types = collect_word_types([sentence("cabbab", rows), sentence("d", [[9]])])
    assert types.words == ["b", "a", "c", "d"]
    assert types.counts.tolist() == [3, 2, 1, 1]
    assert types.sum[:, 0].tolist() == [2 + 3 + 5, 1 + 4, 0, 9]
    np.testing.assert_allclose(types.mean[:, 0], [10 / 3, 2.5, 0, 9])


def test_a_store_is_read_in_step_past_the_first_block(tmp_path):
    """Words are read some hundreds of sentences at a time, vectors otherwise."""
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1) as writer:
        for index in range(1100):
            vectors = np.full((index % 3, 1), index + 1, np.float32)
            writer.append(vectors, [f"w{index}"] * len(vectors))
    with VectorStore(path) as store:
        types = collect_word_types(word_types.stream_store(store))
    expected = {f"w{index}": index + 1 for index in range(1100) if index % 3}
    assert dict(zip(types.words, types.mean[:, 0], strict=True)) == expected


def test_unread_words_count_nowhere_and_are_reported():
    stream = [sentence("aba", [[1], [2], [0]], unread=[2]), sentence("c", [[0]], [0])]
    types = collect_word_types(stream)
    assert types.words == ["a", "b"]
    assert types.mean.tolist() == [[1], [2]]
    assert types.counts.tolist() == [1, 1]
    assert types.num_unread == 2


def test_rare_types_are_left_out():
    types = collect_word_types([sentence("abacab", np.ones((6, 1)))], min_count=2)
    assert types.words == ["a", "b"]
    assert types.mean.shape == (2, 1)
    assert types.num_rare == 1
    assert types.metadata == {"min_count": 2, "lowercase": False}


def test_a_million_contexts_lose_no_digit():
    # In float32 the sum stands still at 2**24 and its mean is far off.
    block = np.full((1000, 1), 16777.217, np.float32)
    stream = (sentence(["a"] * 1000, block) for _ in range(300))
    types = collect_word_types(stream)
    assert types.counts.tolist() == [300_000]
    assert types.mean[0, 0] == block[0, 0]
    np.testing.assert_allclose(types.sum[0, 0], 300_000 * float(block[0, 0]), rtol=1e-7)


@hypothesis.given(
    sentences=st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=20),
    seed=st.integers(0, 1000),
)
def test_the_order_of_sentences_does_not_matter(sentences, seed):
    rng = np.random.default_rng(seed)
    # Of sizes that a float32 sum in another order would show.
    stream = [
        sentence(words, rng.normal(size=(len(words), 3)) * 10.0 ** rng.integers(-3, 3))
        for words in sentences
    ]
    one = collect_word_types(stream, dim=3)
    other = collect_word_types([stream[i] for i in rng.permutation(len(stream))], dim=3)
    assert sorted(one.words) == sorted(other.words)
    rows = [other.words.index(word) for word in one.words]
    assert one.counts.tolist() == other.counts[rows].tolist()
    np.testing.assert_allclose(one.mean, other.mean[rows], rtol=1e-6, atol=1e-6)


def test_many_types_outgrow_the_first_room():
    words = [f"w{index % 3000}" for index in range(9000)]
    vectors = np.arange(9000, dtype=np.float32)[:, None] + np.zeros(2, np.float32)
    parts = np.split(np.arange(9000), range(7, 9000, 7))
    stream = (sentence([words[i] for i in part], vectors[part]) for part in parts)
    types = collect_word_types(stream)
    assert types.words == words[:3000]
    assert types.counts.tolist() == [3] * 3000
    np.testing.assert_array_equal(types.mean, vectors[3000:6000])


def test_memory_grows_with_the_types_only():
    def peak(num_sentences, num_types):
        words = [f"w{index}" for index in range(num_types)]

        def stream():
            for index in range(num_sentences):
                start = index * 10 % num_types
                yield sentence(words[start : start + 10], np.ones((10, 256)))

        tracemalloc.start()
        types = collect_word_types(stream())
        assert len(types.words) == num_types
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    few, more_text, fewer_types = peak(400, 4000), peak(1600, 4000), peak(400, 1000)
    # Four times the text is 12 MB of vectors more.
    assert abs(more_text - few) < 200_000
    # 3,000 types of 256 numbers, in float64 and twice in float32.
    assert few - fewer_types > 3000 * 256 * 16


def test_an_empty_corpus_has_no_types():
    assert collect_word_types([]).mean.shape == (0, 0)
    types = collect_word_types([], dim=5)
    assert types.words == []
    assert types.mean.shape == types.sum.shape == (0, 5)
    blank = collect_word_types([sentence([], np.zeros((0, 3)))])
    assert blank.sum.shape == (0, 3)


@pytest.mark.parametrize(
    ("stream", "options", "message"),
    [
        ([], {"min_count": 0}, "min_count must be at least 1, not 0"),
        (
            [sentence("a", [[1]]), sentence("ab", [[1]])],
            {},
            r"sentence 2 has 2 words and vectors of shape \[1, 1\]; types need one",
        ),
        (
            [sentence("a", [[1]]), sentence("a", [[1, 2]])],
            {},
            "sentence 2 has vectors of width 2, not 1 as those before",
        ),
        ([sentence("a", [[1]])], {"dim": 7}, "width 1, not 7"),
    ],
)
def test_streams_that_make_no_types(stream, options, message):
    with pytest.raises(ValueError, match=message):
        collect_word_types(stream, **options)


def test_metadata_that_is_no_json_is_refused_before_the_stream_is_read():
    def stream():
        raise AssertionError("read")
        yield

    with pytest.raises(TypeError, match="not JSON"):
        collect_word_types(stream(), metadata={"a": object()})


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_store_gives_what_its_stream_gave(tmp_path, dtype):
    rng = np.random.default_rng(0)
    stream = []
    for index in range(600):
        words = rng.choice(STRANGE, size=index % 4).tolist()
        # Numbers that all three dtypes hold.
        vectors = rng.integers(1, 128, size=(len(words), 5)) / 8
        unread = (1,) if len(words) == 3 else ()
        vectors[list(unread)] = 0
        stream.append(sentence(words, vectors, unread))
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=5, dtype=dtype) as writer:
        for words, vectors, _ in stream:
            writer.append(vectors, words)
    with VectorStore(path) as store:
        types = collect_word_types(stream_store(store))
    expected = collect_word_types(stream)
    assert types.words == expected.words
    assert types.num_unread == expected.num_unread == 150
    np.testing.assert_array_equal(types.counts, expected.counts)
    np.testing.assert_array_equal(types.mean, expected.mean)
    np.testing.assert_array_equal(types.sum, expected.sum)


def test_a_store_of_sentences_is_refused_at_once(tmp_path):
    path = tmp_path / "vectors.h5"
    with StoreWriter(path, dim=1, metadata={"level": "sentences"}) as writer:
        writer.append(np.ones((1, 1), np.float32), ["the bank"])
    with (
        VectorStore(path) as store,
        pytest.raises(ValueError, match=r"vectors\.h5 holds vectors of sentences"),
    ):
        stream_store(store)


@hypothesis.given(
    st.lists(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
            max_size=5,
        ),
        max_size=10,
    )
)
def test_writing_and_reading_is_the_identity(tmp_path_factory, words):
    path = tmp_path_factory.getbasetemp() / "identity.h5"
    types = random_types(words + STRANGE + words)
    assert write_word_types(path, types, overwrite=True) == 0
    assert_identical(read_word_types(path), types)


def assert_identical(read, types):
    assert read.words == types.words
    for name in ("counts", "mean", "sum"):
        got, expected = getattr(read, name), getattr(types, name)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    assert read.metadata == types.metadata
    assert (read.num_unread, read.num_rare) == (types.num_unread, types.num_rare)


def test_the_numbers_of_what_is_left_out_are_kept(tmp_path):
    types = collect_word_types(
        [sentence("aab", np.ones((3, 2)), unread=[2]), sentence("c", np.ones((1, 2)))],
        min_count=2,
    )
    write_word_types(tmp_path / "types.h5", types)
    assert (types.num_unread, types.num_rare) == (1, 1)
    assert_identical(read_word_types(tmp_path / "types.h5"), types)


def test_the_file_is_plain_hdf5(tmp_path):
    path = tmp_path / "types.h5"
    write_word_types(path, random_types(STRANGE))
    with h5py.File(path) as file:
        assert set(file) == {"words", "counts", "mean", "sum"}
        assert h5py.check_string_dtype(file["words"].dtype).encoding == "utf-8"
        assert file["words"].asstr()[:].tolist() == STRANGE
        assert file["counts"].dtype == np.int64
        assert file["mean"].dtype == file["sum"].dtype == np.float32
        assert json.loads(file.attrs["metadata"])["model"] == "m"


def test_types_that_hdf5_cannot_hold_are_left_out_and_counted(tmp_path):
    types = random_types(["a", "b\0c", "d", "\udc80", "\0"])
    assert write_word_types(tmp_path / "types.h5", types) == 3
    read = read_word_types(tmp_path / "types.h5")
    assert read.words == ["a", "d"]
    np.testing.assert_array_equal(read.mean, types.mean[[0, 2]])
    np.testing.assert_array_equal(read.sum, types.sum[[0, 2]])


def test_no_types_are_a_file_too(tmp_path):
    types = collect_word_types([], dim=3)
    write_word_types(tmp_path / "types.h5", types)
    assert_identical(read_word_types(tmp_path / "types.h5"), types)


@pytest.mark.parametrize("write", ["types", "word2vec"])
def test_outputs_are_refused_where_they_would_be_lost(tmp_path, write):
    types = random_types("ab")

    def write_to(path, **options):
        if write == "types":
            return write_word_types(path, types, **options)
        return write_word2vec(path, types.words, types.mean, **options)

    with pytest.raises(ValueError, match="no: no such directory"):
        write_to(tmp_path / "no" / "file")
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="file exists; --overwrite replaces it"):
        write_to(path)
    assert path.read_text() == "precious"
    with pytest.raises(FileExistsError, match=r"file is not a file of .*; move it"):
        write_to(path, overwrite=True)
    assert path.read_text() == "precious"
    path.write_bytes(b"")
    write_to(path, overwrite=True)
    before = path.read_bytes()
    types = random_types("abc")
    write_to(path, overwrite=True)
    assert path.read_bytes() not in (b"", before)
    assert names_in(tmp_path) == ["file"]


def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path):
    """In a process of its own: HDF5 is known to crash on a full disk."""
    program = """
import resource, signal, sys
import numpy as np
from embed_jax.corpus.stream import Embedded
from embed_jax.explore.word_types import collect_word_types, write_word_types
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
types = collect_word_types([Embedded(["a"], np.ones((1, 99999), np.float32), ())])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    write_word_types(sys.argv[1], types, overwrite=True)
except OSError as error:
    print("refused", error.errno)
"""
    path = tmp_path / "types.h5"
    write_word_types(path, random_types("a"))
    before = path.read_bytes()
    line = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused 27")
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["types.h5"]


def test_killed_while_writing(tmp_path):
    program = """
import os, signal, sys
import h5py
import numpy as np
from embed_jax.corpus.stream import Embedded
from embed_jax.explore.word_types import collect_word_types, write_word_types
types = collect_word_types([Embedded(["a"], np.ones((1, 3), np.float32), ())])
close = h5py.File.close
h5py.File.close = lambda file: (close(file), os.kill(os.getpid(), signal.SIGKILL))
write_word_types(sys.argv[1], types)
"""
    path = tmp_path / "types.h5"
    line = [sys.executable, "-c", program, str(path)]
    assert subprocess.run(line).returncode == -signal.SIGKILL
    assert not path.exists()
    # What is left stands in nobody's way.
    names = names_in(tmp_path)
    names.remove("types.h5.claim")
    (left,) = names
    assert re.fullmatch(r"types\.h5\.[0-9a-f]{8}\.new", left)
    write_word_types(path, random_types("a"))
    assert read_word_types(path).words == ["a"]
    assert names_in(tmp_path) == ["types.h5", left]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.h5"):
        read_word_types(tmp_path / "no.h5")


def test_files_that_hold_no_types_say_so(tmp_path):
    text, store = tmp_path / "text.h5", tmp_path / "store.h5"
    text.write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 is truncated or no HDF5 file"):
        read_word_types(text)
    with StoreWriter(store, dim=1) as writer:
        writer.append(np.ones((1, 1), np.float32), ["a"])
    with pytest.raises(ValueError, match=r"store\.h5 is an HDF5 file but has no word"):
        read_word_types(store)


def spoil_format(file):
    file.attrs["format"] = 2


def spoil_counts(file):
    del file["counts"]
    file["counts"] = np.ones(7, np.int64)


def spoil_dtype(file):
    del file["mean"]
    file["mean"] = np.ones((2, 4))


def spoil_rank(file):
    del file["sum"], file["mean"]
    file["sum"] = file["mean"] = np.ones(2, np.float32)


def spoil_words(file):
    del file["words"]
    file["words"] = np.ones(2)


def spoil_text(file):
    file["words"][0] = b"\xff"


def spoil_metadata(file):
    file.attrs["metadata"] = "{"


def spoil_attribute(file):
    del file.attrs["num_rare"]


def spoil_sum(file):
    del file["sum"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_format, "has format 2, this version reads 1"),
        (spoil_counts, r"is damaged.*counts is int64\[7\]"),
        (spoil_dtype, r"is damaged.*mean is float64\[2, 4\]"),
        (spoil_rank, r"is damaged.*mean is float32\[2\]"),
        (spoil_words, "is damaged"),
        (spoil_text, "is damaged"),
        (spoil_metadata, "is damaged"),
        (spoil_attribute, "is damaged.*num_rare"),
        (spoil_sum, "is damaged.*sum"),
    ],
)
def test_damaged_files_say_so(tmp_path, spoil, message):
    path = tmp_path / "types.h5"
    write_word_types(path, random_types("ab"))
    read_word_types(path)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(ValueError, match=r"types\.h5 is damaged: copy or write"):
        read_word_types(path)
    with path.open("r+b") as file:
        seal_file(file)
    with pytest.raises(ValueError, match=rf"types\.h5 .*{message}"):
        read_word_types(path)


def test_a_file_that_is_cut_short_says_so(tmp_path):
    path = tmp_path / "types.h5"
    write_word_types(path, random_types("ab", width=1000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"types\.h5 is damaged: copy or write"):
        read_word_types(path)


def test_no_change_of_a_file_gives_other_types(tmp_path):
    path = tmp_path / "types.h5"
    types = random_types(STRANGE)
    write_word_types(path, types)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refusals = []
    for place in [*range(0, 512, 37), *rng.integers(512, len(whole), size=60).tolist()]:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            read = read_word_types(path)
        except ValueError as error:
            refusals.append(str(error))
        else:
            assert place < 512
            assert_identical(read, types)
    assert len(refusals) >= 60
    assert all("types.h5 is" in line and "\n" not in line for line in refusals)


def test_a_file_of_an_earlier_version_is_read(tmp_path):
    """Without a block before it, and so without a checksum."""
    types = random_types(STRANGE)
    write_word_types(tmp_path / "types.h5", types)
    with (
        h5py.File(tmp_path / "types.h5") as new,
        h5py.File(tmp_path / "old.h5", "w") as old,
    ):
        for name, value in new.attrs.items():
            old.attrs[name] = value
        for name in new:
            new.copy(name, old)
    assert_identical(read_word_types(tmp_path / "old.h5"), types)


def test_types_of_other_files_are_not_shown(tmp_path):
    path = tmp_path / "types.h5"
    write_word_types(path, random_types("ab"))
    with h5py.File(path, "r+") as file:
        del file["mean"]
        file["mean"] = h5py.ExternalLink(tmp_path / "other.h5", "mean")
    with path.open("r+b") as file:
        seal_file(file)
    with pytest.raises(ValueError, match=r"types\.h5: mean is a link to .*other\.h5"):
        read_word_types(path)


@hypothesis.given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)
)
def test_gensim_reads_every_bit(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "bits.txt"
    vectors = np.array([values], np.float32)
    assert write_word2vec(path, ["a"], vectors, overwrite=True) == 0
    read = KeyedVectors.load_word2vec_format(path)
    np.testing.assert_array_equal(read["a"], vectors[0])


def test_gensim_reads_words_of_all_kinds_and_finds_their_neighbours(tmp_path):
    types = random_types(STRANGE, width=3)
    path = tmp_path / "types.txt"
    assert write_word2vec(path, types.words, types.mean) == 0
    read = KeyedVectors.load_word2vec_format(path)
    assert read.index_to_key == STRANGE
    np.testing.assert_array_equal(read.vectors, types.mean)
    unit = types.mean / np.linalg.norm(types.mean, axis=1, keepdims=True)
    for row, word in enumerate(STRANGE):
        cosines = unit @ unit[row]
        cosines[row] = -2
        ((nearest, cosine),) = read.most_similar(word, topn=1)
        assert nearest == STRANGE[np.argmax(cosines)]
        np.testing.assert_allclose(cosine, cosines.max(), atol=1e-6)


def test_words_that_the_text_cannot_hold_are_left_out_and_counted(tmp_path):
    words = [*TORN[:4], "kept", *TORN[4:], "too"]
    types = random_types(words)
    path = tmp_path / "types.txt"
    assert write_word2vec(path, words, types.mean) == len(TORN)
    read = KeyedVectors.load_word2vec_format(path)
    assert read.index_to_key == ["kept", "too"]
    np.testing.assert_array_equal(read.vectors, types.mean[[4, len(words) - 1]])


def test_a_text_of_no_words_has_its_first_line(tmp_path):
    path = tmp_path / "types.txt"
    assert write_word2vec(path, [], np.zeros((0, 3), np.float32)) == 0
    assert path.read_text() == "0 3\n"
    assert len(KeyedVectors.load_word2vec_format(path)) == 0


def test_as_many_vectors_as_words(tmp_path):
    with pytest.raises(ValueError, match="2 words cannot have 3 vectors"):
        write_word2vec(tmp_path / "a", ["a", "b"], np.zeros((3, 1), np.float32))


def test_the_command_from_a_corpus(model, corpus, tmp_path, capsys):
    output, text = tmp_path / "types.h5", tmp_path / "types.txt"
    assert run_command(model, corpus, output, "--split", "--word2vec", text) == 0
    types = read_word_types(output)
    assert_equal(types, brute_force(model, split=True))
    assert types.num_unread == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{output}: 12 types of 19 words, 16 wide",
        "1 words have no vector and are left out; the first is line 4, word 3, "
        "'\\u200b'",
        f"{text}: 12 types",
    ]
    assert "words/s" in captured.err
    assert types.metadata["model"] == str(model)
    assert types.metadata["layers"] == "last"
    assert types.metadata["corpus"] == "corpus.txt"
    assert len(types.metadata["corpus_sha256"]) == 64
    assert types.metadata["min_count"] == 1
    read = KeyedVectors.load_word2vec_format(text)
    assert read.index_to_key == types.words
    np.testing.assert_array_equal(read.vectors, types.mean)


def test_the_command_with_options(model, corpus, tmp_path, capsys):
    output, text = tmp_path / "types.h5", tmp_path / "types.txt"
    options = ["--min-count", 2, "--lowercase", "--word2vec", text, "--sum"]
    assert run_command(model, corpus, output, *options) == 0
    types = read_word_types(output)
    words, counts, means, sums = brute_force(model, lowercase=True)
    kept = sum(count >= 2 for count in counts)
    assert_equal(types, (words[:kept], counts[:kept], means[:kept], sums[:kept]))
    out = capsys.readouterr().out
    assert f"{len(words) - kept} types are left out: fewer than 2 contexts" in out
    read = KeyedVectors.load_word2vec_format(text)
    np.testing.assert_array_equal(read.vectors, types.sum)
    assert np.abs(types.sum - types.mean).max() > 0.1


def test_the_command_from_a_store(model, corpus, tmp_path, capsys):
    """Types of the vectors that `python -m embed_jax` has computed, and kept."""
    params, tokenizer = bert_jax.load(model)
    store, output = tmp_path / "vectors.h5", tmp_path / "types.h5"
    metadata = {"level": "words", "model": "tiny", "layers": "last"}
    split = [line.split() for line in LINES]
    with StoreWriter(store, dim=16, metadata=metadata) as writer:
        for embedded in bert_jax.stream_words(params, tokenizer, split, "last"):
            writer.append(embedded.vectors, embedded.words)
    text = tmp_path / "types.txt"
    assert run(store, output, "--word2vec", text) == 0
    assert_equal(read_word_types(output), brute_force(model, split=True))
    assert read_word_types(output).metadata.items() >= metadata.items()
    out = capsys.readouterr().out
    assert "1 words have no vector and are left out; the first is line 4, word 3" in out


def test_words_that_no_file_can_hold_are_reported(tmp_path, capsys):
    store, output = tmp_path / "vectors.h5", tmp_path / "types.h5"
    with StoreWriter(store, dim=1) as writer:
        writer.append(np.ones((4, 1), np.float32), ["a", "b\0c", "New York", ""])
    text = tmp_path / "types.txt"
    assert run(store, output, "--word2vec", text) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{output}: 3 types of 4 words, 1 wide",
        "1 types are left out: a NUL is in them",
        f"{text}: 2 types",
        "2 types are left out there: empty, or with a space",
    ]


def test_an_empty_corpus_gives_an_empty_file(model, tmp_path):
    corpus, output = tmp_path / "corpus.txt", tmp_path / "types.h5"
    corpus.write_bytes(b"")
    assert run_command(model, corpus, output, "--layers", "concat(last,0)") == 0
    assert read_word_types(output).mean.shape == (0, 32)


@pytest.mark.parametrize("source", ["corpus", "store"])
def test_a_stopped_run_leaves_no_file(model, corpus, tmp_path, monkeypatch, source):
    output = tmp_path / "out" / "types.h5"
    output.parent.mkdir()
    arguments = [model, corpus, output, "--devices", 1]
    if source == "store":
        store = tmp_path / "vectors.h5"
        with StoreWriter(store, dim=1) as writer:
            writer.append(np.ones((1, 1), np.float32), ["a"])
        arguments = [store, output]
    written = word_types.Progress.written

    def stop(progress, num_words):
        written(progress, num_words)
        # As a batch system does it, in the middle of the corpus.
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(word_types.Progress, "written", stop)
    assert run(*arguments) == 130
    assert names_in(output.parent) == []
    monkeypatch.undo()
    assert run(*arguments) == 0
    assert names_in(output.parent) == ["types.h5"]


def test_a_stopped_run_says_what_can_be_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(word_types, "run", lambda command: signal.raise_signal(15))
    assert run("vectors.h5", tmp_path / "types.h5") == 130
    assert capsys.readouterr().err == (
        "embed_jax.word_types: stopped; nothing is kept; python -m embed_jax can go on "
        "after a stop, and its file stands for MODEL CORPUS here\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "lst"], 'did you mean "last"'),
        (["--words", "frist"], '--words frist: did you mean "first"'),
        (["--words", "cls"], "pools: first, last"),
        (["--min-count", "0"], "min_count must be at least 1, not 0"),
        (["--sum"], "add --word2vec FILE"),
        (["--context", "-1"], "context is a number of pieces, 0 or more"),
        (["--devices", "9"], "here are 8"),
        (["--word2vec", "no/such/dir/types.txt"], "no/such/dir: no such directory"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read(
    tmp_path, capsys, options, message
):
    # Neither the model nor the corpus exists: whatever reads them says so.
    output = tmp_path / "types.h5"
    for paths in ((tmp_path / "no", tmp_path / "no.txt", output), ("no.h5", output)):
        assert run(*paths, *options) == 2
        error = capsys.readouterr().err
        assert error.startswith("embed_jax.word_types: ")
        assert message in error
        assert error.count("\n") == 1
        assert names_in(tmp_path) == []


def test_a_wrong_path_is_one_line(model, corpus, tmp_path, capsys):
    output = tmp_path / "types.h5"
    taken = tmp_path / "taken"
    taken.write_text("precious")
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"fine\n\xff\n")
    for arguments, message in [
        ((output,), "1 paths; give MODEL CORPUS OUTPUT, or STORE OUTPUT"),
        ((model, corpus, output, output), "4 paths"),
        ((model, tmp_path / "no.txt", output), "no.txt"),
        ((tmp_path / "no.h5", output), "no.h5"),
        ((corpus, output), "corpus.txt is truncated or no HDF5 file"),
        ((model, broken, output), "broken.txt, line 2"),
        # Whether there is a model at all is asked before the corpus is read.
        ((tmp_path / "no", broken, output), "no: no such directory"),
        ((model, corpus, tmp_path / "no" / "types.h5"), "no: no such directory"),
        ((model, corpus, taken), "taken exists; --overwrite replaces it"),
        ((model, corpus, output, "--word2vec", taken), "taken exists"),
        ((model, corpus, output, "--word2vec", output), "must be different files"),
        ((model, corpus, corpus, "--overwrite"), "must be different files"),
        ((corpus, output, "--word2vec", corpus, "--overwrite"), "different files"),
        ((corpus, output, "--layers", "0", "--split"), "--layers, --split: the vec"),
        ((corpus, output, "--words", "last"), "--words: the vectors of"),
        ((corpus, output, "--token-budget", 7), "--token-budget: the vectors of"),
    ]:
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
    assert not output.exists()
    assert taken.read_text() == "precious"
    assert corpus.read_text() == "\n".join(LINES) + "\n"


def test_options_that_the_model_refuses_are_one_line(model, corpus, tmp_path, capsys):
    output = tmp_path / "types.h5"
    for options, message in [
        (["--layers", "3"], "0..2"),
        (["--max-length", "99"], "max_length 99"),
    ]:
        assert run_command(model, corpus, output, *options) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert not output.exists()


def test_an_existing_output_is_replaced_on_demand(tmp_path):
    store, output = tmp_path / "vectors.h5", tmp_path / "types.h5"
    with StoreWriter(store, dim=1) as writer:
        writer.append(np.ones((1, 1), np.float32), ["a"])
    output.write_text("old")
    assert run(store, output, "--overwrite") == 2
    output.unlink()
    write_word_types(output, random_types("b"))
    assert run(store, output) == 2
    assert run(store, output, "--overwrite") == 0
    assert read_word_types(output).words == ["a"]


def test_help_names_both_forms(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    for word in ("MODEL CORPUS OUTPUT | STORE OUTPUT", "--word2vec", "--split"):
        assert word in text


def test_types_compare_by_identity():
    # Arrays have no single truth: == on the fields would raise.
    types = random_types("ab")
    assert types != random_types("ab")
    assert isinstance(types, WordTypes)


def test_a_type_is_found_in_both_codings_of_its_accent():
    """Both are there where the text has both, since a model reads them apart."""
    words = ["caf\u00e9", "bank", "cafe\u0301", "Caf\u00e9"]
    zeros = np.zeros((4, 1), np.float32)
    types = word_types.WordTypes(words, np.ones(4, np.int64), zeros, zeros)
    assert types.find("caf\u00e9") == types.find("cafe\u0301") == [0, 2]
    assert types.find("cafe") == []
