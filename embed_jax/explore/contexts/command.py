# SPDX-License-Identifier: Apache-2.0
"""The command that clusters the contexts of a word, as a list and an HTML page.

python -m embed_jax.contexts MODEL corpus.txt --word bank --output bank.html
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tyro.conf import arg

from embed_jax.checks import check_at_least, check_below, check_fields, check_seed
from embed_jax.commands.parsing import parse_command
from embed_jax.corpus.marks import MarkCounter
from embed_jax.corpus.reading import Running
from embed_jax.corpus.text import describe_reading, read_sentences, unchanged
from embed_jax.corpus.words import text_of
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.encoder import find_encoder
from embed_jax.exit_status import exit_status
from embed_jax.explore.contexts.clustering import Clusters, find_clusters
from embed_jax.explore.contexts.embedding import (
    EmbeddedContexts,
    embed_contexts,
    plan_layers,
    query_lacks,
)
from embed_jax.explore.contexts.keywords import CommonWords, distinctive_words
from embed_jax.explore.contexts.layout import lay_out
from embed_jax.explore.contexts.neighbours import find_neighbours
from embed_jax.explore.contexts.occurrences import (
    Context,
    WordForms,
    find_lines,
    read_numbered,
    sample_evenly,
)
from embed_jax.explore.contexts.page import PAGE, Caption, write_page
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import open_output
from embed_jax.files.outputs import output_file
from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.unit_vectors import unit_vectors

# Neighbours that the page knows of each context.
NEAREST = 6
# Every two contexts are compared, in each layer, and all are drawn: with more the
# command takes long, and the page moves in jerks.
MOST_CONTEXTS = 5_000


@dataclasses.dataclass(frozen=True)
class Command:
    """List the contexts of a word by sense, and show them on a page, layer by layer.

    Only the sentences with the word are embedded, all layers in one run. Words are
    those of the model's tokeniser: bank is found in "bank," too.
    """

    model: Annotated[str, tyro.conf.Positional, arg(metavar="MODEL")]
    """Directory of a model, or an id on the Hugging Face hub."""
    corpus: Annotated[Path, tyro.conf.Positional, arg(metavar="CORPUS")]
    """UTF-8 text, one sentence a line, CoNLL, or records (.jsonl, .parquet); .gz and
    .zst are decompressed."""
    word: Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
    """The word; repeat it for other forms: --word bank --word banks."""
    query: str | None = None
    """A sentence with the word in it; its nearest contexts are listed."""
    output: Path | None = None
    """The HTML page to write, which needs no other file and no network."""
    layers: str = "last"
    """Layers to compare and cluster contexts by: last, -2, concat(last4), …"""
    pool: Literal["first", "last", "mean", "max"] = "first"
    """Pooling of a word's pieces."""
    clusters: int | None = None
    """Number of clusters; by default from 2 to 8, by their silhouette."""
    seed: int = 0
    """Seed of the clustering."""
    max_contexts: int = 2000
    """Maximal number of contexts, taken evenly from the text."""
    count: int = 10
    """Number of nearest contexts to list, and of contexts of each cluster."""
    ignore_case: bool = True
    """Ignore case."""
    running: Annotated[Running, arg(name="")] = dataclasses.field(
        default_factory=Running
    )
    overwrite: bool = False
    """Replace an existing page of this command."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self, large=["seed"])
        check_seed(self)
        check_at_least(self, 0, "count")
        check_at_least(self, 1, "clusters", "max_contexts")
        most = "every two contexts are compared, and all are drawn"
        check_below(self, MOST_CONTEXTS + 1, "max_contexts", why=most)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        prog = "python -m embed_jax.contexts"
        command = parse_command(Command, arguments, prog=prog)
        keep_compilations()
        show_contexts(command)

    return exit_status("embed_jax.contexts", action, "nothing was written")


def show_contexts(command: Command) -> None:
    """Find, embed, cluster and show the contexts of a word.

    Raises:
      ValueError: anything about the arguments, the model or the corpus; the cheap
        checks come first.
      OSError: a file cannot be read or written, or exists already.
    """
    command = with_local_paths(command)
    word, layers = _check(command), parse_layer_spec(command.layers)
    with output_file(
        command.output,
        PAGE,
        replace=command.overwrite,
        inputs=(command.model, command.corpus),
    ):
        _show(command, word, layers)


def _show(command: Command, word: WordForms, layers: LayerSpec) -> None:
    with unchanged(command.corpus):
        lines = find_lines(command.corpus, word, command.running)
        kept = lines[sample_evenly(len(lines), command.max_contexts)]
        encoder = find_encoder(command.model)
        params, tokenizer = encoder.load(command.model)
        numbered = list(read_numbered(command.corpus, kept, command.running))
        if read_as := describe_reading(command.corpus, command.running):
            print(f"{command.corpus}: {read_as}")
        own = MarkCounter(encoder.own_tokens)
        own.watch_document([text_of(sentence) for _, sentence in numbered])
        if held := own.describe():
            print(f"{command.corpus}: {held}")
        embedded = embed_contexts(
            encoder,
            params,
            tokenizer,
            plan_layers(encoder, params, layers, command.pool),
            word,
            numbered,
            query=command.query,
            running=command.running,
            limit=command.max_contexts,
            pool=command.pool,
        )
        number = len(embedded.contexts)
        units = [unit_vectors(view.vectors) for view in embedded.views]
        clusters = find_clusters(
            units[embedded.chosen][:number], command.clusters, seed=command.seed
        )
        words = distinctive_words(
            embedded.contexts,
            clusters.labels,
            common=CommonWords(read_sentences(command.corpus, command.running)),
        )
    caption = Caption(
        word=str(word),
        model=Path(command.model).name or command.model,
        corpus=command.corpus.name,
        sampling=_describe_sampling(number, len(kept), len(lines)),
        layers=embedded.views[embedded.chosen].name,
    )
    print(f"{word} in {command.corpus}: {caption.sampling}; by {caption.layers}")
    _print_nearest(embedded, units[embedded.chosen], command.count)
    _print_clusters(embedded.contexts, clusters, words, command.count)
    if command.output:
        page = write_page(
            caption,
            embedded,
            lay_out(units, number, embedded.chosen),
            [find_neighbours(unit, number, NEAREST) for unit in units],
            clusters,
            words,
        )
        with open_output(command.output, replace=command.overwrite) as file:
            # What a command line holds need not be text.
            file.write(page.encode("utf-8", "replace"))
        print(f"\n{command.output}: {len(page) / 1e6:.1f} MB, open it in a browser")


def _check(command: Command) -> WordForms:
    """Check the arguments before any file is read; return the forms of the word."""
    command.running.check()
    word = WordForms(command.word, command.ignore_case)
    if command.query is not None and not word.may_stand_in(command.query):
        raise ValueError(query_lacks(word, command.query.split()))
    return word


def _describe_sampling(num_contexts: int, num_kept: int, num_lines: int) -> str:
    if num_kept < num_lines:
        return (
            f"{num_contexts:,} contexts, sampled evenly from the {num_lines:,} lines "
            "with the word"
        )
    return f"{num_contexts:,} contexts on {num_lines:,} lines"


def _print_nearest(embedded: EmbeddedContexts, unit: np.ndarray, count: int) -> None:
    if embedded.query is None:
        return
    number = len(embedded.contexts)
    cosines = unit[:number] @ unit[number]
    print(f"\nnearest to  {embedded.query.show()}")
    for index in np.argsort(-cosines, kind="stable")[:count]:
        context = embedded.contexts[index]
        print(f"{cosines[index]:6.3f}  line {context.line:<7} {context.show()}")


def _print_clusters(
    contexts: list[Context], clusters: Clusters, words: list[list[str]], count: int
) -> None:
    """Print each cluster, contexts nearest to its mean first."""
    if clusters.number > 1:
        print(f"\n{clusters.number} clusters, silhouette {clusters.silhouette:.2f}")
    for label in range(clusters.number):
        members = np.flatnonzero(clusters.labels == label)
        telling = f": {', '.join(words[label])}" if words[label] else ""
        print(f"\ncluster {label + 1}, {len(members):,} contexts{telling}")
        order = np.argsort(clusters.centrality[members], kind="stable")
        for index in members[order[:count]]:
            print(f"  line {contexts[index].line:<7} {contexts[index].show()}")
