# SPDX-License-Identifier: Apache-2.0
"""Layer specs: a small language for choosing and combining the layers of an encoder.

The grammar::

    spec      := term ("," term)*           concatenated, in the order written
    term      := selection | fn "(" selection ("," selection)* ")"
    selection := INT | INT ".." INT | name
    name      := embeddings | first | second_to_last | last | last4 | blocks | all
    fn        := concat | sum | mean | max | mix | mix_norm

Layer 0 is the context-free one, 1 to L are the blocks. Negative numbers count from the
end as in Python: -1 is block L, -L is block 1, -(L+1) is layer 0. ".." includes both
ends. Every name stands for a range: `first` is 1, `last` is -1, `second_to_last` is -2,
`embeddings` is 0, `last4` is -4..-1, `blocks` is 1..-1 and `all` is 0..-1. A selection
of several layers outside a function is their concatenation. White space is free.

`mix` and `mix_norm` are the learnable mixtures of `embed_jax.layers.scalar_mix`.
"""

import dataclasses
import re
from typing import NamedTuple

from embed_jax.files.json_file import json_text
from embed_jax.suggest import suggest

FUNCTIONS = ("concat", "sum", "mean", "max", "mix", "mix_norm")
MIXES = ("mix", "mix_norm")
LAYER_NAMES = {
    "embeddings": (0, 0),
    "first": (1, 1),
    "second_to_last": (-2, -2),
    "last": (-1, -1),
    "last4": (-4, -1),
    "blocks": (1, -1),
    "all": (0, -1),
}
_NAME_OF_RANGE = {ends: name for name, ends in LAYER_NAMES.items()}


@dataclasses.dataclass(frozen=True)
class Selection:
    """A range of layers, both ends included, not yet resolved for a model.

    Attributes:
      first: the lower end as a layer number, negative if counted from the end.
      last: the upper end, likewise; equal to `first` for a single layer.
      written: the selection as the user wrote it, for error messages.
      position: the character where it begins, from 1, for error messages.
    """

    first: int
    last: int
    written: str = dataclasses.field(compare=False, repr=False)
    position: int = dataclasses.field(compare=False, repr=False)

    def __str__(self) -> str:
        name = _NAME_OF_RANGE.get((self.first, self.last))
        if name:
            return name
        is_single = self.first == self.last
        return f"{self.first}" if is_single else f"{self.first}..{self.last}"


