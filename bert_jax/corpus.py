# SPDX-License-Identifier: Apache-2.0
"""Sentences in, vectors of words or of sentences out, however many and however long."""

import dataclasses
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bert_jax.embed import Mix, compute_vectors
from bert_jax.params import BertParams
from bert_jax.rows import Row, collate, cut_row, cut_windows, with_context
from bert_jax.tokenizer import Pieces, Tokenizer
from bert_jax.tokens import BertTokens
from embed_jax.corpus.batching import Batch, BatchShapes
from embed_jax.corpus.sentences import Sentence, check_sentences
from embed_jax.corpus.stream import Embedded, Item, stream_vectors
from embed_jax.devices.mesh import Mesh, replicate, shard_rows
from embed_jax.devices.spread import rows_spread_over
from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.pooling import (
    SENTENCE_POOLS,
    WORD_POOLS,
    combine_sentence_parts,
    pool_sentence,
    pool_words,
    pooled_width,
)
from embed_jax.suggest import suggest

LONG = ("error", "truncate", "window")

# Positions a batch. On CPU the arrays between two products then stay in the cache; an
# accelerator wants more work at once.
TOKEN_BUDGETS = {"cpu": 1024}
ACCELERATOR_TOKEN_BUDGET = 16384

# A chunk is so many batches, unless its results would occupy more than so much.
CHUNK_BATCHES = 64
CHUNK_BYTES = 128 * 2**20
TOKENISED_AT_ONCE = 256


def embed_words(
    params: BertParams,
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    layer_spec: str | LayerSpec = "last",
    **options: Any,
) -> list[Float[np.ndarray, "W D"]]:
    """Embed every word of every sentence.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      sentences: each a str, whose words are its stretches between white space and
        punctuation, or a list of words.
      layer_spec: which layers and how they are combined.
      **options: those of `stream_words`: pool, long, context, mix, dtype, …

    Returns:
      For each sentence an array `[words, width]`. A word without a piece (nothing but
      control characters, say) has a zero vector, and a logged warning counts such.

    Raises:
      ValueError: see `stream_words`.
    """
    stream = stream_words(params, tokenizer, sentences, layer_spec, **options)
    return _without_words(stream)


def embed_sentences(
    params: BertParams,
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    layer_spec: str | LayerSpec = "last",
    **options: Any,
) -> Float[np.ndarray, "B D"]:
    """Embed every sentence.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      sentences: each a str, or a list of words.
      layer_spec: which layers and how they are combined.
      **options: those of `stream_sentences`: pool, specials, long, context, mix, …

    Returns:
      An array `[sentences, width]`.

    Raises:
      ValueError: see `stream_sentences`.
    """
    stream = stream_sentences(params, tokenizer, sentences, layer_spec, **options)
    rows = _without_words(stream)
    if not rows:
        width = vector_width(params, layer_spec, "mean")
        return np.zeros((0, width), jnp.dtype(options.get("out_dtype", jnp.float32)))
    return np.concatenate(rows)


