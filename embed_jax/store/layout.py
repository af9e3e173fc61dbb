# SPDX-License-Identifier: Apache-2.0
"""Arrays, dtypes and block sizes of a store's file."""

import ml_dtypes
import numpy as np

FORMAT = 1
MODEL, IDENTITY = "model", "model_identity"
"""In metadata, what a model was called, and what it is (`embed_jax.model_identity`);
earlier versions did not keep the second."""
DTYPES = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
# HDF5 knows no bfloat16: its bit patterns are stored.
STORED_DTYPES = DTYPES | {"bfloat16": np.dtype("<u2")}
OFFSET = np.dtype("<i8")
ARRAYS = ("vectors", "offsets", "words", "word_offsets")
BOUNDARIES = {"offsets": "vectors", "word_offsets": "words"}
"""The arrays of boundaries, and what each divides."""

BLOCK_BYTES = 8 << 20
# Of what is compressed; of what is only checked, where a reader at random must read
# little besides what it wants.
CHUNK_BYTES = 256 << 10
CHECKED_CHUNK_BYTES = 64 << 10
# A sequential reader of a compressed store must not unpack a chunk once per sentence.
CHUNK_CACHE_BYTES = 16 << 20
