# SPDX-License-Identifier: Apache-2.0
"""Named entity recognition by layers of a frozen model (Devlin et al. 2019, Table 7).

    python -m train.ner ner_small --model MODEL --data DIRECTORY
    python -m train.ner ner_small --model MODEL --data one.conll --test-fraction 0.2

Every layer of every word is computed once and cached; then a BiLSTM tagger is trained
for each `layer_spec`, several seeds at once, and its span F1 goes into a table.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from embed_jax.checks import check_at_least
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.exit_status import exit_status
from embed_jax.files.local_path import with_local_paths
from embed_jax.layers.layer_spec import MIXES, parse_layer_spec
from train.called import called
from train.config import read_command
from train.tasks.data.conll import TaggedSentence, write_conll
from train.tasks.data.tagged_splits import TaggedData, check_entities, read_tagged
from train.tasks.features import cached_features
from train.tasks.ner.tagging import TaggedFeatures, Tagging
from train.tasks.ner.trained_specs import train_specs
from train.tasks.results import (
    NOTHING_FOUND,
    Outcome,
    Row,
    results_output,
    seeds_output,
    write_results,
    write_seeds,
)

SPLITS = ("train", "dev", "test")
TABLE_7 = (
    "embeddings",
    "second_to_last",
    "last",
    "mix(last4)",
    "concat(last4)",
    "mix(blocks)",
)
"""The rows of Devlin et al. 2019, Table 7."""
ELMO_ROWS = ("embeddings", "first", "last", "mean(all)", "mix(all)")
"""The rows for ELMo (Peters et al. 2018): the layers, their mean and the learnt mix."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(TaggedData):
    """The model, the data and the output.

    Attributes:
      model: directory of a model or of a run, or an id on the Hugging Face hub.
      data: a folder with train, dev and test in CoNLL columns or CoNLL-U, or one such
        file and a test fraction, or tfds:conll2003.
      output: the folder for the table as Markdown, as JSON and as a picture.
      name: of these files; by default made of the data's and the model's names.
      cache: the folder for features and trained results.
      retrain: train again even if the cache has results.
      jobs: specs to train at the same time, each in its own process; one process uses
        about one core.
      predictions: a folder for the test sentences with the predictions of the first
        seed, a CoNLL file for each spec.
      csv: a file for the scores too, one line a spec and seed, between commas.
    """

    model: str
    data: str
    output: Path = Path("results")
    name: str = ""
    cache: Path = Path("data/features")
    retrain: bool = False
    jobs: int = 2
    predictions: Path | None = None
    csv: Path | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        check_at_least(self, 1, "jobs")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments

    def run() -> None:
        options, config = read_command(
            given, called("ner"), Options, __doc__ or "", kind=Tagging
        )
        keep_compilations()
        compare_specs(config, options, shown(given))

    return exit_status(
        "train.ner", run, "the same command goes on with what is done already"
    )


def shown(arguments: Sequence[str]) -> str:
    """Format the command so that it can be repeated."""
    return f"{called('ner')} {shlex.join(arguments)}"


def compare_specs(config: Tagging, options: Options, command: str) -> list[Row]:
    """Train a tagger for each spec and write the table.

    Raises:
      ValueError: invalid data, model or specs; raised before training.
      OSError: a file cannot be read or written.
    """
    options = with_local_paths(options)
    terms = [term for spec in config.layers for term in parse_layer_spec(spec).terms]
    # By default there is a mix, and where rows are compared some need be none.
    if config.mix_penalty and terms and not any(t.function in MIXES for t in terms):
        raise ValueError(
            f"mix_penalty {config.mix_penalty}: none of the layers is a mix(…) or "
            "mix_norm(…)"
        )
    stem = options.name or _default_name(config, options)
    inputs = (options.model, options.data)
    with (
        results_output(options.output, [stem], inputs=inputs),
        seeds_output(options.csv, inputs),
    ):
        return _compare(config, options, command, stem)


def _compare(config: Tagging, options: Options, command: str, stem: str) -> list[Row]:
    corpus, said = read_tagged(options.data, options, config.seed)
    remarks = check_entities(corpus, options.data)
    sys.stderr.writelines(f"{line}\n" for line in [*filter(None, [said]), *remarks])
    began = time.monotonic()
    splits = {
        name: _with_features(config, options, name, corpus[name]) for name in SPLITS
    }
    caching = time.monotonic() - began
    num_blocks = splits["train"].features.num_blocks
    specs = rows_for(config.layers, num_blocks)
    began_training = time.monotonic()
    outcomes = train_specs(
        config,
        specs,
        splits,
        options.cache,
        jobs=options.jobs,
        retrain=options.retrain,
    )
    training = time.monotonic() - began_training
    if options.predictions:
        for spec, outcome in outcomes.items():
            _write_predictions(options.predictions, spec, corpus["test"], outcome)
    rows = [
        Row(
            spec,
            {"dev F1": outcome.dev, "test F1": outcome.test},
            describe_mixes(outcome),
        )
        for spec, outcome in outcomes.items()
    ]
    table = write_results(
        options.output,
        stem,
        title=f"Named entities of {_last_part(options.data)} by layer of "
        f"{_last_part(options.model)}",
        command=command,
        rows=rows,
        facts=({"split": said} if said else {})
        | ({NOTHING_FOUND: "; ".join(remarks)} if remarks else {})
        | _facts(config, corpus, splits, outcomes, (caching, training)),
    )
    if options.csv:
        write_seeds(options.csv, {"ner": (rows, config.seed)})
    sys.stdout.write(f"{table}\n{options.output / stem}.md\n")
    return rows


