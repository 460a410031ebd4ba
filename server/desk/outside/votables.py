"""VOTables (IVOA VOTable 1.4) as plain rows, and the Table Access Protocol (IVOA TAP 1.1)."""

from __future__ import annotations

import asyncio
import io
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

import numpy as np
from astropy.io.votable import parse
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.io.votable.tree import VOTableFile

from server.desk.outside.calls import Call, ServiceError, fetch
from server.rest.context import Context

__all__ = ["Row", "read_tables", "tap"]

Row = dict[str, Any]
MOST_ROWS = 10_000


async def tap(ctx: Context, service: str, base: str, adql: str) -> list[Row]:
    """The rows that a TAP service answers to a query. Raises ServiceError."""
    form = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": adql}
    data = await fetch(ctx, Call(service, base.rstrip("/") + "/sync", form=form))
    tables = await asyncio.to_thread(read_tables, service, data)
    return tables[0] if tables else []


def read_tables(service: str, data: bytes, most: int = MOST_ROWS) -> list[list[Row]]:
    """So many rows of each table; values that are not there are left out. Raises ServiceError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # services are careless about details
            _check(data)
            votable = parse(io.BytesIO(data), verify="ignore")
            _check_status(service, votable)
            return [_rows(table, most) for table in votable.iter_tables()]
    except (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, VOTableSpecError) as error:
        if isinstance(error, ServiceError):
            raise
        raise ServiceError(f"{service} does not answer a VOTable: {str(error)[:200]}") from None


_ELSEWHERE = ("STREAM", "PARQUET")
"""Elements whose data may lie behind an address (VOTable 1.4, section 5.4), which astropy would open."""


MOST_CELLS = 8_000_000
"""Values of all tables of a file, eight characters counted as one: a few bytes say how many there are."""
_LETTERS = ("char", "unicodechar", "bit")


@dataclass
class _Look:
    """What the elements of a VOTable tell before anything is made of them."""

    before: int = 0  # cells of tables and parameters that are over
    width: int = 0  # cells of a row of this table
    rows: int = 1  # of this table: as many as it says, or has
    found: int = 0

    def element(self, name: str, attributes: dict[str, str]) -> None:
        """Raises ValueError for what is not to be read."""
        kind = name.rpartition(" ")[2].upper()
        own = {one.rpartition(" ")[2].lower(): value for one, value in attributes.items()}
        if kind in _ELSEWHERE and "href" in own:
            raise ValueError("its data are at another address, which is not followed")
        if kind == "TABLE":
            self._table(own)
        elif kind == "FIELD":
            self.width += _cells(own)
        elif kind == "PARAM":
            self.before += _cells(own)
        elif kind == "TR":
            self.found += 1
            self.rows = max(self.rows, self.found)
        if self.before + self.width * self.rows > MOST_CELLS:
            raise ValueError(f"it has more than {MOST_CELLS} values")

    def _table(self, own: Mapping[str, str]) -> None:
        if "ref" in own:
            raise ValueError("a table that has the columns of another one is not read")
        self.before, self.width = self.before + self.width * self.rows, 0
        self.found, self.rows = 0, max(_number(own.get("nrows") or "1"), 1)


def _cells(own: Mapping[str, str]) -> int:
    """How many values an element of a row has, as far as its column says. Raises ValueError."""
    sizes = own.get("arraysize", "").replace(" ", "").split("x")
    fixed = [_number(size) for size in sizes if size and not size.endswith("*")]
    if 0 in fixed:
        raise ValueError("arraysize: 0")  # of such values there is no end
    return math.prod(fixed) // (8 if own.get("datatype", "").lower() in _LETTERS else 1) + 1


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{text[:20]!r} is no number of values")
    return int(text)


def _check(data: bytes) -> None:
    """Refuse a table whose data are elsewhere: here, or where only we can ask; and one that would make far
    more than was sent. Raises ValueError."""
    def declared(*arguments: Any) -> None:
        raise ValueError("it declares a document type")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = _Look().element, declared
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"not well formed: {error}") from None


def _check_status(service: str, votable: VOTableFile) -> None:
    for resource in votable.resources:
        for info in [*resource.infos, *votable.infos]:
            if info.name == "QUERY_STATUS" and str(info.value).upper() == "ERROR":
                raise ServiceError(f"{service} refuses the query: {str(info.content or '').strip()[:300]}")


def _rows(table: Any, most: int) -> list[Row]:
    names = [column.name for column in table.fields]
    return [{name: value for name, value in zip(names, map(_plain, row), strict=True) if value is not None}
            for row in table.array[:most]]


def _plain(value: Any) -> Any:
    """A Python value; None for what is missing or no number."""
    if value is np.ma.masked or value is None:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, str):
        return value.strip() or None
    return value if isinstance(value, int | float | bool) else str(value)
