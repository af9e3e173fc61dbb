# SPDX-License-Identifier: Apache-2.0
"""Running the biLM over batches of packed sentences, and long sentences in parts."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from elmo_jax.bilm import Carry, zero_carry
from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN
from elmo_jax.embed import apply_bilm
from elmo_jax.packing import PackedBatch
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import BEGIN, END, ElmoTokens
from elmo_jax.type_table import TypeTable
from embed_jax.corpus.batching import BatchShapes
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.mesh import replicate, shard_rows

# Words whose vectors are kept, at least: 134 MB of them for the published models.
NUM_TYPES = 2**16


class PackedRunner:
    """Runs the biLM over packed batches of sentences.

    Attributes:
      table: the context-free vectors of the words seen so far.
    """

    def __init__(
        self,
        params: ElmoParams,
        tokenizer: ElmoTokenizer,
        compute: Callable[..., tuple[jax.Array, Carry]],
        *,
        highest_layer: int,
        max_length: int,
        num_positions: int,
        dtype: jnp.dtype,
        mesh: Mesh | None = None,
        with_targets: bool = False,
    ) -> None:
        """Make a runner.

        Args:
          params: on the devices where they are used.
          tokenizer: of the model.
          compute: the computation for a batch: a jitted function of params, tokens,
            targets, carry (or None) and `dtype=` that returns `[B T …]` and the states.
          highest_layer: the highest LSTM layer that `compute` runs.
          max_length: a sentence of more words, alone in its batch, is read in parts.
          num_positions: approximate positions of a batch.
          dtype: of products.
          mesh: the devices to shard rows over.
          with_targets: whether `compute` gets, for each position, the vocabulary ids
            of the previous word, of the word itself and of the next word.
        """
        # A batch of long rows may exceed the budget, and may hold no word twice.
        capacity = max(NUM_TYPES, 4 * num_positions)
        self.table = TypeTable(params, tokenizer, dtype=dtype, capacity=capacity)
        self._params = params
        self._tokenizer = tokenizer
        self._compute = compute
        self._highest_layer = highest_layer
        self._max_length = max_length
        self._dtype = dtype
        self._mesh = mesh
        self._with_targets = with_targets

    def __call__(
        self, sentences: Sequence[list[str]], batch: PackedBatch
    ) -> Float[Any, "B T ..."]:
        """Compute a batch; wait for the result only if it is read in parts."""
        if max(batch.lengths) > self._max_length:
            return self._read_in_parts(sentences[0])
        tokens, targets = self._lay_out(sentences, batch)
        values, _ = self._run(tokens, targets, None)
        return values

    def _run(
        self, tokens: ElmoTokens, targets: Any, carry: Carry | None
    ) -> tuple[jax.Array, Carry]:
        return self._compute(self._params, tokens, targets, carry, dtype=self._dtype)

    def _lay_out(
        self, sentences: Sequence[list[str]], batch: PackedBatch
    ) -> tuple[ElmoTokens, Any]:
        """Make tokens and targets of sentences; the types are vectors of the table."""
        types = {BEGIN_TOKEN: BEGIN, END_TOKEN: END}
        shape = batch.num_rows, batch.length
        words = np.zeros(shape, np.int32)
        mask, starts, ends = np.zeros((3, *shape), bool)
        targets = np.zeros((*shape, 3), np.int32) if self._with_targets else None
        for sentence, (row, start) in zip(sentences, batch.places, strict=True):
            end = start + len(sentence)
            words[row, start:end] = [
                types.setdefault(word, len(types)) for word in sentence
            ]
            mask[row, start:end] = True
            starts[row, start] = True
            ends[row, end - 1] = True
            if targets is not None:
                targets[row, start:end] = self._targets(sentence)
        tokens = ElmoTokens(self._vectors(list(types)), words, mask, starts, ends)
        if self._mesh and batch.num_rows % self._mesh.size == 0:
            vectors, *arrays = tokens
            arrays = shard_rows(arrays, self._mesh)
            tokens = ElmoTokens(vectors, *arrays)
            targets = shard_rows(targets, self._mesh)
        elif self._mesh:
            vectors, *arrays = tokens
            arrays = replicate(arrays, self._mesh)
            tokens = ElmoTokens(vectors, *arrays)
            targets = replicate(targets, self._mesh)
        return tokens, targets

    def _vectors(self, types: list[str]) -> jax.Array:
        """Return the vectors of the types, padded to one of few shapes."""
        rows = self.table.find(types)
        size = BatchShapes(1, 2**20).bucket(len(rows))
        rows = np.pad(rows, (0, size - len(rows)))
        return _take(self.table.vectors, rows)

    def _targets(self, sentence: list[str]) -> Int[np.ndarray, "T 3"]:
        vocabulary = self._tokenizer.vocabulary
        assert vocabulary is not None  # whoever asks for targets saw to it
        ids = vocabulary.encode([BEGIN_TOKEN, *sentence, END_TOKEN])
        return np.stack([ids[:-2], ids[1:-1], ids[2:]], axis=1)

    def _read_in_parts(self, sentence: list[str]) -> np.ndarray:
        """Compute a sentence that is too long for one batch, exactly."""
        parts = self._parts(sentence)
        first = next(parts)
        # Filled as they come, for it may be most of the memory there is.
        values = np.empty((1, len(sentence), *first.shape[1:]), first.dtype)
        end = 0
        for part in itertools.chain([first], parts):
            values[0, end : end + len(part)] = part
            end += len(part)
        return values

    def _parts(self, sentence: list[str]) -> Iterator[np.ndarray]:
        """Compute the parts of a sentence, in order.

        A first pass from right to left computes the backward states between the parts;
        a second from left to right computes each part from the states at both ends.
        """
        step = self._max_length
        parts = range(0, len(sentence), step)
        nothing_read = zero_carry(self._params.config, 1)
        laid_out = partial(self._lay_out_part, sentence)
        # After each part, the states of the backward LM right of it.
        backward = {parts[-1]: nothing_read[1:]}
        for start in reversed(parts[1:]):
            tokens, _ = laid_out(start)
            carry = (nothing_read[0], *backward[start])
            backward[start - step] = _states_backward(
                self._params,
                tokens,
                carry,
                highest_layer=self._highest_layer,
                dtype=self._dtype,
            )
        forward = nothing_read[0]
        for start in parts:
            tokens, targets = laid_out(start)
            carry = (forward, *backward.pop(start))
            computed, carry = self._run(tokens, targets, carry)
            forward = carry[0]
            yield np.asarray(computed)[0, : len(sentence) - start]

    def _lay_out_part(self, sentence: list[str], start: int) -> tuple[ElmoTokens, Any]:
        step = self._max_length
        words = sentence[start : start + step]
        batch = PackedBatch([0], [(0, 0)], [len(words)], 1, step)
        tokens, targets = self._lay_out([words], batch)
        no_start = tokens.starts & (start == 0)
        no_end = tokens.ends & (start + step >= len(sentence))
        if targets is not None:
            around = self._targets(sentence[max(start - 1, 0) : start + step + 1])
            first = min(start, 1)
            targets = np.zeros((1, step, 3), np.int32)
            targets[0, : len(words)] = around[first : first + len(words)]
        return tokens._replace(starts=no_start, ends=no_end), targets


def check_tokenizer(params: ElmoParams, tokenizer: ElmoTokenizer) -> None:
    """Check that a tokeniser belongs to the model.

    Raises:
      ValueError: it is the tokeniser of another model.
    """
    if tokenizer.config != params.config:
        raise ValueError("the tokeniser is another model's; use both that load gave")


@jax.jit
@on_any_mesh("U P")
def _take(
    table: Float[Array, "capacity P"], rows: Int[Array, " U"]
) -> Float[Array, "U P"]:
    return table[rows]


@partial(jax.jit, static_argnames=("highest_layer", "dtype"))
@on_any_mesh("B H")
def _states_backward(
    params: ElmoParams,
    tokens: ElmoTokens,
    carry: Carry,
    *,
    highest_layer: int,
    dtype: jnp.dtype,
) -> Carry:
    """Return the backward states at the left end of a part.

    The compiled program does not contain the forward direction.
    """
    output = apply_bilm(
        params, tokens, carry=carry, highest_layer=highest_layer, dtype=dtype
    )
    return output.carry[1:]