@dataclasses.dataclass(frozen=True)
class Term:
    """A function of layers; a selection outside a function is a `concat`."""

    function: str
    selections: tuple[Selection, ...]

    def __str__(self) -> str:
        arguments = ",".join(map(str, self.selections))
        first, *others = self.selections
        is_one_layer = not others and first.first == first.last
        if self.function == "concat" and is_one_layer:
            return arguments
        return f"{self.function}({arguments})"


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """A parsed layer spec, hashable, so usable as a static argument of `jax.jit`.

    Specs are equal when they mean the same, whatever their spelling and white space:
    `parse_layer_spec("-1") == parse_layer_spec(" last ")`. `str` gives the canonical
    spelling, which parses back to an equal spec.

    Attributes:
      terms: what is concatenated, in order.
      text: the spec as the user wrote it, for error messages.
    """

    terms: tuple[Term, ...]
    text: str = dataclasses.field(compare=False, repr=False)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))

    @property
    def normalises(self) -> bool:
        """Whether the spec has a `mix_norm`, which takes statistics over positions."""
        return any(term.function == "mix_norm" for term in self.terms)

    def resolve(self, num_blocks: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """List each term's function and layers, for a model of `num_blocks` blocks.

        Args:
          num_blocks: L; the model's layers are 0 to L.

        Returns:
          Pairs of a function and its layer indices, in the order written.

        Raises:
          ValueError: the model lacks a layer, or a range runs downwards.

        Example:
          >>> parse_layer_spec("-1,mean(0,last4)").resolve(num_blocks=12)
          (('concat', (12,)), ('mean', (0, 9, 10, 11, 12)))
        """
        return tuple(
            (
                term.function,
                tuple(
                    layer
                    for selection in term.selections
                    for layer in self._resolve_selection(selection, num_blocks)
                ),
            )
            for term in self.terms
        )

    def _resolve_selection(self, selection: Selection, num_blocks: int) -> range:
        ends = []
        for number in (selection.first, selection.last):
            layer = number if number >= 0 else number + num_blocks + 1
            if not 0 <= layer <= num_blocks:
                raise _spec_error(
                    self.text,
                    selection.position,
                    f"{_quote(selection.written)} needs layer {number}, but the model "
                    f"has layers 0..{num_blocks}, from the end {-num_blocks - 1}..-1",
                )
            ends.append(layer)
        first, last = ends
        if first > last:
            raise _spec_error(
                self.text,
                selection.position,
                f"{_quote(selection.written)} runs downwards, from layer {first} to "
                f"{last} of the model's layers 0..{num_blocks}; write it ascending, "
                f'"{selection.last}..{selection.first}"',
            )
        return range(first, last + 1)

    def layers(self, num_blocks: int) -> tuple[int, ...]:
        """List the needed layers, each once, ascending; raises as `resolve`."""
        resolved = self.resolve(num_blocks)
        return tuple(sorted({layer for _, layers in resolved for layer in layers}))

    def highest_layer(self, num_blocks: int) -> int:
        """Find the highest layer needed; blocks above it need not run."""
        return self.layers(num_blocks)[-1]

    def width(self, num_blocks: int, dim: int) -> int:
        """Compute the width of the selected vectors without running a model.

        Args:
          num_blocks: L; the model's layers are 0 to L.
          dim: the width of one layer.

        Returns:
          The size of the last axis of what `select_layers` returns.

        Raises:
          ValueError: as `resolve`.

        Example:
          >>> parse_layer_spec("concat(last4),mean(all)").width(num_blocks=12, dim=768)
          3840
        """
        return dim * sum(
            len(layers) if function == "concat" else 1
            for function, layers in self.resolve(num_blocks)
        )

    def mix_sizes(self, num_blocks: int) -> tuple[int, ...]:
        """Return the numbers of layers of the `mix` and `mix_norm` terms, in order.

        Raises as `resolve`.

        Example:
          >>> parse_layer_spec("mix(all),last,mix_norm(1,2)").mix_sizes(num_blocks=12)
          (13, 2)
        """
        return tuple(
            len(layers)
            for function, layers in self.resolve(num_blocks)
            if function in MIXES
        )


def parse_layer_spec(spec: object) -> LayerSpec:
    """Parse a spec; a `LayerSpec` is returned as it is.

    Args:
      spec: a string in the grammar of this module, or a `LayerSpec`.

    Returns:
      The spec, not yet resolved: whether a model has its layers is checked when the
      number of blocks is known.

    Raises:
      ValueError: not a string, or not in the grammar. One line that quotes the spec and
        says at which character it is wrong and what would be right.

    Example:
      >>> str(parse_layer_spec("concat( -4 .. -1 ), 0"))
      'concat(last4),embeddings'
      >>> parse_layer_spec("mean(last5)")  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      ...
      ValueError: layer_spec "mean(last5)", character 6: no layer name "last5"; did ...
    """
    if isinstance(spec, LayerSpec):
        return spec
    if not isinstance(spec, str):
        raise ValueError(
            f"layer_spec {spec!r} is of type {type(spec).__name__}; "
            'write a string, such as "last", "-2" or "concat(last4)"; several specs '
            "are a tuple of them"
        )
    return _Parser(spec).parse_spec()


class _Token(NamedTuple):
    kind: str  # integer, word, sign, other or end
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"(?P<integer>-?[0-9]+)|(?P<word>[A-Za-z_]\w*)|(?P<sign>\.\.|[(),])|(?P<other>\S)"
)


