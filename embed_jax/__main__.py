# SPDX-License-Identifier: Apache-2.0
"""The command: a text file in, a file of contextual vectors out.

python -m embed_jax MODEL corpus.txt vectors.h5 --layers "concat(last4)"
"""

import dataclasses
import itertools
import os
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro
from tyro.conf import arg

from embed_jax.encoders import Encoder, find_encoder
from embed_jax.layer_spec import parse_layer_spec
from embed_jax.mesh import data_mesh
from embed_jax.pooling import SENTENCE_POOLS, WORD_POOLS
from embed_jax.progress import Progress
from embed_jax.store import StoreWriter
from embed_jax.text import Survey, read_lines, survey

DTYPE = Literal["float32", "float16", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Command:
    """Embed a text file, one sentence a line, into an HDF5 of vectors.

    The file appears when it is complete. A run that was stopped or killed goes on with
    the same command and --resume. Read it with embed_jax.store.VectorStore, or look
    into it with python -m embed_jax.nearest.
    """

    model: Annotated[str, tyro.conf.Positional, arg(metavar="MODEL")]
    """Directory of a model, or an id on the Hugging Face hub."""
    corpus: Annotated[Path, tyro.conf.Positional, arg(metavar="CORPUS")]
    """UTF-8 text, one sentence a line; .gz is decompressed. Blank lines are kept."""
    output: Annotated[Path, tyro.conf.Positional, arg(metavar="OUTPUT")]
    """The HDF5 file to write."""
    layers: str = "last"
    """Layers and how they are combined: last, concat(last4), mean(all), 0, -2, …"""
    words: str | None = None
    """A vector for each word, pooled from its pieces: first (the default), last, mean,
    max, first_last."""
    sentences: str | None = None
    """A vector for each sentence instead: cls, mean, max, mean_sqrt_len."""
    dtype: DTYPE = "float32"
    """Of the stored vectors."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; bfloat16 is less exact, and what accelerators are fast in."""
    split: bool = False
    """The words are already split, by spaces; they are kept as they are."""
    long: Literal["window", "truncate", "error"] = "window"
    """What is done with a sentence that is longer than the model reads."""
    context: str = "0"
    """Pieces of the neighbouring sentences that each sentence is shown, or "document".
    A blank line ends a document."""
    max_length: int | None = None
    """Longest row in tokens; by default all that the model has."""
    token_budget: int | None = None
    """Positions a batch; lower it when memory runs out."""
    compression: Literal["gzip", "lzf", "none"] = "gzip"
    """Of the stored vectors."""
    resume: bool = False
    """Go on where an earlier run of the same command stopped."""
    overwrite: bool = False
    """Replace an existing output."""
    devices: int | None = None
    """How many devices to use; by default all of them."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(Command, args=arguments, prog="python -m embed_jax")
    signal.signal(signal.SIGTERM, _interrupt)
    _keep_compilations()
    try:
        embed_corpus(command)
    except (ValueError, OSError) as error:
        print(f"embed_jax: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"embed_jax: stopped; what is done is kept beside {command.output}, "
            "add --resume to go on",
            file=sys.stderr,
        )
        return 130
    return 0


def embed_corpus(command: Command) -> None:
    """Embed `command.corpus` into `command.output`.

    Raises:
      ValueError: anything about the arguments, the model or the corpus; the cheap
        checks come first.
      OSError: a file cannot be read or written, or exists already.
    """
    pool = _check(command)
    text = survey(command.corpus)
    encoder = find_encoder(command.model)
    params, tokenizer = encoder.load(command.model)
    width = encoder.vector_width(params, command.layers, pool)
    writer = StoreWriter(
        command.output,
        dim=width,
        dtype=command.dtype,
        metadata=_metadata(command, pool, text, params),
        resume=command.resume,
        overwrite=command.overwrite,
        compression=None if command.compression == "none" else command.compression,
    )
    with writer:
        unread = _fill(writer, command, pool, text, encoder, params, tokenizer)
        # Compressing some gigabytes takes minutes; silence would look like a hang.
        print(f"{command.output}: building the file", file=sys.stderr)
    print(f"{command.output}: {text.num_lines:,} sentences, {width} wide")
    if unread:
        print(unread)


def _check(command: Command) -> str:
    """Refuse what can be refused without reading anything; return the pool."""
    parse_layer_spec(command.layers)
    if command.words and command.sentences:
        raise ValueError("--words or --sentences, not both")
    if command.sentences:
        _check_choice("--sentences", command.sentences, SENTENCE_POOLS)
    elif command.words:
        _check_choice("--words", command.words, WORD_POOLS)
    if command.context != "document" and not command.context.isdecimal():
        raise ValueError(f'--context {command.context}: a number, or "document"')
    if not command.output.absolute().parent.is_dir():
        raise ValueError(f"{command.output.parent}: no such directory")
    if command.output.exists() and not (command.overwrite or command.resume):
        raise FileExistsError(f"{command.output} exists; --overwrite replaces it")
    if command.devices is not None and not 1 <= command.devices <= jax.device_count():
        raise ValueError(f"--devices {command.devices}: here are {jax.device_count()}")
    return command.sentences or command.words or "first"


def _fill(
    writer: StoreWriter,
    command: Command,
    pool: str,
    text: Survey,
    encoder: Encoder,
    params: Any,
    tokenizer: Any,
) -> str:
    """Append what the store lacks; return a sentence about words without a vector."""
    devices = jax.devices()[: command.devices]
    context = command.context if command.context == "document" else int(command.context)
    done = writer.num_sentences
    # A sentence shows at most so many pieces of those before it, and each of these has
    # one at least: so far back must reading start for the same rows to come out.
    first = max(done - tokenizer.max_length, 0) if context else done
    stream = encoder.stream_sentences if command.sentences else encoder.stream_words
    num_unread, example = 0, ""
    with Progress(command.output.name, text.num_lines, done) as progress:
        vectors = stream(
            params,
            tokenizer,
            itertools.islice(_sentences(command), first, None),
            command.layers,
            pool=pool,
            long=command.long,
            context=context,
            max_length=command.max_length,
            token_budget=command.token_budget,
            dtype=command.compute,
            out_dtype=command.dtype,
            mesh=data_mesh(devices) if len(devices) > 1 else None,
            on_batch=progress.computed,
        )
        lines = itertools.islice(read_lines(command.corpus), first, None)
        both = zip(vectors, lines, strict=True)
        for index, (embedded, line) in enumerate(both, start=first):
            if index < done:
                continue
            if embedded.unread and not num_unread:
                word = embedded.words[embedded.unread[0]]
                example = f"line {index + 1}, word {embedded.unread[0] + 1}, {word!r}"
            num_unread += len(embedded.unread)
            texts = [line] if command.sentences else embedded.words
            writer.append(np.asarray(embedded.vectors), texts)
            progress.written(len(embedded.words))
    if not num_unread:
        return ""
    return f"{num_unread:,} words have zero vectors; the first is {example:.120}"


def _sentences(command: Command) -> Iterator[str | list[str]]:
    for line in read_lines(command.corpus):
        yield [word for word in line.split(" ") if word] if command.split else line


def _metadata(command: Command, pool: str, text: Survey, params: Any) -> dict[str, Any]:
    """Describe the vectors; a run is resumed only where all of it is the same."""
    return {
        "model": command.model,
        "weights": _checksum(params),
        "layers": str(parse_layer_spec(command.layers)),
        "level": "sentences" if command.sentences else "words",
        "pool": pool,
        "compute": command.compute,
        "split": command.split,
        "long": command.long,
        "context": command.context,
        "max_length": command.max_length,
        "corpus": command.corpus.name,
        "corpus_sha256": text.digest,
        "num_lines": text.num_lines,
    }


def _checksum(params: Any) -> str:
    checksum = 0
    for leaf in jax.tree.leaves(params):
        checksum = zlib.crc32(np.asarray(leaf).tobytes(), checksum)
    return f"{checksum:08x}"


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{option} {value}: one of {', '.join(choices)}")


def _keep_compilations() -> None:
    """Compile a shape once for this machine, not once a run."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(cache / "contextual-jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise KeyboardInterrupt


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
