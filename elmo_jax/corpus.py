# SPDX-License-Identifier: Apache-2.0
"""Sentences in, vectors of words or of sentences out, however many and however long."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from elmo_jax.bilm import Carry
from elmo_jax.embed import Mix, compute_vectors
from elmo_jax.packing import PackedBatch, PackShapes, plan_alone
from elmo_jax.params import ElmoParams
from elmo_jax.reader import Reader, check_tokenizer
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import ElmoTokens
from embed_jax.corpus.sentences import Sentence, check_sentences
from embed_jax.corpus.stream import Embedded, Item, stream_vectors
from embed_jax.devices.mesh import replicate
from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.pooling import SENTENCE_POOLS, WORD_POOLS, pooled_width
from embed_jax.suggest import suggest

LONG = ("error", "truncate", "window")

# Positions a batch, and a row. See docs/decisions/lstm-speed.md.
TOKEN_BUDGETS = {"cpu": 8192}
ACCELERATOR_TOKEN_BUDGET = 65536
ROW_LENGTH = 64

# A longer sentence is read in parts, each beginning in the state that the part before
# it ended in, so its vectors are what they would be in one.
MAX_LENGTH = 1024

# A chunk is so many batches, unless its results would occupy more than so much.
CHUNK_BATCHES = 8
CHUNK_BYTES = 256 * 2**20


def embed_words(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    layer_spec: str | LayerSpec = "last",
    **options: Any,
) -> list[Float[np.ndarray, "W D"]]:
    """Embed every word of every sentence.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      sentences: each a str, which the tokeniser splits, or a list of words.
      layer_spec: which layers and how they are combined.
      **options: those of `stream_words`: mix, dtype, token_budget, …

    Returns:
      For each sentence an array `[words, width]`.

    Raises:
      ValueError: see `stream_words`.
    """
    stream = stream_words(params, tokenizer, sentences, layer_spec, **options)
    return [embedded.vectors for embedded in stream]


def embed_sentences(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
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
      **options: those of `stream_sentences`: pool, mix, dtype, …

    Returns:
      An array `[sentences, width]`; zeros for a sentence without words.

    Raises:
      ValueError: see `stream_sentences`.
    """
    stream = stream_sentences(params, tokenizer, sentences, layer_spec, **options)
    rows = [embedded.vectors for embedded in stream]
    if not rows:
        width = vector_width(params, layer_spec, "mean")
        return np.zeros((0, width), jnp.dtype(options.get("out_dtype", jnp.float32)))
    return np.concatenate(rows)


