# SPDX-License-Identifier: Apache-2.0
"""Random strings through every tokeniser and splitter, against a reference for each.

    python -m benchmarks.random_strings --count 1000000

WordPiece, cased and uncased, is held against transformers' BertTokenizer on the same
vocabulary; SentencePiece against the sentencepiece library, word by word; ELMo's
characters and word ids against a rewriting of bilm-tf's rules; words that `--split`
makes against a regular expression. The words of WordPiece must be the text again, but
for white space and what stands alone and has no piece.
"""

import dataclasses
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import sentencepiece
import tyro

from bert_jax.tokenizer import SentencePieceTokenizer, WordPieceTokenizer
from elmo_jax.characters import character_rows
from elmo_jax.vocabulary import read_vocabulary
from embed_jax.corpus.docstrings import read_paragraphs, source_files
from embed_jax.corpus.reading import Running
from embed_jax.exit_status import exit_status

BLOCK = 1000
VOCABULARY = Path(
    "tests/fixtures/bert_tokenization_golden/vocab_uncased_30522.txt"
).resolve()
_SURROGATES = re.compile("[\ud800-\udfff]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Check = Callable[[list[str]], Iterator[str]]
"""Takes strings, and yields those that differ from the reference."""


@dataclasses.dataclass(frozen=True)
class Command:
    """Put random strings through every tokeniser and splitter."""

    count: int = 100_000
    """Number of strings for each."""
    seed: int = 0
    """Of the strings."""
    vocabulary: Path = VOCABULARY
    """A vocab.txt of word pieces."""


_SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u3000"
_MARKS = (
    "\u0300\u0301\u0308\u0327\u0345\u064b\u093c\u094d\u0e34\u0e48\u20d7\u3099\ufe0f"
)
_CONTROLS = "\x00\x01\x07\x1b\x7f\x9f\xad\u200b\u200d\u200e\u2060\ufeff\ufffd\U000e0001"
_CJK = "中国語ひらカナ한글々〇豈\U00020000\U0002b820\U0002fa1f"
_CASES = "ßẞİıΣςσǅﬁŉÅ½²ⅧⒶＡｂ"
_SIGNS = "#-'.$,!?()[]{}<>|@&%*+=~^`\"\\/_:;—…。«»¿"
_WHOLE = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[mask]", "<S>", "</S>", "<UNK>"),
    *("##ing", "the", "Bank", "unaffable", "running", "x" * 99, "x" * 101, "é" * 250),
    *("can't", "U.S.", "http://a.b/c?d=e", "3,000.50", "\u1112\u1161\u11ab"),
)


def random_strings(count: int, seed: int = 0) -> Iterator[str]:
    """Yield strings of letters, white space and marks of every kind, and of any code.

    Example:
      >>> len(list(random_strings(3)))
      3
    """
    draw = random.Random(seed)
    pools: list[Callable[[], str]] = [
        lambda: draw.choice(_LETTERS),
        lambda: draw.choice(_LETTERS),
        lambda: draw.choice(_LETTERS).upper(),
        lambda: " ",
        lambda: draw.choice(_SPACES),
        lambda: draw.choice(_MARKS),
        lambda: draw.choice(_CONTROLS),
        lambda: draw.choice(_CJK),
        lambda: draw.choice(_CASES),
        lambda: draw.choice(_SIGNS),
        lambda: draw.choice(_WHOLE),
        lambda: chr(draw.randrange(0x250)),
        lambda: chr(draw.randrange(0x10000)),
        lambda: chr(draw.randrange(0x110000)),
    ]
    for _ in range(count):
        # Some strings are of few kinds, so that runs of one come about.
        chosen = draw.choices(pools, k=draw.choice((2, 3, len(pools), len(pools))))
        yield "".join(draw.choice(chosen)() for _ in range(draw.randrange(24)))


def wordpiece_check(vocabulary: Path, *, cased: bool) -> Check:
    """Return a comparison of WordPiece with transformers."""
    from transformers import BertTokenizer

    ours = WordPieceTokenizer.from_vocab(vocabulary, cased=cased)
    reference = BertTokenizer(str(vocabulary), do_lower_case=not cased)

    def check(texts: list[str]) -> Iterator[str]:
        # They are dropped as NUL is, which the reference takes.
        readable = [_SURROGATES.sub("\0", text) for text in texts]
        theirs = reference(readable, add_special_tokens=False, verbose=False)
        encoded = ours.encode(texts)
        alone: list[str] = []
        owners: list[str] = []
        for text, ids, pieces in zip(texts, theirs["input_ids"], encoded, strict=True):
            between = _between(text, pieces.words)
            if pieces.ids.tolist() != ids or between is None:
                yield text
                continue
            alone += between
            owners += [text] * len(between)
        # What is in no word has no piece.
        for text, pieces in zip(owners, ours.encode(alone), strict=True):
            if len(pieces.ids):
                yield text

    return check


def _between(text: str, words: Sequence[str]) -> list[str] | None:
    """Return what stands between words, or None if some of it touches a word."""
    found, position = [], 0
    for index, word in enumerate([*words, ""]):
        start = text.find(word, position) if index < len(words) else len(text)
        if start < 0 or (index < len(words) and not word):
            return None
        between = text[position:start]
        if between and words:
            touches_left = index > 0 and not between[0].isspace()
            touches_right = index < len(words) and not between[-1].isspace()
            if touches_left or touches_right:
                return None
        if between.strip():
            found.append(between)
        position = start + len(word)
    return found


