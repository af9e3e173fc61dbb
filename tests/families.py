"""Which family a model is found to be of."""

from pathlib import Path

from embed_jax.encoder import find_encoder


def family_of(path: str | Path) -> str | None:
    """Return the name of the family; None where none claims the model."""
    try:
        return find_encoder(path).name
    except ValueError:
        return None
