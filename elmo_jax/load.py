# SPDX-License-Identifier: Apache-2.0
"""Loading of published ELMo models, and saving in bilm-tf's format."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from elmo_jax.config import ElmoConfig
from elmo_jax.discovery import (
    HUB_FILES,
    OPTIONS,
    ModelFiles,
    find_files,
    is_local,
)
from elmo_jax.hdf5 import open_hdf5, write_hdf5
from elmo_jax.options import (
    Options,
    format_options,
    has_tied_softmax,
    num_words_of,
    parse_options,
    read_options,
)
from elmo_jax.params import ElmoParams
from elmo_jax.run import load_run
from elmo_jax.start_file import read_start, write_start
from elmo_jax.tensorflow import open_checkpoint
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from elmo_jax.weights import (
    CHARACTER_TENSOR,
    EMBEDDING,
    SOFTMAX_BIAS,
    SOFTMAX_WEIGHTS,
    Stored,
    assemble,
    disassemble,
    find_stored,
)
from embed_jax.devices.precision import float_dtype
from embed_jax.files.bucket import local_copy, run_path
from embed_jax.files.checked_files import check_files, write_checksums
from embed_jax.files.claim import claim
from embed_jax.files.directory import written_whole
from embed_jax.files.finite import check_savable
from embed_jax.files.hub import fetch_snapshot
from embed_jax.files.json_file import json_text
from embed_jax.files.kinds import MARK, DirectoryKind, hdf5_with
from embed_jax.files.local_path import local_path
from embed_jax.files.run_directory import is_run, refuse_step

WEIGHTS, SOFTMAX, VOCABULARY = "weights.hdf5", "softmax_weights.hdf5", "vocab.txt"


def load(
    path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    softmax: str | os.PathLike[str] | None = None,
    embedding: str | os.PathLike[str] | None = None,
    vocabulary: str | os.PathLike[str] | None = None,
    encoder_only: bool = False,
    dtype: DTypeLike = jnp.float32,
    step: int | None = None,
) -> tuple[ElmoParams, ElmoTokenizer]:
    """Load a biLM with its tokeniser.

    Reads `*options.json` with weights in HDF5 as bilm-tf, AllenNLP and NLPL publish
    them, with or without a softmax file, of characters or of a word table; the
    directory in which bilm-tf trained, whose checkpoint holds the softmax; the
    directory of a training run (its latest weights, or those of a `step`); or a hub id.

    Args:
      path: a directory; the options file of one of several models in a directory; the
        prefix of one of several TensorFlow checkpoints; or an id on the Hugging Face
        hub.
      weights: an HDF5 file, or a checkpoint's prefix, instead of the one beside the
        options.
      softmax: an HDF5 file instead of the one with "softmax" in its name. From another
        directory, it is put in the order of these words by the vocabulary beside it.
      embedding: an HDF5 file with the vectors of words, such as bilm-tf dumps from the
        characters. It replaces the model's own input layer, whatever the options say;
        give the vocabulary that it was made for. A softmax that lies with the model is
        put in the order of that vocabulary, if it has the same words.
      vocabulary: a word a line, instead of `vocab*.txt` or `vocab*.txt.gz`.
      encoder_only: leaves out the softmax and, for a character model, the vocabulary
        unless it is given.
      dtype: of the parameters, such as "bfloat16", which take half the memory;
        float64 needs JAX's 64-bit mode. What is computed has a dtype of its own, that
        of `embed(…, dtype=…)`, and states are float32.
      step: of a training run's checkpoint; by default its latest.

    Returns:
      Parameters on JAX's default device, and the tokeniser.

    Raises:
      ValueError: a missing, unexpected, misshapen or damaged tensor or file, or several
        candidates for one; one line that names the file and the remedy. A step that
        the run did not save, with a list of those that it did.

    Example:
      >>> load("no/such/model/here")
      Traceback (most recent call last):
      ValueError: no/such/model/here: no such directory
    """
    dtype = float_dtype("load(): dtype", dtype)
    directory = run_path(path)
    if is_run(directory):
        return load_run(directory, encoder_only=encoder_only, step=step, dtype=dtype)
    refuse_step(directory, step)
    directory = local_copy(directory)
    if not is_local(directory):
        directory = fetch_snapshot(os.fspath(path), HUB_FILES)
    files = find_files(
        directory,
        weights=weights,
        softmax=softmax,
        embedding=embedding,
        vocabulary=vocabulary,
        wants_softmax=not encoder_only,
    )
    _check_files(files)
    options = _read_options(files)
    needs_vocabulary = "char_cnn" not in options or vocabulary is not None
    words = None
    if files.vocabulary and (needs_vocabulary or not encoder_only):
        words = _read_vocabulary(files.vocabulary, is_needed=needs_vocabulary)
    with contextlib.ExitStack() as stack:
        stored = (
            open_checkpoint(files.weights)
            if files.is_checkpoint
            else stack.enter_context(open_hdf5(files.weights))
        )
        encoder, softmax_tensors = _divide(stored)
        if files.embedding:
            given = stack.enter_context(open_hdf5(files.embedding))
            encoder = _with_embedding(encoder, given, files.embedding)
        if encoder_only:
            softmax_tensors = []
        elif files.softmax:
            softmax_tensors = stack.enter_context(open_hdf5(files.softmax))
        config = _parse_options(options, files, encoder)
        num_words = num_words_of(options, str(files.options))
        bias = find_stored(softmax_tensors, SOFTMAX_BIAS)
        if num_words is None and bias:
            num_words = max(bias.shape, default=0)
        order = None
        has_own_weights = find_stored(softmax_tensors, SOFTMAX_WEIGHTS) is not None
        if words and files.softmax_vocabulary and softmax_tensors:
            order = _order_of_softmax(words, files)
        if words and files.vocabulary:
            _check_vocabulary(words, files.vocabulary, [*encoder, *softmax_tensors])
        elif config.char_cnn is None:
            raise ValueError(
                f"{files.options.parent}: no vocab*.txt, but the model reads words by "
                "their ids; pass vocabulary= with the one it was made for"
            )
        start = read_start(files.start, config, files.options.name)
        params = assemble(
            encoder,
            softmax_tensors,
            config,
            num_words=num_words or 0,
            tied=has_tied_softmax(options) and not has_own_weights,
            sources=(str(files.weights), str(files.softmax or files.weights)),
            options=files.options.name,
            dtype=dtype,
        )
    params = params.replace(start=start)
    if order is not None and "softmax" in params.heads:
        # Weights that are the table itself have its order.
        own = ("bias", "weights") if has_own_weights else ("bias",)
        softmax_rows = {
            name: rows[order] if name in own else rows
            for name, rows in params.heads["softmax"].items()
        }
        params = params.replace(heads={**params.heads, "softmax": softmax_rows})
    return params, ElmoTokenizer(config, words)


_is_marked = hdf5_with(MARK)
MODEL = DirectoryKind(
    "a model of elmo_jax.save",
    OPTIONS,
    lambda path: _is_marked(path / WEIGHTS),
    # With the head of a fine-tuned model.
    ("*.hdf5", "*.json", "head.safetensors", "vocab.txt"),
)
"""What `save` writes; a published model has no mark, and is not replaced."""


def save(
    path: str | os.PathLike[str],
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    *,
    overwrite: bool = False,
) -> None:
    """Write a model as bilm-tf and AllenNLP read it: options.json and weights.hdf5.

    It also writes softmax_weights.hdf5 if there is a softmax (its bias alone where its
    weights are the word table), vocab.txt if the
    tokeniser has a vocabulary, and start.hdf5, which only this library reads, if the
    initial state is not zero. The directory is written beside `path` and renamed, so
    `path` is never incomplete. checksums.json has the checksums of all of them.

    Args:
      path: the directory to make.
      params: biLM and softmax.
      tokenizer: of the model.
      overwrite: whether a model that was saved here may be replaced, with its
        directory.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False, or it is no model that
        was saved here, or holds other files.
      BlockingIOError: another process is writing it.
      ValueError: parameters, configuration and tokeniser do not match, or a weight is
        not finite.
    """
    _check_tokenizer(params, tokenizer)
    encoder, softmax = disassemble(params)
    num_words = len(softmax[SOFTMAX_BIAS]) if softmax else None
    options = format_options(params.config, num_words, tied=params.has_tied_softmax)
    path = local_path(path)
    check_savable(encoder | (softmax or {}))
    with (
        claim(path),
        written_whole(path, marker=MODEL, overwrite=overwrite) as directory,
    ):
        text = json_text(options, indent=2) + "\n"
        (directory / OPTIONS).write_text(text, encoding="utf-8")
        write_hdf5(directory / WEIGHTS, encoder)
        if softmax:
            write_hdf5(directory / SOFTMAX, softmax)
        if tokenizer.vocabulary:
            write_vocabulary(directory / VOCABULARY, tokenizer.vocabulary)
        write_start(directory, params)
        write_checksums(directory)


def _check_files(files: ModelFiles) -> None:
    """Hold the files to be read against the checksums that `save` wrote."""
    given = (
        files.options,
        None if files.is_checkpoint else files.weights,
        files.softmax,
        files.embedding,
        files.vocabulary,
        files.start,
    )
    for file in given:
        if file is not None:
            check_files(file.parent, [file.name])


def _read_options(files: ModelFiles) -> Options:
    options = read_options(files.options)
    if files.embedding:
        # The table replaces the characters, and its words need not be the softmax's.
        options = {
            key: value
            for key, value in options.items()
            if key not in ("char_cnn", "n_tokens_vocab")
        }
    return options


def _read_vocabulary(path: Path, *, is_needed: bool) -> Vocabulary:
    try:
        return read_vocabulary(path)
    except ValueError as error:
        if is_needed:
            raise
        raise ValueError(
            f"{error}; elmo_jax.load(…, encoder_only=True) does without softmax and "
            "vocabulary"
        ) from error


def _parse_options(
    options: Options, files: ModelFiles, encoder: Sequence[Stored]
) -> ElmoConfig:
    source = str(files.options)
    table = find_stored(encoder, EMBEDDING)
    rows = table.shape[0] if table and table.shape else 0
    return parse_options(
        options,
        source,
        # Without a table its absence is reported, whatever its size would be.
        vocab_size=num_words_of(options, source) or rows or 1,
        bidirectional=not files.is_checkpoint,
    )


def _divide(stored: Sequence[Stored]) -> tuple[list[Stored], list[Stored]]:
    """Divide the tensors of one file into those of the biLM and of the softmax."""
    softmax = [tensor for tensor in stored if tensor.name.startswith("softmax/")]
    return [tensor for tensor in stored if tensor not in softmax], softmax


def _with_embedding(
    encoder: Sequence[Stored], given: Sequence[Stored], source: Path
) -> list[Stored]:
    """Replace the tensors of the input layer by a word table."""
    if find_stored(given, EMBEDDING) is None:
        raise ValueError(f"{source}: no tensor {EMBEDDING}; is it a table of words?")
    kept = [
        tensor
        for tensor in encoder
        if tensor.name != EMBEDDING and not CHARACTER_TENSOR.fullmatch(tensor.name)
    ]
    return [*kept, *given]


def _check_vocabulary(
    vocabulary: Vocabulary, path: Path, stored: Sequence[Stored]
) -> None:
    """Check that a vocabulary has the size of the word table and the softmax."""
    for tensor in stored:
        if tensor.name in (EMBEDDING, SOFTMAX_WEIGHTS, SOFTMAX_BIAS) and tensor.shape:
            if tensor.shape[0] == len(vocabulary):
                continue
            remedy = ""
            if tensor.name != EMBEDDING:
                remedy = "; elmo_jax.load(…, encoder_only=True) leaves the softmax out"
            raise ValueError(
                f"{path} has {len(vocabulary)} words, but {tensor.name} of "
                f"{tensor.source} has {tensor.shape[0]} rows, so they do not belong "
                f"together{remedy}"
            )


def _order_of_softmax(words: Vocabulary, files: ModelFiles) -> np.ndarray | None:
    """Return the softmax's row of each word of a vocabulary in another file.

    None if both have the same words in the same order.
    """
    assert files.softmax_vocabulary is not None, "the caller asked"
    theirs = read_vocabulary(files.softmax_vocabulary)
    if theirs.words == words.words:
        return None
    if theirs.ids.keys() != words.ids.keys():
        raise ValueError(
            f"{files.vocabulary} has other words than {files.softmax_vocabulary}, "
            "which the softmax predicts; encoder_only=True leaves the softmax out"
        )
    return np.array([theirs.ids[word] for word in words.words])


def _check_tokenizer(params: ElmoParams, tokenizer: ElmoTokenizer) -> None:
    ours, theirs = params.config, tokenizer.config
    if (ours.char_cnn, ours.vocab_size) != (theirs.char_cnn, theirs.vocab_size):
        raise ValueError(
            "the tokeniser is of a model that reads words in another way; pass the one "
            "that belongs to these parameters"
        )
    if tokenizer.vocabulary and "softmax" in params.heads:
        num_words = len(params.heads["softmax"]["bias"])
        if len(tokenizer.vocabulary) != num_words:
            raise ValueError(
                f"the tokeniser has {len(tokenizer.vocabulary)} words, the softmax "
                f"{num_words}; pass the one that belongs to these parameters"
            )
