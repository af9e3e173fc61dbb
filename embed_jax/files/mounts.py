# SPDX-License-Identifier: Apache-2.0
"""Whether locks of the file system that a path is on hold between machines."""

from contextlib import suppress
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells a process which file systems it sees, and with which options."""

# A disk that one machine at a time has: whoever reads it now is the only one.
_OF_ONE_MACHINE = {
    *("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs"),
    *("reiserfs", "tmpfs", "xfs", "zfs"),
}
_SHARED_WITH_LOCKS = {"ceph", "gfs2", "gpfs", "ocfs2"}


def locks_hold_everywhere(path: Path) -> bool:
    """Return whether a lock on a file is seen by every machine that sees the file.

    Where nothing is known, as of FUSE or off Linux, the answer is no.

    Args:
      path: of a file or a folder that exists.
    """
    kind, options = _mount_of(path)
    if kind in ("nfs", "nfs4"):
        return options.isdisjoint({"nolock", "local_lock=all", "local_lock=flock"})
    if kind == "lustre":
        return "flock" in options
    return kind in _OF_ONE_MACHINE or kind in _SHARED_WITH_LOCKS


def _mount_of(path: Path) -> tuple[str, set[str]]:
    """Return the type and the options of the file system that a path is on."""
    found, longest = ("", set[str]()), -1
    with suppress(OSError):
        resolved = path.resolve()
        for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            # man 5 proc: …, mount point, options, …, -, type, source, its options.
            before, _, after = line.partition(" - ")
            mounted, options = before.split()[4:6]
            kind, *_, of_source = after.split()
            # Later mounts hide earlier ones of the same place.
            point = Path(mounted.replace("\\040", " "))
            if resolved.is_relative_to(point) and len(point.parts) >= longest:
                found = kind, {*options.split(","), *of_source.split(",")}
                longest = len(point.parts)
    return found
