# SPDX-License-Identifier: Apache-2.0
"""Every public function of both families, and a training run of each.

As a program, `python -m tests.train.every_function FOLDER OUT.npz`, it writes the
numbers that they give where jax is set as the environment says.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bert_jax
import elmo_jax
import embed_jax
from embed_jax.files.run_directory import read_weights
from tests.bert_jax.words import CONFIG, make_tokenizer
from tests.compilations import compile_quickly
from tests.train.experiments import KINDS, losses, make_experiment, one_device
from train.pretrain import pretrain

SENTENCES: list[Any] = [["the", "bank"], ["we", "sat", "by", "the", "deep", "river"]]
WORDS = ("<S>", "</S>", "<UNK>", "the", "bank", "we", "sat", "by", "river")


def of_bert(folder: Path) -> dict[str, Any]:
    """Return what every function of `bert_jax` gives, by name."""
    config = dataclasses.replace(CONFIG, labels=("yes", "no"))
    heads = ("pooler", "mlm", "nsp", "sequence")
    others = ("pooler", "token", "multiple_choice", "question_answering")
    made = bert_jax.init_params(jax.random.key(0), config, others)
    saved = bert_jax.init_params(jax.random.key(0), config, heads)
    bert_jax.save(folder / "bert", saved, make_tokenizer())
    params, tokenizer = bert_jax.load(folder / "bert")
    tokens = tokenizer(SENTENCES)
    states = bert_jax.apply_encoder(params, tokens)[-1]
    one = np.zeros((2, 1), np.int32)
    return {
        **of_both(bert_jax, params, tokenizer, tokens),
        "apply_encoder": states,
        "pooler_output": bert_jax.pooler_output(params, tokens),
        "masked_lm_logits": bert_jax.masked_lm_logits(params, tokens, one),
        "next_sentence_logits": bert_jax.next_sentence_logits(params, tokens),
        "sequence_logits": bert_jax.sequence_logits(params, tokens),
        "token_logits": bert_jax.token_logits(made, tokens),
        "multiple_choice_scores": bert_jax.multiple_choice_scores(made, tokens),
        "question_answering_logits": bert_jax.question_answering_logits(made, tokens),
    }


def of_elmo(folder: Path) -> dict[str, Any]:
    """Return what every function of `elmo_jax` gives, by name."""
    words = elmo_jax.Vocabulary(WORDS)
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY, len(WORDS))
    elmo_jax.save(folder / "elmo", params, elmo_jax.ElmoTokenizer(elmo_jax.TINY, words))
    params, tokenizer = elmo_jax.load(folder / "elmo")
    tokens = tokenizer(SENTENCES)
    warm = elmo_jax.warm_start(params, tokenizer, SENTENCES)
    table, by_id = elmo_jax.word_table(params, tokenizer, words)
    scores = elmo_jax.score_sentences(params, tokenizer, SENTENCES)
    stream = elmo_jax.stream_scores(params, tokenizer, SENTENCES)
    carry = elmo_jax.zero_carry(params.config, len(SENTENCES))
    _, after = elmo_jax.embed(params, tokens, "last", carry=carry)
    return {
        **of_both(elmo_jax, params, tokenizer, tokens),
        "apply_bilm": elmo_jax.apply_bilm(params, tokens).layers[-1],
        "carry": jax.tree.leaves(after),
        "warm_start": elmo_jax.embed_words(warm, tokenizer, SENTENCES, "all"),
        "word_table": elmo_jax.embed_words(table, by_id, SENTENCES, "all"),
        "score_sentences": [score.forward for score in scores],
        "stream_scores": [score.backward for score in stream],
        "perplexity": list(elmo_jax.perplexity(scores)),
    }


def of_both(family: Any, params: Any, tokenizer: Any, tokens: Any) -> dict[str, Any]:
    """Return what the functions that both families have give."""
    weights = jax.tree.leaves(params)

    def loss(encoder: Any) -> jax.Array:
        vectors = family.embed(params.replace(encoder=encoder), tokens, "mean(all)")
        return (vectors**2).sum()

    return {
        "init_params": weights,
        "embed": family.embed(params, tokens, "concat(last, first)"),
        "encode": family.encode(params, tokens),
        "gradient": jax.tree.leaves(jax.grad(loss)(params.encoder)),
        "embed_words": family.embed_words(params, tokenizer, SENTENCES, "mix(all)"),
        "embed_sentences": family.embed_sentences(params, tokenizer, SENTENCES, "last"),
        "stream_words": vectors_of(
            family.stream_words(params, tokenizer, iter(SENTENCES), "mix_norm(all)")
        ),
        "stream_sentences": vectors_of(
            family.stream_sentences(params, tokenizer, iter(SENTENCES), "first")
        ),
        "vector_width": [family.vector_width(params, "concat(all)", "mean")],
    }


def vectors_of(stream: Any) -> list[np.ndarray]:
    """Return the vectors of a stream whose sentences must come back as they went in."""
    found = list(stream)
    assert [one.words for one in found] == SENTENCES
    return [one.vectors for one in found]


def of_training(kind: str, prepared: Path, folder: Path) -> dict[str, Any]:
    """Return the weights of a run of four steps, its figures, and its vectors."""
    experiment = make_experiment(kind, prepared, num_steps=4, save_every=2)
    run = folder / f"run_{kind}"
    pretrain(experiment, run, mesh=one_device())
    params, tokenizer = embed_jax.load(run)
    (found,) = embed_jax.find_encoder(run).corpus.embed_words(
        params, tokenizer, [["The", "cat"]], "all"
    )
    figures = [
        float(value)
        for line in losses(run)
        for name, value in sorted(line.items())
        if "loss" in name or "accuracy" in name or "norm" in name
    ]
    return {
        "trained": jax.tree.leaves(read_weights(run)[0]),
        "figures": figures,
        "embedded": found,
    }


def everything(prepared: Path, folder: Path) -> dict[str, np.ndarray]:
    """Return all numbers, flat, by family and function.

    Args:
      prepared: text that is prepared for both kinds of model.
      folder: for models and runs.
    """
    found = {"bert": of_bert(folder), "elmo": of_elmo(folder)}
    for kind in KINDS:
        found[kind] |= of_training(kind, prepared, folder)
    return {
        f"{kind} {name}": np.concatenate(
            [np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(value)]
        )
        for kind, functions in found.items()
        for name, value in functions.items()
    }


def main() -> None:
    """Write the numbers to the file that is named last."""
    compile_quickly()
    prepared, out = map(Path, sys.argv[1:])
    found: dict[str, Any] = everything(prepared, out.parent)
    np.savez(out, **found)


if __name__ == "__main__":
    main()
