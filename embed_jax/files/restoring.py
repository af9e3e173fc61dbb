# SPDX-License-Identifier: Apache-2.0
"""What is wrong where a checkpoint cannot be read: damage is only one of the causes."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from embed_jax.messages import first_line

# What TensorStore, which reads arrays for Orbax, and XLA say in their messages.
_NO_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "bad_alloc")
_NO_PERMISSION = ("PERMISSION_DENIED", "Permission denied")
_DAMAGE = ("DATA_LOSS", "OUT_OF_RANGE", "CRC", "corrupt", "Error decoding", "truncated")

_Shape = tuple[int, ...]


def why_not_read(source: Path, error: BaseException, remedy: str) -> Exception:
    """Return the error to raise where a library could not read a checkpoint.

    Args:
      source: the checkpoint, or an item of it.
      error: what the library raised.
      remedy: what to do about a damaged one.

    Example:
      >>> print(why_not_read(Path("RUN/9"), MemoryError(), "remove it"))
      RUN/9: there is not enough memory to read it; free some, or read it on a machine \
that has more
    """
    messages = [f"{type(cause).__name__}: {cause}" for cause in _causes(error)]

    def says(texts: Iterable[str]) -> bool:
        return any(text in message for message in messages for text in texts)

    if says(("MemoryError", *_NO_MEMORY)):
        return OSError(
            f"{source}: there is not enough memory to read it; free some, or read it "
            "on a machine that has more"
        )
    if says(("PermissionError", *_NO_PERMISSION)):
        return OSError(
            f"{source}: this user may not read it; change the permissions of its files"
        )
    # Orbax goes on with the whole specification of an array.
    reason = first_line(error).partition(" See full TensorStore details")[0]
    if says(_DAMAGE):
        return ValueError(f"{source} is damaged: {reason}; {remedy}")
    return ValueError(f"{source} cannot be read: {reason}; if it is damaged, {remedy}")


def check_fits(
    named: Mapping[str, Any],
    wanted: Iterable[tuple[str, _Shape]],
    source: Path,
    settings: Path,
) -> None:
    """Hold the leaves of a checkpoint against those that a configuration makes.

    Args:
      named: what has a shape, by name.
      wanted: name and shape of each leaf. They are looked at one by one, so a
        configuration of a billion layers ends at the first that is missing.
      source: the item of the checkpoint.
      settings: the file of the configuration.

    Raises:
      ValueError: a leaf is missing, left over or of another shape; names both files.
    """
    left = dict(named)
    for name, shape in wanted:
        if name not in left:
            raise _unfit(source, settings, f"it lacks {name}")
        held = tuple(left.pop(name).shape)
        if held != tuple(shape):
            what = f"{name} has shape {list(held)}, not {list(shape)}"
            raise _unfit(source, settings, what)
    for name in left:
        raise _unfit(source, settings, f"{name} has no place there")


def _unfit(source: Path, settings: Path, what: str) -> ValueError:
    return ValueError(
        f"{source} does not fit {settings}: {what}; if that file was edited, put back "
        "what it held; otherwise one of them is of another run"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
