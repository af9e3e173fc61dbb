# SPDX-License-Identifier: Apache-2.0
"""One vector for each distinct word: the mean and the sum over all its contexts.

    python -m embed_jax.word_types MODEL corpus.txt types.h5 --layers "mean(all)"
    python -m embed_jax.word_types vectors.h5 types.h5

The second form reads what `python -m embed_jax` wrote, which can be stopped and
resumed. The HDF5 file has

    words   [types]     UTF-8 strings, the most frequent first
    counts  [types]     int64: the number of contexts of each
    mean    [types, D]  float32
    sum     [types, D]  float32

and the attributes `format`, `kind`, `num_unread`, `num_rare` and `metadata`, the JSON
object of a vector store.
"""

import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import tyro
from jaxtyping import Float, Int64
from tyro.conf import arg

from embed_jax.checks import at_least, check_at_least, check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.corpus.progress import Progress
from embed_jax.corpus.reading import Reading
from embed_jax.corpus.stream import Embedded
from embed_jax.corpus.text import survey, unchanged
from embed_jax.corpus.unread import UnreadWords
from embed_jax.corpus.words import same_form
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.encoder import find_encoder
from embed_jax.exit_status import exit_status
from embed_jax.explore.word2vec import WORD2VEC, write_word2vec
from embed_jax.files.hdf5 import open_hdf5, reading_hdf5
from embed_jax.files.json_file import json_text, parse_object
from embed_jax.files.kinds import FileKind, hdf5_with, text_with
from embed_jax.files.local_path import local_path, with_local_paths
from embed_jax.files.output_file import open_output
from embed_jax.files.outputs import output_file
from embed_jax.files.sealed_hdf5 import USER_BLOCK, check_sealed, seal_file
from embed_jax.files.separated import write_csv
from embed_jax.layers.layer_spec import parse_layer_spec
from embed_jax.layers.pooling import WORD_POOLS
from embed_jax.store import VectorStore
from embed_jax.suggest import suggest

_FORMAT = 1
_KIND = "word types"
WORD_TYPES = FileKind("a file of word types", hdf5_with("format", "kind", _KIND))
"""Has the attributes that `write_word_types` writes first."""

# Sentences whose words are read at once, and types that are averaged at once.
_BLOCK = 512
# Types that there is room for at first.
_ROOM = 1024


@dataclasses.dataclass(frozen=True, eq=False)
class WordTypes:
    """The distinct words of a corpus, the most frequent first, then by appearance.

    Attributes:
      words: the types.
      counts: number of contexts of each.
      mean: of the vectors of these contexts, float32.
      sum: of the vectors, the mean times the count, float32.
      metadata: that of the vector store, and the settings of the collection.
      num_unread: words that the model did not read; they are not counted.
      num_rare: types that were left out as too rare.
    """

    words: list[str]
    counts: Int64[np.ndarray, " U"]
    mean: Float[np.ndarray, "U D"]
    sum: Float[np.ndarray, "U D"]
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    num_unread: int = 0
    num_rare: int = 0

    def find(self, word: str) -> list[int]:
        """Return the rows of a word: two where a text has its accents in two codings.

        Example:
          >>> none = np.zeros((2, 0), np.float32)
          >>> types = WordTypes(["caf\u00e9", "cafe"], np.ones(2, np.int64), none, none)
          >>> types.find("cafe\u0301"), types.find("Cafe")
          ([0], [])
        """
        wanted = same_form(word, ignore_case=False)
        return [
            row
            for row, other in enumerate(self.words)
            if same_form(other, ignore_case=False) == wanted
        ]


