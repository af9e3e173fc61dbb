# SPDX-License-Identifier: Apache-2.0
"""Memory of weights and optimiser on each device, by how many devices share them.

python -m benchmarks.fsdp_memory bert_large elmo_original

From the placement of every array of the real step, on CPU devices; nothing is run.
"""

import sys

import jax

NUM_DEVICES = 8


def main(names: list[str]) -> None:
    """Print a table for the configurations of these names."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES)
    # After the number of devices is set.
    import jax.numpy as jnp

    from train.config import experiment_named
    from train.loop.sharding import training_mesh
    from train.plan import bytes_a_chip
    from train.planning.abstract import abstract_step

    sys.stdout.write("| | fsdp | weights | optimiser | together | of one's |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for name in names:
        experiment, whole = experiment_named(name), 0
        for fsdp in (1, 2, 4, 8):
            mesh = training_mesh(fsdp, jax.devices())
            held = abstract_step(experiment, mesh, jnp.dtype("bfloat16")).held
            sizes = [bytes_a_chip(held[part]) for part in ("weights", "optimiser")]
            whole = whole or sum(sizes)
            cells = [f"{size / 1e9:.3f} GB" for size in (*sizes, sum(sizes))]
            share = f"1/{whole / sum(sizes):.2f}"
            row = " | ".join([name, str(fsdp), *cells, share])
            sys.stdout.write(f"| {row} |\n")


if __name__ == "__main__":
    main(sys.argv[1:])
