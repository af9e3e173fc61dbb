# SPDX-License-Identifier: Apache-2.0
"""Vector stores: the vectors and words of a corpus as ragged arrays in one HDF5 file.

    vectors       [rows, D]        float32, float16, or bfloat16 as uint16 bit patterns
    offsets       [sentences + 1]  int64: sentence i owns rows offsets[i]:offsets[i + 1]
    words         [bytes]          uint8: every row's text, UTF-8, end to end
    word_offsets  [rows + 1]       int64: row r owns bytes word_offsets[r] to [r + 1]

A sentence may own no row, as a blank line does. In a store of sentence vectors every
sentence owns one row, whose word is the whole sentence. The file's attributes are
`format`, `dtype` and `metadata`, a JSON object.

A store that several processes wrote consists of several such files, its parts, and an
index: a file with the same arrays, whose vectors and words are HDF5 virtual datasets.
Its additional attribute `parts` lists the parts.

`writer` writes a store, `parts` a store of several parts; `reader` reads either.
"""

from embed_jax.store.parts import PartedStore as PartedStore
from embed_jax.store.reader import VectorStore as VectorStore
from embed_jax.store.writer import StoreWriter as StoreWriter
