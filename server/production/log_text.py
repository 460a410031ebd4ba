"""The text of a log: what is kept of a long one, how it is packed, and which of its lines tell of errors."""

from __future__ import annotations

import re
import zlib

from server.production.problems import form

__all__ = ["HEAD", "TAIL", "error_lines", "matching_lines", "pack", "shortened", "unpack"]

HEAD, TAIL = 2_000_000, 6_000_000  # characters; what is between them is left out
MOST_ERRORS = 20  # of one log: the first ones and the last ones
LINE = 2000  # characters; the rest of a longer line is not looked at

_ERROR = re.compile(
    r"(error|exception)\b|\bfatal\b|\bpanic\b|\bsegmentation (fault|violation)\b|\bkilled\b|"
    r"\bout of memory\b|\bbad_alloc\b|\bcore dumped\b|\bno such file\b|\bpermission denied\b|\bnot found\b|"
    r"\bcannot\b|\bfailed\b|\babort(ed)?\b", re.IGNORECASE)


def shortened(text: str) -> tuple[str, int]:
    """The head and the tail of a long text, with a line between them that says so; how much was left out."""
    left_out = len(text) - HEAD - TAIL
    if left_out <= 0:
        return text, 0
    return f"{text[:HEAD]}\n[… {left_out} characters were left out here …]\n{text[-TAIL:]}", left_out


def pack(text: str) -> bytes:
    """A text, compressed."""
    return zlib.compress(text.encode("utf8", "surrogatepass"), 6)


def unpack(packed: bytes) -> str:
    """The text that `pack` was given."""
    return zlib.decompress(packed).decode("utf8", "surrogatepass")


def error_lines(text: str) -> dict[str, str]:
    """Lines that tell of errors: each form (a line without numbers, ids and paths) with its first line."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        short = line[:LINE].strip()
        if short and _ERROR.search(short):
            found.setdefault(form(short), short)
    if len(found) <= MOST_ERRORS:
        return found
    items = list(found.items())
    return dict(items[:MOST_ERRORS // 2] + items[-(MOST_ERRORS // 2):])


def matching_lines(text: str, wanted: str) -> dict[str, str]:
    """Lines that hold a text, whatever the case: each form with its first line."""
    found: dict[str, str] = {}
    folded = wanted.casefold()
    if folded in text.casefold():
        for line in text.splitlines():
            if folded in line.casefold():
                found.setdefault(form(line[:LINE]), line[:LINE].strip())
    return found
