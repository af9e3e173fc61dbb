# SPDX-License-Identifier: Apache-2.0
"""An initial LSTM state for every sentence, taken after reading a text.

ELMo was trained on continuous text and has hardly ever seen the zero state that a
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
from embed_jax.devices.any_mesh import on_any_mesh


def warm_start(
    params: ElmoParams, tokenizer: ElmoTokenizer, sentences: Sequence[Sentence]
) -> ElmoParams:
    """Set the initial state to the one after a text: the final `carry` of `embed`.

    The text is read once, by this function, from the zero state, with the boundaries of
    each sentence. Embedding stays stateless: a sentence always has the same vectors.

    Args:
      params: what `load` or `init_params` gave; an existing start is replaced.
      tokenizer: of the same model.
      sentences: the text; each a str, which is split into words, or a list of words.

    Returns:
      The parameters with that initial state.

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
    """Concatenate sentences with their boundaries."""
    return [word for words in text for word in (BEGIN_TOKEN, *words, END_TOKEN)]


@jax.jit
@on_any_mesh("B H")
def _read(params: ElmoParams, tokens: ElmoTokens) -> Carry:
    carry = zero_carry(params.config, tokens.words.shape[0])
    return apply_bilm(params, tokens, carry=carry).carry
