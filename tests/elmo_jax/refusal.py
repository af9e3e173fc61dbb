# SPDX-License-Identifier: Apache-2.0
"""What every refusal of a model must be: a ValueError of one line that names things."""

import pytest

import elmo_jax


def refused(path, *parts: str, **options) -> str:
    """Load what cannot be loaded; return the message."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the parts are the match)
        elmo_jax.load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, (part, message)
    return message
