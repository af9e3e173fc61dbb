# SPDX-License-Identifier: Apache-2.0
import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tyro
from hypothesis import given
from hypothesis import strategies as st

from train.data import builders, forms, sources
from train.data.config import fingerprint
from train.data.sources import (
    DocstringSource,
    Documents,
    TextSource,
    TfdsSource,
    corpus_digest,
    open_documents,
)
from train.families.elmo.data import WordData

TEXT = "Mr. Hall came in.\nHe sat.\n\n  She stood.\n \nThe end.\n"


def read(source, cache: Path) -> list[list[str]]:
    return list(open_documents(source, cache))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("form", "documents"),
    [
        (
            "sentences",
            [["Mr. Hall came in."], ["He sat."], ["She stood."], ["The end."]],
        ),
        ("documents", [["Mr. Hall came in.", "He sat."], ["She stood."], ["The end."]]),
        ("prose", [["Mr. Hall came in.", "He sat.", "She stood.", "The end."]]),
    ],
)
def test_lines_are_read_in_their_form(
    text: Path, tmp_path: Path, form: forms.Form, documents: list[list[str]]
) -> None:
    source = TextSource(patterns=(str(text),), form=form)
    assert read(source, tmp_path / "cache") == documents


@pytest.mark.parametrize(
    ("form", "paragraphs"),
    [
        ("prose", [["Mr. Hall came in. He sat.", "She stood.", "The end."]]),
        (
            "documents",
            [["Mr. Hall came in.", "He sat."], ["She stood."], ["The end."]],
        ),
    ],
)
def test_paragraphs_of_prose_lie_between_blank_lines(
    text: Path, tmp_path: Path, form: forms.Form, paragraphs: list[list[str]]
) -> None:
    """What a tokeniser is trained on; the lines of other forms are sentences."""
    documents = open_documents(TextSource(patterns=(str(text),), form=form), tmp_path)
    found = [documents.paragraphs(index) for index in range(len(documents))]
    assert [[" ".join(each.split()) for each in one] for one in found] == paragraphs


def test_sentences_are_split_in_dialogue_and_after_names() -> None:
    text = (
        "“Don’t be _silly_,” said Mr. H. G. Wells--“I\ncan’t. You won't.”\n"
        "And so on... But then?\n\nNo full stop\n\n"
    )
    assert forms.sentences(text, "prose") == [
        "“Don’t be _silly_,” said Mr. H. G. Wells--“I can’t.",
        "You won't.”",
        "And so on...",
        "But then?",
        "No full stop",
    ]


@given(st.text("aB.?!\"'’“” \n\x85-_,1", max_size=60))
def test_splitting_loses_nothing_but_white_space(text: str) -> None:
    sentences = forms.sentences(text, "prose")
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentences)


@given(st.lists(st.text("ab \t", max_size=4), max_size=12))
def test_cutting_loses_no_line_that_is_not_blank(lines: list[str]) -> None:
    kept = [line for line in lines if line.strip()]
    documents = list(forms.cut_documents(lines, "documents"))
    assert "\n".join(documents).split("\n") == (kept or [""])
    assert list(forms.cut_documents(lines, "sentences")) == kept


def test_documents_do_not_cross_files_and_files_have_an_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("third\n")
    (tmp_path / "a.txt").write_text("first\nsecond")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.txt.gz").write_bytes(gzip.compress(b"fourth\n"))
    patterns = tuple(str(tmp_path / name) for name in ("b.txt", "?.txt", "**/*.gz"))
    source = TextSource(patterns=patterns, form="documents")
    assert read(source, tmp_path / "cache") == [
        ["first", "second"],
        ["third"],
        ["fourth"],
    ]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("one\u2028two\r\n\ufeffthree\n".encode())
    documents = read(TextSource(patterns=(str(path),)), tmp_path / "cache")
    assert documents == [["one two"], ["\ufeffthree"]]


def test_text_is_read_again_only_when_it_changed(text: Path, tmp_path: Path) -> None:
    source = TextSource(patterns=(str(text),))
    first = open_documents(source, tmp_path / "cache").path
    built = (first / "dataset_info.json").stat().st_mtime_ns
    assert open_documents(source, tmp_path / "cache").path == first
    assert (first / "dataset_info.json").stat().st_mtime_ns == built
    text.write_text("Another.\n")
    assert read(source, tmp_path / "cache") == [["Another."]]
    # What is outdated does not fill the disk.
    assert not first.exists()


