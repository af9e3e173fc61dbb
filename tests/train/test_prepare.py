# SPDX-License-Identifier: Apache-2.0
import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bert_jax.tokenizer import WordPieceTokenizer
from train.config import experiment_named
from train.data import encoding
from train.data.prepared import Prepared, check_prepared
from train.data.sources import TextSource, former_digest
from train.data.store import TokenStore
from train.families.bert import preparing
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.data import PieceData
from train.families.bert.pieces import PieceStore
from train.families.elmo.data import WordData
from train.families.elmo.words import WordStore
from train.prepare import main, prepare

NOUNS = ("cat", "dog", "bank", "river", "walrus", "Doppelgänger")
SENTENCES = [f"The {a} sees the {b}." for a, b in itertools.product(NOUNS, NOUNS)]


def silent(line: str) -> None:
    pass


@pytest.fixture
def words(tmp_path: Path) -> WordData:
    """Twelve documents of three sentences each."""
    path = tmp_path / "text.txt"
    blocks = ["\n".join(SENTENCES[i : i + 3]) for i in range(0, len(SENTENCES), 3)]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return WordData(
        source=TextSource(patterns=(str(path),), form="documents"),
        directory=tmp_path / "data",
        held_out_every=4,
        num_workers=1,
        vocab_size=10,
        max_characters=10,
    )


@pytest.fixture
def pieces(words: WordData) -> PieceData:
    return PieceData(
        source=words.source,
        directory=words.directory,
        held_out_every=4,
        num_workers=1,
        vocab_size=60,
    )


@pytest.fixture(params=["words", "pieces"])
def data(request: pytest.FixtureRequest) -> WordData | PieceData:
    return request.getfixturevalue(request.param)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file that is kept, but for the copy of the text."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "source" not in path.relative_to(directory).parts
    }


def sentences(store: WordStore) -> list[str]:
    return [
        " ".join(store.types[i] for i in store.sentence(number))
        for number in range(store.num_sentences)
    ]


def test_words_are_prepared_and_every_fourth_document_held_out(words: WordData) -> None:
    prepare(words, silent)
    train, held_out = (WordStore.open(words.directory / p) for p in encoding.PARTS)
    documents = [SENTENCES[i : i + 3] for i in range(0, len(SENTENCES), 3)]
    split = [[s.replace(".", " .") for s in document] for document in documents]
    kept = [d for number, d in enumerate(split) if number % 4 != 3]
    assert sentences(train) == list(itertools.chain(*kept))
    assert sentences(held_out) == list(itertools.chain(*split[3::4]))
    assert (train.num_documents, held_out.num_documents) == (9, 3)
    assert len(train.vocabulary) == 10
    # Only what is trained on is counted.
    assert train.vocabulary.counts[:2] == (27, 27)
    assert sum(train.vocabulary.counts[2:]) == train.num_tokens
    assert train.characters.shape[1] == 10


def test_pieces_are_prepared_from_the_same_documents(pieces: PieceData) -> None:
    prepare(pieces, silent)
    train, held_out = (PieceStore.open(pieces.directory / p) for p in encoding.PARTS)
    assert (train.num_documents, held_out.num_documents) == (9, 3)
    assert (train.num_sentences, held_out.num_sentences) == (27, 9)
    for store, first in ((train, SENTENCES[0]), (held_out, SENTENCES[9])):
        encoded = store.tokenizer.encode([first])[0].ids
        assert store.sentence(0).tolist() == encoded.tolist()
    # No specials, but for what is unknown: a letter that is only held out.
    assert not np.isin(train.tokens, [0, 2, 3, 4]).any()


def test_sentencepieces_are_prepared_too(pieces: PieceData) -> None:
    prepare(replace(pieces, kind="sentencepiece", cased=True), silent)
    train = PieceStore.open(pieces.directory / "train")
    assert train.num_sentences == 27
    assert train.continues.any()


def test_nothing_is_held_out_if_none_is_asked_for(data: WordData | PieceData) -> None:
    prepare(replace(data, held_out_every=0), silent)
    stores = [TokenStore.open(data.directory / part) for part in encoding.PARTS]
    assert [store.num_documents for store in stores] == [12, 0]


