# SPDX-License-Identifier: Apache-2.0
"""Who holds a claim: a process of a machine, as a claim names it."""

import datetime
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_UTC = "%Y-%m-%d %H:%M:%S UTC"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
      host: the name of its machine.
      boot: what the kernel of that machine calls its start; containers share it. Empty
        where the system has none.
      pid: of the process.
      started: when the process started, in UTC; empty where the system does not say.
      taken: when the claim was taken, in UTC.
    """

    host: str
    boot: str
    pid: int
    started: str
    taken: str

    @classmethod
    def this(cls) -> "Holder":
        """Return this process, now."""
        pid = os.getpid()
        now = _utc(time.time())
        return cls(socket.gethostname(), _boot(), pid, _started(pid), now)

    @classmethod
    def parse(cls, content: bytes) -> "Holder | None":
        """Return the holder that a claim names; None if it names none."""
        with suppress(ValueError, TypeError, RecursionError):
            return cls(**json.loads(content))
        return None

    def is_elsewhere(self) -> bool:
        """Return whether the holder was on another machine than this one."""
        here = Holder.this()
        # Two containers of one machine have two names, and locks of one kernel.
        return self.host != here.host and (not self.boot or self.boot != here.boot)

    def is_alive(self) -> bool:
        """Return whether the process still is, on this machine."""
        if self.boot != _boot():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it is another user's
        # The kernel counts from its start, whose time of day is known to a second.
        both = [
            datetime.datetime.strptime(text, _UTC)
            for text in (self.started, _started(self.pid))
            if text
        ]
        return len(both) < 2 or abs((both[0] - both[1]).total_seconds()) <= 2

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.taken}"


def _utc(seconds: int | float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime(_UTC)


def _boot() -> str:
    with suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    return ""


def _started(pid: int) -> str:
    """Return when a process started; empty where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        # After the name, in parentheses, which may hold anything: man 5 proc.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        ticks = int(fields[19])
        (booted,) = (
            int(line.split()[1])
            for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()
            if line.startswith("btime")
        )
        return _utc(booted + ticks // os.sysconf("SC_CLK_TCK"))
    return ""
