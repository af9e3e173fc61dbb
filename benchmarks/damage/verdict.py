# SPDX-License-Identifier: Apache-2.0
"""What is made of a damaged artefact: right, refused clearly, or a fault."""

import dataclasses
from collections.abc import Sequence
from pathlib import PurePosixPath

from benchmarks.damage.changes import Damage

RIGHT, REFUSED, WARNED, VALUES = "right", "refused", "warned", "values"
"""The third: of another value, and a warning says so that a sound artefact does not
make. The last: other values of weights of the right names and shapes. Both are of files
of others alone, which have no checksum that could tell."""
FAULTS = ("silent", "obscure", "unnamed", "hanging", "died")
VERDICTS = (RIGHT, REFUSED, WARNED, VALUES, *FAULTS)

# Damage raises these; anything else is a fault of ours.
_CLEAR = ("ValueError", "OSError", "FileNotFoundError", "PermissionError")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What reading an artefact came to, in a process of its own.

    Attributes:
      value: a digest of all that was read; None where it raised.
      error: the type of what was raised, and "" where nothing was.
      message: of the error.
      warnings: what was logged as one, where nothing was raised.
      ended: "" for a process that lived on, else "hanging" or "died".
    """

    value: str | None = None
    error: str = ""
    message: str = ""
    warnings: Sequence[str] = ()
    ended: str = ""


def judge(damage: Damage, outcome: Outcome, pristine: Outcome, *, ours: bool) -> str:
    """Return one of `VERDICTS`.

    A refusal is clear if it is one line of an error of values or files that names the
    damaged file, or a folder of the artefact that holds it.

    Args:
      damage: what was done.
      outcome: what came of it.
      pristine: that of the sound artefact; the value of a model is digests of its
        structure and of its values, with a colon between them.
      ours: whether our own checksums are over the artefact.
    """
    if outcome.ended:
        return outcome.ended
    if outcome.value is not None:
        return _judge_value(damage, outcome, pristine, ours=ours)
    if outcome.error not in _CLEAR or "\n" in outcome.message.strip():
        return "obscure"
    return REFUSED if _names(outcome.message, damage.file) else "unnamed"


def _judge_value(
    damage: Damage, outcome: Outcome, pristine: Outcome, *, ours: bool
) -> str:
    assert outcome.value is not None
    assert pristine.value is not None
    if outcome.value == pristine.value:
        return RIGHT
    if ours:
        return "silent"
    if any(
        warning not in pristine.warnings and _names(warning, damage.file)
        for warning in outcome.warnings
    ):
        return WARNED
    structure, colon, _ = pristine.value.partition(":")
    same_structure = outcome.value.partition(":")[0] == structure
    return VALUES if colon and same_structure else "silent"


def _names(message: str, file: str) -> bool:
    path = PurePosixPath(file)
    inner = [folder.as_posix() for folder in path.parents if folder.name]
    return any(name in message for name in (path.name, *inner))
