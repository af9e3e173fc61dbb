# SPDX-License-Identifier: Apache-2.0
"""Embedding of words or sentences with any family of encoders.

A family defines how sentences become rows and how rows are computed. This module has
what all families share: options and their checks, the token budget, chunks, warnings.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from embed_jax.arguments import check_kind, errors_of, needs
from embed_jax.corpus.arrivals import arriving
from embed_jax.corpus.batching import BatchShapes
from embed_jax.corpus.options import Options, make_options, shows_options
from embed_jax.corpus.sentences import Sentence, checked, refuse_bare_text
from embed_jax.corpus.stream import Embedded, Item, PlannedBatch, RowT, stream_vectors
from embed_jax.corpus.unknown import judged
from embed_jax.layers.joined_specs import JoinedSpecs, join_specs
from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.pooling import SENTENCE_POOLS, WORD_POOLS, pooled_width
from embed_jax.layers.select import Specs
from embed_jax.layers.unit_vectors import unit_vectors
from embed_jax.suggest import suggest

ParamsT = TypeVar("ParamsT")
TokenizerT = TypeVar("TokenizerT")
Level = Literal["words", "sentences"]

_needs_text = needs("self", "params", "tokenizer", "sentences")


@dataclasses.dataclass(frozen=True)
class Request:
    """Checked arguments of one call, as a family's `open` gets them.

    Attributes:
      level: whether words or sentences get a vector each.
      spec: the layers and their combination; of several specs, all terms of all.
      pool: the pooling of pieces.
      width: of a pooled vector.
      options: the remaining options; its `mix` is that of `spec`.
      token_budget: positions a batch, of all devices together.
      num_devices: the number of rows is a multiple of it.
    """

    level: Level
    spec: LayerSpec
    pool: str
    width: int
    options: Options
    token_budget: int
    num_devices: int

    def shapes(self, max_length: int) -> BatchShapes:
        """Return the shapes of batches within the budget, one sequence a row."""
        return BatchShapes(self.token_budget, max_length, self.num_devices)


@dataclasses.dataclass(frozen=True)
class Pipeline(Generic[RowT]):
    """A family's functions for `embed_jax.corpus.stream.stream_vectors`.

    Attributes:
      items: the sentences, cut into rows.
      run: computes a batch of rows, without waiting for the result.
      assemble: combines the results of a sentence's rows: `[words, width]`, or
        `[1, width]` where a sentence gets one vector.
      plan: divides rows of given lengths into batches.
    """

    items: Iterable[Item[RowT]]
    run: Callable[[Sequence[RowT], Any], jax.Array]
    assemble: Callable[[Item[RowT], list[np.ndarray]], np.ndarray]
    plan: Callable[[list[int]], Sequence[PlannedBatch]]


@dataclasses.dataclass(frozen=True)
class CorpusEmbedder(Generic[ParamsT, TokenizerT]):
    """Embeds any amount of text with one family of encoders.

    Attributes:
      open: does the checks of the family and returns its pipeline.
      token_budgets: positions a batch on each device, by platform; "default" elsewhere.
      kinds: the classes of params and of tokenisers, so that arguments which changed
        places are told apart.
      sentence_pools: the sentence pools of the family.
      chunk_batches: batches whose rows are sorted together, which reduces padding.
      chunk_bytes: maximal bytes of a chunk's results; a chunk has fewer batches then.
      least_batches: minimal batches of a chunk, whatever their bytes.
    """

    open: Callable[[ParamsT, TokenizerT, Iterable[Sentence], Request], Pipeline]
    token_budgets: Mapping[str, int]
    kinds: tuple[type, ...] = ()
    sentence_pools: Sequence[str] = SENTENCE_POOLS
    chunk_batches: int = 64
    chunk_bytes: int = 128 * 2**20
    least_batches: int = 4

    @shows_options
    @_needs_text
    def embed_words(
        self,
        params: ParamsT,
        tokenizer: TokenizerT,
        sentences: Iterable[Sentence],
        layer_spec: Specs = "last",
        options: Options | None = None,
        *,
        return_words: bool = False,
        **changes: Any,
    ) -> Any:
        """Embed every word of every sentence.

        Args:
          params: what `load` gave.
          tokenizer: what `load` gave.
          sentences: each a str, which the tokeniser splits into words, or a list of
            words.
          layer_spec: the layers and their combination, or a tuple of several, which one
            run of the encoder computes.
          options: see `embed_jax.corpus.options.Options`.
          return_words: whether to return the words too, as the tokeniser split them.
          **changes: single options, such as `pool="mean"`.

        Returns:
          For each sentence an array `[words, width]`, in a list; for a tuple of specs a
          tuple of such lists, in their order. With `return_words` a pair of that and a
          list of each sentence's words. A word that the model did not read (one of
          control characters only, say) has a zero vector; a logged warning counts these
          words.

        Raises:
          ValueError: see `stream_words`.
        """
        with errors_of("embed_words"):
            chosen = make_options(options, changes)
            stream = self.stream(
                "words", params, tokenizer, sentences, layer_spec, chosen
            )
        words, vectors = _collect(stream, keep_words=return_words)
        lists = _by_spec(vectors, layer_spec)
        found = tuple(lists) if isinstance(layer_spec, tuple) else lists[0]
        return (found, words) if return_words else found

    @shows_options
    @_needs_text
    def embed_sentences(
        self,
        params: ParamsT,
        tokenizer: TokenizerT,
        sentences: Iterable[Sentence],
        layer_spec: Specs = "last",
        options: Options | None = None,
        *,
        return_words: bool = False,
        **changes: Any,
    ) -> Any:
        """Embed every sentence.

        Args:
          params: what `load` gave.
          tokenizer: what `load` gave.
          sentences: each a str, or a list of words.
          layer_spec: the layers and their combination, or a tuple of several, which one
            run of the encoder computes.
          options: see `embed_jax.corpus.options.Options`.
          return_words: whether to return the words too, as the tokeniser split them.
          **changes: single options, such as `pool="max"`.

        Returns:
          An array `[sentences, width]`; for a tuple of specs a tuple of arrays, in
          their order. With `return_words` a pair of that and a list of each sentence's
          words. A logged warning counts the words that were not read.

        Raises:
          ValueError: see `stream_sentences`.
        """
        with errors_of("embed_sentences"):
            chosen = make_options(options, changes)
            stream = self.stream(
                "sentences", params, tokenizer, sentences, layer_spec, chosen
            )
        words, vectors = _collect(stream, keep_words=return_words)
        specs = layer_spec if isinstance(layer_spec, tuple) else (layer_spec,)
        arrays = tuple(
            np.concatenate(rows)
            if rows
            else np.zeros(
                (0, self.vector_width(params, spec, "mean")),
                jnp.dtype(chosen.out_dtype),
            )
            for spec, rows in zip(specs, _by_spec(vectors, layer_spec), strict=True)
        )
        found = arrays if isinstance(layer_spec, tuple) else arrays[0]
        return (found, words) if return_words else found

    @shows_options
    @_needs_text
    def stream_words(
        self,
        params: ParamsT,
        tokenizer: TokenizerT,
        sentences: Iterable[Sentence],
        layer_spec: Specs = "last",
        options: Options | None = None,
        **changes: Any,
    ) -> Generator[Embedded, None, None]:
        """Embed the words of any number of sentences, in order, in bounded memory.

        Here `mix_norm` normalises each sentence separately, so that a vector does not
        depend on its batch; context around it does not count. Where a long sentence is
        read in windows, each is normalised by the pieces that are taken from it.

        Args:
          params: what `load` gave.
          tokenizer: what `load` gave.
          sentences: read lazily, in a thread of their own. They may come from a queue
            or the standard input: once such a source has kept everybody waiting for a
            quarter of a second, those that have arrived are computed, and given. Where
            they show their neighbours (`context`), they wait for these.
          layer_spec: the layers and their combination, or a tuple of several, which one
            run of the encoder computes.
          options: see `embed_jax.corpus.options.Options`.
          **changes: single options, such as `pool="mean"`.

        Returns:
          A generator of `Embedded(words, vectors, unread)`; for a tuple of specs,
          `vectors` is a tuple of arrays. Closing it, by `close()` or
          `contextlib.closing`, ends the reading at once; a source that somebody waits
          for just then may lose the element that it gives next.

        Raises:
          ValueError: a malformed option or spec, or arguments that changed places, at
            once; a sentence that is too long with `long="error"`, when it is reached.
          TypeError: there is no such option.
        """
        with errors_of("stream_words"):
            chosen = make_options(options, changes)
            return self.stream(
                "words", params, tokenizer, sentences, layer_spec, chosen
            )

    @shows_options
    @_needs_text
    def stream_sentences(
        self,
        params: ParamsT,
        tokenizer: TokenizerT,
        sentences: Iterable[Sentence],
        layer_spec: Specs = "last",
        options: Options | None = None,
        **changes: Any,
    ) -> Generator[Embedded, None, None]:
        """Embed any number of sentences, one vector each; see `stream_words`.

        Args:
          params: what `load` gave.
          tokenizer: what `load` gave.
          sentences: read lazily, in a thread of their own.
          layer_spec: the layers and their combination, or a tuple of several, which one
            run of the encoder computes.
          options: see `embed_jax.corpus.options.Options`.
          **changes: single options, such as `pool="max"`.

        Returns:
          A generator of `Embedded(words, vectors, unread)`, vectors being `[1, width]`;
          for a tuple of specs, a tuple of arrays.

        Raises:
          ValueError: as `stream_words`.
          TypeError: there is no such option.
        """
        with errors_of("stream_sentences"):
            chosen = make_options(options, changes)
            return self.stream(
                "sentences", params, tokenizer, sentences, layer_spec, chosen
            )

    def vector_width(
        self, params: ParamsT, layer_spec: str | LayerSpec, pool: str
    ) -> int:
        """Compute the width of a pooled vector, of a word or of a sentence.

        Raises:
          ValueError: a malformed spec, a layer that the model lacks, an unknown pool.
        """
        self.check_kinds(params)
        config: Any = params.config  # pyright: ignore[reportAttributeAccessIssue]
        spec = parse_layer_spec(layer_spec)
        return pooled_width(spec.width(config.num_blocks, config.layer_dim), pool)

    def stream(
        self,
        level: Level,
        params: ParamsT,
        tokenizer: TokenizerT,
        sentences: Iterable[Sentence],
        layer_spec: Specs,
        options: Options,
    ) -> Generator[Embedded, None, None]:
        """Check all arguments at once; return the generator of vectors.

        What the other functions are made of, and what commands use, whose errors name
        no function.

        Raises:
          ValueError: see `stream_words`.
        """
        pools = WORD_POOLS if level == "words" else self.sentence_pools
        pool = options.pool or ("first" if level == "words" else "mean")
        if pool not in pools:
            raise ValueError(f"pool {pool!r}: {suggest(pool, pools, 'pool')}")
        options.check()
        self.check_kinds(params, tokenizer)
        refuse_bare_text(sentences)
        config: Any = params.config  # pyright: ignore[reportAttributeAccessIssue]
        joined = join_specs(
            layer_spec, options.mix, config.num_blocks, config.layer_dim
        )
        # What is to be normalised is rounded after that.
        out_dtype = jnp.float32 if options.normalize else options.out_dtype
        request = Request(
            level=level,
            spec=joined.spec,
            pool=pool,
            width=pooled_width(sum(joined.widths), pool),
            options=dataclasses.replace(options, mix=joined.mix, out_dtype=out_dtype),
            token_budget=batch_budget(
                options.token_budget, self.token_budgets, options.mesh
            ),
            num_devices=options.mesh.size if options.mesh else 1,
        )
        given = arriving(sentences, checked(sentences))
        pipeline = self.open(params, tokenizer, given, request)
        budget = request.token_budget
        by_memory = self.chunk_bytes // (4 * request.width)
        found = stream_vectors(
            judged(pipeline.items, options.unknown),
            pipeline.run,
            pipeline.assemble,
            pipeline.plan,
            chunk_tokens=min(
                self.chunk_batches * budget,
                max(by_memory, self.least_batches * budget),
            ),
            on_batch=options.on_batch,
            arrivals=given,
        )
        is_as_computed = not (options.normalize or isinstance(layer_spec, tuple))
        return (
            found if is_as_computed else _finished(found, joined, layer_spec, options)
        )

    def check_kinds(self, *given: Any) -> None:
        """Refuse arguments of other kinds, as where two of them changed places.

        Args:
          *given: params, then the tokeniser, or params alone.

        Raises:
          ValueError: names what was passed, and the order.
        """
        order = "pass params, tokenizer, sentences, in this order"
        names = "params", "tokenizer"
        for name, value, kind in zip(names, given, self.kinds, strict=False):
            check_kind(name, value, kind, order)


def _finished(
    stream: Generator[Embedded, None, None],
    joined: JoinedSpecs,
    layer_spec: Specs,
    options: Options,
) -> Generator[Embedded, None, None]:
    """Divide the vectors by specs, and normalise them if that was asked for."""
    dtype = jnp.dtype(options.out_dtype)
    with contextlib.closing(stream):
        for embedded in stream:
            parts = joined.divide(embedded.vectors)
            if options.normalize:
                parts = [unit_vectors(part).astype(dtype, copy=False) for part in parts]
            vectors: Any = tuple(parts) if isinstance(layer_spec, tuple) else parts[0]
            yield embedded._replace(vectors=vectors)


def batch_budget(
    token_budget: int | None, defaults: Mapping[str, int], mesh: Mesh | None
) -> int:
    """Return the positions of a batch: those a device times the number of devices.

    Args:
      token_budget: of each device; None for the default of its platform.
      defaults: by platform; "default" for those without an entry.
      mesh: the devices; by default one, the default device.

    Example:
      >>> batch_budget(None, {"cpu": 1024, "default": 16384}, None)
      1024
    """
    if token_budget is None:
        platform = mesh.devices.flat[0].platform if mesh else jax.default_backend()
        token_budget = defaults.get(platform, defaults["default"])
    return token_budget * (mesh.size if mesh else 1)


def _by_spec(vectors: list[Any], layer_spec: Specs) -> list[list[np.ndarray]]:
    """Return a list of the sentences' vectors for each spec."""
    if not isinstance(layer_spec, tuple):
        return [vectors]
    return [[each[number] for each in vectors] for number in range(len(layer_spec))]


def _collect(
    stream: Iterator[Embedded], *, keep_words: bool
) -> tuple[list[list[str]], list[Any]]:
    """Collect vectors, and words if asked; warn of the words that were not read."""
    words, vectors = [], []
    num_unread, example = 0, ""
    for index, embedded in enumerate(stream):
        if keep_words:
            words.append(embedded.words)
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
    return words, vectors
