"""Bodies of requests as JSON: small ones where they are asked for, large ones before, in a thread.

A large body takes its time to read and to look through. In a thread others go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from config.json_text import JsonError, decode, first_gap, path_text, spelt
from server.common.errors import BadRequest

__all__ = ["LARGE", "Examine", "ReadBody", "read", "read_aside"]

LARGE = 256 << 10  # bytes

Examine = Callable[[Any], None]
"""What a family of routes asks of every document. Raises BadRequest."""


@dataclass(frozen=True)
class ReadBody:
    """A body that was read, or why not."""

    document: Any = None
    gap: str = ""  # the first number that is missing, when there is one
    wrong: JsonError | BadRequest | None = None

    def take(self, gaps: bool) -> Any:
        """The document. Raises JsonError and what was found wrong with it."""
        if self.wrong is not None:
            raise self.wrong
        if self.gap and not gaps:
            raise JsonError(self.gap)
        return self.document


def read(data: bytes, gaps: bool, examine: Examine) -> Any:
    """The document of a body. Raises JsonError, BadRequest."""
    document = decode(data, gaps=gaps)
    examine(document)
    return document


async def read_aside(data: bytes, examine: Examine) -> ReadBody:
    """The same for a large body, where nobody knows yet whether numbers may be missing."""
    return await asyncio.to_thread(_read, data, examine)


def _read(data: bytes, examine: Examine) -> ReadBody:
    try:
        document = read(data, True, examine)
    except (JsonError, BadRequest) as error:
        return ReadBody(wrong=error)
    has_gaps = b"NaN" in data or b"Infinity" in data
    gap = first_gap(document) if has_gaps else None
    return ReadBody(document, f"{path_text(gap[0])}: {spelt(gap[1])} is not a JSON number" if gap else "")
