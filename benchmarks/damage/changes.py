# SPDX-License-Identifier: Apache-2.0
"""Random damage to one file of an artefact: cut short, or changed in place."""

import dataclasses
import random
from pathlib import Path

KINDS = "truncation", "change"
_HEAD_BYTES = 4096
_LONGEST_STRETCH = 4096


@dataclasses.dataclass(frozen=True)
class Damage:
    """One damage, which the same seed makes again.

    Attributes:
      kind: "truncation" or "change".
      file: relative to the artefact.
      start: the first byte that is another, or is gone.
      size: bytes of a change; 0 of a truncation.
      form: "cut", "bit", "bytes" or "zeros".
    """

    kind: str
    file: str
    start: int
    size: int
    form: str

    def __str__(self) -> str:
        where = f"{self.start}" if not self.size else f"{self.start}+{self.size}"
        return f"{self.form} {self.file}@{where}"


def damage(
    artefact: Path, kind: str, seed: int, spared: tuple[str, ...] = ()
) -> Damage:
    """Damage one file of an artefact, and tell how.

    Half of all changes lie among a file's first 4 KiB, where headers are. A change
    alters at least one bit.

    Args:
      artefact: a directory; its files are chosen alike, whatever their sizes.
      kind: one of `KINDS`.
      seed: of every choice.
      spared: names of files that are left as they are.

    Returns:
      What was done.
    """
    rng = random.Random(f"{kind} {seed}")
    files = sorted(
        path
        for path in artefact.rglob("*")
        if path.is_file() and path.stat().st_size and path.name not in spared
    )
    path = rng.choice(files)
    name = path.relative_to(artefact).as_posix()
    content = bytearray(path.read_bytes())
    if kind == "truncation":
        length = rng.randrange(len(content))
        path.write_bytes(content[:length])
        return Damage(kind, name, length, 0, "cut")
    while True:
        form, start, changed = _change(rng, content)
        if changed != content:
            break
    path.write_bytes(changed)
    size = sum(a != b for a, b in zip(changed, content, strict=True))
    return Damage(kind, name, start, size, form)


def _change(rng: random.Random, content: bytearray) -> tuple[str, int, bytearray]:
    changed = bytearray(content)
    within = min(len(content), _HEAD_BYTES) if rng.random() < 0.5 else len(content)
    start = rng.randrange(within)
    form = rng.choice(("bit", "bytes", "zeros"))
    if form == "bit":
        changed[start] ^= 1 << rng.randrange(8)
    else:
        longest = 16 if form == "bytes" else _LONGEST_STRETCH
        stop = min(len(content), start + rng.randint(1, longest))
        size = stop - start
        changed[start:stop] = rng.randbytes(size) if form == "bytes" else bytes(size)
    return form, start, changed
