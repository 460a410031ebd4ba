"""Pages of lists, and lists of ids in queries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.common.errors import BadRequest
from server.desk.common.dates import absent

__all__ = ["Page", "id_list", "page", "words"]

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Page:
    """Which rows of a list: page `number` from 1, `size` rows a page."""

    number: int
    size: int

    @property
    def skip(self) -> int:
        return (self.number - 1) * self.size

    def cut(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The page's rows of a whole list."""
        return rows[self.skip:self.skip + self.size]

    def check(self, total: int) -> None:
        """Raise BadRequest when the page lies beyond the end; the first page of an empty list does not."""
        if self.number > 1 and self.skip >= total:
            raise BadRequest("Page number out of range.")


def page(number: str | None, size: str | None, *, default: int, cap: int, strict: bool = False) -> Page:
    """A page from a query's words. Raises BadRequest for what is no number from 1.

    More than `cap` rows are cut to that silently, or refused when `strict`.
    """
    rows = _positive(size, "numPerPage", default)
    if strict and rows > cap:
        raise BadRequest(f"numPerPage should be no larger than {cap}.")
    return Page(_positive(number, "pageNumber", 1), min(rows, cap))


def _positive(text: str | None, name: str, default: int) -> int:
    if text is None or absent(text):
        return default
    if not _NUMBER.fullmatch(text.strip()) or int(text) < 1:
        kind = "page number" if name == "pageNumber" else "numPerPage"
        raise BadRequest(f"Invalid {kind} value: {name} must be an integer from 1, not {text[:40]!r}")
    return min(int(text), 1 << 40)


def words(text: str | None) -> list[str]:
    """The parts of a comma-separated list, without blanks around them; empty when absent."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def id_list(text: str | None, name: str) -> list[int] | None:
    """A comma-separated list of ids; None when absent. Raises BadRequest."""
    if text is None or absent(text):
        return None
    parts = [part.strip() for part in text.strip().strip("[]").split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise BadRequest(f"Invalid {name} value: expected integers with commas, not {text[:60]!r}")
    return [int(part) for part in parts]