def sentencepiece_check(path: Path) -> Check:
    """Return a comparison of SentencePiece, as used here, with the library's."""
    ours = SentencePieceTokenizer(path)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def check(texts: list[str]) -> Iterator[str]:
        for text, pieces in zip(texts, ours.encode(texts), strict=True):
            words = text.split()
            ids = [reference.encode(_SURROGATES.sub("\ufffd", word)) for word in words]
            word_ids = [index for index, each in enumerate(ids) for _ in each]
            if (
                pieces.words != words
                or pieces.ids.tolist() != [piece for each in ids for piece in each]
                or pieces.word_ids.tolist() != word_ids
            ):
                yield text

    return check


def bilm_tf_characters(word: str, longest: int) -> list[int]:
    """Return the characters of a word as bilm-tf's UnicodeCharsVocabulary has them.

    Written from its rules, by none of our code; each is one higher, as at inference.
    """
    begin_word, end_word, padding = 258, 259, 260
    code = [padding] * longest
    if word in ("<S>", "</S>"):
        code[:3] = [begin_word, 256 if word == "<S>" else 257, end_word]
    else:
        spelled = word.encode("utf-8", "ignore")[: longest - 2]
        code[0] = begin_word
        for place, byte in enumerate(spelled, start=1):
            code[place] = byte
        code[len(spelled) + 1] = end_word
    return [number + 1 for number in code]


def characters_check(texts: list[str]) -> Iterator[str]:
    """Compare ELMo's characters of whole strings, and of their words."""
    for longest in (50, 7):
        for text in texts:
            words = [text, *text.split()]
            expected = [bilm_tf_characters(word, longest) for word in words]
            if character_rows(words, longest).tolist() != expected:
                yield text


def word_ids_check(path: Path) -> Check:
    """Return a comparison of ids of words with the lines of a vocabulary."""
    vocabulary = read_vocabulary(path)
    lines = path.read_text("utf-8").split("\n")

    def check(texts: list[str]) -> Iterator[str]:
        for text in texts:
            words = text.split()
            expected = [
                lines.index(word) if word in lines else lines.index("<UNK>")
                for word in words
            ]
            if vocabulary.encode(words).tolist() != expected:
                yield text

    return check


def split_check(texts: list[str]) -> Iterator[str]:
    """Compare the words that `--split` makes of a line with a regular expression."""
    running = Running(split=True)
    for text in texts:
        if list(running.sentence(text)) != re.findall(r"\S+", text):
            yield text


def checks(folder: Path, vocabulary: Path) -> dict[str, Check]:
    """Return every comparison by name.

    Args:
      folder: for vocabularies and a SentencePiece model, which is trained there.
      vocabulary: a vocab.txt of word pieces.
    """
    from train.families.bert.pieces import train_sentencepiece

    pieces = vocabulary.read_text("utf-8").split("\n")
    capitals = [form for c in _LETTERS.upper() for form in (c, f"##{c}")]
    cased = folder / "vocab.txt"
    lines = filter(None, [*pieces, *capitals])
    cased.write_text("\n".join(lines) + "\n", "utf-8")
    paragraphs = [*read_paragraphs(source_files()[:40]), _CJK, _CASES, _SIGNS]
    model = folder / "spiece.model"
    train_sentencepiece(paragraphs, 800, cased=True, path=model)
    words = folder / "words.txt"
    known = ["<S>", "</S>", "<UNK>", *_LETTERS, "the", "can't", "中", "é" * 250]
    words.write_text("\n".join(known) + "\n", "utf-8")
    return {
        "WordPiece, uncased": wordpiece_check(cased, cased=False),
        "WordPiece, cased": wordpiece_check(cased, cased=True),
        "SentencePiece": sentencepiece_check(model),
        "characters of bilm-tf": characters_check,
        "word ids": word_ids_check(words),
        "--split": split_check,
    }


def compare(
    check: Check, count: int, seed: int = 0, most: int = 3
) -> tuple[int, list[str]]:
    """Return how many of `count` strings differ, and the first few of them."""
    differing: list[str] = []
    num_differing = 0
    block: list[str] = []
    for index, text in enumerate(random_strings(count, seed), start=1):
        block.append(text)
        if len(block) == BLOCK or index == count:
            for each in check(block):
                num_differing += 1
                differing += [each] * (len(differing) < most)
            block = []
    return num_differing, differing


def run(command: Command) -> None:
    """Run every comparison and print a table of differences.

    Raises:
      ValueError: a string differs.
    """
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, check in checks(Path(folder), command.vocabulary).items():
            num_differing, examples = compare(check, command.count, command.seed)
            total += num_differing
            print(f"{name}: {num_differing:,} of {command.count:,} differ", flush=True)
            for example in examples:
                print(f"  {example!a}", flush=True)
    if total:
        raise ValueError(f"{total:,} strings differ from their reference")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(
        Command, args=arguments, prog="python -m benchmarks.random_strings"
    )
    return exit_status(
        "benchmarks.random_strings", lambda: run(command), "nothing is kept"
    )


if __name__ == "__main__":
    sys.exit(main())