def stream_words(
    params: BertParams,
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    layer_spec: str | LayerSpec = "last",
    *,
    pool: str = "first",
    mix: Mix = None,
    long: str = "window",
    context: int | str = 0,
    max_length: int | None = None,
    token_budget: int | None = None,
    dtype: DTypeLike = jnp.float32,
    out_dtype: DTypeLike = jnp.float32,
    mesh: Mesh | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[Embedded]:
    """Embed the words of any number of sentences, in order and in bounded memory.

    `mix_norm` normalises each sentence by itself here, so that a vector never depends
    on its batch.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      sentences: read lazily, in a thread of their own.
      layer_spec: which layers and how they are combined.
      pool: how the pieces of a word become one vector: first, last, mean, max,
        first_last.
      mix: the `ScalarMix` of the spec's mix term, or a tuple, one a term.
      long: what is done with a sentence over `max_length`: "window" cuts overlapping
        windows and reads each word from the one with most context; "truncate" reads
        the beginning and gives the other words zero vectors; "error" refuses.
      context: how many pieces of the sentences before and after are shown to each
        sentence, or "document", as many as fit. A blank sentence ends a document.
      max_length: longest row in tokens; by default all that the model has.
      token_budget: positions a batch; by default 1,024 on CPU, 16,384 elsewhere.
      dtype: of the computation; float32 or bfloat16.
      out_dtype: of the vectors; float32, float16 or bfloat16.
      mesh: the devices to spread batches over (`embed_jax.devices.mesh.data_mesh`);
        by default the default device.
      on_batch: called with the number of rows whenever a batch is done, for progress.

    Returns:
      An iterator of `Embedded(words, vectors, unread)`.

    Raises:
      ValueError: a malformed option or spec, at once; a sentence that is too long with
        `long="error"`, when it is reached.
    """
    spec = parse_layer_spec(layer_spec)
    _check_choice("pool", pool, WORD_POOLS)
    width = vector_width(params, spec, pool)

    def assemble(item: Item[Row], parts: list[np.ndarray]) -> np.ndarray:
        vectors = np.zeros((len(item.words), width), jnp.dtype(out_dtype))
        for row, part in zip(item.rows, parts, strict=True):
            vectors[row.first_word : row.first_word + row.num_words] = part[
                : row.num_words
            ]
        return vectors

    compute = partial(_word_vectors, spec=spec, pool=pool)
    return _stream(
        params,
        tokenizer,
        sentences,
        compute,
        assemble,
        width,
        mix=mix,
        long=long,
        context=context,
        max_length=max_length,
        token_budget=token_budget,
        dtype=dtype,
        out_dtype=out_dtype,
        mesh=mesh,
        on_batch=on_batch,
        embed_blanks=False,
    )


def stream_sentences(
    params: BertParams,
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    layer_spec: str | LayerSpec = "last",
    *,
    pool: str = "mean",
    specials: bool = True,
    mix: Mix = None,
    long: str = "window",
    context: int | str = 0,
    max_length: int | None = None,
    token_budget: int | None = None,
    dtype: DTypeLike = jnp.float32,
    out_dtype: DTypeLike = jnp.float32,
    mesh: Mesh | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[Embedded]:
    """Embed any number of sentences, one vector each; see `stream_words`.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      sentences: read lazily, in a thread of their own.
      layer_spec: which layers and how they are combined.
      pool: cls, mean, max or mean_sqrt_len. All windows of a long sentence count, each
        piece once.
      specials: whether [CLS] and [SEP] count among the tokens that are pooled, as the
        published sentence encoders have it.
      mix: the `ScalarMix` of the spec's mix term, or a tuple, one a term.
      long: "window", "truncate" or "error".
      context: pieces of the neighbours to show, or "document".
      max_length: longest row in tokens; by default all that the model has.
      token_budget: positions a batch.
      dtype: of the computation.
      out_dtype: of the vectors.
      mesh: the devices to spread batches over.
      on_batch: called with the number of rows whenever a batch is done.

    Returns:
      An iterator of `Embedded(words, vectors, unread)`, vectors being `[1, width]`.

    Raises:
      ValueError: as `stream_words`.
    """
    spec = parse_layer_spec(layer_spec)
    _check_choice("pool", pool, SENTENCE_POOLS)
    width = vector_width(params, spec, pool)

    def assemble(item: Item[Row], parts: list[np.ndarray]) -> np.ndarray:
        if len(parts) == 1:
            return parts[0][None]
        counts = [
            int((row.pooled if specials else row.word_ids >= 0).sum())
            for row in item.rows
        ]
        # 16-bit dtypes come from ml_dtypes too, which NumPy's products do not know.
        stacked = np.stack(parts).astype(np.float32)
        combined = combine_sentence_parts(stacked, np.array(counts), pool)
        return combined.astype(jnp.dtype(out_dtype))[None]

    compute = partial(_sentence_vectors, spec=spec, pool=pool, specials=specials)
    return _stream(
        params,
        tokenizer,
        sentences,
        compute,
        assemble,
        width,
        mix=mix,
        long=long,
        context=context,
        max_length=max_length,
        token_budget=token_budget,
        dtype=dtype,
        out_dtype=out_dtype,
        mesh=mesh,
        on_batch=on_batch,
        embed_blanks=True,
    )


def vector_width(params: BertParams, layer_spec: str | LayerSpec, pool: str) -> int:
    """Compute the width of a pooled vector, of a word or of a sentence.

    Raises:
      ValueError: a malformed spec, a layer that the model lacks, an unknown pool.
    """
    spec = parse_layer_spec(layer_spec)
    width = spec.width(params.config.num_blocks, params.config.layer_dim)
    return pooled_width(width, pool)


@partial(jax.jit, static_argnames=("spec", "pool", "dtype", "out_dtype", "mesh"))
def _word_vectors(
    params: BertParams,
    tokens: BertTokens,
    mix: Mix,
    *,
    spec: LayerSpec,
    pool: str,
    dtype: jnp.dtype,
    out_dtype: jnp.dtype,
    mesh: Mesh | None,
) -> Float[Array, "B W D"]:
    with rows_spread_over(mesh):
        (vectors,) = compute_vectors(params, tokens, (spec,), (mix,), dtype, "row")
    return pool_words(vectors, tokens.word_ids, pool).astype(out_dtype)


@partial(
    jax.jit,
    static_argnames=("spec", "pool", "specials", "dtype", "out_dtype", "mesh"),
)
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
    mesh: Mesh | None,
) -> Float[Array, "B D"]:
    with rows_spread_over(mesh):
        (vectors,) = compute_vectors(params, tokens, (spec,), (mix,), dtype, "row")
    pooled = tokens.pooled if specials else tokens.word_ids >= 0
    return pool_sentence(vectors, pooled, pool).astype(out_dtype)


def _stream(
    params: BertParams,
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    compute: Callable[..., jax.Array],
    assemble: Callable[[Item[Row], list[np.ndarray]], np.ndarray],
    width: int,
    *,
    mix: Mix,
    long: str,
    context: int | str,
    max_length: int | None,
    token_budget: int | None,
    dtype: DTypeLike,
    out_dtype: DTypeLike,
    mesh: Mesh | None,
    on_batch: Callable[[int], None] | None,
    embed_blanks: bool,
) -> Iterator[Embedded]:
    """Check everything that can be checked now; return the generator of vectors."""
    if isinstance(sentences, Sequence):
        check_sentences(sentences)
    _check_choice("long", long, LONG)
    length = tokenizer.max_length if max_length is None else max_length
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
    items = _items(tokenizer, sentences, length, long, _max_context(context, length))
    if not embed_blanks:
        items = (
            item if item.words else dataclasses.replace(item, rows=[]) for item in items
        )
    platform = mesh.devices.flat[0].platform if mesh else jax.default_backend()
    shapes = BatchShapes(
        token_budget=TOKEN_BUDGETS.get(platform, ACCELERATOR_TOKEN_BUDGET)
        if token_budget is None
        else token_budget,
        max_length=length,
        row_multiple=mesh.size if mesh else 1,
    )
    placed = replicate(params, mesh) if mesh else jax.device_put(params)

    def run(rows: Sequence[Row], batch: Batch) -> jax.Array:
        tokens = collate(
            rows, tokenizer.pad_id, length=batch.length, size=batch.num_rows
        )
        tokens = shard_rows(tokens, mesh) if mesh else tokens
        dtypes = {"dtype": jnp.dtype(dtype), "out_dtype": jnp.dtype(out_dtype)}
        return compute(placed, tokens, mix, **dtypes, mesh=mesh)

    chunk_tokens = min(
        CHUNK_BATCHES * shapes.token_budget,
        max(CHUNK_BYTES // (4 * width), 4 * shapes.token_budget),
    )
    return stream_vectors(
        items, run, assemble, shapes.plan, chunk_tokens=chunk_tokens, on_batch=on_batch
    )


def _items(
    tokenizer: Tokenizer,
    sentences: Iterable[Sentence],
    max_length: int,
    long: str,
    max_context: int,
) -> Iterator[Item[Row]]:
    """Tokenise and cut rows, as many sentences at once as pay."""
    pending: deque[Pieces] = deque()

    def tokenised() -> Iterator[Pieces]:
        iterator = iter(sentences)
        index = 0
        while block := list(itertools.islice(iterator, TOKENISED_AT_ONCE)):
            for pieces in tokenizer.encode(block):
                checked = _fit(pieces, index, max_length, long)
                pending.append(checked)
                yield checked
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
        yield Item(rows, pieces.words, unread)


def _fit(pieces: Pieces, index: int, max_length: int, long: str) -> Pieces:
    """Apply `long` to a sentence, but for the windows."""
    room = max_length - 2
    if len(pieces.ids) <= room or long == "window":
        return pieces
    if long == "truncate":
        return Pieces(pieces.ids[:room], pieces.word_ids[:room], pieces.words)
    raise ValueError(
        f"sentence {index} has {len(pieces.ids) + 2} tokens with specials, more than "
        f'{max_length}; use long="window" or "truncate"'
    )


def _rows(pieces: Pieces, cls_id: int, sep_id: int, *, max_length: int) -> list[Row]:
    if len(pieces.ids) <= max_length - 2:
        return [cut_row(pieces.ids, pieces.word_ids, cls_id, sep_id)]
    return cut_windows(pieces.ids, pieces.word_ids, cls_id, sep_id, max_length)


def _max_context(context: int | str, max_length: int) -> int:
    if context == "document":
        return max_length
    if not isinstance(context, int) or context < 0:
        raise ValueError(
            f'context is a number of pieces, 0 or more, or "document", not {context!r}'
        )
    return context


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r}: {suggest(value, choices, name)}")


def _without_words(stream: Iterator[Embedded]) -> list[np.ndarray]:
    """Keep the vectors; report the words that have none of their own."""
    vectors = []
    num_unread, example = 0, ""
    for index, embedded in enumerate(stream):
        vectors.append(embedded.vectors)
        if embedded.unread and not num_unread:
            word = embedded.words[embedded.unread[0]]
            example = f"sentence {index}, word {embedded.unread[0]}, {word[:40]!r}"
        num_unread += len(embedded.unread)
    if num_unread:
        logging.getLogger(__name__).warning(
            "%d words gave no piece, or lie beyond a truncated end, and have zero "
            "vectors; the first is %s",
            num_unread,
            example,
        )
    return vectors