def _split_tokens(text: str) -> list[_Token]:
    tokens = [
        _Token(str(match.lastgroup), match.group(), match.start(), match.end())
        for match in _TOKEN.finditer(text)
    ]
    for token in tokens:
        if token.kind == "other":
            raise _spec_error(
                text,
                token.start + 1,
                f"cannot read {_quote(token.text)}; a spec is made of whole numbers, "
                'names, "..", "," and parentheses',
            )
    return [*tokens, _Token("end", "", len(text), len(text))]


class _Parser:
    """Recursive descent, a method for each rule of the grammar."""

    def __init__(self, text: str):
        self.text = text
        self.tokens = _split_tokens(text)

    def parse_spec(self) -> LayerSpec:
        if self.current.kind == "end":
            raise _spec_error(
                self.text, 1, 'it is empty; write, for example, "last" or "mean(all)"'
            )
        terms = [self.parse_term()]
        while self.current.kind != "end":
            self.take(",", 'expected "," or the end')
            terms.append(self.parse_term())
        return LayerSpec(tuple(terms), self.text)

    def parse_term(self) -> Term:
        token = self.current
        is_call = token.kind == "word" and self.tokens[1].text == "("
        if token.text not in FUNCTIONS and not is_call:
            return Term("concat", (self.parse_selection(),))
        return self.parse_call()

    def parse_call(self) -> Term:
        function = self.tokens.pop(0)
        if function.text not in FUNCTIONS:
            raise self.error(
                function,
                f"no function {_quote(function.text)}; "
                + suggest(function.text, FUNCTIONS, "functions"),
            )
        self.take("(", f'expected "(" after the function "{function.text}"')
        selections = [self.parse_selection()]
        while self.current.text != ")":
            self.take(",", 'expected "," or ")"')
            selections.append(self.parse_selection())
        self.tokens.pop(0)
        return Term(function.text, tuple(selections))

    def parse_selection(self) -> Selection:
        token = self.current
        if token.kind == "integer":
            return self.parse_range()
        if token.kind != "word":
            raise self.error(
                token,
                f"expected a layer, found {_describe(token)}; a layer is a number, a "
                f'range such as "1..-1", or one of {", ".join(LAYER_NAMES)}',
            )
        if token.text in FUNCTIONS:
            raise self.error(
                token,
                "functions do not nest: expected a layer, found the function "
                f'"{token.text}"',
            )
        if token.text not in LAYER_NAMES:
            raise self.error(
                token,
                f"no layer name {_quote(token.text)}; "
                + suggest(token.text, LAYER_NAMES, "names"),
            )
        self.tokens.pop(0)
        if self.current.text == "..":
            raise self.error(
                self.current,
                'found ".." after a name; it stands between numbers: "1..-1"',
            )
        first, last = LAYER_NAMES[token.text]
        return Selection(first, last, token.text, token.start + 1)

    def parse_range(self) -> Selection:
        first = last = self.tokens.pop(0)
        if self.current.text == "..":
            self.tokens.pop(0)
            last = self.current
            if last.kind != "integer":
                raise self.error(
                    last,
                    'expected a layer number after "..", as in "1..-1", '
                    f"found {_describe(last)}",
                )
            self.tokens.pop(0)
        return Selection(
            first=int(first.text),
            last=int(last.text),
            written=self.text[first.start : last.end],
            position=first.start + 1,
        )

    @property
    def current(self) -> _Token:
        return self.tokens[0]

    def take(self, sign: str, expectation: str) -> None:
        token = self.current
        if token.text != sign:
            raise self.error(token, f"{expectation}, found {_describe(token)}")
        self.tokens.pop(0)

    def error(self, token: _Token, problem: str) -> ValueError:
        return _spec_error(self.text, token.start + 1, problem)


def _describe(token: _Token) -> str:
    return "the end" if token.kind == "end" else _quote(token.text)


def _quote(text: str) -> str:
    # Escapes line breaks: an error stays on one line, whatever the user wrote.
    return json_text(text)


def _spec_error(text: str, position: int, problem: str) -> ValueError:
    return ValueError(f"layer_spec {_quote(text)}, character {position}: {problem}")
