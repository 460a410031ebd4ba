"""The text of a log: what is kept of a long one, how it is packed, and which of its lines tell of errors."""

from __future__ import annotations

import re
import zlib

from config.unpacking import own
from server.production.records.problems import form

__all__ = ["HEAD", "TAIL", "error_lines", "matching_lines", "pack", "shortened", "unpack"]

HEAD, TAIL = 2_000_000, 6_000_000  # characters; what is between them is left out
MOST_ERRORS = 20  # of one log: the first ones and the last ones
LINE = 500  # characters; the rest of a longer line is not looked at
MOST_LINES = 500  # from the beginning, and as many from the end
_WORDS = (b"error", b"exception", b"fatal", b"panic", b"segmentation", b"killed", b"memory", b"bad_alloc",
          b"core dumped", b"no such file", b"permission denied", b"not found", b"cannot", b"failed", b"abort")

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
    return own(packed).decode("utf8", "surrogatepass")


def error_lines(text: str) -> dict[str, str]:
    """Lines that tell of errors: each form (a line without numbers, ids and paths) with its first line.

    Of very many such lines, those in the middle are not looked at.
    """
    data = text.encode("utf8", "surrogatepass")
    starts = _lines_with_words(data)
    if len(starts) > 2 * MOST_LINES:
        starts = starts[:MOST_LINES] + starts[-MOST_LINES:]
    found: dict[str, str] = {}
    for start in starts:
        line = data[start:start + 4 * LINE].partition(b"\n")[0].decode("utf8", "replace")[:LINE].strip()
        if _ERROR.search(line):
            found.setdefault(form(line), line)
    if len(found) <= MOST_ERRORS:
        return found
    items = list(found.items())
    return dict(items[:MOST_ERRORS // 2] + items[-(MOST_ERRORS // 2):])


def _lines_with_words(data: bytes) -> list[int]:
    """Where the lines begin that hold one of the words; much faster than asking every line."""
    lowered, starts = data.lower(), set()
    for word in _WORDS:
        position = lowered.find(word)
        while position >= 0:
            starts.add(lowered.rfind(b"\n", 0, position) + 1)
            end = lowered.find(b"\n", position)
            position = lowered.find(word, end + 1) if end >= 0 else -1
    return sorted(starts)


def matching_lines(text: str, wanted: str) -> dict[str, str]:
    """Lines that hold a text, whatever the case: each form with its first line."""
    found: dict[str, str] = {}
    folded = wanted.casefold()
    if folded in text.casefold():
        for line in text.splitlines():
            if folded in line.casefold():
                found.setdefault(form(line[:LINE]), line[:LINE].strip())
    return found
