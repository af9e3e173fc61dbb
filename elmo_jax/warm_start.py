# SPDX-License-Identifier: Apache-2.0
"""Begin every sentence in the state of a model that has been reading, not from zeros.

ELMo was trained on endless text and has hardly ever been in the state of zeros that a
stateless sentence begins with. docs/decisions/warm-start.md measures the difference.
"""

from collections.abc import Sequence

import jax
import numpy as np

from elmo_jax.bilm import Carry, zero_carry
from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN
from elmo_jax.embed import apply_bilm, check_tokens
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import ElmoTokens
from embed_jax.corpus.sentences import Sentence, check_sentences


def warm_start(
    params: ElmoParams, tokenizer: ElmoTokenizer, sentences: Sequence[Sentence]
) -> ElmoParams:
    """Take as start the state after a text: what `embed` with a `carry` ends in.

    The text is read once, here, from zeros, each sentence between its boundaries.
    Vectors stay stateless: the same sentence, the same vector.

    Args:
      params: what `load` or `init_params` gave; a start that they have is replaced.
      tokenizer: of the same model.
      sentences: the text; each a str, which is split into words, or a list of words.

    Returns:
      The same parameters with that start.

    Raises:
      ValueError: a single str, no word at all, or the tokeniser of another model.

    Example:
      >>> import elmo_jax, jax
      >>> params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
      >>> tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
      >>> warm = warm_start(params, tokenizer, ["It rained.", "The river rose."])
      >>> forward, backward = warm.start
      >>> [state.hidden.shape for state in forward]
      [(1, 16), (1, 16)]
    """
    text = [tokenizer.words(sentence) for sentence in check_sentences(sentences)]
    if not any(text):
        raise ValueError(
            f"{len(text)} sentences without a word leave no state to start from; "
            "pass some sentences of ordinary text"
        )
    # The backward model reads each sentence from its end, but the first one first.
    rows = tokenizer([_in_one_row(text), _in_one_row(text[::-1])])
    check_tokens(params, rows)
    nowhere = np.zeros_like(rows.mask)
    carry = _read(params, rows._replace(starts=nowhere, ends=nowhere))
    start = tuple(
        jax.tree.map(lambda states, row=row: states[row : row + 1], way)
        for row, way in enumerate(carry)
    )
    return params.replace(start=start)


def _in_one_row(text: list[list[str]]) -> list[str]:
    """Put sentences end to end, boundaries included."""
    return [word for words in text for word in (BEGIN_TOKEN, *words, END_TOKEN)]


@jax.jit
def _read(params: ElmoParams, tokens: ElmoTokens) -> Carry:
    carry = zero_carry(params.config, tokens.words.shape[0])
    return apply_bilm(params, tokens, carry=carry).carry
