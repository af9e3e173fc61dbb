# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.export`: every option reaches what it is for."""

from pathlib import Path

import jax.export
import pytest

from embed_jax.export.__main__ import main
from tests.options.embedding import PACKAGES, Seen, observer, run, save_model
from tests.options.table import Option, check_entries, check_option, listed_options

OPTIONS = {
    "--layers": Option("--layers concat(0,0)", "width", to=32),
    "--dtype": Option("--dtype bfloat16", "half", to=True),
    "--overwrite": Option("--overwrite", "again", to=0),
}


@pytest.fixture(scope="module")
def observers(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")

    def look_at(kind):
        model = save_model(kind, models / kind)

        def look(arguments: list[str], folder: Path):
            line = [model, "artefact", *arguments]
            assert run(main, line, folder).status == 0
            program = (folder / "artefact/program.bin").read_bytes()
            lowered = jax.export.deserialize(bytearray(program))
            return Seen(
                width=lowered.out_avals[0].shape[-1],
                # Whether its products are of 16 bits.
                half="bf16" in lowered.mlir_module(),
                again=lambda: run(main, line, folder).status,
            )

        return observer(look, lambda: tmp_path_factory.mktemp("run"))

    return {kind: look_at(kind) for kind in PACKAGES}


def test_every_option_is_tried():
    check_entries(OPTIONS, listed_options(main))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("kind", PACKAGES)
def test_an_option_changes_what_it_is_for(observers, kind, name):
    check_option(OPTIONS[name], observers[kind])
