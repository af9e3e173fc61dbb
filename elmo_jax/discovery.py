# SPDX-License-Identifier: Apache-2.0
"""Finding the files of a model in its directory.

Published files have long names with a common prefix, NLPL's and ours short ones; a
training run of bilm-tf has a checkpoint instead of the weights.
"""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

from elmo_jax.hdf5 import SUFFIXES
from elmo_jax.tensorflow import find_checkpoints
from embed_jax.files.json_file import parse_json
from embed_jax.files.local_path import local_path
from embed_jax.files.tensorflow_checkpoint import is_tensorflow_checkpoint

OPTIONS, START = "options.json", "start.hdf5"

HUB_FILES = ("*options.json", "*.hdf5", "*.h5", "*vocab*.txt*")

AnyPath = str | os.PathLike[str]

_VOCABULARY = re.compile(r".*vocab.*\.txt(\.gz)?")


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """The files of one model.

    Attributes:
      options: its options.
      weights: an HDF5 file, or the prefix of a checkpoint.
      softmax: an HDF5 file; None if there is none, or the checkpoint holds it.
      embedding: an HDF5 file with the word table, if that is not among the weights.
      vocabulary: a text file, a word a line.
      softmax_vocabulary: that of the softmax, if `vocabulary` is of another table.
      start: an HDF5 file with the states before a sentence.
    """

    options: Path
    weights: Path
    softmax: Path | None
    embedding: Path | None
    vocabulary: Path | None
    start: Path | None
    softmax_vocabulary: Path | None = None

    @property
    def is_checkpoint(self) -> bool:
        """Whether the weights are a TensorFlow checkpoint."""
        return is_tensorflow_checkpoint(self.weights)


def find_files(
    path: Path,
    *,
    weights: AnyPath | None = None,
    softmax: AnyPath | None = None,
    embedding: AnyPath | None = None,
    vocabulary: AnyPath | None = None,
    wants_softmax: bool = True,
) -> ModelFiles:
    """Find the files of a model, except those that are given.

    Args:
      path: its directory, its options file, or the prefix of its checkpoint.
      weights: an HDF5 file, or a checkpoint's prefix.
      softmax: an HDF5 file.
      embedding: an HDF5 file.
      vocabulary: a text file, possibly compressed by gzip.
      wants_softmax: whether to look for a softmax.

    Raises:
      ValueError: a file is missing, or there are several candidates.
    """
    if path.is_dir():
        options = _only_options(path)
    elif _is_options_name(path):
        options = path
    else:
        weights = path if weights is None else weights
        options = _only_options(path.parent)
    weights, softmax, embedding, vocabulary = (
        None if file is None else local_path(file)
        for file in (weights, softmax, embedding, vocabulary)
    )
    for file in (softmax, embedding, vocabulary):
        if file is not None and not Path(file).is_file():
            raise ValueError(f"{file}: no such file")
    found_weights = (
        _find_weights(options, {softmax, embedding})
        if weights is None
        else _given_weights(Path(weights))
    )
    is_checkpoint = is_tensorflow_checkpoint(found_weights)
    if softmax is None and wants_softmax and not is_checkpoint:
        softmax = _only(options, _companions(options, _is_softmax), "softmax")
    # A vocabulary that is given with a table is of that table; and a softmax of another
    # directory came with its own.
    home = options if softmax is None else Path(softmax)
    is_foreign = home.resolve().parent != options.resolve().parent
    may_differ = is_foreign or (embedding is not None and vocabulary is not None)
    if vocabulary is None:
        vocabulary = _only(options, _vocabularies(options), "vocabulary")
    softmax_vocabulary = None
    if may_differ and vocabulary is not None:
        given = Path(vocabulary).resolve()
        beside = _vocabularies(options)
        if is_foreign:
            beside = [f for f in _files(home.parent) if _VOCABULARY.fullmatch(f.name)]
        others = [file for file in beside if file.resolve() != given]
        softmax_vocabulary = others[0] if len(others) == 1 else None
    start = found_weights.with_name(_prefix(options) + START)
    return ModelFiles(
        options=options,
        weights=found_weights,
        softmax=None if softmax is None else Path(softmax),
        embedding=None if embedding is None else Path(embedding),
        vocabulary=None if vocabulary is None else Path(vocabulary),
        start=None if is_checkpoint or not start.is_file() else start,
        softmax_vocabulary=softmax_vocabulary,
    )


def _vocabularies(options: Path) -> list[Path]:
    return _companions(options, lambda name: bool(_VOCABULARY.fullmatch(name)))


