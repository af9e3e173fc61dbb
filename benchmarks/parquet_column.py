# SPDX-License-Identifier: Apache-2.0
"""A column of texts in Parquet, to a column of vectors: ours and sentence-transformers.

    pip install -e '.[benchmarks]'
    python -m benchmarks.parquet_column                      # 100,000 sentences
    python -m benchmarks.parquet_column --count 300 --packages FOLDER

The same file, the same weights (all-MiniLM-L6-v2), a vector a sentence: the mean of its
tokens, of 256 of them at most, in float32. Ours is the command, as a user types it:

    python -m embed_jax MODEL texts.parquet ours.parquet --field text \
        --sentences mean --long truncate --max-length 256

The other reads the column with pyarrow, calls `encode`, and writes the vectors into a
column. Each is a process of its own, started afresh every round, in turn; of both the
time from start to end counts, loading and compilation included, and the most memory
that the process held. The vectors are compared by their cosines, because `encode` of
this model makes them unit vectors and ours are not.
"""

import dataclasses
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from benchmarks.embed_bert import WORK
from embed_jax.corpus.docstrings import read_paragraphs
from tests import pretrained

MODEL = "all-MiniLM-L6-v2"
MAX_LENGTH = 256
# Of the folder that CONTEXTUAL_DATA names, in the order they are taken in.
TEXTS = (
    "pos_ud_english_ewt/*.text.txt",
    "text_masc/masc.txt",
    "text_factbook/factbook.txt",
    "text_litbank_novels/*.txt",
)
FEWEST_WORDS = 3

ENCODE = """
import sys
import pyarrow as pa
from pyarrow import parquet
from sentence_transformers import SentenceTransformer

model, source, output, max_length, batch_size = sys.argv[1:]
texts = parquet.read_table(source, columns=["text"]).column("text").to_pylist()
encoder = SentenceTransformer(model, device="cpu")
encoder.max_seq_length = int(max_length)
vectors = encoder.encode(texts, batch_size=int(batch_size), show_progress_bar=False)
flat = pa.array(vectors.reshape(-1))
column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
parquet.write_table(pa.table({"text": texts, "vector": column}), output)
"""


@dataclasses.dataclass(frozen=True)
class Command:
    """Time the embedding of a Parquet column, and compare the vectors."""

    count: int = 100_000
    """How many sentences."""
    rounds: int = 1
    """How often each contender runs; the median time and the largest memory count."""
    batch_size: int = 32
    """Sentences of a batch of sentence-transformers; its default is 32."""
    packages: Path | None = None
    """A folder that sentence-transformers is installed into, if not where we are."""
    work: Path | None = None
    """A folder for the files; by default a temporary one, which is removed."""


class Figures(NamedTuple):
    """What one run took.

    Attributes:
      seconds: from the start of the process to its end.
      peak_bytes: the largest resident set of the process.
    """

    seconds: float
    peak_bytes: int


def main() -> None:
    """Run both, and print what they took and how far the vectors agree."""
    command = tyro.cli(Command)
    work = command.work or Path(tempfile.mkdtemp())
    try:
        compare(command, work)
    finally:
        if command.work is None:
            shutil.rmtree(work)


def compare(command: Command, work: Path) -> None:
    """Run both contenders on the same file in a folder."""
    model = pretrained.fetch(MODEL, WORK / "models" / MODEL)
    source = work / "texts.parquet"
    num_words = write_sentences(source, command.count)
    outputs = {name: work / f"{name}.parquet" for name in ("ours", "others")}
    runs: dict[str, list[Figures]] = {name: [] for name in outputs}
    for _ in range(command.rounds):
        for name, output in outputs.items():
            line = lines_of(command, model, source, output)[name]
            runs[name].append(run(line, command.packages if name == "others" else None))
            print(f"  {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{command.count:,} sentences, {num_words:,} words\n")
    print("| | seconds | sentences/s | peak memory |\n|---|---|---|---|")
    for name, title in (("ours", "embed_jax"), ("others", "sentence-transformers")):
        seconds = statistics.median(each.seconds for each in runs[name])
        peak = max(each.peak_bytes for each in runs[name]) / 2**30
        rate = command.count / seconds
        print(f"| {title} | {seconds:,.1f} | {rate:,.0f} | {peak:.2f} GiB |")
    print(f"\n{agreement(*map(vectors_of, outputs.values()))}")


def lines_of(
    command: Command, model: Path, source: Path, output: Path
) -> Mapping[str, list[str]]:
    """Return the command line of each contender."""
    ours = ["-m", "embed_jax", str(model), str(source), str(output), "--overwrite"]
    ours += ["--field", "text", "--sentences", "mean"]
    ours += ["--long", "truncate", "--max-length", str(MAX_LENGTH)]
    files = [str(model), str(source), str(output)]
    others = ["-c", ENCODE, *files, str(MAX_LENGTH), str(command.batch_size)]
    return {"ours": [sys.executable, *ours], "others": [sys.executable, *others]}


def run(line: list[str], packages: Path | None) -> Figures:
    """Run a process to its end, and ask the system what it took.

    Raises:
      SystemExit: it failed; with what it said.
    """
    environment = dict(os.environ)
    if packages:
        paths = [str(packages), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(line, stdout=said, stderr=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(said.read().decode(errors="replace"))
    # In kilobytes, but on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Figures(seconds, usage.ru_maxrss * unit)


def write_sentences(path: Path, count: int) -> int:
    """Write distinct sentences into a column `text`; return the number of words."""
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    sentences: dict[str, None] = {}
    for sentence in candidates():
        if len(sentence.split()) >= FEWEST_WORDS:
            sentences.setdefault(sentence)
        if len(sentences) == count:
            break
    else:
        raise SystemExit(f"there are {len(sentences):,} sentences only; --count fewer")
    parquet.write_table(pa.table({"text": list(sentences)}), path)
    return sum(len(sentence.split()) for sentence in sentences)


def candidates() -> Iterator[str]:
    """Yield lines of real English, and docstrings where these end."""
    data = Path(os.environ.get("CONTEXTUAL_DATA", "../shared/data"))
    for pattern in TEXTS:
        for path in sorted(data.glob(pattern)):
            with path.open(encoding="utf-8", errors="replace") as file:
                yield from map(str.strip, file)
    yield from read_paragraphs()


def vectors_of(path: Path) -> np.ndarray:
    """Read the vectors of a file, in float64, as unit vectors."""
    from pyarrow import parquet

    column: Any = parquet.read_table(path, columns=["vector"]).column("vector")
    column = column.combine_chunks()
    rows = np.asarray(column.flatten(), np.float64).reshape(len(column), -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def agreement(ours: np.ndarray, others: np.ndarray) -> str:
    """Describe how far unit vectors agree, row by row.

    Example:
      >>> agreement(np.eye(2), np.eye(2))
      'cosine of the vectors of a sentence: least 1.0000000, median 1.0000000; largest \
difference of two numbers 0.0e+00'
    """
    cosines = (ours * others).sum(axis=1)
    return (
        f"cosine of the vectors of a sentence: least {cosines.min():.7f}, median "
        f"{np.median(cosines):.7f}; largest difference of two numbers "
        f"{np.abs(ours - others).max():.1e}"
    )


if __name__ == "__main__":
    main()
