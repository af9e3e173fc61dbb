# SPDX-License-Identifier: Apache-2.0
"""Regular expressions for words whose letters have marks, which `re` has no class for.

In many scripts a mark is a character after its letter: vowels of Devanagari, and what
is left of decomposed Latin where no composed letter exists.
"""

import itertools
import unicodedata

# Where there are any.
_BLOCKS = range(0x300, 0x1F000), range(0xE0100, 0xE01F0)


def _marks() -> str:
    """Return the combining marks of Unicode as ranges of a character class."""
    ranges: list[list[int]] = []
    for code in itertools.chain(*_BLOCKS):
        if unicodedata.category(chr(code))[0] != "M":
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


MARK = f"[{_marks()}]"
"""A combining mark."""
