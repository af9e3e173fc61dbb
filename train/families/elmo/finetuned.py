# SPDX-License-Identifier: Apache-2.0
"""A biLM with a learnt mix of its layers and a linear classifier, and its files.

The biLM is saved in its published format, options.json and weights.hdf5; beside it are
head.safetensors with the mixes and the classifier, and head.json with the layers, the
task and the labels.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Array, Float

import elmo_jax
from elmo_jax import ElmoParams, ElmoTokenizer, ElmoTokens
from elmo_jax.embed import compute_vectors
from elmo_jax.tokenizer import pad_types
from embed_jax.devices.random_keys import random_key
from embed_jax.files.bucket import local_copy, run_path
from embed_jax.files.checked_files import check_files, write_checksums
from embed_jax.files.directory import written_whole
from embed_jax.files.json_file import json_text, read_json
from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.pooling import pool_sentence
from embed_jax.layers.scalar_mix import ScalarMix
from embed_jax.tree import name_leaves, nest
from train.families.elmo.batches import round_up
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import IGNORED, ClassifiedRow
from train.tasks.finetune.classifier import Example, Task, Weights
from train.tasks.finetune.finetuning import Finetuning

HEAD, SETTINGS = "head.safetensors", "head.json"
DROPOUT_RATE = 0.5
"""Dropout rate of the mixed vectors, AllenNLP's default; its tasks have 0 to 0.5."""

_CHARACTER_STEP = 4


