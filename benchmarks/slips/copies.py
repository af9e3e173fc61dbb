# SPDX-License-Identifier: Apache-2.0
"""Copies of the working tree in which slips are made, and tests run there."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

OUT_OF_TIME = 124
"""The exit status that is given to a run that took too long."""

FAST, SLOW = "not slow and not gpu", "slow and not gpu"


class Finished(NamedTuple):
    """The exit status of a run of tests, and what it wrote."""

    status: int
    output: str


class Copy:
    """The files that git tracks or would track, somewhere else."""

    def __init__(self, root: Path, folder: Path, compilations: Path | None) -> None:
        """Copy a tree.

        Args:
          root: of the working tree.
          folder: where the copy goes.
          compilations: a folder that keeps compiled programs for all copies. They are
            found by what the program computes, so that a slip in it is another one.
        """
        self._folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        self._environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(folder),
            # A slip may leave a file as long as it was, within one second.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        data = root.parent / "shared/data"
        if data.is_dir():
            self._environment.setdefault("CONTEXTUAL_DATA", str(data))
        if compilations:
            self._environment["JAX_COMPILATION_CACHE_DIR"] = str(compilations)

    def write(self, texts: dict[Path, str]) -> None:
        """Write files, by their paths from the root."""
        for path, text in texts.items():
            (self._folder / path).write_text(text, "utf-8")

    def test(self, path: str, marked: str, limit: float) -> Finished:
        """Run tests in a process of its own, up to the first one that fails.

        Args:
          path: a file or a folder.
          marked: which of its tests, `FAST` or `SLOW`.
          limit: seconds, after which they are ended.
        """
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            [*command, "-m", marked, path],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except BaseException as error:
            # With the processes that a test has started.
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                return Finished(OUT_OF_TIME, output)
            raise
        return Finished(process.returncode, output)
