# SPDX-License-Identifier: Apache-2.0
"""The contexts of a word: found, embedded at every layer, clustered, laid out, shown.

python -m embed_jax.contexts MODEL corpus.txt --word bank --output bank.html
"""