class ElmoClassifier:
    """A `Classifier`: a dense layer on each word's vector, or on their mean.

    Attributes:
      task: "token" or "sequence".
      labels: names of the labels.
      longest: None; a biLM reads rows of any length.
      weights: of the biLM, the mixes and the dense layer.
    """

    longest: int | None = None

    def __init__(
        self,
        params: ElmoParams,
        tokenizer: ElmoTokenizer,
        head: dict[str, Any],
        *,
        task: Task,
        labels: Sequence[str],
        layers: str | LayerSpec,
        dropout_rate: float = DROPOUT_RATE,
        max_length: int | None = None,
    ) -> None:
        """Use a biLM and a head.

        Args:
          params: what `elmo_jax.load` gave; the softmax is not used.
          tokenizer: of the model.
          head: from `fresh_head`, or a saved one.
          task: "token" or "sequence".
          labels: names of the labels.
          layers: the layers and their combination.
          dropout_rate: of the vectors that are classified.
          max_length: maximal words of a text, where texts are labelled.
        """
        self.task: Task = task
        self.labels: tuple[str, ...] = tuple(labels)
        self.weights: Weights = {"encoder": params.encoder, "head": head}
        self._params = ElmoParams(
            encoder={}, heads={}, config=params.config, start=params.start
        )
        vocabulary = None if params.config.char_cnn else tokenizer.vocabulary
        self._tokenizer = ElmoTokenizer(params.config, vocabulary, tokenizer.split)
        self._spec = parse_layer_spec(layers)
        self._dropout_rate = dropout_rate
        self._max_length = max_length

    def rows(self, examples: Sequence[Example]) -> list[ClassifiedRow]:
        """Make a row of each example."""
        label_ids = {label: number for number, label in enumerate(self.labels)}
        rows = []
        for index, example in enumerate(examples):
            if isinstance(example, TaggedSentence):
                words = list(example.words)
                labels = [label_ids.get(tag, IGNORED) for tag in example.tags]
                positions = np.arange(len(words))
            else:
                words = self._words(example)
                labels = label_ids.get(example.label, IGNORED)
                positions = np.zeros(0, np.int64)
            rows.append(
                ClassifiedRow(
                    content=words,
                    length=len(words),
                    labels=np.array(labels, np.int32),
                    example=index,
                    words=positions,
                    num_words=len(words),
                    num_unknown=len(self._tokenizer.unknown_words(words)),
                )
            )
        return rows

    def _words(self, text: LabelledText) -> list[str]:
        if text.pair is not None:
            raise ValueError(
                f"{text.place}: a pair of texts; this classifier of a biLM reads "
                "single ones, a BERT reads both"
            )
        return self._tokenizer.words(text.text)[: self._max_length]

    def collate(
        self, rows: Sequence[ClassifiedRow], length: int, size: int
    ) -> ElmoTokens:
        """Pad rows into a batch, and its types to one of a few sizes."""
        sentences = [row.content for row in rows] + [[]] * (size - len(rows))
        tokens = self._tokenizer.collate(sentences, max(length, 1))
        types, characters = tokens.types, 0
        if char_cnn := self._params.config.char_cnn:
            wanted = -(-types.shape[1] // _CHARACTER_STEP) * _CHARACTER_STEP
            characters = min(wanted, char_cnn.max_characters)
        types = pad_types(types, round_up(len(types)), characters)
        return tokens._replace(types=types)

    def logits(
        self, weights: Weights, tokens: ElmoTokens, dropout_key: Array | None = None
    ) -> Float[Array, "B *T Y"]:
        """Return the logits of the labels; a key turns dropout of the vectors on."""
        params = self._params.replace(encoder=weights["encoder"])
        head = weights["head"]
        (vectors,), _ = compute_vectors(
            params,
            tokens,
            (self._spec,),
            (self.mixes(weights),),
            jnp.dtype(jnp.float32),
            # As where text is embedded: no vector depends on its batch.
            norm_over="row",
        )
        if self.task == "sequence":
            vectors = pool_sentence(vectors, jnp.asarray(tokens.mask), "mean")
        dropout = nn.Dropout(self._dropout_rate, deterministic=dropout_key is None)
        rngs = None if dropout_key is None else {"dropout": dropout_key}
        vectors = cast(Array, dropout.apply({}, vectors, rngs=rngs))
        dense = nn.Dense(len(self.labels))
        return cast(Array, dense.apply({"params": head["dense"]}, vectors))

    def mixes(self, weights: Weights) -> tuple[ScalarMix, ...]:
        """Return the learnt mixes of layers, one a mix term in order."""
        head = weights["head"]
        number = len(self._spec.mix_sizes(self._params.config.num_blocks))
        return tuple(
            ScalarMix(head[f"mix_{index}"]["weights"], head[f"mix_{index}"]["gamma"])
            for index in range(number)
        )

    def save(self, directory: Path, weights: Weights) -> None:
        """Write the biLM, and the head beside it."""
        params = self._params.replace(encoder=weights["encoder"])
        tensors = {
            name: np.asarray(leaf, np.float32)
            for name, leaf in name_leaves(weights["head"]).items()
        }
        settings = {
            "task": self.task,
            "layers": str(self._spec),
            "labels": list(self.labels),
            "max_length": self._max_length,
        }
        text = json_text(settings, indent=2, ensure_ascii=False) + "\n"
        with written_whole(directory, marker=SETTINGS, overwrite=False) as folder:
            folder.rmdir()
            elmo_jax.save(folder, params, self._tokenizer)
            (folder / HEAD).write_bytes(safetensors.numpy.save(tensors))
            (folder / SETTINGS).write_text(text, encoding="utf-8")
            write_checksums(folder)


def make_classifier(
    config: Finetuning, model: str, labels: Sequence[str]
) -> ElmoClassifier:
    """Load a biLM and add a newly initialised classifier.

    Raises:
      ValueError: see `elmo_jax.load`; or options that are invalid for a biLM.
    """
    if config.context != 0:
        raise ValueError(f"context {config.context}: an ELMo reads each sentence alone")
    params, tokenizer = elmo_jax.load(model, encoder_only=True)
    key = random_key(config.seed)
    rate = DROPOUT_RATE if config.dropout_rate is None else config.dropout_rate
    return ElmoClassifier(
        params,
        tokenizer,
        fresh_head(key, params, config.layers, len(labels)),
        task=config.task,
        labels=labels,
        layers=config.layers,
        dropout_rate=rate,
        max_length=config.max_length,
    )


def load_elmo_classifier(path: str | os.PathLike[str]) -> ElmoClassifier:
    """Load a classifier that `ElmoClassifier.save` wrote.

    Raises:
      ValueError: a file is missing or damaged, or the files do not match.
    """
    directory = local_copy(run_path(path))
    params, tokenizer = elmo_jax.load(directory, encoder_only=True)
    source = directory / SETTINGS
    if not source.is_file():
        raise ValueError(f"{source}: no such file; is it a biLM with a classifier?")
    check_files(directory, [SETTINGS, HEAD])
    settings = read_json(source)
    try:
        tensors = safetensors.numpy.load_file(directory / HEAD)
        head = nest(tensors)
        classifier = ElmoClassifier(
            params,
            tokenizer,
            jax.tree.map(jnp.asarray, head),
            task=settings["task"],
            labels=settings["labels"],
            layers=settings["layers"],
            max_length=settings["max_length"],
        )
    except FileNotFoundError as error:
        raise ValueError(
            f"{error.filename or directory / HEAD}: no such file; is it a biLM with a "
            "classifier?"
        ) from error
    except (KeyError, TypeError, safetensors.SafetensorError) as error:
        raise ValueError(f"the head in {directory} is damaged: {error}") from error
    wanted = jax.eval_shape(
        lambda: fresh_head(
            random_key(0), params, settings["layers"], len(settings["labels"])
        )
    )
    if jax.tree.map(np.shape, head) != jax.tree.map(np.shape, wanted):
        raise ValueError(f"{directory / HEAD} is not the head that {source} describes")
    return classifier


def fresh_head(
    key: jax.Array, params: ElmoParams, layers: str | LayerSpec, num_labels: int
) -> dict[str, Any]:
    """Initialise a head: mixes that are means, and a dense layer to the labels.

    Raises:
      ValueError: a malformed spec, or a layer that the model lacks.
    """
    spec = parse_layer_spec(layers)
    num_blocks, dim = params.config.num_blocks, params.config.layer_dim
    head: dict[str, Any] = {}
    for number, size in enumerate(spec.mix_sizes(num_blocks)):
        head[f"mix_{number}"] = {"weights": jnp.zeros(size), "gamma": jnp.ones(())}
    width = spec.width(num_blocks, dim)
    variables = nn.Dense(num_labels).init(key, jnp.zeros((1, width)))
    head["dense"] = dict(variables["params"])
    return head
