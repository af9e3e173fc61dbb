# SPDX-License-Identifier: Apache-2.0
"""The vectors of a word in its contexts at every layer, from one run of the model."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from embed_jax.corpus.progress import Progress
from embed_jax.corpus.reading import Running
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.stream import Embedded
from embed_jax.corpus.words import text_of
from embed_jax.encoder import Encoder
from embed_jax.explore.contexts.occurrences import (
    Context,
    WordForms,
    cut_context,
    sample_evenly,
)
from embed_jax.layers.layer_spec import LayerSpec

WORD_POOLS = ("first", "last", "mean", "max")
"""Word pools whose result has the width of one piece."""

# Number of the line that the query is not on: as that of a context, plus 1, it is 0.
QUERY = -1


@dataclasses.dataclass(frozen=True)
class View:
    """The vectors of all contexts at one layer, or of one combination of layers.

    Attributes:
      name: displayed name.
      vectors: of the contexts, then of the query where there is one; float32.
    """

    name: str
    vectors: Float[np.ndarray, "N D"]


@dataclasses.dataclass(frozen=True)
class EmbeddedContexts:
    """A word's contexts at every layer.

    Attributes:
      contexts: in the order of the text.
      query: the word in the query sentence; its vectors come last in every view.
      views: the layers from 0, then the user's spec where it is not one of them.
      chosen: index of the view of the user's spec.
    """

    contexts: list[Context]
    query: Context | None
    views: list[View]
    chosen: int


@dataclasses.dataclass(frozen=True)
class LayerPlan:
    """The layer spec for one run, and the views that its result is split into.

    Attributes:
      spec: the layer spec for the model.
      names: of the views.
      widths: of the views' vectors.
      chosen: index of the view of the user's spec.
    """

    spec: str
    names: list[str]
    widths: list[int]
    chosen: int


def plan_layers(
    encoder: Encoder, params: Any, layers: LayerSpec, pool: str
) -> LayerPlan:
    """Plan one run that gives every layer and the user's combination of layers.

    Raises:
      ValueError: the model lacks a layer of the spec.
    """
    width = encoder.vector_width(params, "0", pool)
    num_layers = encoder.vector_width(params, "all", pool) // width
    spec_width = encoder.vector_width(params, layers, pool)
    names = [f"layer {layer}" for layer in range(num_layers)]
    resolved = layers.resolve(num_layers - 1)
    if len(resolved) == 1 and len(resolved[0][1]) == 1 and not layers.normalises:
        return LayerPlan("all", names, [width] * num_layers, resolved[0][1][0])
    return LayerPlan(
        f"all,{layers}",
        [*names, str(layers)],
        [*[width] * num_layers, spec_width],
        num_layers,
    )


def embed_contexts(
    encoder: Encoder,
    params: Any,
    tokenizer: Any,
    plan: LayerPlan,
    word: WordForms,
    lines: Sequence[tuple[int, Sentence]],
    *,
    query: str | None = None,
    running: Running | None = None,
    limit: int = 2000,
    pool: str = "first",
) -> EmbeddedContexts:
    """Embed the lines that may contain a word, and keep the vectors of the word.

    Args:
      encoder: the family of the model.
      params: of the model.
      tokenizer: of the model.
      plan: from `plan_layers`.
      word: the forms to look for among the words of the tokeniser.
      lines: each with its number, from 0.
      query: a sentence with the word in it, which is not one of the contexts; of
        several occurrences the first counts.
      running: options for running the model; by default those of the commands.
      limit: maximal contexts to keep, evenly spaced.
      pool: of a word's pieces.

    Raises:
      ValueError: the tokeniser splits off the word in no line, or not in the query.
    """
    # The query first: where it lacks the word no context is kept.
    running = running or Running()
    numbered: list[tuple[int, Sentence]]
    numbered = [*([] if query is None else [(QUERY, query)]), *lines]
    with Progress(str(word), len(numbered), 0) as progress:
        stream = encoder.stream_words(
            params,
            tokenizer,
            (running.sentence(text) for _, text in numbered),
            plan.spec,
            pool=pool,
            dtype=running.compute,
            mesh=running.mesh(),
            on_batch=progress.computed,
            unknown="error",
        )
        found = _find_in_stream(stream, numbered, word, progress)
        asked = next(found) if query is not None else None
        pairs = list(found)
    if not pairs:
        raise ValueError(
            f"{len(lines):,} lines hold {word}, but only inside of longer words, as "
            "this model's tokeniser splits them"
        )
    chosen = [pairs[index] for index in sample_evenly(len(pairs), limit)]
    if asked is not None:
        chosen.append(asked)
    together = np.stack([vector for _, vector in chosen])
    ends = list(itertools.accumulate(plan.widths))
    columns = np.split(together, ends[:-1], axis=1)
    views = [View(*each) for each in zip(plan.names, columns, strict=True)]
    contexts = [context for context, _ in chosen]
    query_context = contexts.pop() if asked is not None else None
    return EmbeddedContexts(contexts, query_context, views, plan.chosen)


def _find_in_stream(
    stream: Iterator[Embedded],
    numbered: Sequence[tuple[int, Sentence]],
    word: WordForms,
    progress: Progress,
) -> Iterator[tuple[Context, np.ndarray]]:
    """Yield the contexts of the word and their vectors; at most one of the query."""
    for (number, text), embedded in zip(numbered, stream, strict=True):
        places = [p for p in word.find(embedded.words) if p not in embedded.unread]
        if number == QUERY:
            if not places:
                raise ValueError(query_lacks(word, embedded.words))
            del places[1:]
        for place in places:
            context = cut_context(number + 1, text_of(text), embedded.words, place)
            yield context, embedded.vectors[place].astype(np.float32)
        progress.written(len(embedded.words))


def query_lacks(word: WordForms, words: list[str]) -> str:
    """Return the error message for a query without the word; lists its words."""
    return f"--query lacks the word {word}; it has {', '.join(words)}"
