# SPDX-License-Identifier: Apache-2.0
"""Output to what has not every character, and guards that were meant for others."""

import io
import sys

import jax
import numpy as np
import pytest

from embed_jax.exit_status import exit_status


@pytest.mark.parametrize(
    ("encoding", "errors", "shown"),
    [
        ("ascii", "strict", b"caf\\xe9 \\u2026\n"),
        ("latin-1", "strict", b"caf\xe9 \\u2026\n"),
        ("utf-8", "strict", "café …\n".encode()),
        # As PYTHONIOENCODING=ascii:replace asks for.
        ("ascii", "replace", b"caf? ?\n"),
    ],
)
def test_a_character_that_an_output_lacks_is_spelled_out(
    monkeypatch, encoding, errors, shown
):
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=encoding, errors=errors)
    monkeypatch.setattr(sys, "stdout", stream)

    def speak() -> None:
        sys.stdout.write("café …\n")

    assert exit_status("name", speak, "") == 0
    stream.flush()
    assert content.getvalue() == shown
    assert stream.errors == errors


def test_a_guard_of_transfers_is_not_for_commands(monkeypatch):
    monkeypatch.setenv("JAX_TRANSFER_GUARD", "disallow")
    names = [name for name in jax.config.values if "transfer_guard" in name]
    before = {name: jax.config.values[name] for name in names}
    double = jax.jit(lambda x: 2 * x)

    def transfer() -> None:
        double(np.ones(3)).block_until_ready()

    jax.config.update("jax_transfer_guard", "disallow")
    try:
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed"):
            transfer()
        assert exit_status("name", transfer, "") == 0
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed"):
            transfer()
        jax.config.update("jax_transfer_guard_host_to_device", "log")
        assert exit_status("name", lambda: None, "") == 0
        assert jax.config.values["jax_transfer_guard_host_to_device"] == "log"
        assert jax.config.values["jax_transfer_guard_device_to_host"] == "disallow"
    finally:
        for name in sorted(names):
            jax.config.update(name, before[name])
