# SPDX-License-Identifier: Apache-2.0
"""Every end of a command has its number and its one line."""

import logging
import os
import signal
import sys

import pytest

from embed_jax.exit_status import exit_status

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


def test_standard_output_is_as_before_when_a_command_ends():
    before = sys.stdout
    exit_status("name", lambda: fail(ValueError("bad")), "go on")
    assert sys.stdout is before
