# SPDX-License-Identifier: Apache-2.0
"""Every end of a command has its number and its one line."""

import os
import signal

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
