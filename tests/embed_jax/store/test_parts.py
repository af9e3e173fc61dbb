# SPDX-License-Identifier: Apache-2.0
"""A store in parts: as one file to whoever reads it, whatever kills whom on the way."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_jax import store
from embed_jax.corpus.text_shards import LineMarks
from embed_jax.explore.nearest import find_occurrences
from embed_jax.files import sync
from embed_jax.store import PartedStore, StoreWriter, VectorStore, parts
from embed_jax.store.partial import lock_folder, partial_of, parts_of
from tests.kills import stride_of

DIM = 3
CORPUS_SIZE = 40
METADATA = {"model": "bert", "layers": [-1, -2], "level": "words"}


def sentence(index: int) -> tuple[np.ndarray, list[str]]:
    """A sentence told by its number alone; every fifth is blank."""
    length = index * 7 % 5
    vectors = np.random.default_rng(index).standard_normal((length, DIM))
    return vectors.astype(np.float32), [f"{index}.{i}" * (i % 3) for i in range(length)]


def share(index: int, count: int, size: int = CORPUS_SIZE) -> range:
    marks = LineMarks()
    for _ in range(size):
        marks.add(1)
    return marks.share(index, count)


def open_parts(path: Path, count: int, **options: Any) -> PartedStore:
    settings = {"dim": DIM, "metadata": METADATA} | options
    return PartedStore(path, count=count, **settings)


def write_part(shared: PartedStore, index: int, stop: int | None = None) -> None:
    """Write a part, or its first sentences up to `stop` of the corpus."""
    mine = share(index, shared.count)
    writer = shared.writer(index, mine)
    if writer is None:
        return
    with suppress(KeyboardInterrupt), writer:
        for number in range(mine.start + writer.num_sentences, mine.stop):
            if number == stop:
                raise KeyboardInterrupt
            writer.append(*sentence(number))


def write(path: Path, count: int, **options: Any) -> None:
    shared = open_parts(path, count, **options)
    for index in range(shared.count):
        write_part(shared, index)
    assert shared.publish() == []


def check_corpus(path: Path) -> None:
    with VectorStore(path) as vectors:
        assert len(vectors) == CORPUS_SIZE
        assert vectors.metadata == METADATA
        for index, rows in enumerate(vectors):
            expected, words = sentence(index)
            np.testing.assert_array_equal(rows, expected)
            assert vectors.words(index) == words


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


any_word = st.tuples(st.text(st.characters(), max_size=4), st.floats(-9, 9, width=16))
any_corpus = st.lists(st.lists(any_word, max_size=4), max_size=12)


@given(
    corpus=any_corpus,
    count=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
)
def test_parts_are_read_as_one_file(corpus, count, dtype):
    """As h5py sees it too, every array is that of a single writer."""

    def append(writer: StoreWriter, lines: range) -> None:
        with writer:
            for line in lines:
                texts = [text for text, _ in corpus[line]]
                values = [[value, -value] for _, value in corpus[line]]
                rows = np.array(values, np.float32).reshape(-1, 2)
                writer.append(rows, texts)

    with TemporaryDirectory() as folder:
        one, many = Path(folder) / "one.h5", Path(folder) / "50%b.h5"
        settings: dict[str, Any] = {"dim": 2, "dtype": dtype, "metadata": METADATA}
        append(StoreWriter(one, **settings), range(len(corpus)))
        shared = PartedStore(many, count=count, **settings)
        for index in reversed(range(count)):
            lines = share(index, count, len(corpus))
            writer = shared.writer(index, lines)
            assert writer is not None
            append(writer, lines)
        assert shared.publish() == []
        assert parts_of(many).exists() == (count > 1)
        with h5py.File(one) as a, h5py.File(many) as b:
            for array in ("vectors", "offsets", "words", "word_offsets"):
                assert a[array].dtype == b[array].dtype
                np.testing.assert_array_equal(a[array][:], b[array][:])
        with VectorStore(one) as a, VectorStore(many) as b:
            assert a.metadata == b.metadata
            assert a.dtype == b.dtype
            assert a.words(slice(None)) == b.words(slice(None))
            for left, right in zip(a, b, strict=True):
                np.testing.assert_array_equal(left, right)


def test_an_index_is_searched_as_a_file(tmp_path):
    write(tmp_path / "s.h5", 4)
    with VectorStore(tmp_path / "s.h5") as vectors:
        (occurrence,), found = find_occurrences(vectors, "12.1")
    assert (occurrence.sentence, occurrence.position) == (12, 1)
    np.testing.assert_array_equal(found, sentence(12)[0][1:2])


def test_offsets_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("embed_jax.store.index.BLOCK_BYTES", 3 * 8)
    write(tmp_path / "s.h5", 3)
    check_corpus(tmp_path / "s.h5")


def test_the_last_who_finishes_writes_the_index(tmp_path):
    path = tmp_path / "s.h5"
    processes = [open_parts(path, 3) for _ in range(3)]
    for index, missing in ((2, [0, 1]), (0, [1])):
        write_part(processes[index], index)
        assert processes[index].publish() == missing
        with pytest.raises(FileNotFoundError, match=r"s.h5.parts lacks some of its"):
            VectorStore(path)
    write_part(processes[1], 1)
    assert processes[1].publish() == []
    check_corpus(path)
    written = path.stat()
    # Any other may come again, and changes nothing.
    assert processes[0].publish() == []
    assert os.path.samestat(path.stat(), written)
    assert open_parts(path, 3, resume=True).is_finished
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        open_parts(path, 3)


def test_a_store_in_one_part_is_finished_too_and_what_a_kill_left_is_removed(tmp_path):
    path = tmp_path / "s.h5"
    write(path, 1)
    assert open_parts(path, 1, resume=True).is_finished
    with pytest.raises(ValueError, match=r"'model'"):
        open_parts(path, 1, resume=True, metadata={"model": "other"})
    # As a kill does between the last rename and the tidying up.
    partial = partial_of(path)
    lock_folder(partial).close()
    (partial / "vectors").write_bytes(b"of a store that is whole")
    assert open_parts(path, 1, resume=True).is_finished
    assert names_in(tmp_path) == ["s.h5"]
    # Where somebody writes it anew, his folder stays; and so does one with a journal.
    with lock_folder(partial):
        assert open_parts(path, 1, resume=True).is_finished
    shared = open_parts(path, 1, overwrite=True)
    write_part(shared, 0, stop=3)
    assert open_parts(path, 1, resume=True).is_finished
    assert (partial / "journal.json").exists()


def test_all_finish_at_once(tmp_path, monkeypatch):
    """Each waits for who builds the index, and finds it built."""
    path, built = tmp_path / "s.h5", []
    write_index = parts.write_index

    def count_builds(*arguments: Any) -> None:
        built.append(arguments)
        write_index(*arguments)

    monkeypatch.setattr(parts, "write_index", count_builds)
    processes = [open_parts(path, 4) for _ in range(4)]
    for index, shared in enumerate(processes):
        write_part(shared, index)
    missing: list[Any] = []
    threads = [
        threading.Thread(target=lambda shared=shared: missing.append(shared.publish()))
        for shared in processes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == [[]] * 4
    assert len(built) == 1
    check_corpus(path)
    assert not [name for name in names_in(parts_of(path)) if "new" in name]


def test_index_and_parts_move_together(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "s.h5"
    write(path, 2)
    # Parts of the same name where the program runs must not be taken for them.
    monkeypatch.chdir(tmp_path)
    write(Path("s.h5"), 2, metadata=METADATA | {"model": "elmo"})
    (tmp_path / "here").rename(tmp_path / "there")
    check_corpus(tmp_path / "there" / "s.h5")


def test_a_part_that_is_missing_is_no_zeros(tmp_path):
    path = tmp_path / "s.h5"
    write(path, 2)
    first, second = sorted(parts_of(path).glob("*.h5"))
    second.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"lacks its part .*-1-of-2.h5: copy"):
        VectorStore(path)
    # As the message says.
    write(path, 2, resume=True, overwrite=True)
    check_corpus(path)
    shutil.copy(first, second)
    with pytest.raises(ValueError, match=r"-1-of-2.h5 is not the part that"):
        VectorStore(path)


def test_a_part_that_holds_other_sentences_is_not_taken(tmp_path):
    """Of the same settings and the same name, but not of this division."""
    path = tmp_path / "s.h5"
    shared = open_parts(path, 2)
    write_part(shared, 0)
    mine = share(1, 2)
    with shared.writer(1, range(mine.start + 1, mine.stop)) as writer:
        for number in range(mine.start + 1, mine.stop):
            writer.append(*sentence(number))
    with pytest.raises(ValueError, match=r"-1-of-2\.h5 is not the part of .* follows"):
        shared.publish()
    assert not path.exists()


def test_a_part_of_other_settings_is_no_part(tmp_path):
    path, other = tmp_path / "s.h5", tmp_path / "other.h5"
    write(path, 2)
    write(other, 2, metadata=METADATA | {"model": "elmo"})
    (mine,) = parts_of(path).glob("*-0-of-2.h5")
    (foreign,) = parts_of(other).glob("*-0-of-2.h5")
    shutil.copy(foreign, mine)
    with pytest.raises(ValueError, match=r"-0-of-2.h5 is not the part that .*s.h5 was"):
        VectorStore(path)
    with pytest.raises(ValueError, match=r"-0-of-2.h5 was written with .*elmo"):
        write(path, 2, resume=True, overwrite=True)
    path.unlink()
    shared = open_parts(path, 2, resume=True)
    with pytest.raises(ValueError, match=r"-0-of-2.h5 is not the part of .*s.h5"):
        shared.publish()
    assert not path.exists()


def test_a_stopped_part_goes_on(tmp_path):
    path = tmp_path / "s.h5"
    for index, stop in ((0, 5), (1, None), (2, 27)):
        write_part(open_parts(path, 4), index, stop)
    with pytest.raises(FileExistsError, match=r"0-of-4.h5.partial holds 5 sentences"):
        write_part(open_parts(path, 4), 0)
    with pytest.raises(FileExistsError, match=r"1-of-4.h5 is complete: resume=True"):
        write_part(open_parts(path, 4), 1)
    held = open_parts(path, 4, resume=True)
    with held.writer(2, share(2, 4)) as writer:
        assert writer.num_sentences == 27 - share(2, 4).start
        writer.close()
    assert held.writer(1, share(1, 4)) is None
    write(path, 4, resume=True)
    check_corpus(path)
    assert len(names_in(parts_of(path))) == 4


@pytest.mark.parametrize("count", [1, 2, 7])
def test_another_number_of_processes_goes_on_with_the_parts(tmp_path, count):
    path = tmp_path / "s.h5"
    write_part(open_parts(path, 4), 0)
    write_part(open_parts(path, 4), 2, 25)
    for options in ({}, {"resume": True, "metadata": {}}):
        with pytest.raises((FileExistsError, ValueError), match=r"4 parts|model"):
            open_parts(path, count, **options)
    shared = open_parts(path, count, resume=True)
    assert shared.count == 4
    write(path, count, resume=True)
    check_corpus(path)


def test_several_go_on_with_the_file_of_one(tmp_path):
    path = tmp_path / "s.h5"
    write_part(open_parts(path, 1), 0, 10)
    with pytest.raises(FileExistsError, match="in 1 parts"):
        open_parts(path, 3)
    assert not parts_of(path).exists()
    assert open_parts(path, 3, resume=True).count == 1
    write(path, 3, resume=True)
    check_corpus(path)
    assert names_in(tmp_path) == ["s.h5"]


def test_who_has_nothing_to_do_takes_nothing_away(tmp_path):
    """The parts of a store are read while one process writes the file to replace it."""
    path = tmp_path / "s.h5"
    write(path, 2)
    write_part(open_parts(path, 1, overwrite=True), 0, 10)
    idle = open_parts(path, 3, resume=True, overwrite=True)
    assert idle.count == 1
    idle.publish()
    check_corpus(path)
    write_part(open_parts(path, 3, resume=True, overwrite=True), 0)
    idle.publish()
    check_corpus(path)
    assert names_in(tmp_path) == ["s.h5"]


def test_two_unfinished_runs_are_not_mixed(tmp_path):
    path = tmp_path / "s.h5"
    write_part(open_parts(path, 4), 0, 5)
    (partial,) = parts_of(path).glob("*.partial")
    shutil.copytree(partial, partial.with_name(partial.name.replace("of-4", "of-2")))
    with pytest.raises(ValueError, match=r"in 2 and 4 parts.*overwrite=True"):
        open_parts(path, 3, resume=True)
    write(path, 3, overwrite=True)
    check_corpus(path)
    assert len(names_in(parts_of(path))) == 3


def test_parts_that_lie_there_are_said_before_what_they_hold(tmp_path):
    """Of whatever settings they are: who does not resume chooses first."""
    path = tmp_path / "s.h5"
    write_part(open_parts(path, 4), 0, 5)
    elmo = METADATA | {"model": "elmo"}
    with pytest.raises(
        FileExistsError, match=r"in 4 parts: resume=True .* overwrite=True"
    ):
        open_parts(path, 2, metadata=elmo)
    with pytest.raises(
        ValueError, match=r"metadata\['model'\] = \"bert\", this .* \"elmo\""
    ):
        open_parts(path, 2, metadata=elmo, resume=True)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_places_are_counted_with_64_bits(tmp_path, count):
    """A store of some days has more than two thousand million rows."""
    write(tmp_path / "s.h5", count)
    for path in tmp_path.rglob("*.h5"):
        with h5py.File(path) as file:
            kinds = {name: file[name].dtype for name in file if "offsets" in name}
            assert set(kinds.values()) == {np.dtype("<i8")}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_store_is_read_until_another_replaces_it(tmp_path, count):
    path = tmp_path / "s.h5"
    write(path, 3)
    other = METADATA | {"model": "elmo"}
    shared = open_parts(path, count, overwrite=True, metadata=other)
    for index in range(count):
        with shared.writer(index, share(index, count)) as writer:
            for number in share(index, count):
                vectors, words = sentence(number)
                writer.append(-vectors, words)
            check_corpus(path)
    assert shared.publish() == []
    with VectorStore(path) as late:
        assert late.metadata == other
        np.testing.assert_array_equal(late[13], -sentence(13)[0])
    if count == 1:
        assert names_in(tmp_path) == ["s.h5"]
    else:
        assert len(names_in(parts_of(path))) == count


def test_a_reader_that_has_begun_outlives_the_parts(tmp_path):
    path = tmp_path / "s.h5"
    write(path, 3)
    with VectorStore(path) as early:
        write(path, 2, overwrite=True, metadata=METADATA | {"model": "elmo"})
        assert len(names_in(parts_of(path))) == 2
        for index, rows in enumerate(early):
            np.testing.assert_array_equal(rows, sentence(index)[0])
            assert early.words(index) == sentence(index)[1]


def test_overwriting_spares_what_another_writes(tmp_path):
    path = tmp_path / "s.h5"
    write_part(open_parts(path, 2), 0)
    alive = open_parts(path, 2).writer(1, share(1, 2))
    assert alive is not None
    before = names_in(parts_of(path))
    for count, metadata in ((2, {}), (3, METADATA), (1, METADATA)):
        with pytest.raises(
            BlockingIOError,
            match=r"1-of-2.*written by process \d+ on",
        ):
            open_parts(path, count, overwrite=True, metadata=metadata)
    with pytest.raises(BlockingIOError, match=r"1-of-2.*written by process \d+ on"):
        write_part(open_parts(path, 2, overwrite=True), 1)
    assert names_in(parts_of(path)) == before
    with alive:
        for number in share(1, 2):
            alive.append(*sentence(number))
    assert open_parts(path, 2, resume=True).publish() == []
    check_corpus(path)


def test_tidying_up_spares_what_another_writes(tmp_path):
    path = tmp_path / "s.h5"
    shared = open_parts(path, 2)
    write_part(shared, 0)
    write_part(shared, 1)
    used = parts_of(path) / "00000000-0-of-9.h5.partial"
    (parts_of(path) / "00000000-1-of-9.h5").touch()
    with lock_folder(used):
        assert shared.publish() == []
        assert used.exists()
    assert len(names_in(parts_of(path))) == 3
    # What is left is removed by whoever comes next.
    assert open_parts(path, 2, resume=True).is_finished
    assert len(names_in(parts_of(path))) == 2


def test_a_full_disk_leaves_the_parts(tmp_path, monkeypatch):
    path = tmp_path / "s.h5"
    shared = open_parts(path, 2)
    write_part(shared, 0)
    write_part(shared, 1)

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            shared.publish()
    assert not path.exists()
    assert len(names_in(parts_of(path))) == 2
    assert shared.publish() == []
    check_corpus(path)


@pytest.mark.parametrize(
    "stride", [151, pytest.param(stride_of(37), marks=pytest.mark.slow)]
)
def test_killed_at_any_line(tmp_path, stride):
    """In a process of its own, which can fork: it has none of JAX's threads."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(tmp_path), str(stride)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 1500 // stride


