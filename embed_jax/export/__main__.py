# SPDX-License-Identifier: Apache-2.0
"""The command that exports a model as a program that runs without this project.

python -m embed_jax.export MODEL ARTEFACT --layers "concat(last4)"
python ARTEFACT/serve.py < sentences.txt > vectors.jsonl
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import export
from tyro.conf import arg

from embed_jax.checks import check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.encoder import find_encoder
from embed_jax.exit_status import exit_status
from embed_jax.export import serve
from embed_jax.export.spec import (
    MANIFEST,
    PLATFORMS,
    PROGRAM,
    WEIGHTS,
    Exportable,
)
from embed_jax.files.checksum import sha256_file
from embed_jax.files.directory import written_whole
from embed_jax.files.json_file import json_text
from embed_jax.files.kinds import DirectoryKind, json_with
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.outputs import output_directory
from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.tree import name_leaves

_FRAMES = "jax_traceback_in_locations_limit"
SERVE, READER = "serve.py", "text_reader.py"

_is_manifest = json_with("layers", "platforms", "inputs", "weights", "text")
ARTEFACT = DirectoryKind(
    "an artefact of embed_jax.export",
    MANIFEST,
    lambda path: _is_manifest(path / MANIFEST),
    # The last four are of tokenisers.
    (PROGRAM, WEIGHTS, SERVE, READER, "*.json", "*.txt", "*.model", "*.gz"),
)


@dataclasses.dataclass(frozen=True)
class Command:
    """Export a model and a layer_spec as StableHLO, with all files for serving.

    The directory holds the program for CPU, CUDA and TPU, which takes any batch size
    and length, the weights, the tokeniser's files and serve.py, which needs jax, NumPy
    and, for a BERT, the library of its tokeniser. Later versions of jax can read a
    program for at least six months; keep the model to export it again.
    """

    model: Annotated[str, tyro.conf.Positional, arg(metavar="MODEL")]
    """Directory of a model or of a run, or an id on the Hugging Face hub."""
    output: Annotated[Path, tyro.conf.Positional, arg(metavar="ARTEFACT")]
    """The directory to make."""
    layers: str = "last"
    """Layers and how they are combined: last, concat(last4), mean(all), 0, -2, …"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the computation."""
    overwrite: bool = False
    """Replace an artefact of this command that is there."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = "python -m embed_jax.export"
        export_model(parse_command(Command, arguments, prog=prog))

    return exit_status("embed_jax.export", action, "nothing was written")


def export_model(command: Command) -> None:
    """Write an artefact.

    Raises:
      ValueError: a malformed spec, no model, or a layer that the model lacks.
      OSError: the directory exists, or cannot be written.
    """
    command = with_local_paths(command)
    spec = parse_layer_spec(command.layers)
    with output_directory(
        command.output, ARTEFACT, replace=command.overwrite, inputs=[command.model]
    ):
        _export(command, spec)


def _export(command: Command, spec: LayerSpec) -> None:
    encoder = find_encoder(command.model)
    params, tokenizer = encoder.load(command.model)
    width = encoder.vector_width(params, spec, "first")
    what = encoder.export(params, tokenizer, spec, jnp.dtype(command.dtype))
    program = lower(what)
    with written_whole(
        command.output, marker=ARTEFACT, overwrite=command.overwrite
    ) as directory:
        (directory / PROGRAM).write_bytes(program)
        weights = {
            name: np.asarray(leaf) for name, leaf in name_leaves(what.weights).items()
        }
        np.savez(directory / WEIGHTS, allow_pickle=False, **weights)
        manifest = {
            "model": command.model,
            "layers": str(spec),
            "width": width,
            "dtype": command.dtype,
            "platforms": PLATFORMS,
            "inputs": what.inputs,
            "weights": list(weights),
            "text": dict(what.save_text(directory)),
            "jax": version("jax"),
        }
        shutil.copyfile(serve.__file__, directory / SERVE)
        shutil.copyfile(what.reader, directory / READER)
        files = {path.name: sha256_file(path) for path in sorted(directory.iterdir())}
        manifest = serve.sealed(manifest | {"sha256": files})
        content = json_text(manifest, indent=2) + "\n"
        (directory / MANIFEST).write_text(content, encoding="utf-8")
    print(f"{command.output}: {spec}, {width} wide, for {', '.join(PLATFORMS)}")


def lower(what: Exportable) -> bytes:
    """Lower a function for all platforms, with symbolic batch size and length.

    The program takes a list of the leaves of the weights, and the inputs by name.
    """
    leaves, tree = jax.tree.flatten(what.weights)
    scope = export.SymbolicScope(what.constraints)
    inputs = {
        name: jax.ShapeDtypeStruct(
            export.symbolic_shape(axes, scope=scope), np.dtype(dtype)
        )
        for name, (axes, dtype) in what.inputs.items()
    }

    @jax.jit
    def run(leaves: list, inputs: dict) -> jax.Array:
        return what.function(jax.tree.unflatten(tree, leaves), inputs)

    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    with _without_places():
        exported = export.export(run, platforms=PLATFORMS)(shapes, inputs)
        return bytes(exported.serialize())


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
    """Leave out of programs where they were made: files, lines, callers.

    Whoever gets an artefact learns nothing of the directories of who made it, and the
    same model gives the same bytes.
    """
    before = jax.config.values[_FRAMES]
    jax.config.update(_FRAMES, 0)
    try:
        yield
    finally:
        jax.config.update(_FRAMES, before)


if __name__ == "__main__":
    sys.exit(main())
