# SPDX-License-Identifier: Apache-2.0
"""ELMo's part of embedding text: sentences to packed rows, rows to vectors."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from elmo_jax.bilm import Carry
from elmo_jax.embed import compute_vectors
from elmo_jax.packed_runner import PackedRunner, check_tokenizer
from elmo_jax.packing import PackShapes, plan_alone
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import ElmoTokens
from embed_jax.corpus.embedder import CorpusEmbedder, Pipeline, Request
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.stream import Item
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.mesh import replicate
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.select import Mix

# Positions a row. See docs/decisions/lstm-speed.md.
ROW_LENGTH = 64

# A longer sentence is read in parts, each beginning in the state that the part before
# it ended in, so its vectors are what they would be in one.
MAX_LENGTH = 1024


def open_pipeline(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    request: Request,
) -> Pipeline[list[str]]:
    """Check a request against the model, and return its pipeline.

    Sentences are packed end to end, which does not change their vectors; for `mix_norm`
    each has a row of its own. A word has one vector, which the pool `first_last` gives
    twice and every other pool once. `max_length` is the maximal number of words
    computed at once, by default 1,024; longer sentences are computed in parts, exactly.

    Raises:
      ValueError: context, which a biLM does not support; another model's tokeniser.
    """
    options, mesh = request.options, request.options.mesh
    if options.context != 0:
        raise ValueError(
            f"context {options.context!r}: a biLM reads each sentence alone, so it is "
            "0 here; elmo_jax.embed(…, carry=…) goes on from sentence to sentence"
        )
    check_tokenizer(params, tokenizer)
    longest = MAX_LENGTH if options.max_length is None else options.max_length
    assemble = _word_assembler(request)
    out_dtype = jnp.dtype(options.out_dtype)
    if request.level == "sentences":
        # Words are pooled here, in full precision.
        assemble, out_dtype = _sentence_assembler(request), jnp.dtype(jnp.float32)
    reader = PackedRunner(
        replicate(params, mesh) if mesh else jax.device_put(params),
        tokenizer,
        partial(_select, mix=options.mix, spec=request.spec, out_dtype=out_dtype),
        highest_layer=request.spec.highest_layer(params.config.num_blocks),
        max_length=longest,
        num_positions=request.token_budget,
        dtype=jnp.dtype(options.dtype),
        mesh=mesh,
    )
    budget, num_devices = request.token_budget, request.num_devices
    long, plan = options.long, pack_shapes(budget, num_devices, longest).plan
    if request.spec.normalises:
        plan = partial(
            plan_alone,
            token_budget=budget,
            max_length=longest,
            row_multiple=num_devices,
        )
        # A norm over a whole sentence cannot be computed from its parts.
        long = "error" if long == "window" else long
    return Pipeline(_items(tokenizer, sentences, longest, long), reader, assemble, plan)


# Positions a batch on each device. See docs/decisions/lstm-speed.md.
CORPUS = CorpusEmbedder(
    open_pipeline,
    token_budgets={"cpu": 8192, "default": 65536},
    kinds=(ElmoParams, ElmoTokenizer),
    # There is no first token that stands for the sentence.
    sentence_pools=("mean", "max", "mean_sqrt_len"),
    chunk_batches=8,
    chunk_bytes=256 * 2**20,
    least_batches=2,
)

embed_words = CORPUS.embed_words
embed_sentences = CORPUS.embed_sentences
stream_words = CORPUS.stream_words
stream_sentences = CORPUS.stream_sentences
vector_width = CORPUS.vector_width


def pack_shapes(token_budget: int, num_devices: int, max_length: int) -> PackShapes:
    """Return the shapes of packed batches of `token_budget` positions."""
    return PackShapes(
        num_rows=max(token_budget // ROW_LENGTH // num_devices, 1) * num_devices,
        length=ROW_LENGTH,
        max_length=max_length,
        row_multiple=num_devices,
    )


def _word_assembler(
    request: Request,
) -> Callable[[Item[list[str]], list[np.ndarray]], np.ndarray]:
    dtype = jnp.dtype(request.options.out_dtype)

    def assemble(item: Item[list[str]], parts: list[np.ndarray]) -> np.ndarray:
        shape = len(item.words), request.width
        if parts and parts[0].shape == shape and _is_own(parts[0]):
            return parts[0]
        vectors = np.zeros(shape, dtype)
        for part in parts:
            is_twice = request.pool == "first_last"
            vectors[: len(part)] = np.tile(part, 2) if is_twice else part
        return vectors

    return assemble


def _sentence_assembler(
    request: Request,
) -> Callable[[Item[list[str]], list[np.ndarray]], np.ndarray]:
    """Return a function that combines parts; a sentence without words has zeros."""

    def assemble(item: Item[list[str]], parts: list[np.ndarray]) -> np.ndarray:
        del item
        pooled = np.zeros((1, request.width), np.float32)
        for part in parts:
            pooled[0] = _pool(part, request.pool)
        return pooled.astype(jnp.dtype(request.options.out_dtype))

    return assemble


@partial(jax.jit, static_argnames=("spec", "dtype", "out_dtype"))
@on_any_mesh(("B T D", "B H"))
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
    """Return whether a part is the whole of the array that it is a view of.

    It is if a sentence was computed in parts; it may then be too large to copy.
    """
    whole = part.base
    return whole is not None and whole.nbytes == part.nbytes and part.flags.writeable


def _pool(vectors: Float[np.ndarray, "W D"], pool: str) -> Float[np.ndarray, " D"]:
    if pool == "max":
        return vectors.max(axis=0)
    # In float64: a sentence may have a million words.
    total = vectors.sum(axis=0, dtype=np.float64)
    return total / (len(vectors) if pool == "mean" else np.sqrt(len(vectors)))


def _items(
    tokenizer: ElmoTokenizer, sentences: Iterable[Sentence], max_length: int, long: str
) -> Iterator[Item[list[str]]]:
    """Split sentences into words and apply `long`."""
    for index, sentence in enumerate(sentences):
        words = tokenizer.words(sentence)
        if len(words) > max_length and long == "error":
            raise ValueError(
                f"sentence {index} has {len(words)} words, more than max_length "
                f"{max_length} lets be computed at once; raise it, use "
                'long="truncate", or long="window" with another spec than mix_norm'
            )
        read = words[:max_length] if long == "truncate" else words
        unread = tuple(range(len(read), len(words)))
        unknown = tokenizer.unknown_words(words)
        yield Item([read] if read else [], words, unread, unknown)