def test_the_summary_tells_what_there_is(words: WordData) -> None:
    lines: list[str] = []
    prepare(words, lines.append)
    assert any("12 documents, 36 sentences, 216 tokens" in line for line in lines)
    assert "train: 9 documents, 27 sentences, 162 tokens, 10 types" in lines[-1]
    assert "% of the words unknown, 1 types cut to max_characters 10" in lines[-1]
    assert "a vocabulary of 10 words" in lines[-1]


def test_shares_of_unknown_words_are_right(words: WordData) -> None:
    lines: list[str] = []
    prepare(words, lines.append)
    for part in encoding.PARTS:
        store = WordStore.open(words.directory / part)
        is_unknown = store.targets[store.tokens] == store.vocabulary.unknown_id
        assert f"{is_unknown.mean():.2%} of the words unknown" in lines[-1]


def test_preparing_again_does_nothing(data: WordData | PieceData) -> None:
    prepare(data, silent)
    before = {path: path.stat().st_mtime_ns for path in data.directory.rglob("*")}
    lines: list[str] = []
    prepare(replace(data, num_workers=2), lines.append)
    assert len(lines) == 1
    assert "is prepared already: train: 9 documents" in lines[0]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (data.directory / "unfinished").exists()


def test_text_that_was_touched_or_moved_is_not_prepared_again(
    words: WordData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(words, silent)
    assert isinstance(words.source, TextSource)
    (name,) = words.source.patterns
    before = contents(words.directory)
    os.utime(name, (1, 1))
    moved = Path(name).rename(tmp_path / "moved.txt")
    monkeypatch.chdir(tmp_path)
    for called in (str(moved), "moved.txt"):
        data = replace(words, source=replace(words.source, patterns=(called,)))
        check_prepared(data)
        lines: list[str] = []
        prepare(data, lines.append)
        assert len(lines) == 1
        assert "is prepared already" in lines[0]
    assert contents(words.directory) == before
    # What is no longer there is not asked for under the name that it had.
    check_prepared(words)
    moved.write_text("Another text of another name.\n")
    with pytest.raises(ValueError, match="by other settings: another source; run"):
        check_prepared(data)
    gone = replace(words, source=replace(words.source, patterns=("gone.txt",)))
    with pytest.raises(ValueError, match="by other settings: another source; run"):
        check_prepared(gone)
    check_prepared(gone, of_run=True)


def test_a_setting_that_came_later_is_no_other_one(words: WordData) -> None:
    prepare(words, silent)
    record = Prepared.read(words.directory)
    assert record is not None
    settings = dict(record.settings)
    assert settings.pop("min_count") == 1  # as by default
    source = {**settings["source"]}
    del source["form"]
    replace(record, settings=settings | {"source": source}).write(words.directory)
    by_default = replace(words.source, form="sentences")
    check_prepared(replace(words, source=by_default))
    with pytest.raises(ValueError, match="another min_count; run"):
        check_prepared(replace(words, source=by_default, min_count=2))
    with pytest.raises(ValueError, match="another source; run"):
        check_prepared(replace(words, source=replace(by_default, form="documents")))


def test_what_an_earlier_version_prepared_is_prepared_already(
    words: WordData,
) -> None:
    """It knew its text by names, sizes and times."""
    prepare(words, silent)
    record = Prepared.read(words.directory)
    assert record is not None
    earlier = replace(record, corpus=former_digest(words.source), known={})
    earlier.write(words.directory)
    lines: list[str] = []
    prepare(words, lines.append)
    assert "is prepared already" in lines[0]
    assert isinstance(words.source, TextSource)
    os.utime(words.source.patterns[0], (1, 1))
    prepare(words, lines.append)
    assert "is prepared anew: its text has changed" in lines[1]


def test_what_a_kill_left_beside_whole_data_is_removed(
    data: WordData | PieceData,
) -> None:
    """It came after the data were whole, while the intermediate files were removed."""
    prepare(data, silent)
    left = data.directory / "unfinished"
    (left / "shards").mkdir(parents=True)
    Prepared.of(data).write(left)
    prepare(data, silent)
    assert not left.exists()


def test_what_an_earlier_version_encoded_is_used_and_what_it_began_is_not(
    pieces: PieceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its form [SEP] in a text is the special piece."""
    (path,) = map(Path, pieces.source.patterns)
    with path.open("a") as file:
        file.write("\n\nThe [SEP] sees.\n")
    data = replace(pieces, held_out_every=0)
    monkeypatch.setattr(PieceData, "encoded_as", 1)
    monkeypatch.setattr(
        preparing.pieces,
        "text_encoder",
        lambda tokenizer: lambda texts: [each.ids for each in tokenizer.encode(texts)],
    )
    prepare(data, silent)
    monkeypatch.undo()
    before, lines = contents(data.directory), list[str]()
    prepare(data, lines.append)
    check_prepared(data)
    store = PieceStore.open(data.directory / "train")
    assert store.sep_id in store.tokens
    assert contents(data.directory) == before
    assert "is prepared already" in lines[0]
    assert "encoded it in form 1, where the form is 2 now" in lines[1]
    # It goes on from what is begun in its own form only.
    left = data.directory / "unfinished"
    for form, goes_on in ((1, False), (2, True)):
        (data.directory / "prepared.json").unlink(missing_ok=True)
        left.mkdir()
        replace(Prepared.of(data), encoded_as=form).write(left)
        heard: list[str] = []
        prepare(data, heard.append)
        assert any("is begun again" in line for line in heard) != goes_on
    store = PieceStore.open(data.directory / "train")
    assert store.sep_id not in store.tokens


def test_another_setting_is_prepared_anew(words: WordData) -> None:
    prepare(words, silent)
    lines: list[str] = []
    prepare(replace(words, vocab_size=8, max_characters=12), lines.append)
    assert "is prepared anew: another vocab_size, max_characters" in lines[0]
    store = WordStore.open(words.directory / "train")
    assert len(store.vocabulary) == 8
    assert store.characters.shape[1] == 12


def test_changed_text_is_prepared_anew(data: WordData | PieceData) -> None:
    prepare(data, silent)
    assert isinstance(data.source, TextSource)
    Path(data.source.patterns[0]).write_text("The cat sees.\nThe dog sees.\n")
    lines: list[str] = []
    prepare(data, lines.append)
    assert "is prepared anew: its text has changed" in lines[0]
    assert TokenStore.open(data.directory / "train").num_sentences == 2


def test_workers_make_no_difference(data: WordData | PieceData, tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "two"]
    for number, directory in enumerate(directories, start=1):
        prepare(replace(data, directory=directory, num_workers=number), silent)
    assert contents(directories[0]) == contents(directories[1])


def break_at(number: int, error: BaseException) -> Callable[..., encoding.Tally]:
    """Stop while that shard is being written."""
    write_one = encoding.Shards.write_one

    def broken(self: encoding.Shards, index: int) -> encoding.Tally:
        if index == number:
            encoder = Failing(error)
            return write_one(replace(self, encoder=encoder), index)
        return write_one(self, index)

    return broken


class Failing:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def encode(self, documents, path: Path) -> None:
        (path / "half a file").write_bytes(b"half")
        raise self.error


def test_an_interrupted_preparation_goes_on_and_ends_alike(
    data: WordData | PieceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = replace(data, directory=tmp_path / "undisturbed")
    prepare(undisturbed, silent)
    with monkeypatch.context() as patch:
        patch.setattr(encoding.Shards, "write_one", break_at(7, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            prepare(data, silent)
    shards = data.directory / "unfinished" / "shards"
    assert sorted(path.name for path in shards.iterdir()) == [
        f"{number:05d}" for number in range(7)
    ]
    with pytest.raises(ValueError, match="is not prepared; run python"):
        check_prepared(data)

    written = []
    write_one = encoding.Shards.write_one

    def noted(self: encoding.Shards, index: int) -> encoding.Tally:
        written.append(index)
        return write_one(self, index)

    monkeypatch.setattr(encoding.Shards, "write_one", noted)
    lines: list[str] = []
    prepare(data, lines.append)
    assert "7 of 12 shards are kept from an earlier run" in lines
    assert written == list(range(7, 12))
    assert contents(data.directory) == contents(undisturbed.directory)


def test_what_another_setting_left_unfinished_is_not_used(
    words: WordData, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(encoding.Shards, "write_one", break_at(7, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            prepare(words, silent)
    lines: list[str] = []
    prepare(replace(words, split="whitespace"), lines.append)
    assert "unfinished is of other settings or text, and is begun again" in lines[0]
    assert "cat." in WordStore.open(words.directory / "train").types


def test_a_disk_that_fails_while_stores_are_joined_leaves_no_claim(
    data: WordData | PieceData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(data, silent)
    before = contents(data.directory)
    changed = replace(data, held_out_every=3)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("train.data.store.StoreWriter.extend", full)
        with pytest.raises(OSError, match="No space left"):
            prepare(changed, silent)
    with pytest.raises(ValueError, match="is not prepared"):
        check_prepared(data)
    prepare(changed, silent)
    prepare(data, silent)
    assert contents(data.directory) == before


def test_check_prepared_tells_what_is_different(words: WordData) -> None:
    prepare(words, silent)
    check_prepared(replace(words, num_workers=5))
    with pytest.raises(ValueError, match="by other settings: another min_count; run "):
        check_prepared(replace(words, min_count=2))
    with pytest.raises(ValueError, match="nowhere is not prepared"):
        check_prepared(replace(words, directory=words.directory / "nowhere"))


@pytest.mark.parametrize("name", ["vocab.txt", "prepared.json", "train/checksums.json"])
def test_files_beside_the_stores_are_checked_too(words: WordData, name: str) -> None:
    prepare(words, silent)
    path = words.directory / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b"7", b"8", 1).replace(b"cat", b"car", 1))
    with pytest.raises(ValueError, match=rf"{path} is damaged.*; remove the directory"):
        check_prepared(words)
    path.write_bytes(content)
    check_prepared(words)
    if name != "prepared.json":
        path.unlink()
        with pytest.raises(ValueError, match=rf"{path} is missing; remove the dir"):
            check_prepared(words)


def test_what_an_earlier_version_prepared_is_taken(words: WordData) -> None:
    prepare(words, silent)
    path = words.directory / "prepared.json"
    content = json.loads(path.read_text())
    del content["files"], content["checksum"]
    path.write_text(json.dumps(content))
    check_prepared(words)


def test_a_given_vocabulary_is_taken_as_it_is(words: WordData, tmp_path: Path) -> None:
    path = tmp_path / "given.txt"
    path.write_text("<UNK>\t9\n<S>\t4\n</S>\t4\ncat\t5\nzebra\t2\n")
    prepare(replace(words, vocabulary=path), silent)
    store = WordStore.open(words.directory / "train")
    assert (words.directory / "vocab.txt").read_bytes() == path.read_bytes()
    assert store.vocabulary.unknown_id == 0
    assert store.targets[store.types.index("cat")] == 3
    assert store.targets[store.types.index("dog")] == 0


def test_bad_vocabularies_are_refused_before_any_work(
    words: WordData, tmp_path: Path
) -> None:
    path = tmp_path / "given.txt"
    for content, message in (
        ("<S>\t4\n</S>\t4\n<UNK>\t9\nzebra\t2\ncat\t5\n", r"given\.txt: line 5: 'cat'"),
        ("<S>\n</S>\ncat\n", r"given\.txt: no line '<UNK>'"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            prepare(replace(words, vocabulary=path), silent)
    assert not words.directory.exists()


def test_a_given_tokeniser_is_taken_as_it_is(pieces: PieceData, tmp_path: Path) -> None:
    given = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "cat", "##s", "."]
    (tmp_path / "given").mkdir()
    WordPieceTokenizer.from_vocab(given).save(tmp_path / "given")
    lines: list[str] = []
    prepare(replace(pieces, tokenizer=tmp_path / "given"), lines.append)
    store = PieceStore.open(pieces.directory / "train")
    assert store.sentence(0).tolist() == [5, 6, 1, 1, 6, 8]
    assert store.continues.tolist() == [False] * 7 + [True, False]
    assert "a tokeniser of 9 pieces" in lines[-1]
    assert "0.00% of the pieces unknown" not in lines[-1]


def test_a_missing_tokeniser_is_refused_before_any_work(pieces: PieceData) -> None:
    missing = replace(pieces, tokenizer=pieces.directory / "nowhere")
    with pytest.raises(ValueError, match="nowhere: neither a directory with"):
        prepare(missing, silent)
    assert not pieces.directory.exists()


def test_bad_text_is_refused_before_any_work(data: WordData | PieceData) -> None:
    assert isinstance(data.source, TextSource)
    Path(data.source.patterns[0]).write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(ValueError, match=r"text\.txt, line 2: byte 3"):
        prepare(data, silent)
    assert not (data.directory / "train").exists()


def test_a_prepared_directory_survives_bad_text(words: WordData) -> None:
    prepare(words, silent)
    assert isinstance(words.source, TextSource)
    Path(words.source.patterns[0]).write_bytes(b"na\xefve\n")
    with pytest.raises(ValueError, match="line 1"):
        prepare(words, silent)
    check_prepared(words)


def test_text_without_words_is_refused(
    data: WordData | PieceData, tmp_path: Path
) -> None:
    # Control characters are text to a file, but nothing to either tokeniser.
    (tmp_path / "text.txt").write_text("\x01\n")
    with pytest.raises(ValueError, match="no text to train"):
        prepare(data, silent)


KILLED = """
import os, signal, sys
from pathlib import Path
from train.data import encoding
from train.families.elmo.data import WordData
from train.data.sources import TextSource, former_digest
from train.prepare import prepare

write_one = encoding.Shards.write_one

def killed(self, index):
    if index == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return write_one(self, index)

encoding.Shards.write_one = killed
prepare(WordData(
    source=TextSource(patterns=(sys.argv[1],), form="documents"),
    directory=Path(sys.argv[2]), held_out_every=4, num_workers=1,
    vocab_size=10, max_characters=10,
), print)
"""


def test_a_killed_preparation_goes_on_and_ends_alike(
    words: WordData, tmp_path: Path
) -> None:
    assert isinstance(words.source, TextSource)
    script = [sys.executable, "-c", KILLED, words.source.patterns[0]]
    result = subprocess.run(
        [*script, str(words.directory)], env={**os.environ, "PYTHONPATH": "."}
    )
    assert result.returncode == -signal.SIGKILL
    assert len(list((words.directory / "unfinished" / "shards").iterdir())) == 5
    prepare(words, silent)
    undisturbed = replace(words, directory=tmp_path / "undisturbed")
    prepare(undisturbed, silent)
    assert contents(words.directory) == contents(undisturbed.directory)


def test_the_command_prepares_an_experiment(
    words: WordData,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "train.data.sources.source_files", lambda packages: [Path(argparse.__file__)]
    )
    arguments = ["elmo_tiny", "--data.directory", str(words.directory)]
    arguments += ["--data.held-out-every", "0", "--data.max-characters", "9"]
    assert main(arguments) == 0
    assert f"{words.directory} is prepared: train: 1 doc" in capsys.readouterr().out
    assert WordStore.open(words.directory / "train").characters.shape[1] == 9


def test_text_without_pairs_is_said_once_where_pairs_are_asked_for(
    pieces: PieceData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line is a document there, and pretraining would refuse it."""
    (tmp_path / "lines.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    source = TextSource(patterns=(str(tmp_path / "lines.txt"),), form="sentences")
    tiny = experiment_named("bert_tiny")
    assert isinstance(tiny, MaskedLmPretraining)
    for text, pairs, times in ((source, "nsp", 1), (source, "none", 0)):
        rows = replace(tiny.objective, pairs=pairs)
        experiment = replace(tiny, data=replace(pieces, source=text), objective=rows)
        monkeypatch.setattr("train.config.experiment_named", lambda *_: experiment)  # noqa: B023
        for _ in range(2):  # it is prepared already
            assert main(["bert_tiny"]) == 0
            out = capsys.readouterr().out
            assert out.count("has no two passages that follow each other") == times
            assert ("now: " in out) == (not times)


def test_the_command_ends_with_one_line_for_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["elmo_tinny"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.prepare: no experiment 'elmo_tinny'")
    assert error.count("\n") == 1


def test_what_is_prepared_can_be_read_by_people(words: WordData) -> None:
    prepare(words, silent)
    content = json.loads((words.directory / "prepared.json").read_text())
    assert content["settings"]["vocab_size"] == 10
    assert content["summary"].startswith("train: 9 documents")


@pytest.mark.parametrize(
    "name", ["train", "held_out", "tokenizer", "vocab.txt", "unfinished"]
)
def test_what_no_preparation_has_made_is_not_replaced(
    data: WordData | PieceData, name: str
) -> None:
    data.directory.mkdir()
    path = data.directory / name
    if path.suffix:
        path.write_text("my own\n")
    else:
        path.mkdir()
        (path / "tokens.npy").write_bytes(b"my own")
    before = contents(data.directory)
    with pytest.raises(FileExistsError, match=rf"{name} is there .*data\.directory"):
        prepare(data, silent)
    assert contents(data.directory) == before


@pytest.mark.parametrize("name", ["train", "held_out", "tokenizer"])
def test_files_that_were_put_into_a_prepared_directory_are_not_lost(
    pieces: PieceData, name: str
) -> None:
    prepare(pieces, silent)
    (pieces.directory / name / "model.safetensors").write_bytes(b"precious")
    before = contents(pieces.directory)
    # Nothing is replaced where nothing has changed.
    prepare(pieces, silent)
    with pytest.raises(FileExistsError, match=rf"{name}/model.safetensors would be lo"):
        prepare(replace(pieces, vocab_size=50), silent)
    assert contents(pieces.directory) == before
    check_prepared(pieces)


def test_a_tokeniser_beside_weights_is_not_replaced_by_itself(
    pieces: PieceData,
) -> None:
    """A model in DIRECTORY/tokenizer, given as the tokeniser to take."""
    path = pieces.directory / "tokenizer"
    path.mkdir(parents=True)
    given = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "cat"]
    WordPieceTokenizer.from_vocab(given).save(path)
    (path / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="tokenizer is there already"):
        prepare(replace(pieces, tokenizer=path), silent)
    assert (path / "model.safetensors").read_bytes() == b"precious"


def test_the_input_may_lie_in_the_source_directory(
    words: WordData, tmp_path: Path
) -> None:
    """As in X/text/novels/*.txt with --data.source-directory X."""
    texts = tmp_path / "corpora/text/novels"
    texts.mkdir(parents=True)
    (texts / "one.txt").write_text("\n".join(SENTENCES))
    (tmp_path / "corpora/text/notes.md").write_text("mine")
    arguments = ["elmo_novels", "--data.source.patterns", str(texts / "*.txt")]
    arguments += ["--data.directory", str(words.directory), "--data.num-workers", "1"]
    arguments += ["--data.source-directory", str(tmp_path / "corpora")]
    arguments += ["--data.source.form", "sentences", "--data.held-out-every", "4"]
    assert main(arguments) == 0
    assert (texts / "one.txt").read_text() == "\n".join(SENTENCES)
    assert (tmp_path / "corpora/text/notes.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "lines", "said"),
    [
        ("words", ["<S> One . </S>", "Two .</S>"], "2 sentences hold <S> or </S>,"),
        ("pieces", ["One [MASK] .", "Two ."], None),  # where they are text
        ("words", ["One [MASK] .", "Two ."], None),
    ],
)
def test_tokens_of_the_models_own_in_a_text_are_said(
    request: pytest.FixtureRequest, kind: str, lines: list[str], said: str | None
) -> None:
    data = request.getfixturevalue(kind)
    (path,) = map(Path, data.source.patterns)
    with path.open("a") as file:
        file.write("\n" + "\n".join(lines) + "\n")
    heard: list[str] = []
    prepare(data, heard.append)
    found = [line for line in heard if "does not read as words" in line]
    assert len(found) == (said is not None)
    assert all(line.startswith(str(said)) for line in found)


def test_conll_u_is_prepared_as_its_words(words: WordData, tmp_path: Path) -> None:
    columns = "\t_" * 8
    text = f"1-2\tdu{columns}\n1\tde{columns}\n2\tle{columns}\n3\tpont{columns}\n\n"
    path = tmp_path / "text.conllu"
    path.write_text(text * 8)
    source = TextSource(patterns=(str(path),))
    data = replace(words, source=source, split="whitespace")
    prepare(data, silent)
    assert sentences(WordStore.open(data.directory / "train")) == ["du pont"] * 6