@pytest.mark.parametrize("deleted", ["*.array_record*", "dataset_info.json"])
def test_a_removal_that_was_killed_leaves_no_data_set(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    source, cache, before = (
        TextSource(patterns=(str(text),)),
        tmp_path / "cache",
        text.stat(),
    )
    whole, first = read(source, cache), open_documents(source, cache).path
    # Of somebody else, whatever its name.
    (first.parent / "mine.removed").mkdir()
    (first.parent / f"{'0' * 16}.removed").write_text("a file")
    text.write_text("Another.\n")

    def dying(path: Path) -> None:
        next(path.glob(deleted)).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(builders, "shutil", SimpleNamespace(rmtree=dying))
        with pytest.raises(KeyboardInterrupt):
            open_documents(source, cache)
    # The text is again what it was: what is left of it is not taken for all of it.
    text.write_text(TEXT, encoding="utf-8")
    os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(source, cache) == whole
    left = {path.name for path in first.parent.iterdir() if path.is_dir()}
    assert left == {first.name, "mine.removed"}


def test_texts_that_share_a_directory_keep_each_other(tmp_path: Path) -> None:
    cache, first, second = (tmp_path / name for name in ("cache", "a.txt", "b.txt"))
    first.write_text("One.\n")
    second.write_text("Two.\n")
    sources = [TextSource(patterns=(str(path),)) for path in (first, second)]
    paths = [open_documents(source, cache).path for source in sources]
    assert read(sources[0], cache) == [["One."]]
    first.write_text("Another.\n")
    assert read(sources[0], cache) == [["Another."]]
    # What was made of the first text goes, what is of the second stays.
    assert [path.exists() for path in paths] == [False, True]


def test_what_lies_beside_a_data_set_is_left_alone(text: Path, tmp_path: Path) -> None:
    beside = tmp_path / "cache/text"
    novels = beside / "novels"
    novels.mkdir(parents=True)
    (novels / "one.txt").write_text("Call me.\n")
    (beside / "notes.md").write_text("mine")
    (beside / "theirs").mkdir()
    theirs = beside / "theirs/dataset_info.json"
    theirs.write_text('{"name": "theirs", "description": "of somebody else"}')
    read(TextSource(patterns=(str(novels / "*.txt"),)), tmp_path / "cache")
    read(TextSource(patterns=(str(text),)), tmp_path / "cache")
    assert (novels / "one.txt").read_text() == "Call me.\n"
    assert (beside / "notes.md").read_text() == "mine"
    assert "somebody" in theirs.read_text()


def test_a_text_is_what_it_holds(text: Path, tmp_path: Path, monkeypatch) -> None:
    """Not when it was written, nor what it is called; the end of a name counts."""
    source = TextSource(patterns=(str(text),))
    before = corpus_digest(source)
    os.utime(text, ns=(0, 0))
    assert corpus_digest(source) == before
    moved = tmp_path / "moved.txt"
    text.rename(moved)
    monkeypatch.chdir(tmp_path)
    for name in (str(moved), "moved.txt", "mov*.txt"):
        assert corpus_digest(TextSource(patterns=(name,))) == before
    moved.rename(tmp_path / "moved.conllu")
    assert corpus_digest(TextSource(patterns=("moved.conllu",))) != before
    moved.write_text("Another.")
    assert corpus_digest(TextSource(patterns=("moved.txt",))) != before


def test_what_is_known_of_a_file_spares_reading_it(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, known = TextSource(patterns=(str(text),)), {}
    before = corpus_digest(source, known)
    assert list(known) == [str(text.absolute())]
    with monkeypatch.context() as patch:
        patch.setattr("train.data.content.sha256_file", None)
        assert corpus_digest(source, known) == before
        with pytest.raises(TypeError):
            corpus_digest(source)
    # Size and time alone are not the text.
    status, content = text.stat(), text.read_bytes()
    text.write_bytes(content[::-1])
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert corpus_digest(source, known) != before


def test_many_files_are_written_and_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "SHARD_BYTES", 100)
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line {i}\n" for i in range(50)))
    documents = open_documents(TextSource(patterns=(str(path),)), tmp_path / "cache")
    assert len(list(documents.path.glob("*.array_record-*"))) > 5
    assert list(documents) == [[f"line {i}"] for i in range(50)]
    assert list(documents.read(range(3, 50, 2))) == list(documents)[3::2]
    assert documents[7] == ["line 7"]
    for index in (-1, 50):
        with pytest.raises(IndexError, match=f"no document {index}"):
            documents[index]


def test_bad_bytes_are_named_with_their_line_and_nothing_is_kept(
    text: Path, tmp_path: Path
) -> None:
    text.write_bytes(b"good\nbad: caf\xe9\n")
    source = TextSource(patterns=(str(text),))
    with pytest.raises(ValueError, match=r"text\.txt, line 2: byte 9 \(0xe9\) is not"):
        open_documents(source, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.array_record*"))


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress(b"words and words\n" * 100)[:-9])
    with pytest.raises(ValueError, match=r"text\.txt\.gz is damaged or cut short"):
        open_documents(TextSource(patterns=(str(path),)), tmp_path / "cache")


def test_files_without_text_are_named(text: Path, tmp_path: Path) -> None:
    empty = tmp_path / "shard-00007.txt"
    for content, message in (
        (b"", r"shard-00007\.txt is empty; remove it"),
        (b" \n\n", r"shard-00007\.txt holds nothing but blank lines"),
    ):
        empty.write_bytes(content)
        source = TextSource(patterns=(str(tmp_path / "*.txt"),))
        with pytest.raises(ValueError, match=message):
            open_documents(source, tmp_path / "cache")


def test_patterns_that_match_nothing_are_named(text: Path, tmp_path: Path) -> None:
    source = TextSource(patterns=(str(text), str(tmp_path / "*.text")))
    with pytest.raises(ValueError, match=r"no file matches '.*/\*\.text'"):
        open_documents(source, tmp_path)
    with pytest.raises(ValueError, match="patterns is empty"):
        open_documents(TextSource(patterns=()), tmp_path)


def test_a_name_with_brackets_that_is_there_is_no_pattern(tmp_path: Path) -> None:
    for folder, name in (("texts [1999]", "a.txt"), ("texts 1", "b.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(f"{folder}\n")
    (tmp_path / "texts [1999]" / "c.txt").write_text("c\n")

    def found(pattern: str) -> list[list[str]]:
        source = TextSource(patterns=(str(tmp_path / pattern),))
        return read(source, tmp_path / "cache")

    assert found("texts [1999]/*.txt") == [["texts [1999]"], ["c"]]
    assert found("texts [1999]/[c-z].txt") == [["c"]]
    assert found("texts [1-3]/?.txt") == [["texts 1"]]


def test_docstrings_of_a_package_are_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdlib = tmp_path / "stdlib"
    package = tmp_path / "site" / "our_package"
    (package / "tests").mkdir(parents=True)
    stdlib.mkdir()
    sentence = "This is a sentence that is long enough to be kept."
    (stdlib / "first.py").write_text(f'"""{sentence}"""\n')
    (package / "second.py").write_text(
        f'"""Another paragraph of the second module. It has two.\n\n{sentence}"""\n'
    )
    (package / "nothing.py").write_text("x = 1\n")
    (package / "tests" / "test_it.py").write_text('"""Not a part of the corpus, no."""')
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(stdlib))
    monkeypatch.setattr(sys, "path", [*sys.path, str(package.parent)])
    source = DocstringSource(packages=("our_package", "not_installed_at_all"))
    assert read(source, tmp_path / "cache") == [
        [sentence],
        ["Another paragraph of the second module.", "It has two."],
    ]


class Reviews(tfds.core.GeneratorBasedBuilder):
    """Written by TFDS itself, not by this project."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {"review": tfds.features.Text(), "stars": np.int64}
        )
        return tfds.core.DatasetInfo(
            builder=self, features=features, disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(5), "test": self._generate_examples(1)}

    def _generate_examples(self, number: int) -> Iterator[tuple[int, dict]]:
        for i in range(number):
            text = f"Review {i} is naïve.\nIt has two lines. Here." if i else ""
            yield i, {"review": text, "stars": i}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tfds")
    Reviews(data_dir=path, file_format="array_record").download_and_prepare()
    return path


def test_a_data_set_of_tfds_is_read(reviews: Path, tmp_path: Path) -> None:
    source = TfdsSource(name="reviews", feature="review", data_dir=reviews)
    documents = read(source, tmp_path)
    assert len(documents) == 5
    assert documents[0] == []
    assert documents[3] == ["Review 3 is naïve.", "It has two lines.", "Here."]
    part = TfdsSource(
        name="reviews:1.0.0", split="train[2:4]", feature="review", data_dir=reviews
    )
    assert read(part, tmp_path) == documents[2:4]
    # It is not written a second time.
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("split", "numbers"),
    [
        ("train[-20%:]", [4]),
        # Under half of an example, which TFDS takes for the beginning.
        ("train[:-1%]", [0, 1, 2, 3, 4]),
        ("train[-1:]+test", [4, 0]),
        ("train[-9%:]", "names none of the 5 examples"),
        ("train[-9%:50%]", "names none of the 5 examples"),
        ("train[:0shard]", "names none of the 5 examples"),
        ("train[3:3]", "names none of the 5 examples"),
        ("train[4:2]", "names none of the 5 examples"),
        ("train+test[:10%]", r"'test\[:10%\]' names none of the 1 examples"),
        ("train[1:60%]", "its bounds are of two units"),
        ("train[:9]", "incompatible with 5 examples"),
        ("all[:2]", "does not support slice"),
    ],
)
def test_a_slice_of_tfds_is_what_it_names(
    reviews: Path, tmp_path: Path, split: str, numbers: list[int] | str
) -> None:
    source = TfdsSource(name="reviews", split=split, feature="review", data_dir=reviews)
    if isinstance(numbers, str):
        with pytest.raises(ValueError, match=rf"^split: .*{numbers}"):
            open_documents(source, tmp_path)
        return
    first = [sentences[:1] for sentences in read(source, tmp_path)]
    assert first == [[f"Review {n} is naïve."] if n else [] for n in numbers]


def test_a_data_set_that_is_not_there_is_told_how_to_get(tmp_path: Path) -> None:
    source = TfdsSource(name="lm1b", data_dir=tmp_path / "my data")
    with pytest.raises(ValueError, match="lm1b: TFDS has prepared no such") as error:
        open_documents(source, tmp_path)
    command = "tfds build lm1b --file_format=array_record --data_dir='{}/my data'"
    assert command.format(tmp_path) in str(error.value)


def test_features_and_splits_that_are_not_there_are_listed(
    reviews: Path, tmp_path: Path
) -> None:
    def refused(message: str, **fields: str) -> None:
        with pytest.raises(ValueError, match=message):
            open_documents(
                TfdsSource(name="reviews", data_dir=reviews, **fields), tmp_path
            )

    refused(
        r"feature: reviews has no 'reviwe'; did you mean .review.\? features: re"
        "view, stars",
        feature="reviwe",
    )
    refused(
        "feature: 'stars' of reviews is no text; these are: review", feature="stars"
    )
    refused("split: reviews has no 'valid'; it has test, train", split="valid")


def test_an_empty_shard_of_tfds_is_named(reviews: Path, tmp_path: Path) -> None:
    source = TfdsSource(name="reviews", feature="review", data_dir=reviews)
    shard = next(reviews.rglob("reviews-train.array_record-*"))
    content = shard.read_bytes()
    try:
        shard.write_bytes(b"")
        with pytest.raises(ValueError, match=rf"{shard.name} is empty; prepare rev"):
            open_documents(source, tmp_path)
        shard.unlink()
        with pytest.raises(ValueError, match=rf"{shard.name} is missing; prepare rev"):
            open_documents(source, tmp_path)
    finally:
        shard.write_bytes(content)


def test_other_file_formats_are_told_how_to_convert(tmp_path: Path) -> None:
    builders.build(tmp_path / "text" / "1.0.0", ["a"], "for the test")
    info = tmp_path / "text" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    source = TfdsSource(name="text", data_dir=tmp_path)
    remedy = "cannot be read at random; run tfds build te.*pip install tensorflow"
    with pytest.raises(ValueError, match=remedy):
        open_documents(source, tmp_path)


def test_bad_text_in_a_data_set_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text" / "1.0.0"
    builders.build(path, ["fine", Latin("caf\u00e9")], "for the test")
    documents = open_documents(TfdsSource(name="text", data_dir=tmp_path), tmp_path)
    assert documents[0] == ["fine"]
    with pytest.raises(ValueError, match=r"example 1: text is not UTF-8 \(byte 4\)"):
        documents[1]
    with pytest.raises(ValueError, match=r"example 1: text is not UTF-8 \(byte 4\)"):
        list(documents.read([0, 1]))


class Latin(str):
    """Text that is written in another encoding."""

    __slots__ = ()

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin1")


def built(text: Path, cache: Path) -> tuple[Documents, Path, Path]:
    """Return documents, their only shard and their description."""
    source = TextSource(patterns=(str(text),), form="sentences")
    documents = open_documents(source, cache)
    (shard,) = documents.path.glob("*array_record*")
    return documents, shard, documents.path / "dataset_info.json"


def test_a_damaged_shard_is_named_with_its_example(text: Path, tmp_path: Path) -> None:
    documents, shard, _ = built(text, tmp_path / "cache")
    content = bytearray(shard.read_bytes())
    # A chunk's hash is of all its bytes, and each example has its own chunk.
    content[content.index(b"She stood")] ^= 1
    shard.write_bytes(content)
    assert len(documents) == 4
    message = rf"{shard.name}, example 2, is damaged .*; remove the data set's dir"
    with pytest.raises(ValueError, match=message):
        list(documents.read(range(4)))
    with pytest.raises(ValueError, match=message):
        documents.unopened()[2]
    assert documents[1] == ["He sat."]


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b'{"name": "text"}'])
def test_a_damaged_description_is_named(
    text: Path, tmp_path: Path, content: bytes
) -> None:
    documents, _, description = built(text, tmp_path / "cache")
    description.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{documents.path} is damaged .*prepare it"):
        len(documents)


def test_shards_hold_as_many_examples_as_is_said(text: Path, tmp_path: Path) -> None:
    documents, shard, description = built(text, tmp_path / "cache")
    said = description.read_text()
    description.write_text(said.replace('"4"', '"3"'))
    with pytest.raises(ValueError, match=rf"{shard.name} holds 4 examples where .* 3;"):
        len(documents)
    description.write_text(said)
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{shard.name} is damaged"):
        len(documents.unopened())
    shard.unlink()
    with pytest.raises(ValueError, match=rf"{shard.name} is missing; prepare"):
        len(documents.unopened())


def test_nothing_needs_tensorflow() -> None:
    assert "tensorflow" not in sys.modules


def test_sources_are_chosen_on_the_command_line() -> None:
    arguments = ["source:text-source", "--source.patterns", "a*.txt", "b.gz"]
    default = WordData(source=DocstringSource(), directory=Path("data"))
    data = tyro.cli(WordData, default=default, args=["--vocab-size", "50", *arguments])
    assert data.source == TextSource(patterns=("a*.txt", "b.gz"))
    assert data.vocab_size == 50


def test_fingerprints_tell_settings_apart(text: Path, tmp_path: Path) -> None:
    def data(**fields) -> WordData:
        source = TextSource(patterns=(str(text),))
        defaults = {"source": source, "directory": tmp_path}
        return WordData(**{**defaults, **fields})

    same = [data(), data(num_workers=3), data(directory=tmp_path / "other")]
    assert len({fingerprint(d) for d in same}) == 1
    assert hash(data()) == hash(data())
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("one")
    different = [data(), data(vocab_size=9), data(source=DocstringSource())]
    fingerprints = [fingerprint(d) for d in different]
    fingerprints.append(fingerprint(data(vocabulary=vocabulary)))
    vocabulary.write_text("two")
    fingerprints.append(fingerprint(data(vocabulary=vocabulary)))
    assert len(set(fingerprints)) == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"held_out_every": 1}, r"held_out_every must be 0 \(none\) or at least 2"),
        ({"num_workers": -1}, "num_workers must be 0"),
        ({"vocab_size": 3}, "vocab_size must be at least 4"),
        ({"min_count": 0}, "min_count must be at least 1"),
        ({"max_characters": 2}, "max_characters must be at least 3"),
    ],
)
def test_settings_without_meaning_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordData(source=DocstringSource(), directory=Path("data"), **fields)


def test_a_line_of_a_data_set_has_an_end(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LONGEST_LINE", 100)
    builders.build(tmp_path / "text" / "1.0.0", ["a\n" * 99, "b" * 101], "for the test")
    documents = open_documents(
        TfdsSource(name="text", data_dir=tmp_path, form="documents"), tmp_path
    )
    assert len(documents[0]) == 99
    with pytest.raises(ValueError, match="example 1: text has a line of 101 bytes"):
        documents[1]


def test_a_pipe_is_not_called_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    source = TextSource(patterns=(str(tmp_path / "pipe"),))
    with pytest.raises(ValueError, match="pipe can be read only once"):
        open_documents(source, tmp_path / "cache")
