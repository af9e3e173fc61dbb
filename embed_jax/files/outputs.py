# SPDX-License-Identifier: Apache-2.0
"""An output from its check to its last byte: what every command does with its own."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from embed_jax.files.claim import claim
from embed_jax.files.directory import check_output_directory
from embed_jax.files.kinds import DirectoryKind, FileKind
from embed_jax.files.output_file import check_output


@contextmanager
def output_file(
    path: Path | None,
    kind: FileKind,
    *,
    replace: bool,
    inputs: Iterable[Path | str | None] = (),
) -> Iterator[None]:
    """Check a file that a block will write, and claim it until the block ends.

    Args:
      path: of the file; None for a command that is asked for none.
      kind: of the file.
      replace: whether a file of the kind may be replaced.
      inputs: what the block reads.

    Raises:
      BlockingIOError: another process is writing it.
      ValueError: see `check_output`.
      OSError: see `check_output`.
    """
    if path is None:
        yield
        return
    inputs = tuple(inputs)
    check_output(path, replace=replace, kind=kind, inputs=inputs)
    with claim(path):
        # Who held the claim until now may have put it there.
        check_output(path, replace=replace, kind=kind, inputs=inputs)
        yield


@contextmanager
def output_directory(
    path: Path,
    kind: DirectoryKind,
    *,
    replace: bool,
    inputs: Iterable[Path | str | None] = (),
) -> Iterator[None]:
    """Check a directory that a block will write whole, and claim it until the end.

    Args:
      path: of the directory.
      kind: of the directory.
      replace: whether a directory of the kind may be replaced.
      inputs: what the block reads.

    Raises:
      BlockingIOError: another process is writing it.
      ValueError: see `check_output_directory`.
      OSError: see `check_output_directory`.
    """
    inputs = tuple(inputs)
    check_output_directory(path, kind, replace=replace, inputs=inputs)
    with claim(path):
        check_output_directory(path, kind, replace=replace, inputs=inputs)
        yield