def rows_for(layers: Sequence[str], num_blocks: int) -> tuple[str, ...]:
    """Return the specs of the table; a model with fewer than four blocks has ELMo's.

    Raises:
      ValueError: the model lacks a layer.

    Example:
      >>> rows_for((), 2)
      ('embeddings', 'first', 'last', 'mean(all)', 'mix(all)')
    """
    specs = tuple(layers) or (TABLE_7 if num_blocks >= 4 else ELMO_ROWS)
    seen = {}
    for spec in specs:
        # last4 and blocks are the same of a model with four.
        seen.setdefault(parse_layer_spec(spec).resolve(num_blocks), spec)
    return tuple(seen.values())


def describe_mixes(outcome: Outcome) -> str:
    """Format the learnt weights of the layers and gamma of the mixes, over the seeds.

    Example:
      >>> import numpy as np
      >>> nothing = Outcome((), (), (), (), 0, 0.0, [])
      >>> shares, gamma = np.array([[0.25, 0.75], [0.75, 0.25]]), np.array([1.0, 2.0])
      >>> describe_mixes(nothing._replace(mixes=(shares,), gammas=(gamma,)))
      'shares 0.50 0.50, gamma 1.50'
    """
    terms = []
    for shares, gamma in zip(outcome.mixes, outcome.gammas, strict=True):
        values = " ".join(f"{share:.2f}" for share in shares.mean(axis=0))
        terms.append(f"shares {values}, gamma {gamma.mean():.2f}")
    return "; ".join(terms)


def _with_features(
    config: Tagging, options: Options, split: str, sentences: list[TaggedSentence]
) -> TaggedFeatures:
    features = cached_features(
        options.model,
        [sentence.words for sentence in sentences],
        options.cache,
        name=f"{_last_part(options.model)}-{_last_part(options.data)}-{split}",
        documents=[sentence.document for sentence in sentences],
        context=config.context,
        pool=config.pool,
    )
    return TaggedFeatures(features, [list(sentence.tags) for sentence in sentences])


def _write_predictions(
    directory: Path, spec: str, sentences: list[TaggedSentence], outcome: Outcome
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_conll(
        directory / f"{spec}.conll",
        [sentence.words for sentence in sentences],
        [sentence.tags for sentence in sentences],
        outcome.predictions[0],
    )


def _facts(
    config: Tagging,
    corpus: Mapping[str, list[TaggedSentence]],
    splits: Mapping[str, TaggedFeatures],
    outcomes: Mapping[str, Outcome],
    seconds: tuple[float, float],
) -> dict[str, Any]:
    def sizes() -> Iterator[str]:
        for name in SPLITS:
            words = int(splits[name].features.offsets[-1])
            yield f"{name} {len(corpus[name]):,} sentences, {words:,} words"

    features = splits["train"].features
    decoder = "a CRF" if config.decoder == "crf" else "softmax"
    each = [outcome.num_params for outcome in outcomes.values()]
    epochs = [epoch for outcome in outcomes.values() for epoch in outcome.epochs]
    return {
        "data": "; ".join(sizes()),
        "model": f"{features.num_blocks} blocks, {features.layer_dim} wide",
        "tagger": f"{config.num_layers} BiLSTMs of 2 x {config.cell_dim}, {decoder}, "
        f"{min(each):,} to {max(each):,} weights; {config.num_seeds} seeds, each with "
        "its own weights, order and dropout; ± is the sample deviation over them",
        "kept": f"the epoch best on dev, {min(epochs)} to {max(epochs)} of at most "
        f"{config.num_epochs}",
        "context": "document"
        if config.context == "document"
        else f"{config.context} pieces",
        "seconds": f"{seconds[0]:.0f} for the features and {seconds[1]:.0f} for the "
        "taggers; less where the cache had them",
        "on": f"{jax.devices()[0].device_kind}, jax {jax.__version__}",
    }


def _default_name(config: Tagging, options: Options) -> str:
    parts = ["ner", _last_part(options.data), _last_part(options.model)]
    if config.context != 0:
        parts.append(f"context-{config.context}")
    return "-".join(parts)


def _last_part(path: str) -> str:
    return path.rstrip("/").replace(":", "-").rsplit("/", 1)[-1]


if __name__ == "__main__":
    sys.exit(main())
