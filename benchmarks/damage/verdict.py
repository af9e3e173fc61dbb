# SPDX-License-Identifier: Apache-2.0
"""What is made of a damaged artefact: right, refused clearly, or a fault."""

import dataclasses
from pathlib import PurePosixPath

from benchmarks.damage.changes import Damage

RIGHT, REFUSED, VALUES = "right", "refused", "values"
"""The last: other values of weights of the right names and shapes, in files of others,
which have no checksum that could tell."""
FAULTS = ("silent", "obscure", "unnamed", "hanging", "died")
VERDICTS = (RIGHT, REFUSED, VALUES, *FAULTS)

# Damage raises these; anything else is a fault of ours.
_CLEAR = ("ValueError", "OSError", "FileNotFoundError", "PermissionError")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What reading an artefact came to, in a process of its own.

    Attributes:
      value: a digest of all that was read; None where it raised.
      error: the type of what was raised, and "" where nothing was.
      message: of the error.
      ended: "" for a process that lived on, else "hanging" or "died".
    """

    value: str | None = None
    error: str = ""
    message: str = ""
    ended: str = ""


def judge(damage: Damage, outcome: Outcome, pristine: str, *, ours: bool) -> str:
    """Return one of `VERDICTS`.

    A refusal is clear if it is one line of an error of values or files that names the
    damaged file, or a folder of the artefact that holds it.

    Args:
      damage: what was done.
      outcome: what came of it.
      pristine: the value of the sound artefact; of a model, digests of its structure
        and of its values, with a colon between them.
      ours: whether our own checksums are over the artefact.
    """
    if outcome.ended:
        return outcome.ended
    if outcome.value is not None:
        if outcome.value == pristine:
            return RIGHT
        structure, colon, _ = pristine.partition(":")
        same_structure = outcome.value.partition(":")[0] == structure
        return VALUES if colon and same_structure and not ours else "silent"
    if outcome.error not in _CLEAR or "\n" in outcome.message.strip():
        return "obscure"
    return REFUSED if _names(outcome.message, damage.file) else "unnamed"


def _names(message: str, file: str) -> bool:
    path = PurePosixPath(file)
    inner = [folder.as_posix() for folder in path.parents if folder.name]
    return any(name in message for name in (path.name, *inner))
