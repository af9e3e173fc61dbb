# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of sentences under the forward and the backward language model.

All words are scored, and so is one boundary in each direction; words that are not in
the vocabulary are predicted as `<UNK>`. Sentences are scored independently.
"""

import contextlib
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from elmo_jax.bilm import Carry
from elmo_jax.corpus import CORPUS, MAX_LENGTH, pack_shapes
from elmo_jax.embed import apply_bilm
from elmo_jax.packed_runner import PackedRunner, check_tokenizer
from elmo_jax.params import ElmoParams
from elmo_jax.softmax import log_normaliser, scores_of
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import ElmoTokens
from embed_jax.arguments import errors_of, needs
from embed_jax.corpus.arrivals import arriving
from embed_jax.corpus.embedder import batch_budget
from embed_jax.corpus.options import make_options
from embed_jax.corpus.sentences import Sentence, checked, refuse_bare_text
from embed_jax.corpus.stream import Embedded, Item, stream_vectors
from embed_jax.corpus.unknown import OfUnknown, judged
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.mesh import replicate
from embed_jax.devices.precision import float_dtype
from embed_jax.equality import equal_by_value

# Positions a batch on each device: their scores for a block of the vocabulary are held
# at once.
TOKEN_BUDGETS = {"cpu": 4096, "default": 16384}
CHUNK_BATCHES = 8


@equal_by_value
class SentenceScore(NamedTuple):
    """The log-probabilities of one sentence of n words.

    Attributes:
      words: its words.
      forward: `[n + 1]`, natural logarithms, float32: at k < n of word k given `<S>`
        and the words before it, at n of `</S>`.
      backward: `[n + 1]`, likewise: at 0 of `<S>` given all words, at k > 0 of word
        k - 1 given the words after it and `</S>`. None for a forward model.
      unknown: `[n]`, True for words that were predicted as `<UNK>`.
    """

    words: list[str]
    forward: Float[np.ndarray, " n_plus_1"]
    backward: Float[np.ndarray, " n_plus_1"] | None
    unknown: Bool[np.ndarray, " n"]


class Perplexity(NamedTuple):
    """The perplexities of a corpus.

    Attributes:
      forward: exp(-mean log-probability) of the forward model.
      backward: that of the backward model; None for a forward model.
      arithmetic: the mean of both.
      geometric: exp of the mean of both losses, which bilm-tf reports.
      num_sentences: number of sentences.
      num_tokens: tokens in each direction: words, and one boundary a sentence.
      num_unknown: words that were predicted as `<UNK>`.
    """

    forward: float
    backward: float | None
    arithmetic: float
    geometric: float
    num_sentences: int
    num_tokens: int
    num_unknown: int


class PerplexityMeter:
    """Accumulates the scores of sentences to a `Perplexity`, in float64."""

    def __init__(self) -> None:
        """Start without sentences."""
        self._sums = [0.0, 0.0]
        self._has_backward = True
        self._num_sentences = self._num_tokens = self._num_unknown = 0

    @property
    def num_sentences(self) -> int:
        """Number of sentences added."""
        return self._num_sentences

    def add(self, score: SentenceScore) -> None:
        """Add a sentence; a blank one is none, and counts for nothing."""
        if not score.words:
            return
        self._sums[0] += float(score.forward.sum(dtype=np.float64))
        if score.backward is None:
            self._has_backward = False
        else:
            self._sums[1] += float(score.backward.sum(dtype=np.float64))
        self._num_sentences += 1
        self._num_tokens += len(score.forward)
        self._num_unknown += int(score.unknown.sum())

    def result(self) -> Perplexity:
        """Return the perplexities of all sentences added.

        Raises:
          ValueError: there were none.
        """
        if not self._num_tokens:
            raise ValueError("no sentence was scored, so there is no perplexity")
        losses = [-total / self._num_tokens for total in self._sums]
        forward, backward = map(_exp, losses)
        if not self._has_backward:
            losses, backward = losses[:1], None
        return Perplexity(
            forward=forward,
            backward=backward,
            arithmetic=forward if backward is None else (forward + backward) / 2,
            geometric=_exp(sum(losses) / len(losses)),
            num_sentences=self._num_sentences,
            num_tokens=self._num_tokens,
            num_unknown=self._num_unknown,
        )


def perplexity(scores: Iterable[SentenceScore]) -> Perplexity:
    """Compute the perplexities from the scores of sentences.

    Raises:
      ValueError: there are none.

    Example:
      >>> half = np.log(np.full(2, 0.5, np.float32))
      >>> one = SentenceScore(["a"], half, half, np.zeros(1, bool))
      >>> round(perplexity([one, one]).geometric, 5)
      2.0
    """
    meter = PerplexityMeter()
    for score in scores:
        meter.add(score)
    return meter.result()


@needs("params", "tokenizer", "sentences")
def score_sentences(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    *,
    token_budget: int | None = None,
    max_length: int | None = None,
    dtype: DTypeLike = jnp.float32,
    mesh: Mesh | None = None,
    on_batch: Callable[[int], None] | None = None,
    unknown: OfUnknown = "warn",
) -> list[SentenceScore]:
    """Compute the log-probability of every word of every sentence.

    Args:
      params: weights with a softmax.
      tokenizer: of the model, with the vocabulary that the softmax predicts.
      sentences: each a str, which the tokeniser splits, or a list of words. Of a
        sentence without words the boundaries are scored.
      token_budget: positions a batch on each device; by default 4,096 on CPU and
        16,384 elsewhere.
      max_length: maximal words computed at once, by default 1,024; longer sentences are
        computed in parts, exactly.
      dtype: of the biLM's products; the softmax is computed in float32.
      mesh: the devices to shard batches over.
      on_batch: called with the number of sentences after each batch.
      unknown: for a text without one word of the vocabulary: "warn" logs it, "error"
        refuses it. Where a tenth is unknown, that is logged.

    Returns:
      A `SentenceScore` of each sentence, in their order.

    Raises:
      ValueError: the model has no softmax or no vocabulary, they or the tokeniser do
        not match, or an invalid option.

    Example:
      >>> import elmo_jax
      >>> params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY, num_words=4)
      >>> words = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "bank"))
      >>> tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY, words)
      >>> [score] = score_sentences(params, tokenizer, [["the", "bank"]])
      >>> score.forward.shape, score.unknown.tolist()
      ((3,), [True, False])
    """
    with errors_of("score_sentences"):
        scores = open_scores(
            params,
            tokenizer,
            sentences,
            token_budget=token_budget,
            max_length=max_length,
            dtype=dtype,
            mesh=mesh,
            on_batch=on_batch,
            unknown=unknown,
        )
    return list(scores)


@needs("params", "tokenizer", "sentences")
def stream_scores(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    *,
    token_budget: int | None = None,
    max_length: int | None = None,
    dtype: DTypeLike = jnp.float32,
    mesh: Mesh | None = None,
    on_batch: Callable[[int], None] | None = None,
    unknown: OfUnknown = "warn",
) -> Generator[SentenceScore, None, None]:
    """Compute the scores of any number of sentences, in order, in bounded memory.

    Arguments and errors are those of `score_sentences`; the sentences are read lazily,
    in a thread of their own, and may come from a source that waits, as those of
    `stream_words`.

    Returns:
      A generator of `SentenceScore`; closing it ends the reading at once.

    Raises:
      ValueError: see `score_sentences`; raised at once.
    """
    with errors_of("stream_scores"):
        return open_scores(
            params,
            tokenizer,
            sentences,
            token_budget=token_budget,
            max_length=max_length,
            dtype=dtype,
            mesh=mesh,
            on_batch=on_batch,
            unknown=unknown,
        )


def open_scores(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    sentences: Iterable[Sentence],
    *,
    token_budget: int | None = None,
    max_length: int | None = None,
    dtype: DTypeLike = jnp.float32,
    mesh: Mesh | None = None,
    on_batch: Callable[[int], None] | None = None,
    unknown: OfUnknown = "warn",
) -> Generator[SentenceScore, None, None]:
    """Check all arguments at once; return the generator of scores.

    What both functions above are made of, and what the command uses, whose errors name
    no function.

    Raises:
      ValueError: see `score_sentences`.
    """
    refuse_bare_text(sentences)
    dtype = float_dtype("dtype", dtype)
    make_options(
        None,
        {"max_length": max_length, "token_budget": token_budget, "unknown": unknown},
    )
    CORPUS.check_kinds(params, tokenizer)
    check_tokenizer(params, tokenizer)
    _check_softmax(params, tokenizer)
    longest = MAX_LENGTH if max_length is None else max_length
    budget = batch_budget(token_budget, TOKEN_BUDGETS, mesh)
    placed = replicate(params, mesh) if mesh else jax.device_put(params)
    reader = PackedRunner(
        placed,
        tokenizer,
        _log_probs,
        highest_layer=params.config.num_blocks,
        max_length=longest,
        num_positions=budget,
        dtype=dtype,
        mesh=mesh,
        with_targets=True,
    )
    shapes = pack_shapes(budget, mesh.size if mesh else 1, longest)
    nothing = _score_nothing(placed, tokenizer)

    def assemble(item: Item[list[str]], parts: list[np.ndarray]) -> np.ndarray:
        return _join(parts[0]) if item.rows else nothing

    vocabulary = tokenizer.vocabulary
    assert vocabulary is not None  # _check_softmax saw to it

    given = arriving(sentences, checked(sentences))

    def items() -> Iterator[Item[list[str]]]:
        for sentence in given:
            words = tokenizer.words(sentence)
            # Every word is a target too, whatever the model reads it by.
            lacked = vocabulary.unknown_of(words)
            yield Item([words] if words else [], words, (), lacked)

    stream = stream_vectors(
        judged(items(), unknown),
        reader,
        assemble,
        shapes.plan,
        chunk_tokens=CHUNK_BATCHES * budget,
        on_batch=on_batch,
        arrivals=given,
    )
    return _scores(params, tokenizer, stream)


def _scores(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    stream: Generator[Embedded, None, None],
) -> Generator[SentenceScore, None, None]:
    with contextlib.closing(stream):
        for words, rows, _ in stream:
            yield _sentence_score(params, tokenizer, words, rows)


@partial(jax.jit, static_argnames="dtype")
@on_any_mesh(("B T directions 2", "B H"))
def _log_probs(
    params: ElmoParams,
    tokens: ElmoTokens,
    targets: Int[Array, "B T 3"],
    carry: Carry | None,
    *,
    dtype: jnp.dtype,
) -> tuple[Float[Array, "B T directions 2"], Carry]:
    """Compute the log-probabilities predicted by each position and by each boundary.

    Returns:
      In the last axis, first of the neighbour that a position predicts, second of the
      position's own word given the boundary, used where a sentence begins in that
      direction.
    """
    output = apply_bilm(params, tokens, carry=carry, dtype=dtype)
    directions, width = params.config.num_directions, params.config.projection_dim
    B, T, _ = output.layers[-1].shape
    contexts = output.layers[-1].reshape(B * T * directions, width)
    boundaries = output.boundaries[-1].reshape(directions, width)
    softmax = _softmax(params)
    normalisers = log_normaliser(*softmax, jnp.concatenate([contexts, boundaries]))

    neighbours = jnp.stack([targets[..., 2], targets[..., 0]], axis=-1)
    neighbours = neighbours[..., :directions].ravel()
    neighbour = scores_of(*softmax, contexts, neighbours) - normalisers[:-directions]

    own = jnp.repeat(targets[..., 1].ravel(), directions)
    first = scores_of(*softmax, jnp.tile(boundaries, (B * T, 1)), own)
    first = first - jnp.tile(normalisers[-directions:], B * T)
    values = jnp.stack([neighbour, first], axis=-1)
    return values.reshape(B, T, directions, 2), output.carry


@jax.jit
@on_any_mesh("directions")
def _boundary_log_probs(
    params: ElmoParams, tokens: ElmoTokens, ids: Int[Array, " directions"]
) -> Float[Array, " directions"]:
    """Compute the log-probability of the first word in each direction."""
    boundaries = apply_bilm(params, tokens).boundaries[-1]
    contexts = boundaries.reshape(params.config.num_directions, -1)
    softmax = _softmax(params)
    return scores_of(*softmax, contexts, ids) - log_normaliser(*softmax, contexts)


def _softmax(params: ElmoParams) -> tuple[Array, Array]:
    return params.softmax


def _score_nothing(
    params: ElmoParams, tokenizer: ElmoTokenizer
) -> Float[np.ndarray, "directions 1"]:
    """Score a sentence without words: only its second boundary is predicted."""
    assert tokenizer.vocabulary is not None
    ids = np.array([tokenizer.vocabulary.end_id, tokenizer.vocabulary.begin_id])
    ids = ids[: params.config.num_directions].astype(np.int32)
    values = _boundary_log_probs(params, tokenizer([[]]), ids)
    return np.asarray(values)[:, None]


def _join(
    values: Float[np.ndarray, "T directions 2"],
) -> Float[np.ndarray, "directions T_plus_1"]:
    """Join the predictions of the boundary and of the words, in order of the text."""
    rows = [np.concatenate([values[:1, 0, 1], values[:, 0, 0]])]
    if values.shape[1] == 2:
        rows.append(np.concatenate([values[:, 1, 0], values[-1:, 1, 1]]))
    return np.stack(rows)


def _sentence_score(
    params: ElmoParams, tokenizer: ElmoTokenizer, words: list[str], rows: np.ndarray
) -> SentenceScore:
    vocabulary = tokenizer.vocabulary
    assert vocabulary is not None
    return SentenceScore(
        words=words,
        forward=rows[0],
        backward=rows[1] if params.config.bidirectional else None,
        unknown=vocabulary.encode(words) == vocabulary.unknown_id,
    )


def _check_softmax(params: ElmoParams, tokenizer: ElmoTokenizer) -> None:
    if "softmax" not in params.heads:
        raise ValueError(
            "these weights have no softmax, which scoring needs; it is in a file of "
            "its own: elmo_jax.load(…, softmax=…)"
        )
    if tokenizer.vocabulary is None:
        raise ValueError(
            "the tokeniser has no vocabulary, whose words the softmax predicts; "
            "elmo_jax.load(…, vocabulary=…)"
        )
    num_words = len(params.heads["softmax"]["bias"])
    if num_words != len(tokenizer.vocabulary):
        raise ValueError(
            f"the softmax predicts {num_words} words, the vocabulary has "
            f"{len(tokenizer.vocabulary)}; they do not belong together"
        )


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)
