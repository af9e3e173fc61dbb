# SPDX-License-Identifier: Apache-2.0
"""How a finished store is recognised, and the index of several parts."""

from embed_jax.files.kinds import FileKind, hdf5_with

STORE = FileKind("a store of vectors", hdf5_with("format", "dtype", "metadata"))
"""Has the attributes that `embed_jax.store.build` writes first."""
