# SPDX-License-Identifier: Apache-2.0
"""`train.pretrain` in processes of its own, on an experiment that configs/ lacks.

    python -m tests.train.command KIND FOLDER CHANGES ROWS --workdir RUN …

CHANGES are fields of the experiment, as JSON. For every step ROWS gets a line more:
digests of the rows of the batch that lie on this process's devices.
"""

import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


class Command:
    """Starts the command, with programs that are compiled quickly."""

    def __init__(self, folder: Path) -> None:
        """Take a prepared corpus."""
        self._folder = folder
        self._started: list[subprocess.Popen] = []

    def start(
        self,
        kind: str,
        run: Path,
        *options: object,
        num_devices: int = 1,
        rows: Path | None = None,
        **changes: Any,
    ) -> subprocess.Popen:
        """Start one process of a run.

        Args:
          kind: of the model.
          run: the directory of the run.
          options: of the command.
          num_devices: of this process.
          rows: where the rows of its batches are written down.
          changes: fields of the experiment.
        """
        line = [sys.executable, "-m", "tests.train.command", kind, self._folder]
        line += [json.dumps(changes), rows or os.devnull, "--workdir", run, *options]
        environment = {
            "PYTHONPATH": str(REPOSITORY),
            "JAX_NUM_CPU_DEVICES": str(num_devices),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        }
        process = subprocess.Popen(
            list(map(str, line)),
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def start_all(
        self,
        num_processes: int,
        kind: str,
        runs: Path | Sequence[Path],
        *options: object,
        rows: Path | None = None,
        **changes: Any,
    ) -> list[subprocess.Popen]:
        """Start all processes of a run on this machine.

        Args:
          num_processes: how many; further arguments are those of `start`.
          kind: of the model.
          runs: the directory of the run, or what each process takes for it.
          options: of the command.
          rows: a directory, where each process writes down its rows.
          changes: fields of the experiment.
        """
        address = f"127.0.0.1:{free_port()}"
        of_each = [runs] * num_processes if isinstance(runs, Path) else runs
        return [
            self.start(
                kind,
                run,
                *options,
                *("--coordinator", address, "--num-processes", num_processes),
                *("--process-id", index),
                rows=rows and rows / f"{index}.jsonl",
                **changes,
            )
            for index, run in enumerate(of_each)
        ]

    def end(self) -> None:
        """Kill what a test that failed has left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()


def finish(*processes: subprocess.Popen, status: int = 0) -> str:
    """Let processes come to their end; return what the first one said."""
    said = [process.communicate(timeout=300)[1] for process in processes]
    for process, error in zip(processes, said, strict=True):
        assert process.returncode == status, error
    return said[0]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def row_digests(rows: Any) -> dict[int, int]:
    """Return a digest of each row of a batch that this process has."""
    import jax
    import numpy as np

    digests: dict[int, int] = {}
    for array in rows:
        shards = array.addressable_shards if isinstance(array, jax.Array) else [array]
        for shard in shards:
            data = np.asarray(getattr(shard, "data", shard))
            index = getattr(shard, "index", (slice(0, None),))
            first = index[0].start or 0
            for row, values in enumerate(data, first):
                digests[row] = zlib.crc32(values.tobytes(), digests.get(row, 0))
    return digests


class WithoutTorch:
    """Hides torch, which tensorboardX imports where it can: seconds a process."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torch":
            raise ModuleNotFoundError(name)


def main() -> int:
    """Run the command on an experiment of `tests.train.experiments`."""
    kind, folder, changes, rows, *arguments = sys.argv[1:]
    sys.meta_path.insert(0, WithoutTorch())

    import train.config
    import train.pretrain
    from tests.train.experiments import make_experiment
    from train.loop.compiled import CompiledStep

    experiment = make_experiment(kind, Path(folder), **json.loads(changes))
    train.config.experiment_named = lambda name, kind: experiment

    class WritingStep(CompiledStep):
        def __call__(self, state: Any, batch: Any, say: Any) -> Any:
            with Path(rows).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row_digests(batch.rows)) + "\n")
            return super().__call__(state, batch, say)

    train.pretrain.CompiledStep = WritingStep
    train.pretrain._SECONDS_TO_BE_SEEN = 2
    return train.pretrain.main([f"{kind}_tiny", *arguments])


if __name__ == "__main__":
    sys.exit(main())
