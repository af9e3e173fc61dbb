# SPDX-License-Identifier: Apache-2.0
"""Shards of a text, written by several processes."""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from train.data.encoding import Shards
from train.data.sources import TextSource, open_documents
from train.families.elmo.preparing import WordEncoder


@dataclass(frozen=True)
class Interrupted:
    """Presses Ctrl-C in the process that writes the shard, and writes it."""

    def encode(self, documents: Iterable[list[str]], path: Path) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        WordEncoder("moses").encode(documents, path)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_lets_the_processes_that_encode_finish_their_shards(
    tmp_path: Path,
) -> None:
    """A terminal sends it to all of them; the one that began them ends the command."""
    text = tmp_path / "text.txt"
    text.write_text("The cat sat.\n\nA dog ran.\n\n")
    source = TextSource(patterns=(str(text),), form="documents")
    documents = open_documents(source, tmp_path / "cache")
    shards = Shards(
        path=tmp_path / "shards",
        documents=documents,
        held_out_every=2,
        encoder=Interrupted(),
    )
    try:
        tallies = list(shards.write(num_workers=2))
    except KeyboardInterrupt:
        pytest.fail("a shard was given up")
    assert [tally.documents for tally in tallies] == [1, 1]
    assert sum(tally.tokens for tally in shards.kept()) == 8
