# SPDX-License-Identifier: Apache-2.0
"""What every encoder shares once it is asked for vectors: arrays, text and files.

Letters for shapes, in annotations and in einsum alike::

    B batch · T tokens · S tokens as keys · W words · L layers · D layer width
    N heads · K width of a head · F feed-forward width · V vocabulary
    M masked positions · U distinct word types · C characters a word
    E character embedding · H LSTM cell · P LSTM projection · Y tags

A NumPy array lives on the host, a `jax.Array` on the device: the type says where.
"""
