# SPDX-License-Identifier: Apache-2.0
"""A removal that is interrupted is gone on with."""

import os

import pytest

from train.data.prepared import Prepared, is_unfinished, remove_unfinished


class Killed(BaseException):
    pass


def make_unfinished(path):
    for shard in ("00000", "00001"):
        (path / "shards" / shard).mkdir(parents=True)
        (path / "shards" / shard / "tokens.npy").write_bytes(b"0")
    (path / "vocabulary.txt").write_text("a\n")
    Prepared(settings={}, fingerprint="f", corpus="c").write(path)


@pytest.mark.parametrize("when", range(8))
def test_wherever_a_removal_is_killed_the_next_one_removes_the_rest(
    tmp_path, monkeypatch, when
):
    """Whatever is deleted last, what is left says that a preparation made it."""
    unfinished = tmp_path / "unfinished"
    make_unfinished(unfinished)
    calls = iter(range(100))

    def dying(function):
        def call(*args, **kwargs):
            if next(calls) == when:
                raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, dying(getattr(os, name)))
        with pytest.raises(Killed):
            remove_unfinished(unfinished)
    assert is_unfinished(unfinished)
    remove_unfinished(unfinished)
    assert not unfinished.exists()
