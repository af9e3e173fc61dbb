# SPDX-License-Identifier: Apache-2.0
"""Reading of a command line."""

import contextlib
import sys
from typing import Any, TypeVar

import tyro

CommandT = TypeVar("CommandT")


def parse_command(
    kind: type[CommandT], arguments: list[str] | None, **options: Any
) -> CommandT:
    """Parse the arguments of a command; `--help` may have its colours.

    Args:
      kind: the dataclass of its options.
      arguments: by default those of the process.
      **options: of `tyro.cli`, such as `prog`.

    Raises:
      SystemExit: after --help, or for a wrong option, with a message.
    """
    # What a command prints has its control characters spelled out; these are meant.
    out = getattr(sys.stdout, "as_it_is", sys.stdout)
    with contextlib.redirect_stdout(out):
        return tyro.cli(kind, args=arguments, **options)
