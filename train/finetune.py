# SPDX-License-Identifier: Apache-2.0
"""Fine-tunes a pretrained model to label words, or texts and pairs of texts.

    python -m train.finetune finetune_ner --model MODEL --data DIRECTORY --output DIR
    python -m train.finetune finetune_polarity --model MODEL --data texts --output DIR

Words: a folder with train, dev and test in CoNLL columns or CoNLL-U, one such file and
a test fraction, or tfds:conll2003. Texts: a folder with train, dev and test as .tsv or
.csv, label first or columns named; or the zip file of Pang and Lee's sentence polarity
or subjectivity. DIR gets the model in its published format, its predictions for dev and
test, and results.json.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import platform
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

import jax
import tyro

from embed_jax.checks import check_at_least
from embed_jax.devices.compilation_cache import keep_compilations
from embed_jax.devices.random_keys import same_draws
from embed_jax.exit_status import exit_status
from embed_jax.files.directory import written_whole
from embed_jax.files.json_file import json_text
from embed_jax.files.kinds import DirectoryKind, json_with
from embed_jax.files.local_path import local_path, with_local_paths
from embed_jax.files.outputs import output_directory
from embed_jax.suggest import suggest
from train.called import called
from train.config import read_command
from train.families.registry import family_of_model
from train.tasks.data.conll import TaggedSentence, write_conll
from train.tasks.data.tagged_splits import TaggedData, read_tagged
from train.tasks.finetune.classification import (
    LabelledText,
    check_labels,
    read_text_splits,
    write_texts,
)
from train.tasks.finetune.classifier import Classifier, Example
from train.tasks.finetune.finetuning import Finetuned, Finetuning, finetune
from train.tasks.results import Row, seeds_output, write_seeds

MODEL, RESULTS = "model", "results.json"

_is_record = json_with("command", "config", "labels", "kept_epoch", "scores")
FINETUNED = DirectoryKind(
    "an output of train.finetune",
    RESULTS,
    lambda path: _is_record(path / RESULTS),
    (MODEL, "*.conll", "*.tsv"),
)

Splits = Mapping[str, Sequence[Example]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(TaggedData):
    """The model, the data and the output of a fine-tuning.

    Attributes:
      model: directory of a model or of a run, or an id on the Hugging Face hub.
      data: a folder, a file, a zip file of Pang and Lee's, or tfds:conll2003.
      output: the directory to make; it appears when all is done.
      overwrite: whether an output of this command may be replaced.
      train_limit: number of training examples to use, the first ones; by default all.
      csv: a file for the scores too, one line between commas.
    """

    model: str
    data: str
    output: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    overwrite: bool = False
    train_limit: int | None = None
    csv: Path | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        super().__post_init__()
        check_at_least(self, 1, "train_limit")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    prog = called("finetune")

    def action() -> None:
        options, config = read_command(
            given, prog, Options, __doc__ or "", kind=Finetuning
        )
        keep_compilations()
        run(config, options, " ".join([prog, *given]))

    return exit_status("train.finetune", action, "nothing was written")


def run(config: Finetuning, options: Options, command: str = "") -> Finetuned:
    """Fine-tune a model, and write the output directory.

    Args:
      config: of the fine-tuning.
      options: the model, the data and the output.
      command: the command line, for results.json.

    Raises:
      ValueError: invalid data, model or output; raised before training.
      OSError: a file cannot be read or written.
    """
    options = with_local_paths(options)
    inputs = (options.model, options.data)
    with (
        output_directory(
            options.output, FINETUNED, replace=options.overwrite, inputs=inputs
        ),
        seeds_output(options.csv, inputs),
    ):
        return _run(config, options, command)


def _run(config: Finetuning, options: Options, command: str) -> Finetuned:
    splits, labels = read_examples(config, options)
    classifier = make_classifier(config, options.model, labels)
    say = partial(print, file=sys.stderr, flush=True)
    with written_whole(
        options.output, marker=FINETUNED, overwrite=options.overwrite
    ) as directory:
        finetuned = finetune(config, classifier, splits, say)
        classifier.save(directory / MODEL, finetuned.weights)
        for name, predicted in finetuned.predictions.items():
            _write_predictions(directory / name, splits[name], predicted)
        record = {
            "command": command,
            # As text, like those of runs from before it could be a number.
            "config": dataclasses.asdict(config) | {"context": str(config.context)},
            "examples": {name: len(examples) for name, examples in splits.items()},
            "labels": labels,
            "kept_epoch": int(finetuned.fitted.epoch),
            "epochs": [
                {"loss": epoch.loss, "dev": epoch.metrics, "seconds": epoch.seconds}
                for epoch in finetuned.fitted.history
            ],
            "scores": finetuned.scores,
            "versions": {name: version(name) for name in ("jax", "optax")},
            "on": f"{jax.devices()[0].device_kind}, {platform.machine()}",
        }
        text = json_text(record, indent=1, ensure_ascii=False) + "\n"
        (directory / RESULTS).write_text(text, encoding="utf-8")
    if options.csv:
        scores = {
            f"{split} {metric}": (float(value),)
            for split, of_split in finetuned.scores.items()
            for metric, value in of_split.items()
        }
        row = Row("fine-tuned", scores)
        write_seeds(options.csv, {"finetune": ([row], config.seed)})
    for name, scores in finetuned.scores.items():
        shown = ", ".join(f"{metric} {value:.2f}" for metric, value in scores.items())
        sys.stdout.write(f"{name}: {shown}\n")
    sys.stdout.write(f"{options.output / MODEL}\n")
    return finetuned


def read_examples(
    config: Finetuning, options: Options
) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Read train, dev and test, and the labels of the training examples.

    Raises:
      ValueError: a bad line, or a label that the training examples lack.
    """
    limit = options.train_limit
    if config.task == "sequence":
        if options.names_columns() or options.test_fraction is not None:
            raise ValueError(
                "--column, --tag-column and --test-fraction are of words with tags; "
                "texts have a test split of their own"
            )
        texts = read_text_splits(local_path(options.data), seed=config.seed)
        texts["train"] = texts["train"][:limit]
        return dict(texts), check_labels(texts)
    sentences, said = read_tagged(options.data, options, config.seed)
    if said:
        sys.stderr.write(f"{said}\n")
    sentences["train"] = sentences["train"][:limit]
    return dict(sentences), check_tags(sentences, options.data)


