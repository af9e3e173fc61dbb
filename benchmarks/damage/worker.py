# SPDX-License-Identifier: Apache-2.0
"""A process that reads damaged artefacts one after another, and may be killed.

It reads paths from its input, a line each, and answers each with a line of JSON; what
the library prints goes elsewhere.
"""

import json
import logging
import os
import resource
import sys
from pathlib import Path
from typing import TextIO

from benchmarks.damage.reading import reader_of
from embed_jax.devices.compilation_cache import keep_compilations

_MEMORY = 10 << 30


def main(kind: str, data: str) -> None:
    """Answer every line of the input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    keep_compilations()
    heard = _Heard()
    logging.getLogger().addHandler(heard)
    read = reader_of(kind, Path(data))
    for line in sys.stdin:
        heard.warnings.clear()
        _answer(read, Path(json.loads(line)), heard, answers)


class _Heard(logging.Handler):
    """Keeps the warnings that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage())


def _answer(read: object, path: Path, heard: _Heard, answers: TextIO) -> None:
    assert callable(read)
    try:
        answer = {"value": read(path), "warnings": heard.warnings}
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        answer = {"error": _kind_of(error), "message": str(error)}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _kind_of(error: BaseException) -> str:
    """Return the name; of what derives from ValueError or OSError, that one's."""
    for kind in (ValueError, OSError):
        if isinstance(error, kind) and type(error).__module__ == "builtins":
            return kind.__name__
    return f"{type(error).__module__}.{type(error).__name__}"


if __name__ == "__main__":
    main(*sys.argv[1:])
