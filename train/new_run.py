# SPDX-License-Identifier: Apache-2.0
"""Commands that train on from what a run has learnt, for messages."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.called import called

# Another model does not take the weights.
_OF_MODEL = re.compile(r"(kind|type|model\..*|.*\.type)$")


def command_from(run: Path, changes: Mapping[str, Any]) -> str | None:
    """Return the command that begins a run from the latest weights of another one.

    Args:
      run: the directory of the other run, whose configuration the new one has.
      changes: fields that are to be otherwise, by their names with dots.

    Returns:
      A line for a shell; None if weights of the run do not fit what is asked for.

    Example:
      >>> command_from(Path("runs/a"), {"num_steps": 9, "optimizer.decays": False})
      'python -m train.pretrain --init-from runs/a --workdir runs/a-2 --num-steps 9 \
--optimizer.no-decays'
      >>> command_from(Path("runs/a-2"), {"model.num_blocks": 9}) is None
      True
    """
    if any(_OF_MODEL.match(name) for name in changes):
        return None
    words = ["--init-from", str(run), "--workdir", another_name(run)]
    for name, value in changes.items():
        if name != "init_from":
            words += _option(name, value)
    return f"{called('pretrain')} {shlex.join(words)}"


def command_on(run: Path, num_steps: int) -> str:
    """Return the command that lengthens a run itself."""
    words = ["--workdir", str(run), "--num-steps", str(num_steps)]
    return f"{called('pretrain')} {shlex.join(words)}"


def another_name(run: Path) -> str:
    """Return a name beside a run's that nothing has yet."""
    name = _next_name(str(run))
    while (run.parent / Path(name).name).exists():
        name = _next_name(name)
    return name


def _next_name(run: str) -> str:
    """Return another name, with the next number behind it."""
    named = re.fullmatch(r"(.+)-(\d+)", run)
    return f"{named[1]}-{int(named[2]) + 1}" if named else f"{run}-2"


def options_of(changes: Mapping[str, Any]) -> str:
    """Return options for a shell that change fields.

    Example:
      >>> options_of({"workdir": "runs/b", "optimizer.learning_rate": 1e-05})
      '--workdir runs/b --optimizer.learning-rate 1e-05'
    """
    words = [word for item in changes.items() for word in _option(*item)]
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        head, dot, last = option.rpartition(".")
        return [f"--{option}" if value else f"--{head}{dot}no-{last}"]
    values = value if isinstance(value, list) else [value]
    return [f"--{option}", *map(str, values)]
