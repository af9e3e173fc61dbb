# SPDX-License-Identifier: Apache-2.0
"""Recognising by its first bytes a file that is something else than its name says.

What is recognised is what people hand over by mistake: a compressed file without its
ending, a pointer or a web page that was downloaded in a file's place, text of another
encoding. Each comes with the remedy for that cause.
"""

import codecs
import unicodedata
from pathlib import Path

HEAD_BYTES = 4096
"""Of a file, what `mistaken_for` wants to see."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip: decompress it (gunzip), or give it a name that ends in .gz"),
    (b"PK\x03\x04", "a ZIP archive: unpack it (unzip)"),
    (b"BZh91AY&SY", "bzip2: decompress it (bunzip2)"),
    (b"\xfd7zXZ\x00", "xz: decompress it (unxz)"),
    (b"\x28\xb5\x2f\xfd", "zstd: decompress it (unzstd)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"%PDF-", "a PDF: extract its text (pdftotext)"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the file itself: fetch it with git lfs pull",
    ),
)
_BLANKS = "\t\n\r\f\u200c\u200d\xad"
_WEB_PAGES = (b"<!doctype html", b"<html")


def mistaken_for(head: bytes, *, text: bool) -> str | None:
    r"""Return what a file is by its first bytes, and the remedy; None if nothing known.

    Args:
      head: the first `HEAD_BYTES` of the file, or all of a shorter one.
      text: whether text is expected, so that another encoding, or a NUL, is a mistake.

    Example:
      >>> mistaken_for(b"PK\x03\x04...", text=False)
      'a ZIP archive: unpack it (unzip)'
      >>> mistaken_for(b"A sentence.", text=True) is None
      True
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head.lstrip().lower().startswith(_WEB_PAGES):
        return "a web page, as a server sends in a file's place: fetch the file again"
    return _other_encoding(head) if text else None


def mistaken_file(path: Path, *, text: bool) -> str | None:
    """Return `mistaken_for` of a file's first bytes; None if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return mistaken_for(file.read(HEAD_BYTES), text=text)
    except OSError:
        return None


def _other_encoding(head: bytes) -> str | None:
    """Return the encoding, and the remedy, of text that UTF-8 does not have."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32: convert it (iconv -f utf-32 -t utf-8)"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16: convert it (iconv -f utf-16 -t utf-8)"
    if head.count(0) < len(head) / 4 and _is_plain(head.replace(b"\0", b""), "utf-8"):
        return None  # text with a NUL, which its reader refuses by line and place
    # In UTF-16 without a mark, spaces and line ends of any script have a zero byte, and
    # all of these are at even places or all at odd ones.
    even, odd = head[0::2], head[1::2]
    for name, zeros, others in (("utf-16le", odd, even), ("utf-16be", even, odd)):
        if 0 in zeros and 0 not in others and _is_plain(head, name):
            return f"UTF-16 without a mark: convert it (iconv -f {name} -t utf-8)"
    return None


def _is_plain(head: bytes, encoding: str) -> bool:
    """Return whether bytes decode to text: letters, signs, blanks and line ends."""
    try:
        # The head may end inside of a character.
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    # Unassigned, private and control characters are no text.
    plain = (unicodedata.category(c)[0] != "C" or c in _BLANKS for c in text)
    return len(head) >= 4 and all(plain)
