# SPDX-License-Identifier: Apache-2.0
"""The command that embeds a text file into a file of contextual vectors.

python -m embed_jax MODEL corpus.txt vectors.h5 --layers "concat(last4)"
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import itertools
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from tyro.conf import arg

from embed_jax.checks import check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.corpus.progress import Progress
from embed_jax.corpus.reading import Reading
from embed_jax.corpus.text import Survey, read_sentences, survey, unchanged
from embed_jax.corpus.unread import UnreadWords
from embed_jax.corpus.words import text_of
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.encoder import Encoder, find_encoder
from embed_jax.exit_status import exit_status
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import check_output
from embed_jax.hosts.processes import Processes
from embed_jax.layers.layer_spec import parse_layer_spec
from embed_jax.layers.pooling import SENTENCE_POOLS, WORD_POOLS
from embed_jax.store import PartedStore, StoreWriter
from embed_jax.store.exchange import (
    check_exchange,
    is_exchanged,
    metadata_of,
    remove_store,
    store_for,
    write_exchange,
)
from embed_jax.store.journal import as_known_to, identity_of
from embed_jax.store.kind import STORE

DTYPE = Literal["float32", "float16", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Command:
    """Embed a text file, one sentence a line, into an HDF5 of vectors.

    The file appears when it is complete. The same command with --resume continues a run
    that was stopped or killed. Read the file with embed_jax.store.VectorStore, or
    search it with python -m embed_jax.nearest.

    On several hosts, start the same command on each: every process embeds a share of
    the sentences into a file of its own, in OUTPUT.parts, and the last to finish
    combines them into OUTPUT. The hosts must share a file system; no process waits for
    another.
    """

    model: Annotated[str, tyro.conf.Positional, arg(metavar="MODEL")]
    """Directory of a model, or an id on the Hugging Face hub."""
    corpus: Annotated[Path, tyro.conf.Positional, arg(metavar="CORPUS")]
    """UTF-8 text, one sentence a line, CoNLL, or records (.jsonl, .parquet); .gz and
    .zst are decompressed. Blank lines are kept."""
    output: Annotated[Path, tyro.conf.Positional, arg(metavar="OUTPUT")]
    """The file to write: .h5, a store for embed_jax; .parquet, a row a word or a
    sentence; .npy, an array. .parquet needs pyarrow."""
    layers: str = "last"
    """Layers and how they are combined: last, concat(last4), mean(all), 0, -2, …"""
    words: str | None = None
    """A vector for each word, pooled from its pieces: first (the default), last, mean,
    max, first_last."""
    sentences: str | None = None
    """A vector for each sentence instead: cls, mean, max, mean_sqrt_len."""
    dtype: DTYPE = "float32"
    """Dtype of the stored vectors."""
    reading: Annotated[Reading, arg(name="")] = dataclasses.field(
        default_factory=Reading
    )
    processes: Annotated[Processes, arg(name="")] = dataclasses.field(
        default_factory=Processes
    )
    compression: Literal["gzip", "lzf", "none"] = "gzip"
    """Compression of the vectors of an HDF5 file."""
    resume: bool = False
    """Continue an earlier run of the same command."""
    overwrite: bool = False
    """Replace an existing output, if it is a store of vectors."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)

    @property
    def level(self) -> Literal["words", "sentences"]:
        """Whether each word or each sentence gets a vector."""
        return "sentences" if self.sentences else "words"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command: Command | None = None

    def action() -> None:
        nonlocal command
        command = parse_command(Command, arguments, prog="python -m embed_jax")
        keep_compilations()
        embed_corpus(command)

    def if_stopped() -> str:
        if command is None:
            return "nothing was begun"
        return f"what is done is kept beside {command.output}, add --resume to go on"

    return exit_status(lambda: _speaker(command), action, if_stopped)


def _speaker(command: Command | None) -> str:
    """Return the prefix of error lines; names the process where there are several."""
    if command is None:
        return "embed_jax"
    with suppress(ValueError):
        place = command.processes.place()
        if place.num_processes > 1:
            return f"embed_jax, process {place.process_id} of {place.num_processes}"
    return "embed_jax"


