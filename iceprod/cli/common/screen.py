"""What reaches the terminal: nothing that others wrote can move its cursor, colour it or retitle its window.

Logs and names come from elsewhere. While a command runs, standard output and error are guarded where they are
a terminal: control characters other than line ends and tabs are shown as ``␛`` and its like. What is ours and
means to colour goes to the bare stream.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["bare", "console", "guarded", "is_colourful", "safe"]

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def safe(text: str, kept: str = "\n\t") -> str:
    """The text with a picture in place of every character that steers a terminal."""
    return _CONTROL.sub(_picture, text) if kept else _CONTROL.sub(_picture, " ".join(text.split()))


def _picture(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20:
        return chr(0x2400 + number)
    return "␡" if number == 0x7F else "\N{REPLACEMENT CHARACTER}"


class _Guard:
    """A stream that shows control characters rather than send them."""

    def __init__(self, bare: TextIO) -> None:
        self.bare = bare

    def write(self, text: str) -> int:
        self.bare.write(safe(text.replace("\r\n", "\n")))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Guard standard output and error, where they are terminals."""
    before = sys.stdout, sys.stderr
    for name, stream in zip(("stdout", "stderr"), before, strict=True):
        if stream is not None and stream.isatty():
            setattr(sys, name, _Guard(stream))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def bare(stream: TextIO) -> TextIO:
    """What is behind a guard."""
    return stream.bare if isinstance(stream, _Guard) else stream


def console(*, stderr: bool = False) -> Console:
    """A console for bars and live displays. Texts of others must be made `safe` before they go there."""
    from rich.console import Console  # slow to import, and few commands draw

    return Console(file=bare(sys.stderr if stderr else sys.stdout))


def is_colourful(stream: TextIO) -> bool:
    """Whether to colour what is written there (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
