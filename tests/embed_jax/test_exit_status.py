# SPDX-License-Identifier: Apache-2.0
"""Every end of a command has its number and its one line."""

import ast
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import embed_jax
from embed_jax import __main__
from embed_jax.exit_status import exit_status
from embed_jax.messages import OPTIONS

pytestmark = pytest.mark.usefixtures("sigterm_as_before")


def fail(error):
    raise error


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("action", "status", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: fail(ValueError("bad\n  line 3")), 2, "name: bad line 3\n"),
        (lambda: fail(FileExistsError("there")), 2, "name: there\n"),
        (lambda: fail(OSError()), 2, "name: OSError\n"),
        (lambda: fail(KeyboardInterrupt()), 130, "name: stopped; go on\n"),
        (stop, 130, "name: stopped; go on\n"),
    ],
)
def test_ends(capsys, action, status, line):
    assert exit_status("name", action, "go on") == status
    assert capsys.readouterr().err == line


def test_a_mistake_of_ours_keeps_its_traceback():
    with pytest.raises(RuntimeError):
        exit_status("name", lambda: fail(RuntimeError("bug")), "go on")


HOSTILE = "caf\u00e9\t\x1b]0;title\x07\x1b[2J\x9b2J\u202eevil\u2066\r\ud800"
SHOWN = (
    "caf\u00e9\t\\u001b]0;title\\u0007\\u001b[2J\\u009b2J"
    "\\u202eevil\\u2066\\u000d\\ud800"
)


def test_nothing_that_is_printed_or_logged_steers_a_terminal(capsys):
    def action():
        sys.stdout.write(f"{HOSTILE}\n")
        sys.stdout.writelines([HOSTILE, "\n"])
        logger.warning("the first is %s", HOSTILE)
        fail(ValueError(f"no {HOSTILE} there"))

    logger = logging.Logger("alone")  # which has no handler but the last resort
    assert exit_status("name", action, "go on") == 2
    captured = capsys.readouterr()
    assert captured.out == f"{SHOWN}\n" * 2
    inline = SHOWN.replace("\t", " ").replace("\\u000d", " ")
    assert captured.err == f"the first is {SHOWN}\nname: no {inline} there\n"


def test_a_command_names_its_options_and_a_function_its_arguments(capsys):
    error = ValueError('s.h5 exists: overwrite=True replaces it; or use long="window"')

    def action():
        logger.warning("the rest is for resume=True")
        fail(error)

    logger = logging.Logger("alone")
    assert exit_status("name", action, "go on") == 2
    said = "name: s.h5 exists: --overwrite replaces it; or use --long window\n"
    assert capsys.readouterr().err == f"the rest is for --resume\n{said}"
    assert "overwrite=True" in str(error)


# Of functions that a message names besides.
OF_FUNCTIONS = {"cased", "encoder_only", "normalize"}


def arguments_in_messages() -> Iterator[tuple[str, str]]:
    """Yield the arguments that texts of the packages name, with their files."""
    for package in ("embed_jax", "bert_jax", "elmo_jax", "train"):
        for path in (Path(embed_jax.__file__).parents[1] / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            bare = {
                id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and id(node) not in bare:
                    for found in re.finditer(
                        r"\b([a-z_]+)=True|\b(long)=\"", str(node.value)
                    ):
                        yield str(path), found[1] or found[2]


def test_every_argument_in_a_message_is_known_as_an_option():
    found = list(arguments_in_messages())
    assert len(found) > 10
    others = [each for each in found if each[1] not in {*OPTIONS, *OF_FUNCTIONS}]
    assert not others
    assert set(OPTIONS) <= {name for _, name in found}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_messages_name_is_an_option_of_the_command(name, capsys):
    with pytest.raises(SystemExit):
        __main__.main(["--help"])
    assert f"--{name}" in capsys.readouterr().out


def test_standard_output_is_as_before_when_a_command_ends():
    before = sys.stdout
    exit_status("name", lambda: fail(ValueError("bad")), "go on")
    assert sys.stdout is before
