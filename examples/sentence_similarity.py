# SPDX-License-Identifier: Apache-2.0
"""Sentence vectors: find the sentences that are closest to a question.

    python examples/sentence_similarity.py MODEL

MODEL is anything `bert_jax.load` reads; a sentence encoder such as all-MiniLM-L6-v2
suits best. Without it an ELMo with random weights shows that the program runs. Both
families have the same functions, so the program is the same.
"""

import sys

import jax
import numpy as np

import bert_jax
import elmo_jax

SENTENCES = [
    "The invoice is attached to this message.",
    "Our office is closed on public holidays.",
    "You can change your password in the settings.",
    "Parcels are delivered within three days.",
]
QUESTIONS = ["How do I get a new password?", "When will my order arrive?"]


def main(model: str | None = None) -> None:
    """Print for each question the sentences, the closest first."""
    if model:
        package, (params, tokenizer) = bert_jax, bert_jax.load(model)
    else:
        package = elmo_jax
        params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
        tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)

    def embed(sentences: list[str]) -> np.ndarray:
        vectors = package.embed_sentences(
            params, tokenizer, sentences, "last", pool="mean"
        )
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    similarities = embed(QUESTIONS) @ embed(SENTENCES).T
    for question, row in zip(QUESTIONS, similarities, strict=True):
        print(question)
        for index in np.argsort(-row):
            print(f"    {row[index]:.2f}  {SENTENCES[index]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