def is_local(path: Path) -> bool:
    """Return whether a path is a directory, an options file or a checkpoint."""
    if path.is_dir() or is_tensorflow_checkpoint(path):
        return True
    return _is_options_name(path) and path.is_file()


def claims(path: Path) -> bool:
    """Return whether a local path is a biLM; reads its options but no weights.

    Raises:
      ValueError: a file named like options is none, or weights of an ELMo lie there
        without one; names it.
    """
    if is_tensorflow_checkpoint(path) and not path.is_dir():
        path = path.parent
    if path.is_dir():
        weights = [file for file in _files(path) if _is_weights(file.name)]
        if weights and not _options_files(path):
            raise ValueError(
                f"{path} has weights as those of an ELMo, {weights[0].name}, but no "
                f"{OPTIONS}, which is published beside them"
            )
        return any(map(claims, _options_files(path)))
    if not _is_options_name(path) or not path.is_file():
        return False
    try:
        content = parse_json(path.read_bytes(), str(path))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} is named like the options of an ELMo, but is damaged: {error}"
        ) from error
    if not isinstance(content, dict) or "lstm" not in content:
        raise ValueError(
            f"{path} is named like the options of an ELMo, but holds no lstm"
        )
    return True


def _only_options(directory: Path) -> Path:
    candidates = _options_files(directory)
    if len(candidates) > 1:
        raise ValueError(
            f"{directory} holds {_names(candidates)}; pass the path of one of them "
            "instead of their directory"
        )
    if not candidates:
        raise ValueError(
            f"{directory}: no {OPTIONS}; a model is that file, its weights in HDF5 or "
            "in a checkpoint of bilm-tf, and perhaps a vocabulary"
        )
    return candidates[0]


def _find_weights(options: Path, others: set[AnyPath | None]) -> Path:
    directory = options.parent
    taken = {Path(path).resolve() for path in others if path is not None}
    start = _prefix(options) + START
    candidates = [
        file
        for file in _companions(options, _is_weights)
        if file.name != start and file.resolve() not in taken
    ]
    found = _only(options, candidates + find_checkpoints(directory), "weights")
    if found is None:
        raise ValueError(
            f"{directory}: no weights that belong to {options.name}; they are a file "
            f"*{SUFFIXES[0]}, or a checkpoint of bilm-tf; pass weights= if they lie "
            "elsewhere"
        )
    return found


def _given_weights(path: Path) -> Path:
    if path.suffix == ".index":
        path = path.with_suffix("")
    is_checkpoint = is_tensorflow_checkpoint(path) and not path.is_dir()
    if not path.is_file() and not is_checkpoint:
        raise ValueError(f"{path}: no such file")
    return path


def _only(options: Path, candidates: list[Path], keyword: str) -> Path | None:
    """Return the only candidate, or None; raise if there are several."""
    if len(candidates) > 1:
        raise ValueError(
            f"{options.parent} holds {_names(candidates)}; choose with {keyword}="
        )
    return candidates[0] if candidates else None


def _companions(options: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    """Return the files beside the options that may belong to the same model.

    With several models in a directory, a file belongs to the model whose prefix its
    name has, the longest if there are several. Files without any prefix belong to all
    models that have no such file.
    """
    wanted = [file for file in _files(options.parent) if is_wanted(file.name)]
    prefixes = {_prefix(other) for other in _options_files(options.parent)}
    if len(prefixes) == 1:
        return wanted

    def owner(file: Path) -> str | None:
        begun = (prefix for prefix in prefixes if file.name.startswith(prefix))
        return max(begun, key=len, default=None)

    own = [file for file in wanted if owner(file) == _prefix(options)]
    return own or [file for file in wanted if owner(file) is None]


def _options_files(directory: Path) -> list[Path]:
    return [file for file in _files(directory) if _is_options_name(file)]


def _is_options_name(path: Path) -> bool:
    return path.name.endswith(OPTIONS)


def _prefix(options: Path) -> str:
    return options.name.removesuffix(OPTIONS)


def _is_softmax(name: str) -> bool:
    return name.endswith(SUFFIXES) and "softmax" in name.lower()


def _is_weights(name: str) -> bool:
    return name.endswith(SUFFIXES) and not _is_softmax(name)


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    # Hidden ones are another program's, even if they are named like ours.
    return sorted(
        file
        for file in directory.iterdir()
        if file.is_file() and not file.name.startswith(".")
    )


def _names(files: list[Path]) -> str:
    return ", ".join(file.name for file in files)