def embed_corpus(command: Command) -> None:
    """Embed `command.corpus` into `command.output`, or this process's share of it.

    Raises:
      ValueError: anything about the arguments, the model or the corpus; the cheap
        checks come first.
      OSError: a file cannot be read or written, or exists already.
    """
    command = with_local_paths(command)
    place = command.processes.place()
    pool = _check(command)
    encoder = find_encoder(command.model)
    text = survey(command.corpus, encoder.own_tokens, command.reading)
    params, tokenizer = encoder.load(command.model)
    width = encoder.vector_width(params, command.layers, pool)
    # A run is resumed only where all of it is the same.
    metadata = command.reading.describe(
        command.model,
        params,
        tokenizer,
        command.layers,
        level=command.level,
        pool=pool,
        corpus=command.corpus,
        text=text,
    )
    exchanged = is_exchanged(command.output)
    if exchanged and command.resume and _is_complete(command.output, metadata):
        print(f"{command.output} is complete already")
        return
    compression = None if command.compression == "none" else command.compression
    store = PartedStore(
        store_for(command.output),
        count=place.num_processes,
        dim=width,
        dtype=command.dtype,
        metadata=metadata,
        resume=command.resume,
        overwrite=command.overwrite,
        # What is read once and removed is not worth it.
        compression=None if exchanged else compression,
    )
    if store.is_finished:
        if exchanged:
            _exchange(store.path, command.output, width)
        else:
            print(f"{command.output} is complete already")
        return
    for remark in [] if place.process_id else text.remarks:
        print(f"{command.corpus}: {remark}")
    # A run that is resumed keeps its shares, whatever the number of processes now.
    for index in range(place.process_id, store.count, place.num_processes):
        lines = text.marks.share(index, store.count)
        name = store.name_of(index)
        writer = store.writer(index, lines)
        if writer is None:
            print(f"{name} is complete already")
            continue
        with writer:
            with unchanged(command.corpus, text, command.reading):
                unread = _fill(
                    writer, command, pool, name, lines, encoder, params, tokenizer
                )
            # Compressing some gigabytes takes minutes; silence would look like a hang.
            print(f"{name}: building the file", file=sys.stderr)
        print(f"{name}: {len(lines):,} sentences, {width} wide")
        if unread.count:
            first = f"the first is {unread.first:.120}"
            print(f"{name}: {unread.count:,} words have zero vectors; {first}")
    _publish(store, text)
    if exchanged:
        _exchange(store.path, command.output, width)


def _is_complete(output: Path, metadata: dict[str, Any]) -> bool:
    """Return whether another program's file is there, of the same vectors."""
    held = metadata_of(output)
    if held is None:
        return False
    before, now = identity_of(held), identity_of(as_known_to(held, metadata))
    differing = sorted(
        name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
    )
    if differing:
        raise ValueError(
            f"{output} is complete, and of another run ({', '.join(differing)}); "
            "--overwrite without --resume replaces it"
        )
    return True


def _exchange(store: Path, output: Path, width: int) -> None:
    """Write another program's file of a finished store, which goes then."""
    print(f"{output}: building the file", file=sys.stderr)
    num_rows = write_exchange(store, output)
    remove_store(store)
    print(f"{output}: {num_rows:,} rows, {width} wide")


def _check(command: Command) -> str:
    """Check the arguments before any file is read; return the pool."""
    parse_layer_spec(command.layers)
    if command.words and command.sentences:
        raise ValueError("--words or --sentences, not both")
    if command.sentences:
        _check_choice("--sentences", command.sentences, SENTENCE_POOLS)
    elif command.words:
        _check_choice("--words", command.words, WORD_POOLS)
    command.reading.check()
    replace = command.overwrite or command.resume
    inputs = (command.model, command.corpus)
    if is_exchanged(command.output):
        check_output(command.output, replace=replace, inputs=inputs)
        check_exchange(command.output, command.dtype, replace=replace)
        if command.processes.place().num_processes > 1:
            raise ValueError(
                f"{command.output}: several processes write .h5; let one write "
                f"{command.output.suffix}"
            )
    check_output(
        store_for(command.output),
        replace=replace,
        # What is resumed is read, and compared.
        kind=STORE if command.overwrite else None,
        inputs=inputs,
    )
    return command.sentences or command.words or "first"


def _fill(
    writer: StoreWriter,
    command: Command,
    pool: str,
    name: str,
    lines: range,
    encoder: Encoder,
    params: Any,
    tokenizer: Any,
) -> UnreadWords:
    """Append the lines of a share that are missing; return the unread words."""
    begin = lines.start + writer.num_sentences
    # A sentence shows at most so many pieces of those before it and after it, and each
    # of these has one at least: so far reading must go for the same rows to come out.
    shows_context = command.reading.context != 0
    reach = tokenizer.max_length if shows_context else 0
    first, stop = max(begin - reach, 0), lines.stop + reach
    unread = UnreadWords()
    with Progress(Path(name).name, len(lines), writer.num_sentences) as progress:
        vectors = command.reading.stream(
            encoder,
            params,
            tokenizer,
            command.corpus,
            command.layers,
            level=command.level,
            pool=pool,
            first=first,
            stop=stop,
            out_dtype=command.dtype,
            on_batch=progress.computed,
        )
        texts = read_sentences(command.corpus, command.reading)
        texts = itertools.islice(texts, first, stop)
        both = zip(vectors, texts, strict=True)
        mine = itertools.islice(both, begin - first, lines.stop - first)
        indices = range(begin, lines.stop)
        for index, (embedded, text) in zip(indices, mine, strict=True):
            unread.note(index + 1, embedded)
            words = [text_of(text)] if command.sentences else embedded.words
            writer.append(np.asarray(embedded.vectors), words)
            progress.written(len(embedded.words))
    return unread


def _publish(store: PartedStore, text: Survey) -> None:
    """Combine the parts into one store, or report which are still missing."""
    if missing := store.publish():
        parts = ", ".join(map(store.label, missing[:8]))
        print(
            f"{store.path} waits for {len(missing)} of {store.count} parts: {parts}"
            + (", …" if len(missing) > 8 else "")
        )
    elif store.count > 1:
        print(f"{store.path}: {text.num_lines:,} sentences in {store.count} parts")


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{option} {value}: one of {', '.join(choices)}")


if __name__ == "__main__":
    sys.exit(main())
