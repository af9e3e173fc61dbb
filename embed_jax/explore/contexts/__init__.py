# SPDX-License-Identifier: Apache-2.0
"""The contexts of a word, embedded at every layer, clustered and plotted on a page.

python -m embed_jax.contexts MODEL corpus.txt --word bank --output bank.html
"""
