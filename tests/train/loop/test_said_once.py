# SPDX-License-Identifier: Apache-2.0
"""What libraries print of a save that fails, beside the error that is raised."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import pytest

from train.loop.said_once import said_once


def log(logger: logging.Logger, path: str, error: BaseException | None) -> None:
    info = error and (type(error), error, None)
    logger.handle(
        logger.makeRecord("absl", logging.ERROR, path, 1, "a future", (), info)
    )


def test_what_is_raised_later_is_not_logged_besides(caplog):
    logger, error = logging.getLogger("absl"), OSError("no room")
    with said_once():
        log(logger, "/lib/orbax/checkpoint/_src/futures/future.py", error)
        assert not caplog.records
        # Nobody raises these.
        log(logger, "/lib/orbax/checkpoint/_src/path/storage_backend.py", error)
        log(logger, "/lib/orbax/checkpoint/_src/futures/future.py", None)
        log(logger, "/mine/other/futures/future.py", error)
    assert [bool(record.exc_info) for record in caplog.records] == [False, False, True]
    log(logger, "/lib/orbax/checkpoint/_src/futures/future.py", error)
    assert len(caplog.records) == 4


@pytest.fixture
def unraised(monkeypatch):
    heard: list[str] = []
    hook = lambda unraisable: heard.append(str(unraisable.exc_value))  # noqa: E731
    monkeypatch.setattr(sys, "unraisablehook", hook)
    return heard


def test_a_loop_that_has_ended_is_no_news_after_a_failure(unraised):
    def report() -> None:
        loop = asyncio.new_event_loop()
        loop.close()
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            sys.unraisablehook(SimpleNamespace(exc_value=error))
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError("another")))

    with said_once():
        report()
    assert unraised == ["another"]
    report()
    assert unraised == ["another", "Event loop is closed", "another"]
    del unraised[:]

    def fail() -> None:
        with said_once():
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fail()
    report()
    assert unraised == ["another"]
