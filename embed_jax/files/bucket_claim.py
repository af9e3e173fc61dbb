# SPDX-License-Identifier: Apache-2.0
"""A claim on a directory in a bucket, where there are no locks: a lease.

    gs://bucket/RUN/claim    who holds it, and when it was last renewed

The object is written under the condition that it is still the one that was read, which
the storage decides, so of two that take it at once one fails. Its holder renews it
every ten seconds. One that was not renewed for a minute is taken over; sooner, where
its holder was a process of this machine that is gone.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from embed_jax.files.bucket import BucketPath, in_bucket, unreachable
from embed_jax.files.holder import Holder
from embed_jax.files.json_file import json_text

logger = logging.getLogger(__name__)

NAME = "claim"
SECONDS_TO_RENEW = 10.0
SECONDS_TO_EXPIRE = 60.0
# Clocks of two machines differ by less.
_SECONDS_LONG_AGO = 600.0
# By itself TensorStore tries for a quarter of an hour before it says what is wrong.
_RETRIES = {"max_retries": 5, "initial_delay": "1s", "max_delay": "8s"}
_held: dict[str, "Lease"] = {}


class Lease:
    """A claim that this process holds and renews, until it is closed.

    Attributes:
      directory: what is claimed.
    """

    def __init__(self, directory: BucketPath) -> None:
        """Take the claim; wait for a holder who may be gone until that is certain.

        Args:
          directory: to claim.

        Raises:
          BlockingIOError: another process holds it; names the process, the host and the
            time.
          FileExistsError: an object of that name is no claim.
          OSError: the bucket cannot be reached.
        """
        self.directory = directory
        self._holder = Holder.this()
        self._store = _open(directory)
        self._ended = threading.Event()
        self._mutex = threading.Lock()
        self._taken_by: str | None = None
        self._generation = self._take()
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check that the claim is still held, which a process that hangs may lose.

        Raises:
          BlockingIOError: another process has taken it over; names it.
          OSError: it has expired, and the bucket cannot be reached to renew it.
        """
        if time.monotonic() - self._renewed >= SECONDS_TO_EXPIRE:
            self._renew()
        if self._taken_by is not None:
            raise BlockingIOError(
                f"{self.directory} was taken over by {self._taken_by}, for this "
                f"process had not said for {SECONDS_TO_EXPIRE:.0f} s that it is there; "
                "what it has saved before is kept"
            )

    def close(self) -> None:
        """Give the claim back."""
        self._ended.set()
        self._thread.join()
        # What cannot be removed expires.
        with suppress(OSError), self._mutex:
            if self._taken_by is None:
                self._write(None, self._generation)

    def _take(self) -> bytes:
        seen, since, told = None, 0.0, False
        while True:
            found = self._read()
            if found.state == "value" and _is_kept(
                self.directory, found.value, self._holder
            ):
                if seen != found.stamp.generation:
                    if seen is not None:
                        raise _refused(self.directory, found.value)
                    seen, since = found.stamp.generation, time.monotonic()
                if time.monotonic() - since < SECONDS_TO_EXPIRE:
                    if not told and time.monotonic() - since > 2 * SECONDS_TO_RENEW:
                        logger.warning(
                            "%s is claimed by %s, who does not renew it: waiting until "
                            "that is %.0f s ago, then it is taken over",
                            *(self.directory, _who(found.value), SECONDS_TO_EXPIRE),
                        )
                        told = True
                    time.sleep(min(1.0, SECONDS_TO_RENEW / 4))
                    continue
            if written := self._write(self._content(), found.stamp.generation):
                return written
            seen = b""  # another one was faster

    def _content(self) -> bytes:
        content = {**asdict(self._holder), "renewed": time.time()}
        return (json_text(content) + "\n").encode()

    def _keep(self) -> None:
        while not self._ended.wait(SECONDS_TO_RENEW) and self._taken_by is None:
            with suppress(OSError):  # the next one may do
                self._renew()

    def _renew(self) -> None:
        with self._mutex:
            if self._taken_by is not None:
                return
            began = time.monotonic()
            written = self._write(self._content(), self._generation)
            if not written:
                # An answer may have been lost, and the object be ours all the same.
                found = self._read()
                if found.state == "value" and _names(found.value, self._holder):
                    written = found.stamp.generation
                else:
                    self._taken_by = _who(found.value)
                    return
            self._generation, self._renewed = written, began

    def _read(self) -> Any:
        try:
            return self._store.read(NAME).result()
        except ValueError as error:  # TensorStore's, of all kinds
            raise unreachable(self.directory, error) from error

    def _write(self, content: bytes | None, generation: bytes) -> bytes:
        """Write or remove the object if it is the one expected; return what it is."""
        try:
            written = self._store.write(NAME, content, if_equal=generation).result()
        except ValueError as error:
            raise unreachable(self.directory, error) from error
        return written.generation


@contextmanager
def claim_in_bucket(directory: BucketPath) -> Iterator[None]:
    """Claim a directory in a bucket while a block fills it; see `Lease`."""
    lease = Lease(directory)
    _held[str(directory)] = lease
    try:
        yield
    finally:
        del _held[str(directory)]
        lease.close()


def check_still_claimed(directory: os.PathLike[str]) -> None:
    """Check that a directory that this process has claimed is still its own.

    Locks of a disk are not lost, so nothing is asked there.

    Raises:
      BlockingIOError: another process has taken it over; names it.
      OSError: the bucket cannot be reached.
    """
    if in_bucket(directory):
        _held[str(directory)].check()


def _open(directory: BucketPath) -> Any:
    import tensorstore

    spec = {
        "driver": "gcs",
        "bucket": directory.bucket,
        "path": f"{directory.key}/",
        "context": {"gcs_request_retries": _RETRIES},
    }
    try:
        return tensorstore.KvStore.open(spec).result()
    except ValueError as error:
        raise unreachable(directory, error) from error


def _is_kept(directory: BucketPath, content: bytes, ours: Holder) -> bool:
    """Return whether a claim may be somebody's who still works.

    Raises:
      BlockingIOError: it is, on this machine.
      FileExistsError: it is no claim.
    """
    found = _parse(content)
    if found is None:
        raise FileExistsError(
            f"{directory / NAME} would be the claim on {directory}, and is an object "
            "of another kind; move it, or give another directory"
        )
    holder, renewed = found
    if (holder.host, holder.boot) == (ours.host, ours.boot):
        if holder.is_alive():
            raise _refused(directory, content)
        return False
    return abs(time.time() - renewed) < _SECONDS_LONG_AGO


def _refused(directory: BucketPath, content: bytes) -> BlockingIOError:
    return BlockingIOError(
        f"{directory} is being written by {_who(content)}: wait until that is done, or "
        "stop it"
    )


def _parse(content: bytes) -> tuple[Holder, float] | None:
    with suppress(ValueError, TypeError, RecursionError, KeyError, AttributeError):
        held = json.loads(content)
        renewed = float(held.pop("renewed"))
        return Holder(**held), renewed
    return None


def _names(content: bytes, holder: Holder) -> bool:
    found = _parse(content)
    return found is not None and found[0] == holder


def _who(content: bytes) -> str:
    found = _parse(content)
    return "another process" if found is None else str(found[0])