def collect_word_types(
    stream: Iterable[Embedded],
    *,
    min_count: int = 1,
    lowercase: bool = False,
    dim: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> WordTypes:
    """Average the vectors of each distinct word.

    Sums are kept in float64, eight bytes a type and channel: memory grows with the
    number of types, not with the corpus, and a million contexts lose no digit of
    float32.

    Args:
      stream: of embedded words, from `stream_words` of an encoder or `stream_store`.
        Its `unread` words are skipped.
      min_count: types with fewer contexts are left out.
      lowercase: merge words that differ only in case into one type. The input of the
        model does not change.
      dim: width of the vectors, for a stream that may be empty.
      metadata: a description of the vectors; must be serialisable as JSON.

    Returns:
      The types.

    Raises:
      ValueError: a `min_count` below 1, a sentence without one vector a word, or
        vectors of different widths.
      TypeError: the metadata cannot be serialised as JSON.

    Example:
      >>> vectors = np.array([[1, 0], [5, 5], [3, 2]], np.float32)
      >>> types = collect_word_types([Embedded(["bank", "the", "bank"], vectors, ())])
      >>> types.words, types.counts.tolist(), types.mean.tolist()
      (['bank', 'the'], [2, 1], [[2.0, 1.0], [5.0, 5.0]])
    """
    at_least("min_count", min_count, 1)
    described = {"min_count": min_count, "lowercase": lowercase}
    described = json.loads(json_text(dict(metadata or {}) | described))
    totals = _Totals(dim)
    num_unread = 0
    for number, (words, vectors, unread) in enumerate(stream, start=1):
        _check_sentence(number, words, vectors)
        num_unread += len(unread)
        skipped = set(unread)
        read = [index for index in range(len(words)) if index not in skipped]
        texts = [words[index].lower() if lowercase else words[index] for index in read]
        totals.add(number, texts, vectors if not skipped else vectors[read])
    return totals.average(min_count, described, num_unread)


class _Totals:
    """Sums and counts of the types so far, in order of appearance."""

    def __init__(self, dim: int | None):
        self._dim = dim
        self._rows: dict[str, int] = {}
        self._counts = np.zeros(0, np.int64)
        self._sums = np.zeros((0, 0), np.float64)

    def add(self, number: int, words: list[str], vectors: np.ndarray) -> None:
        """Count the words of sentence `number`."""
        if self._dim is None:
            self._dim = vectors.shape[1]
        if vectors.shape[1] != self._dim:
            raise ValueError(
                f"sentence {number} has vectors of width {vectors.shape[1]}, not "
                f"{self._dim} as those before; all must be of one model and layer_spec"
            )
        rows = [self._rows.setdefault(word, len(self._rows)) for word in words]
        self._make_room()
        # A word may come twice, which rules out one assignment of all rows.
        for row, vector in zip(rows, vectors.astype(np.float64), strict=True):
            self._sums[row] += vector
            self._counts[row] += 1

    def average(
        self, min_count: int, metadata: dict[str, Any], num_unread: int
    ) -> WordTypes:
        counts = self._counts[: len(self._rows)]
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= min_count]
        words = list(self._rows)
        sums = np.zeros((len(order), self._dim or 0), np.float32)
        means = np.zeros_like(sums)
        for start in range(0, len(order), _BLOCK):
            rows = order[start : start + _BLOCK]
            total = self._sums[rows]
            sums[start : start + _BLOCK] = total
            means[start : start + _BLOCK] = total / counts[rows, None]
        return WordTypes(
            words=[words[row] for row in order],
            counts=counts[order],
            mean=means,
            sum=sums,
            metadata=metadata,
            num_unread=num_unread,
            num_rare=len(words) - len(order),
        )

    def _make_room(self) -> None:
        """Lengthen the arrays, in place where the system can, without a second copy."""
        room = len(self._counts)
        if len(self._rows) > room:
            room = max(_ROOM, len(self._rows), room + room // 4)
            self._counts.resize(room, refcheck=False)
            # Rows go on where they end only if the width stays what it was.
            self._sums.resize((room, self._dim or 0), refcheck=False)


def _check_sentence(number: int, words: list[str], vectors: np.ndarray) -> None:
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise ValueError(
            f"sentence {number} has {len(words)} words and vectors of shape "
            f"{list(vectors.shape)}; types need one vector a word, not a sentence"
        )


def stream_store(store: VectorStore) -> Iterator[Embedded]:
    """Read a store of word vectors as a stream, like that of `stream_words`.

    Words with a zero vector count as unread: a store does not list the unread words,
    but only their vectors are zero.

    Args:
      store: of word vectors; must stay open until the stream ends.

    Returns:
      Its sentences in order, in bounded memory.

    Raises:
      ValueError: the store has sentence vectors.
    """
    if store.metadata.get("level") == "sentences":
        raise ValueError(
            f"{store.path} holds vectors of sentences, not of words; write one with "
            "python -m embed_jax and --words"
        )
    return _read_sentences(store)


def _read_sentences(store: VectorStore) -> Iterator[Embedded]:
    blocks = (slice(i, i + _BLOCK) for i in range(0, len(store), _BLOCK))
    words = itertools.chain.from_iterable(map(store.words, blocks))
    for texts, vectors in zip(words, store, strict=True):
        unread = np.flatnonzero(~(vectors != 0).any(axis=1))
        yield Embedded(texts, vectors, tuple(unread.tolist()))


def write_word_types(
    path: str | os.PathLike[str], types: WordTypes, *, overwrite: bool = False
) -> int:
    """Write types to an HDF5 file, which appears when it is complete.

    Types that HDF5 strings cannot hold are left out: those with a NUL, and those with a
    lone surrogate, which is not UTF-8.

    Args:
      path: the file.
      types: what `collect_word_types` gave.
      overwrite: replace a file of word types.

    Returns:
      The number of types that were left out.

    Raises:
      ValueError: the directory is missing.
      FileExistsError: `path` is there and may not be replaced, or is of another kind.
      OSError: the disk is full or fails; what was at `path` is untouched.
    """
    path = local_path(path)
    kept = [row for row, word in enumerate(types.words) if _is_storable(word)]
    rows = slice(None) if len(kept) == len(types.words) else np.array(kept, np.int64)
    # Through Python's file, for its errors: HDF5 cannot close a file on a full disk.
    with (
        output_file(path, WORD_TYPES, replace=overwrite),
        open_output(path, replace=overwrite) as raw,
    ):
        with h5py.File(raw, "w", userblock_size=USER_BLOCK) as file:
            file.attrs["format"] = _FORMAT
            file.attrs["kind"] = _KIND
            file.attrs["metadata"] = json_text(types.metadata)
            file.attrs["num_unread"] = types.num_unread
            file.attrs["num_rare"] = types.num_rare
            words = [types.words[row] for row in kept]
            file.create_dataset("words", data=words, dtype=h5py.string_dtype("utf-8"))
            file["counts"] = types.counts[rows]
            file["mean"] = types.mean[rows]
            file["sum"] = types.sum[rows]
        seal_file(raw)
    return len(types.words) - len(kept)


def _is_storable(word: str) -> bool:
    return not any(
        character == "\0" or "\ud800" <= character <= "\udfff" for character in word
    )


def read_word_types(path: str | os.PathLike[str]) -> WordTypes:
    """Read a file of `write_word_types` into memory.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is truncated, holds no word types, or has another format
        version.
    """
    path = local_path(path)
    if path.is_file():
        check_sealed(path)
    with open_hdf5(path, texts=["words"]) as file:
        _check_header(path, file)
        with reading_hdf5(path):
            return _parse(file)


def _check_header(path: Path, file: h5py.File) -> None:
    with reading_hdf5(path):
        kind, version = file.attrs.get("kind"), file.attrs.get("format")
    if kind != _KIND:
        raise ValueError(
            f"{path} is an HDF5 file but has no word types; make one from a corpus or "
            "from a vector store with python -m embed_jax.word_types"
        )
    if version != _FORMAT:
        raise ValueError(
            f"{path} has format {version}, this version reads {_FORMAT}: read it with "
            "the version that wrote it, or write it again"
        )


def _parse(file: h5py.File) -> WordTypes:
    # h5py gives its contents no type.
    arrays: Any = file
    attributes: Any = file.attrs
    words = arrays["words"].asstr()[:].tolist()
    shape = (len(words), *arrays["mean"].shape[1:2])
    for name, num_axes, dtype in (
        ("counts", 1, np.int64),
        ("mean", 2, np.float32),
        ("sum", 2, np.float32),
    ):
        array = arrays[name]
        fits = array.ndim == num_axes and array.shape == shape[:num_axes]
        if not fits or array.dtype != dtype:
            raise ValueError(f"{name} is {array.dtype}{list(array.shape)}")
    return WordTypes(
        words=words,
        counts=arrays["counts"][:],
        mean=arrays["mean"][:],
        sum=arrays["sum"][:],
        metadata=parse_object(attributes["metadata"], "its metadata"),
        num_unread=int(attributes["num_unread"]),
        num_rare=int(attributes["num_rare"]),
    )


def write_table(
    path: Path, types: WordTypes, vectors: Float[np.ndarray, "U D"]
) -> None:
    """Write a line a type between commas: the word, its count, and its vector.

    Args:
      path: the file; it appears when it is complete.
      types: in the order to write.
      vectors: of the types, with the nine digits that float32 needs.

    Raises:
      OSError: the disk is full or fails.
    """
    names = [*_TABLE_COLUMNS, *(f"v{index}" for index in range(vectors.shape[1]))]
    rows = zip(types.words, types.counts.tolist(), vectors, strict=True)
    # A word of a file of columns may hold what no line of a table can.
    write_csv(
        path,
        names,
        (
            [" ".join(word.split("\n")), count, *map("{:.9g}".format, vector.tolist())]
            for word, count, vector in rows
        ),
    )


_TABLE_COLUMNS = ("word", "count")
_TABLE = FileKind("a table of word types", text_with(",".join([*_TABLE_COLUMNS, ""])))


@dataclasses.dataclass(frozen=True)
class Command:
    """Write one vector for each distinct word: its mean and sum over all contexts.

    From a corpus: MODEL CORPUS OUTPUT. From vectors that python -m embed_jax has
    computed, which can be resumed: STORE OUTPUT. Read the output with
    embed_jax.word_types.read_word_types.
    """

    paths: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        arg(metavar="MODEL CORPUS OUTPUT | STORE OUTPUT"),
    ]
    """Directory of a model or a hub id; UTF-8 text with one sentence a line, CoNLL, or
    records (.jsonl, .parquet), of which .gz and .zst are decompressed; and the HDF5
    file to write. Or a vector store and the file."""
    layers: str | None = None
    """Layers and how they are combined: last (the default), concat(last4), 0, …"""
    words: str | None = None
    """Pooling of pieces into words: first (the default), last, mean, max,
    first_last."""
    word2vec: Path | None = None
    """A text file to write too, in word2vec format, which gensim and others read."""
    csv: Path | None = None
    """A table to write too, between commas: word, count, and the numbers of the
    vector."""
    sum: bool = False
    """Write sums into the text file and the table instead of means."""
    min_count: int = 1
    """Leave out types with fewer contexts."""
    lowercase: bool = False
    """Merge words that differ only in case; the input of the model is unchanged."""
    reading: Annotated[Reading, arg(name="")] = dataclasses.field(
        default_factory=Reading
    )
    overwrite: bool = False
    """Replace existing outputs of this command."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "min_count")

    @property
    def output(self) -> Path:
        """The HDF5 file to write."""
        return local_path(self.paths[-1])

    @property
    def source(self) -> Path:
        """The corpus or the store."""
        return local_path(self.paths[-2])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = "python -m embed_jax.word_types"
        command = parse_command(Command, arguments, prog=prog)
        keep_compilations()
        run(command)

    return exit_status(
        "embed_jax.word_types",
        action,
        "nothing is kept; python -m embed_jax can go on after a stop, and its file "
        "stands for MODEL CORPUS here",
    )


def run(command: Command) -> None:
    """Collect and write the word types for `command`.

    Raises:
      ValueError: anything about the arguments, the model or the corpus; the cheap
        checks come first.
      OSError: a file cannot be read or written, or exists already.
    """
    command = with_local_paths(command)
    _check(command)
    inputs = command.paths[:-1]
    with (
        output_file(
            command.output, WORD_TYPES, replace=command.overwrite, inputs=inputs
        ),
        output_file(
            command.word2vec, WORD2VEC, replace=command.overwrite, inputs=inputs
        ),
        output_file(command.csv, _TABLE, replace=command.overwrite, inputs=inputs),
    ):
        _run(command)


def _run(command: Command) -> None:
    unread = UnreadWords()
    collect = _collect_from_corpus if len(command.paths) == 3 else _collect_from_store
    types = collect(command, unread)
    sys.stderr.write(f"{command.output}: writing the file\n")
    num_unstorable = write_word_types(
        command.output, types, overwrite=command.overwrite
    )
    sys.stdout.writelines(_report(command, types, unread, num_unstorable))
    vectors = types.sum if command.sum else types.mean
    if command.csv:
        write_table(command.csv, types, vectors)
        sys.stdout.write(f"{command.csv}: {len(types.words):,} types\n")
    if command.word2vec:
        num_unwritten = write_word2vec(
            command.word2vec, types.words, vectors, overwrite=command.overwrite
        )
        num_written = len(types.words) - num_unwritten
        sys.stdout.write(f"{command.word2vec}: {num_written:,} types\n")
        if num_unwritten:
            sys.stdout.write(
                f"{num_unwritten:,} types are left out there: empty, or with a space\n"
            )


def _report(
    command: Command, types: WordTypes, unread: UnreadWords, num_unstorable: int
) -> Iterator[str]:
    """Yield the lines of a report on what was written and what was left out."""
    num_contexts, width = int(types.counts.sum()), types.mean.shape[1]
    yield (
        f"{command.output}: {len(types.words) - num_unstorable:,} types of "
        f"{num_contexts:,} words, {width} wide\n"
    )
    if unread.count:
        first = f"the first is {unread.first:.120}"
        yield f"{unread.count:,} words have no vector and are left out; {first}\n"
    if types.num_rare:
        limit = f"fewer than {command.min_count} contexts"
        yield f"{types.num_rare:,} types are left out: {limit}\n"
    if num_unstorable:
        yield f"{num_unstorable:,} types are left out: a NUL is in them\n"


def _check(command: Command) -> None:
    """Check the arguments before any file is read."""
    if len(command.paths) not in (2, 3):
        raise ValueError(
            f"{len(command.paths)} paths; give MODEL CORPUS OUTPUT, or STORE OUTPUT"
        )
    parse_layer_spec(command.layers or "last")
    if command.words is not None and command.words not in WORD_POOLS:
        hint = suggest(command.words, WORD_POOLS, "pools")
        raise ValueError(f"--words {command.words}: {hint}")
    if command.min_count < 1:
        raise ValueError(f"--min-count {command.min_count}: 1 or more")
    if command.sum and not command.word2vec and not command.csv:
        raise ValueError(
            "--sum is about the text file and the table; add --word2vec FILE or --csv "
            "FILE"
        )
    command.reading.check()
    outputs = [command.output, *filter(None, [command.word2vec, command.csv])]
    paths = [path.absolute() for path in (*outputs, command.source)]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError("the outputs and what is read must be different files")


def _collect_from_corpus(command: Command, unread: UnreadWords) -> WordTypes:
    model, layers, pool = command.paths[0], command.layers or "last", command.words
    pool = pool or "first"
    encoder = find_encoder(model)
    text = survey(command.source, encoder.own_tokens, command.reading)
    for remark in text.remarks:
        sys.stdout.write(f"{command.source}: {remark}\n")
    params, tokenizer = encoder.load(model)
    dim = encoder.vector_width(params, layers, pool)
    metadata = command.reading.describe(
        model,
        params,
        tokenizer,
        layers,
        level="words",
        pool=pool,
        corpus=command.source,
        text=text,
    )
    with (
        unchanged(command.source, text, command.reading),
        Progress(command.output.name, text.num_lines, 0) as progress,
    ):
        stream = command.reading.stream(
            encoder,
            params,
            tokenizer,
            command.source,
            layers,
            level="words",
            pool=pool,
            on_batch=progress.computed,
        )
        return _collect(command, stream, unread, progress, dim, metadata)


def _collect_from_store(command: Command, unread: UnreadWords) -> WordTypes:
    options = ["--layers"] if command.layers else []
    options += ["--words"] if command.words else []
    options += [
        "--" + field.name.replace("_", "-")
        for field in dataclasses.fields(Reading)
        if getattr(command.reading, field.name) != field.default
    ]
    if options:
        raise ValueError(
            f"{', '.join(options)}: the vectors of {command.source} are computed "
            "already; give MODEL CORPUS OUTPUT to compute others"
        )
    with (
        VectorStore(command.source) as store,
        Progress(command.output.name, len(store), 0) as progress,
    ):
        stream = stream_store(store)
        return _collect(command, stream, unread, progress, store.dim, store.metadata)


def _collect(
    command: Command,
    stream: Iterator[Embedded],
    unread: UnreadWords,
    progress: Progress,
    dim: int,
    metadata: dict[str, Any],
) -> WordTypes:
    def watched() -> Iterator[Embedded]:
        for line, embedded in enumerate(stream, start=1):
            yield embedded
            unread.note(line, embedded)
            progress.written(len(embedded.words))

    return collect_word_types(
        watched(),
        min_count=command.min_count,
        lowercase=command.lowercase,
        dim=dim,
        metadata=metadata,
    )
