# SPDX-License-Identifier: Apache-2.0
"""BERT's part of embedding text: sentences to rows of pieces, rows to vectors."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bert_jax.embed import compute_vectors
from bert_jax.params import BertParams
from bert_jax.rows import Row, collate, cut_row, cut_windows, with_context
from bert_jax.tokenizer import Pieces, Tokenizer
from bert_jax.tokens import BertTokens
from embed_jax.corpus.arrivals import blocks
from embed_jax.corpus.batching import Batch
from embed_jax.corpus.embedder import CorpusEmbedder, Pipeline, Request
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.stream import Item
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.mesh import replicate, shard_rows
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.pooling import combine_sentence_parts, pool_sentence, pool_words
from embed_jax.layers.select import Mix

TOKENISED_AT_ONCE = 256


def open_pipeline(
    params: BertParams,
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    request: Request,
) -> Pipeline[Row]:
    """Check a request against the model, and return its pipeline.

    Raises:
      ValueError: rows longer than the position table, or another model's tokeniser.
    """
    options, mesh = request.options, request.options.mesh
    length = options.max_length
    length = tokenizer.max_length if length is None else length
    if not 3 <= length <= params.config.max_positions:
        raise ValueError(
            f"max_length {length} is not between 3 and the model's "
            f"{params.config.max_positions} positions"
        )
    if tokenizer.vocab_size > params.config.vocab_size:
        raise ValueError(
            f"the tokeniser has {tokenizer.vocab_size} pieces, the model "
            f"{params.config.vocab_size}; they do not belong together"
        )
    max_context = length if options.context == "document" else options.context
    items = _items(tokenizer, sentences, length, options.long, max_context)
    compute, assemble = _word_vectors, _word_assembler(request)
    if request.level == "sentences":
        compute = partial(_sentence_vectors, specials=options.specials)
        assemble = _sentence_assembler(request)
    else:
        # A blank sentence has no word, so nothing of it is computed.
        items = (
            item if item.words else dataclasses.replace(item, rows=[]) for item in items
        )
    placed = replicate(params, mesh) if mesh else jax.device_put(params)

    def run(rows: Sequence[Row], batch: Batch) -> jax.Array:
        tokens = collate(
            rows, tokenizer.pad_id, length=batch.length, size=batch.num_rows
        )
        return compute(
            placed,
            shard_rows(tokens, mesh) if mesh else tokens,
            options.mix,
            spec=request.spec,
            pool=request.pool,
            dtype=jnp.dtype(options.dtype),
            out_dtype=jnp.dtype(options.out_dtype),
        )

    return Pipeline(items, run, assemble, request.shapes(length).plan)


# Positions a batch: on CPU the arrays between two products then stay in the cache; an
# accelerator wants more work at once.
CORPUS = CorpusEmbedder(
    open_pipeline,
    token_budgets={"cpu": 1024, "default": 16384},
    kinds=(BertParams, Tokenizer),
)

embed_words = CORPUS.embed_words
embed_sentences = CORPUS.embed_sentences
stream_words = CORPUS.stream_words
stream_sentences = CORPUS.stream_sentences
vector_width = CORPUS.vector_width


def _word_assembler(
    request: Request,
) -> Callable[[Item[Row], list[np.ndarray]], np.ndarray]:
    dtype = jnp.dtype(request.options.out_dtype)

    def assemble(item: Item[Row], parts: list[np.ndarray]) -> np.ndarray:
        num_read = len(item.words) - len(item.unread)
        vectors = np.zeros((num_read, request.width), dtype)
        for row, part in zip(item.rows, parts, strict=True):
            vectors[row.first_word : row.first_word + row.num_words] = part[
                : row.num_words
            ]
        if not item.unread:
            return vectors
        whole = np.zeros((len(item.words), request.width), dtype)
        whole[np.delete(np.arange(len(item.words)), item.unread)] = vectors
        return whole

    return assemble


def _sentence_assembler(
    request: Request,
) -> Callable[[Item[Row], list[np.ndarray]], np.ndarray]:
    """Return a function that pools all windows of a long sentence, each piece once."""
    options = request.options

    def assemble(item: Item[Row], parts: list[np.ndarray]) -> np.ndarray:
        if len(parts) == 1:
            # A copy, for a part is of a batch that it would keep, and read-only.
            return parts[0][None].copy()
        counts = [
            int((row.pooled if options.specials else row.word_ids >= 0).sum())
            for row in item.rows
        ]
        # 16-bit dtypes come from ml_dtypes too, which NumPy's products do not know.
        stacked = np.stack(parts).astype(np.float32)
        combined = combine_sentence_parts(stacked, np.array(counts), request.pool)
        return combined.astype(jnp.dtype(options.out_dtype))[None]

    return assemble


@partial(jax.jit, static_argnames=("spec", "pool", "dtype", "out_dtype"))
@on_any_mesh("B W D")
def _word_vectors(
    params: BertParams,
    tokens: BertTokens,
    mix: Mix,
    *,
    spec: LayerSpec,
    pool: str,
    dtype: jnp.dtype,
    out_dtype: jnp.dtype,
) -> Float[Array, "B W D"]:
    vectors = _of_text(params, tokens, spec, mix, dtype)
    return pool_words(vectors, tokens.word_ids, pool).astype(out_dtype)


@partial(jax.jit, static_argnames=("spec", "pool", "specials", "dtype", "out_dtype"))
@on_any_mesh("B D")
def _sentence_vectors(
    params: BertParams,
    tokens: BertTokens,
    mix: Mix,
    *,
    spec: LayerSpec,
    pool: str,
    specials: bool,
    dtype: jnp.dtype,
    out_dtype: jnp.dtype,
) -> Float[Array, "B D"]:
    vectors = _of_text(params, tokens, spec, mix, dtype)
    pooled = tokens.pooled if specials else tokens.word_ids >= 0
    return pool_sentence(vectors, pooled, pool).astype(out_dtype)


def _of_text(
    params: BertParams, tokens: BertTokens, spec: LayerSpec, mix: Mix, dtype: jnp.dtype
) -> Float[Array, "B T D"]:
    """Compute the vectors of each row's own text.

    Zero at the context around it, which a `mix_norm` must not count either.
    """
    (vectors,) = compute_vectors(
        params, tokens, (spec,), (mix,), dtype, "row", tokens.pooled
    )
    return vectors


def _items(
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    max_length: int,
    long: str,
    max_context: int,
) -> Iterator[Item[Row]]:
    """Tokenise sentences and cut rows, many sentences at a time."""
    pending: deque[Pieces] = deque()

    def tokenised() -> Iterator[Pieces]:
        index = 0
        for block in blocks(sentences, TOKENISED_AT_ONCE):
            for pieces in tokenizer.encode(block):
                checked = _fit(pieces, index, max_length, long)
                pending.append(checked)
                yield _without_unread(checked)
                index += 1

    specials = tokenizer.cls_id, tokenizer.sep_id
    if max_context:
        source = ((pieces.ids, pieces.word_ids) for pieces in tokenised())
        all_rows = with_context(source, *specials, max_length, max_context)
    else:
        all_rows = (
            _rows(pieces, *specials, max_length=max_length) for pieces in tokenised()
        )
    for rows in all_rows:
        pieces = pending.popleft()
        has_piece = np.zeros(len(pieces.words), bool)
        has_piece[pieces.word_ids] = True
        unread = tuple(np.flatnonzero(~has_piece).tolist())
        lacked = pieces.word_ids[pieces.ids == tokenizer.unk_id]
        yield Item(rows, pieces.words, unread, tuple(np.unique(lacked).tolist()))


def _without_unread(pieces: Pieces) -> Pieces:
    """Number only the words that have a piece, of which a row has a place for each."""
    read, word_ids = np.unique(pieces.word_ids, return_inverse=True)
    if len(read) == len(pieces.words):
        return pieces
    words = [pieces.words[index] for index in read]
    return Pieces(pieces.ids, word_ids.astype(pieces.word_ids.dtype), words)


def _fit(pieces: Pieces, index: int, max_length: int, long: str) -> Pieces:
    """Apply `long` to a sentence, except for "window"."""
    room = max_length - 2
    if len(pieces.ids) <= room or long == "window":
        return pieces
    if long == "truncate":
        return Pieces(pieces.ids[:room], pieces.word_ids[:room], pieces.words)
    raise ValueError(
        f"sentence {index} has {len(pieces.ids) + 2} tokens with specials, more than "
        f'{max_length}; use long="window" or long="truncate"'
    )


def _rows(pieces: Pieces, cls_id: int, sep_id: int, *, max_length: int) -> list[Row]:
    if len(pieces.ids) <= max_length - 2:
        return [cut_row(pieces.ids, pieces.word_ids, cls_id, sep_id)]
    return cut_windows(pieces.ids, pieces.word_ids, cls_id, sep_id, max_length)