def check_tags(
    splits: Mapping[str, Sequence[TaggedSentence]], source: str
) -> tuple[str, ...]:
    """Return the tags to learn: O, then B and I of each type in the training data.

    Raises:
      ValueError: dev or test has a type that training lacks.
    """
    seen = {tag for sentence in splits["train"] for tag in sentence.tags}
    types = sorted({tag[2:] for tag in seen if tag[:2] in ("B-", "I-")})
    # Both tags of a type, even if only the other one is there.
    tags = ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
    tags.extend(sorted(seen - set(tags)))
    for name, sentences in splits.items():
        for sentence in sentences:
            for tag in sentence.tags:
                if tag not in tags:
                    raise ValueError(
                        f"{source}, {name}: the sentence at line {sentence.line} has "
                        f"the tag {tag!r}, which no training sentence has; "
                        f"{suggest(tag, tags, 'tags')}"
                    )
    return tuple(tags)


@same_draws()
def make_classifier(
    config: Finetuning, model: str, labels: Sequence[str]
) -> Classifier:
    """Load an encoder and add a newly initialised classifier.

    Raises:
      ValueError: no known model, or options that are invalid for it.
    """
    return family_of_model(model).classifier(config, model, labels)


def _write_predictions(
    stem: Path, examples: Sequence[Example], predicted: Sequence[Sequence[str]]
) -> None:
    if isinstance(examples[0], TaggedSentence):
        sentences = cast(Sequence[TaggedSentence], examples)
        write_conll(
            stem.with_suffix(".conll"),
            [sentence.words for sentence in sentences],
            [sentence.tags for sentence in sentences],
            predicted,
        )
    else:
        texts = cast(Sequence[LabelledText], examples)
        labels = [label for (label,) in predicted]
        write_texts(stem.with_suffix(".tsv"), texts, labels)


if __name__ == "__main__":
    sys.exit(main())
