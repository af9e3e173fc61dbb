# SPDX-License-Identifier: Apache-2.0
"""A disk without room, named: what is raised at a write does not say which file."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

# The disk or a quota is full, or a file is larger than may be.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# As libraries in Rust and C++ say it, in errors of their own kinds.
_SAID = re.compile("|".join(map(os.strerror, sorted(_NO_ROOM))))
# As NumPy says that a write was cut short, whatever the reason.
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")


@contextmanager
def naming_where_room_lacks(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have every error of a write that finds no room be an OSError that names it.

    Args:
      path: the file or the directory that a block writes.

    Raises:
      OSError: there is no room; names `path`, or a file in it.

    Example:
      >>> with naming_where_room_lacks("vectors.h5"):
      ...     raise OSError(errno.ENOSPC, "No space left on device")
      Traceback (most recent call last):
      OSError: [Errno 28] No space left on device: 'vectors.h5'
    """
    try:
        yield
    except Exception as error:
        number = getattr(error, "errno", None)
        if number in _NO_ROOM and isinstance(error, OSError):
            if error.filename is None:
                error.filename = os.fspath(path)
            raise
        if number is None and (told := _SAID.search(str(error))):
            number = next(each for each in _NO_ROOM if os.strerror(each) == told[0])
        if number is None and _CUT_SHORT.fullmatch(str(error)):
            raise OSError(
                f"{os.fspath(path)}: No space left on device, or the disk fails "
                f"({error})"
            ) from error
        if number in _NO_ROOM:
            raise OSError(number, os.strerror(number), os.fspath(path)) from error
        raise