def stream_words(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
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

    Sentences are packed end to end, which does not change their vectors. `mix_norm`
    normalises each sentence by itself here, so that a vector never depends on its
    batch; it is computed with one sentence a row.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave.
      sentences: read lazily, in a thread of their own.
      layer_spec: which layers and how they are combined.
      pool: as for encoders that read pieces of words; here a word has one vector, which
        `first_last` gives twice and every other pool once.
      mix: the `ScalarMix` of the spec's mix term, or a tuple, one a term.
      long: what is done with a sentence over `max_length`: "window" reads it in parts
        that go on from each other's states, exactly and as long as it may be;
        "truncate" reads the beginning and gives the other words zero vectors; "error"
        refuses.
      context: 0; a biLM reads each sentence alone. `embed` takes a `carry` instead.
      max_length: words computed at once, by default 1,024.
      token_budget: positions a batch; by default 8,192 on CPU and 65,536 elsewhere, for
        each device.
      dtype: of the products; float32 or bfloat16.
      out_dtype: of the vectors; float32, float16 or bfloat16.
      mesh: the devices to spread batches over (`embed_jax.devices.mesh.data_mesh`);
        by default the default device.
      on_batch: called with the number of sentences whenever a batch is done.

    Returns:
      An iterator of `Embedded(words, vectors, unread)`.

    Raises:
      ValueError: a malformed option or spec, at once; a sentence that is too long with
        `long="error"`, or for `mix_norm`, when it is reached.
    """
    spec = parse_layer_spec(layer_spec)
    _check_choice("pool", pool, WORD_POOLS)
    width = vector_width(params, spec, pool)

    def assemble(item: Item[list[str]], parts: list[np.ndarray]) -> np.ndarray:
        if parts and parts[0].shape == (len(item.words), width) and _is_own(parts[0]):
            return parts[0]
        vectors = np.zeros((len(item.words), width), jnp.dtype(out_dtype))
        for part in parts:
            vectors[: len(part)] = np.tile(part, 2) if pool == "first_last" else part
        return vectors

    return _stream(
        params,
        tokenizer,
        sentences,
        spec,
        assemble,
        mix=mix,
        long=long,
        context=context,
        max_length=max_length,
        token_budget=token_budget,
        dtype=dtype,
        out_dtype=out_dtype,
        mesh=mesh,
        on_batch=on_batch,
    )


def stream_sentences(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    layer_spec: str | LayerSpec = "last",
    *,
    pool: str = "mean",
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
      pool: mean, max or mean_sqrt_len, over the words. There is no first token that
        stands for the sentence, so no cls.
      mix: the `ScalarMix` of the spec's mix term, or a tuple, one a term.
      long: "window", "truncate" or "error".
      context: 0.
      max_length: words computed at once.
      token_budget: positions a batch.
      dtype: of the products.
      out_dtype: of the vectors.
      mesh: the devices to spread batches over.
      on_batch: called with the number of sentences whenever a batch is done.

    Returns:
      An iterator of `Embedded(words, vectors, unread)`, vectors being `[1, width]`,
      zeros where a sentence has no words.

    Raises:
      ValueError: as `stream_words`.
    """
    spec = parse_layer_spec(layer_spec)
    pools = tuple(choice for choice in SENTENCE_POOLS if choice != "cls")
    _check_choice("pool", pool, pools)
    width = vector_width(params, spec, pool)

    def assemble(item: Item[list[str]], parts: list[np.ndarray]) -> np.ndarray:
        del item
        pooled = np.zeros((1, width), np.float32)
        for part in parts:
            pooled[0] = _pool(part, pool)
        return pooled.astype(jnp.dtype(out_dtype))

    return _stream(
        params,
        tokenizer,
        sentences,
        spec,
        assemble,
        mix=mix,
        long=long,
        context=context,
        max_length=max_length,
        token_budget=token_budget,
        dtype=dtype,
        out_dtype=jnp.float32,
        mesh=mesh,
        on_batch=on_batch,
    )


def vector_width(params: ElmoParams, layer_spec: str | LayerSpec, pool: str) -> int:
    """Compute the width of a pooled vector, of a word or of a sentence.

    Raises:
      ValueError: a malformed spec, a layer that the model lacks, an unknown pool.
    """
    spec = parse_layer_spec(layer_spec)
    width = spec.width(params.config.num_blocks, params.config.layer_dim)
    return pooled_width(width, pool)


@partial(jax.jit, static_argnames=("spec", "dtype", "out_dtype"))
def _select(
    params: ElmoParams,
    tokens: ElmoTokens,
    targets: None,
    carry: Carry | None,
    *,
    mix: Mix,
    spec: LayerSpec,
    dtype: jnp.dtype,
    out_dtype: jnp.dtype,
) -> tuple[Float[Array, "B T _"], Carry]:
    del targets
    (vectors,), carry = compute_vectors(
        params, tokens, (spec,), (mix,), dtype, carry=carry, norm_over="row"
    )
    return vectors.astype(out_dtype), carry


def _is_own(part: np.ndarray) -> bool:
    """Tell whether nothing else is in the array that a part is a view of.

    So it is where a sentence was read in parts, whose vectors may be too many to copy.
    """
    whole = part.base
    return whole is not None and whole.nbytes == part.nbytes and part.flags.writeable


def _pool(vectors: Float[np.ndarray, "W D"], pool: str) -> Float[np.ndarray, " D"]:
    if pool == "max":
        return vectors.max(axis=0)
    # In float64: a sentence may have a million words.
    total = vectors.sum(axis=0, dtype=np.float64)
    return total / (len(vectors) if pool == "mean" else np.sqrt(len(vectors)))


def _stream(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    spec: LayerSpec,
    assemble: Callable[[Item[list[str]], list[np.ndarray]], np.ndarray],
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
) -> Iterator[Embedded]:
    """Check everything that can be checked now; return the generator of vectors."""
    if isinstance(sentences, Sequence):
        check_sentences(sentences)
    _check_choice("long", long, LONG)
    if context != 0:
        raise ValueError(
            f"context {context!r}: a biLM reads each sentence alone, so it is 0 here; "
            "elmo_jax.embed(…, carry=…) goes on from sentence to sentence"
        )
    check_tokenizer(params, tokenizer)
    longest = MAX_LENGTH if max_length is None else max_length
    if longest < 1:
        raise ValueError(f"max_length must be at least 1, not {max_length}")
    platform = mesh.devices.flat[0].platform if mesh else jax.default_backend()
    multiple = mesh.size if mesh else 1
    budget = token_budget
    if budget is None:
        budget = multiple * TOKEN_BUDGETS.get(platform, ACCELERATOR_TOKEN_BUDGET)
    if budget < 1:
        raise ValueError(f"token_budget must be at least 1, not {budget}")
    num_blocks = params.config.num_blocks
    reader = Reader(
        replicate(params, mesh) if mesh else jax.device_put(params),
        tokenizer,
        partial(_select, mix=mix, spec=spec, out_dtype=jnp.dtype(out_dtype)),
        highest_layer=spec.highest_layer(num_blocks),
        max_length=longest,
        num_positions=budget,
        dtype=jnp.dtype(dtype),
        mesh=mesh,
    )
    plan: Callable[[list[int]], list[PackedBatch]]
    if spec.normalises:
        plan = partial(
            plan_alone,
            token_budget=budget,
            max_length=longest,
            row_multiple=multiple,
        )
        long = "error" if long == "window" else long
    else:
        plan = PackShapes(
            num_rows=max(budget // ROW_LENGTH // multiple, 1) * multiple,
            length=ROW_LENGTH,
            max_length=longest,
            row_multiple=multiple,
        ).plan
    width = spec.width(params.config.num_blocks, params.config.layer_dim)
    chunk_tokens = min(
        CHUNK_BATCHES * budget, max(CHUNK_BYTES // (4 * width), 2 * budget)
    )
    return stream_vectors(
        _items(tokenizer, sentences, longest, long),
        reader,
        assemble,
        plan,
        chunk_tokens=chunk_tokens,
        on_batch=on_batch,
    )


def _items(
    tokenizer: ElmoTokenizer, sentences: Iterable[Sentence], max_length: int, long: str
) -> Iterator[Item[list[str]]]:
    """Split sentences into words and apply `long`."""
    for index, sentence in enumerate(sentences):
        words = tokenizer.words(sentence)
        if len(words) > max_length and long == "error":
            raise ValueError(
                f"sentence {index} has {len(words)} words, more than max_length "
                f"{max_length} lets be computed at once; raise it, or use another spec "
                'than mix_norm with long="window"'
            )
        read = words[:max_length] if long == "truncate" else words
        unread = tuple(range(len(read), len(words)))
        yield Item([read] if read else [], words, unread)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r}: {suggest(value, choices, name)}")
