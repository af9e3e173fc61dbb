# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that cannot be read is called damaged only if it is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embed_jax.files.restoring import check_fits, why_not_read

SOURCE = Path("RUN/checkpoints/9")


def caused_by(cause: Exception) -> ValueError:
    error = ValueError("reading failed\nin many lines")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "kind", "text"),
    [
        (MemoryError(), OSError, "not enough memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), OSError, "not enough memory"),
        (PermissionError(13, "denied"), OSError, "this user may not read it"),
        (ValueError("PERMISSION_DENIED: x"), OSError, "this user may not read it"),
        (ValueError("DATA_LOSS: CRC-32C checksum"), ValueError, "9 is damaged: "),
        (KeyError("written_by_a_newer_version"), ValueError, "9 cannot be read: "),
    ],
)
def test_each_cause_has_its_own_line(cause: Exception, kind: type, text: str):
    for error in (cause, caused_by(cause)):
        found = why_not_read(SOURCE, error, "remove it")
        assert type(found) is kind
        assert text in str(found)
        assert str(found).startswith("RUN/checkpoints/9")
        assert "\n" not in str(found)
        assert ("remove it" in str(found)) is (kind is ValueError)


def test_weights_are_held_against_the_configuration():
    held = {"bias": np.zeros(2), "kernel": np.zeros((2, 3))}
    settings = Path("config.json")
    check_fits(held, [("kernel", (2, 3)), ("bias", (2,))], SOURCE, settings)
    for wanted, text in (
        ([("bias", (2,))], "kernel has no place there"),
        ([("bias", (3,))], r"bias has shape \[2\], not \[3\]"),
        ([("scale", (2,))], "it lacks scale"),
    ):
        with pytest.raises(ValueError, match=f"9 does not fit config.json: {text}"):
            check_fits(held, wanted, SOURCE, settings)


def test_a_billion_layers_end_at_the_first_that_is_missing():
    def layers() -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "layer_0", (2,)
        yield "layer_1", (2,)
        raise AssertionError("one is enough")

    with pytest.raises(ValueError, match="it lacks layer_1"):
        check_fits({"layer_0": np.zeros(2)}, layers(), SOURCE, Path("config.json"))
