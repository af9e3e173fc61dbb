# SPDX-License-Identifier: Apache-2.0
"""What one process has compiled with the library, the next one finds."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

# Prints how many programs were found, and how many were not.
PROGRAM = """
import sys
import jax
import numpy as np
import bert_jax
import elmo_jax
import embed_jax
from tests.bert_jax.words import CONFIG, make_tokenizer

counts = {"hits": 0, "misses": 0}
def note(event, **_):
    name = event.removeprefix("/jax/compilation_cache/cache_")
    if name in counts:
        counts[name] += 1
jax.monitoring.register_event_listener(note)

jax.jit(lambda x: 2 * x)(np.ones(3))  # kept where the environment says
embed_jax.keep_compilations(sys.argv[1])
elmo = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
for family, config, tokenizer in (
    (bert_jax, CONFIG, make_tokenizer()), (elmo_jax, elmo_jax.TINY, elmo)
):
    shapes = jax.eval_shape(
        lambda key: family.init_params(key, config), jax.random.key(0)
    )
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    family.embed(params, tokenizer(["the bank"], pad_to=8))
print(counts["hits"], counts["misses"])
"""


def hits_and_misses(directory: Path) -> tuple[int, ...]:
    # What the environment says is in force until the program says otherwise.
    elsewhere = str(directory.with_name("elsewhere"))
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": elsewhere}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(directory)],
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return tuple(map(int, finished.stdout.split()))


def test_a_second_process_compiles_nothing_anew(tmp_path):
    directory = tmp_path / "compiled"
    hits, misses = hits_and_misses(directory)
    assert misses >= 2
    assert hits == 0
    assert any(directory.iterdir())
    # One program each family, and the seed that both begin with.
    assert hits_and_misses(directory) == (misses, 0)
