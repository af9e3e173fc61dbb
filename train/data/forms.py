# SPDX-License-Identifier: Apache-2.0
"""Splitting of text in several formats into documents and sentences."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from syntok import segmenter
from syntok.tokenizer import Tokenizer

Form = Literal["sentences", "documents", "prose"]
"""sentences: a sentence a line, each a document of its own; documents: a sentence a
line, a blank line between documents; prose: lines of any length, a blank line between
paragraphs, and one file or example is one document."""

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n")
# Or a dash that begins a sentence would be left to the one before it.
_TOKENS = Tokenizer(emit_hyphen_or_underscore_sep=True)


def cut_documents(lines: Iterable[str], form: Form) -> Iterator[str]:
    r"""Yield the documents of a file, without those that are blank.

    Example:
      >>> list(cut_documents(["a", "b", "", "c"], "documents"))
      ['a\nb', 'c']
    """
    if form == "prose":
        text = "\n".join(lines)
        if text.strip():
            yield text
        return
    document: list[str] = []
    for line in lines:
        if line.strip():
            document.append(line)
        if document and (form == "sentences" or not line.strip()):
            yield "\n".join(document)
            document = []
    if document:
        yield "\n".join(document)


def paragraphs(document: str, form: Form) -> list[str]:
    """Return the paragraphs of a document, which no sentence crosses."""
    if form == "prose":
        parts = _BLANK_LINES.split(document)
    else:
        parts = [document] if form == "sentences" else document.split("\n")
    joined = (" ".join(part.split()) for part in parts)
    return [part for part in joined if part]


def sentences(document: str, form: Form) -> list[str]:
    r"""Return the sentences of a document, with single spaces for white space.

    Example:
      >>> sentences("Mr. Hall came\nin. He sat.", "prose")
      ['Mr. Hall came in.', 'He sat.']
    """
    parts = paragraphs(document, form)
    if form != "prose":
        return parts
    return [sentence for part in parts for sentence in _split(part)]


def _split(paragraph: str) -> Iterator[str]:
    found = segmenter.segment(_TOKENS.tokenize(paragraph))
    # Cut out of the text, not put together from tokens: nothing of it is changed.
    starts = [0, *(tokens[0].offset for tokens in found if tokens)][2:]
    for begin, end in zip([0, *starts], [*starts, len(paragraph)], strict=True):
        sentence = paragraph[begin:end].strip()
        if sentence:
            yield sentence
