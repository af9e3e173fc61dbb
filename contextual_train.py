# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of a checkout's `train/` from any directory.

    contextual-train pretrain path/to/mine.py --workdir RUN
    python CHECKOUT/contextual_train.py pretrain path/to/mine.py --workdir RUN

`python -m train.pretrain` is for the checkout itself: elsewhere Python would run a
`train.py` or a `configs` that happens to lie in the current directory. Here the
checkout's own come first, whatever lies there.
"""

import difflib
import importlib
import sys
from pathlib import Path

from embed_jax.commands.starting import begin
from embed_jax.exit_status import exit_status

_NAME = "contextual-train"
COMMANDS = {
    "prepare": "text → vocabulary + token store",
    "pretrain": "a run; the same command continues it",
    "evaluate": "held-out metrics of a run or a model",
    "export": "a run → a model in the published format",
    "plan": "what a run would need on a TPU slice",
    "finetune": "a model → a classifier of words or texts",
    "ner": "vectors of a frozen model → a tagger",
    "probe": "what each layer of a model knows",
    "quickstart": "both tiny models, from nothing to neighbours",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
        text = f"usage: {_NAME} COMMAND [--help] …\n\n" + "\n".join(lines) + "\n"
        return _say("stdout", text, 0 if given else 2)
    name, *rest = given
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return _refuse(f"no command {name!r}; {hint}commands: {', '.join(COMMANDS)}")
    checkout = Path(__file__).resolve().parent
    if not (checkout / "train" / "pretrain.py").is_file():
        return _refuse(
            "training runs from a checkout, and this installation is none; clone the "
            "repository and pip install -e '.[train]' there"
        )
    # First of all, so that no other `train` or `configs` is found before it.
    sys.path.insert(0, str(checkout))
    if arguments is None:
        # This is a process of its own, and what follows takes seconds to import.
        begin()
    try:
        importlib.import_module("train.called").call_by(f"{_NAME} ")
    except ModuleNotFoundError as error:  # The extra is not installed.
        return _refuse(str(error))
    return importlib.import_module(f"train.{name}").main(rest)


def _refuse(message: str) -> int:
    return _say("stderr", f"{_NAME}: {message}\n", 2)


def _say(stream: str, text: str, status: int) -> int:
    """Write a text, whoever reads it; return the status."""

    def action() -> int:
        getattr(sys, stream).write(text)
        return status

    return exit_status(_NAME, action, "nothing was begun")


if __name__ == "__main__":
    sys.exit(main())
