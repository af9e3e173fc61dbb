# SPDX-License-Identifier: Apache-2.0
"""Which file systems' locks are believed to hold between machines."""

from pathlib import Path

import pytest

from embed_jax.files import mounts
from embed_jax.files.mounts import locks_hold_everywhere

TABLE = """\
22 1 254:1 / / rw,relatime - ext4 /dev/root rw
23 22 0:40 / /nfs rw,relatime shared:1 - nfs4 host:/a rw,vers=4.2,local_lock=none
24 22 0:41 / /nfs/nolock rw - nfs host:/b rw,vers=3,nolock,local_lock=all
25 22 0:42 / /lustre/with rw - lustre host:/c rw,flock
26 22 0:43 / /lustre/without rw - lustre host:/d rw,localflock
27 22 0:44 / /bucket rw - fuse.gcsfuse bucket rw
28 22 0:45 / /two\\040words rw - fuse.sshfs host: rw
"""


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    monkeypatch.setattr(mounts, "MOUNTS", path)
    return path


@pytest.mark.parametrize(
    ("path", "hold"),
    [
        ("/srv/run", True),
        ("/nfs/run", True),
        ("/nfs/nolock/run", False),
        ("/lustre/with/run", True),
        ("/lustre/without/run", False),
        ("/bucket/run", False),
        ("/two words/run", False),
        ("/nfs-not/run", True),
    ],
)
def test_it_is_the_mount_that_a_path_is_on(path: str, hold: bool):
    assert locks_hold_everywhere(Path(path)) is hold


def test_where_nothing_is_known_they_are_not_believed(table: Path):
    table.unlink()
    assert not locks_hold_everywhere(Path("/srv"))
