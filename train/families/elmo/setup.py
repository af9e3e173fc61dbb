# SPDX-License-Identifier: Apache-2.0
"""Construction of a biLM's objective and initial weights from its configuration."""

import jax.numpy as jnp
from jax.sharding import Mesh

import elmo_jax
from embed_jax.devices.random_keys import random_key
from train.data.encoding import HELD_OUT, TRAIN
from train.families.elmo.batches import BilmBatches
from train.families.elmo.config import BilmPretraining
from train.families.elmo.continuation import continue_elmo
from train.families.elmo.held_out import HeldOutWindows
from train.families.elmo.objective import BilmObjective
from train.families.elmo.word_order import check_order
from train.families.elmo.words import WordStore
from train.families.family import Setup
from train.loop.placement import host_slice


def set_up(experiment: BilmPretraining, dtype: jnp.dtype, mesh: Mesh | None) -> Setup:
    """Open the text, and initialise the weights or load those of a model.

    Raises:
      ValueError: the text is damaged, or the weights to load do not fit.
    """
    data = experiment.data
    train = WordStore.open(data.directory / TRAIN)
    words = train.vocabulary
    config = experiment.model_for(len(words))
    _check_text(experiment, config, train)
    if not words.counts and experiment.num_negatives:
        check_order(train)
    widest_filter = config.char_cnn.max_width if config.char_cnn else None
    batches = BilmBatches(
        train,
        batch_size=experiment.batch_size,
        unroll_steps=experiment.unroll_steps,
        seed=experiment.seed,
        num_negatives=experiment.num_negatives,
        widest_filter=widest_filter,
        share=host_slice(),
    )
    held_out = None
    if data.held_out_every and experiment.eval_every:
        held_out = held_out_windows(
            experiment, WordStore.open(data.directory / HELD_OUT)
        )
    objective = bilm_objective(
        experiment,
        dtype,
        len(words),
        mesh=mesh,
        batches=batches,
        held_out=held_out,
    )
    key = random_key(experiment.seed, "weights")
    params = elmo_jax.init_params(
        key, config, len(words), tied=experiment.has_tied_softmax
    )
    tokenizer = elmo_jax.ElmoTokenizer(config, words)
    if not experiment.init_from:
        return Setup((objective,), params, tokenizer)
    params = continue_elmo(
        experiment.init_from, params, words, reset_state=experiment.reset_state
    )
    # What sentences begin from where the model is served is no weight to be trained.
    return Setup((objective,), params.replace(start=None), tokenizer, served=params)


def held_out_windows(
    experiment: BilmPretraining, store: WordStore, *, batch_size: int | None = None
) -> HeldOutWindows:
    """Return the windows of a text that an experiment is measured on.

    Args:
      experiment: the configuration. Its `eval_batches` are of its own `batch_size`, and
        so a number of words.
      store: the text.
      batch_size: rows of a batch; by default the experiment's.
    """
    limit, char_cnn = (
        experiment.eval_batches,
        experiment.model_for(len(store.vocabulary)).char_cnn,
    )
    return HeldOutWindows(
        store,
        batch_size=batch_size or experiment.batch_size,
        unroll_steps=experiment.unroll_steps,
        widest_filter=char_cnn.max_width if char_cnn else None,
        limit=None if limit is None else (limit, experiment.batch_size),
        share=host_slice(),
    )


def _check_text(
    experiment: BilmPretraining, config: elmo_jax.ElmoConfig, store: WordStore
) -> None:
    """Check that a model reads and predicts what is in the text.

    Raises:
      ValueError: names the fields of both.
    """
    num_words, char_cnn = len(store.vocabulary), config.char_cnn
    if experiment.num_negatives >= num_words:
        raise ValueError(
            f"num_negatives {experiment.num_negatives} must be below the {num_words} "
            "words of the vocabulary; 0 is the full softmax"
        )
    if char_cnn is None and config.vocab_size != num_words:
        raise ValueError(
            f"model.vocab_size {config.vocab_size} is not the {num_words} "
            "words of the vocabulary, which a model that reads words by their ids has; "
            "word_input ids takes it from the text"
        )
    if char_cnn and store.characters.shape[1] != char_cnn.max_characters:
        # In training words would be cut elsewhere than in embedding.
        raise ValueError(
            f"model.char_cnn.max_characters {char_cnn.max_characters} is not the "
            f"data.max_characters {store.characters.shape[1]} of the prepared text; "
            "give both the same"
        )


def bilm_objective(
    experiment: BilmPretraining,
    dtype: jnp.dtype,
    num_words: int,
    *,
    mesh: Mesh | None = None,
    batches: BilmBatches | None = None,
    held_out: HeldOutWindows | None = None,
) -> BilmObjective:
    """Build the objective of a biLM.

    Args:
      experiment: the configuration.
      dtype: of products.
      num_words: vocabulary size of the text.
      mesh: of the devices, if there are several.
      batches: of the training text.
      held_out: the windows of the held-out text.
    """
    return BilmObjective(
        config=experiment.model_for(num_words),
        batches=batches,
        held_out=held_out,
        num_words=num_words,
        batch_size=experiment.batch_size,
        unroll_steps=experiment.unroll_steps,
        reset_state=experiment.reset_state,
        dtype=dtype,
        remat=experiment.remat != "none",
        num_negatives=experiment.num_negatives,
        tied=experiment.has_tied_softmax,
        mesh=mesh,
    )
