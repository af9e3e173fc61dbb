# SPDX-License-Identifier: Apache-2.0
"""Parallel training of the taggers of several specs, with cached results.

Each spec is trained in a process of its own, because XLA's CPU client gives all
computations of a process the same few threads.
"""

import dataclasses
import hashlib
import importlib.metadata
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.output_file import open_output
from embed_jax.layers.layer_spec import parse_layer_spec
from train.processes import Spawning, submit_each, wait_for_each
from train.tasks.ner.tagging import TaggedFeatures, Tagging, train_taggers
from train.tasks.results import Outcome, format_score

PATIENCE = 120.0
"""Seconds without processor time after which processes are taken to stand still for
ever, as XLA's CPU client has done: docs/decisions/taggers.md."""
MOST_STARTS = 3
"""Times that what stands still is begun."""


def train_specs(
    config: Tagging,
    specs: Sequence[str],
    splits: Mapping[str, TaggedFeatures],
    cache: Path,
    *,
    jobs: int = 2,
    retrain: bool = False,
) -> dict[str, Outcome]:
    """Train a tagger for each spec that has no cached outcome.

    Args:
      config: of the taggers.
      specs: the layer specs.
      splits: train, dev and test.
      cache: the folder of the outcomes.
      jobs: specs to train at the same time.
      retrain: train again even if the cache has an outcome.

    Raises:
      ValueError: the features lack a layer.
      OSError: a process was killed from outside, or processes stood still three times.
    """
    paths = {spec: _path_of(config, spec, splits, cache) for spec in specs}
    missing = [spec for spec in specs if retrain or not paths[spec].exists()]
    work = [(config, spec, splits, paths[spec]) for spec in missing]
    cache.mkdir(parents=True, exist_ok=True)
    if jobs == 1 or len(work) == 1:
        for each in work:
            _train(*each)
    elif work:
        _train_beside(work, jobs)
    return {spec: _read(path) for spec, path in paths.items()}


def _train_beside(work: list[tuple], jobs: int) -> None:
    """Train in processes; what stands still is begun anew, a few times."""
    for _ in range(MOST_STARTS):
        work = _start_beside(work, jobs)
        if not work:
            return
        sys.stderr.write(
            f"no process has done anything for {PATIENCE:.0f} s; {len(work)} "
            "taggers are trained again\n"
        )
    raise OSError(
        f"processes that trained taggers stood still {MOST_STARTS} times; --jobs 1 "
        "trains in this one"
    )


def _start_beside(work: list[tuple], jobs: int) -> list[tuple]:
    """Train in processes; return what is missing because they stood still."""
    processes = Spawning()
    with ProcessPoolExecutor(
        min(jobs, len(work)), mp_context=processes, initializer=_prepare_process
    ) as pool:
        try:
            futures = submit_each(pool, _train, work)
            try:
                wait_for_each(futures, processes, PATIENCE)
            except TimeoutError:
                at_work = zip(work, futures, strict=True)
                missing = [each for each, future in at_work if not future.done()]
                pool.shutdown(wait=False, cancel_futures=True)
                processes.end()
                return missing
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()
            if isinstance(error, BrokenProcessPool):
                raise OSError(
                    "a process that trained a tagger was killed, perhaps for want of "
                    "memory; --jobs 1 needs less of it"
                ) from error
            raise
    return []


def _prepare_process() -> None:
    # Ctrl-C reaches the whole group; the process that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_compilations()


def _train(
    config: Tagging, spec: str, splits: Mapping[str, TaggedFeatures], path: Path
) -> None:
    """Train the taggers of a spec and write the outcome."""
    outcome = train_taggers(config, spec, splits)
    with open_output(path) as file:
        file.write(json_text(outcome._asdict(), default=np.ndarray.tolist).encode())
    sys.stderr.write(
        f"{spec:>16}: dev {format_score(outcome.dev)}, "
        f"test {format_score(outcome.test)}, {outcome.seconds:.0f} s\n"
    )


def _path_of(
    config: Tagging, spec: str, splits: Mapping[str, TaggedFeatures], cache: Path
) -> Path:
    """Return the file of an outcome, named by a digest of all that it depends on."""
    parsed = parse_layer_spec(spec)
    # The context as text, as outcomes that are kept already were named.
    settings = dataclasses.asdict(config) | {
        "layers": (),
        "context": str(config.context),
    }
    if not config.mix_penalty:
        del settings["mix_penalty"]  # as before there was one
    if parsed.normalises:
        settings["normalised"] = "sentences"  # no longer batches
    identity = {
        "spec": str(parsed),
        "config": settings,
        "features": {name: split.features.path.name for name, split in splits.items()},
        "tags": {name: list(map(list, split.tags)) for name, split in splits.items()},
        "versions": [importlib.metadata.version(name) for name in ("jax", "optax")],
    }
    digest = hashlib.sha256(json_text(identity).encode()).hexdigest()
    return cache / f"ner-{digest[:16]}.json"


def _read(path: Path) -> Outcome:
    record = read_json(path)
    try:
        return _outcome(record)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no outcome of a training ({error!r}); remove it, and it is "
            "trained again"
        ) from error


def _outcome(record: dict[str, Any]) -> Outcome:
    def arrays(name: str) -> tuple[np.ndarray, ...]:
        return tuple(np.array(values) for values in record[name])

    return Outcome(
        **{
            **record,
            "dev": tuple(record["dev"]),
            "test": tuple(record["test"]),
            "epochs": tuple(record["epochs"]),
            "mixes": arrays("mixes"),
            "gammas": arrays("gammas"),
        }
    )