def kill_at_lines(folder: Path, stride: int) -> int:
    """Kill one of two processes at every stride-th line, then all, then go on.

    Returns how many were killed.
    """
    path, number, kills = folder / "s.h5", 1, 0
    survived = False
    while not survived:
        write_part(open_parts(path, 2), 1, 31)
        survived = live_and_die(path, 0, number)
        # What goes on is killed too, somewhere else.
        live_and_die(path, 1, number * 7 % 400 + 1)
        for index in (1, 0):
            live_and_die(path, index, None)
        check_corpus(path)
        assert open_parts(path, 2, resume=True).is_finished
        assert len(names_in(parts_of(path))) == 2
        assert names_in(folder) == ["s.h5", "s.h5.parts"]
        shutil.rmtree(parts_of(path))
        path.unlink()
        number += stride
        kills += not survived
    return kills


def live_and_die(path: Path, index: int, line: int | None) -> bool:
    """Write the rest of a part in a child that may kill itself; tell if it lived."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if line is not None:
                die_at_line(line)
            shared = open_parts(path, 2, resume=True)
            if not shared.is_finished:
                write_part(shared, index)
                shared.publish()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.waitstatus_to_exitcode(status) == 0
    return not killed


def die_at_line(number: int) -> None:
    """Kill this process when it has begun that many lines of what writes a store."""
    count, code = 0, {Path(module.__file__).parent for module in (store, sync)}

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if Path(frame.f_code.co_filename).parent not in code:
            return None
        count += event == "line"
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


if __name__ == "__main__":
    sys.stdout.write(str(kill_at_lines(Path(sys.argv[1]), int(sys.argv[2]))))


def test_a_link_stays_one_and_the_parts_lie_where_it_points(tmp_path):
    disk, link = tmp_path / "disk", tmp_path / "s.h5"
    disk.mkdir()
    link.symlink_to(disk / "vectors.h5")
    write(link, 3)
    assert link.is_symlink()
    assert sorted(path.name for path in disk.iterdir()) == [
        "vectors.h5",
        "vectors.h5.parts",
    ]
    check_corpus(link)
    check_corpus(disk / "vectors.h5")
