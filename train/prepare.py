# SPDX-License-Identifier: Apache-2.0
"""The command that prepares text for pretraining, once for all runs.

    python -m train.prepare elmo_tiny

It reads the text in as many processes as there are cores, and keeps finished shards;
after an interruption, the same command continues from them. Text that is already
prepared, with the same settings from the same files, is not prepared again. Of the
options --data.* counts here; the others are those of train.pretrain, so that both
commands may be given the same.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import functools
import shlex
import sys

from embed_jax.exit_status import exit_status
from embed_jax.files.claim import claim_directory
from embed_jax.files.local_path import with_local_paths
from train.called import called
from train.data.config import DataConfig, Preparation, Say
from train.data.prepared import (
    PREPARED,
    UNFINISHED,
    Prepared,
    check_own,
    digest_files,
    is_unfinished,
    remove_unfinished,
)
from train.data.sources import open_documents
from train.families.registry import all_families, family_of

SOURCE = "source"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    # Not for the processes that encode text: it would take them seconds.
    from train.config import NoOptions, read_command

    given = sys.argv[1:] if arguments is None else arguments
    prog = called("prepare")

    say = functools.partial(print, flush=True)

    def action() -> None:
        _, experiment = read_command(given, prog, NoOptions, __doc__ or "")
        experiment = with_local_paths(experiment)
        prepare(experiment.data, say)
        lacking = family_of(experiment).lacking(experiment)
        now = f"{called('pretrain')} {shlex.join(given)} --workdir RUN"
        say(f"now: {now}" if lacking is None else f"not to be trained on so: {lacking}")

    return exit_status(
        "train.prepare", action, "what is finished is kept; run it again to go on"
    )


def prepare(data: DataConfig, say: Say) -> None:
    """Prepare text: a vocabulary or a tokeniser, training and held-out data.

    Args:
      data: the settings.
      say: takes lines about the progress.

    Raises:
      ValueError: invalid settings or text; the cheap checks come first.
      FileExistsError: a file would be replaced that no preparation has made.
      BlockingIOError: another command is preparing the directory; names the process.
      OSError: a file cannot be read or written.
    """
    data = with_local_paths(data)
    preparation = data.preparation(say)
    # A directory that is prepared need not be one that can be written to.
    if not _is_prepared(data, say):
        with claim_directory(data.directory):
            _prepare(data, preparation, say)


def _is_prepared(data: DataConfig, say: Say) -> bool:
    """Return whether a directory is prepared and nothing is left to do; if so, say."""
    before = Prepared.read(data.directory)
    if before is None or not before.summary or (data.directory / UNFINISHED).exists():
        return False
    if before.difference(data) is not None:
        return False
    _say_prepared(data, before, say)
    return True


def _say_prepared(data: DataConfig, before: Prepared, say: Say) -> None:
    say(f"{data.directory} is prepared already: {before.summary}")
    if before.encoded_as < data.encoded_as:
        say(
            f"an earlier version encoded it in form {before.encoded_as}, where the "
            f"form is {data.encoded_as} now; runs that began with it need it so. To "
            "have the text in the new form, give another --data.directory"
        )


def _prepare(data: DataConfig, preparation: Preparation, say: Say) -> None:
    before, unfinished = Prepared.read(data.directory), data.directory / UNFINISHED
    begun = Prepared.read(unfinished)
    known = {**(begun.known if begun else {}), **(before.known if before else {})}
    difference = before and before.difference(data, known)
    if before and difference is None:
        if is_unfinished(unfinished):
            remove_unfinished(unfinished)
        _say_prepared(data, before, say)
        return
    wanted = Prepared.of(data, known)
    check_own(data.directory, [type(data), *(each.data for each in all_families())])
    if before:
        say(f"{data.directory} is prepared anew: {difference}")
    is_same = begun is not None and begun.difference(data, known) is None
    if unfinished.exists() and not (
        begun and is_same and begun.encoded_as == data.encoded_as
    ):
        another = "an earlier form" if is_same else "other settings or text"
        say(f"{unfinished} is of {another}, and is begun again")
        remove_unfinished(unfinished)
    unfinished.mkdir(parents=True, exist_ok=True)
    wanted.write(unfinished)
    source_directory = data.source_directory or data.directory / SOURCE
    documents = open_documents(data.source, source_directory, wanted.known)
    # From here on the files of an earlier preparation are replaced one by one.
    (data.directory / PREPARED).unlink(missing_ok=True)
    summary = preparation.run(documents, unfinished)
    files = digest_files(data)
    dataclasses.replace(wanted, summary=summary, files=files).write(data.directory)
    remove_unfinished(unfinished)
    say(f"{data.directory} is prepared: {summary}")


if __name__ == "__main__":
    sys.exit(main())
