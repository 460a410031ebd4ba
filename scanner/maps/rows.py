"""Rows: a table of pixel results as plain lists, the form in which pilots and server exchange it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scanner.maps.result import PIXEL_DTYPE, nan_rows

__all__ = ["BatchError", "Row", "rows_from_table", "seeds_from_rows"]

Row = Sequence[float | None]


class BatchError(ValueError):
    """A batch is not one: the text says which part of it."""


def seeds_from_rows(rows: Sequence[Row | None] | None, n: int) -> np.ndarray | None:
    """Seeds as a table; a pixel without one has index −1 and NaN. None when no pixel has one."""
    if rows is None or not any(rows):
        return None
    if len(rows) != n:
        raise BatchError(f"seeds: {len(rows)} for {n} pixels")
    table = nan_rows(np.full(n, -1))
    for place, row in enumerate(rows):
        if row is not None:
            table[place] = _record(row)
    return table


def rows_from_table(table: np.ndarray) -> list[list[float | int | None]]:
    """Rows that JSON can hold: NaN and infinities become None."""
    rows = [list(row) for row in table.tolist()]
    finite = np.all([np.isfinite(table[name]) for name in table.dtype.names or ()], axis=0)
    for place in np.flatnonzero(~finite):
        rows[place] = [value if np.isfinite(value) else None for value in rows[place]]
    return rows


def _record(row: Row) -> tuple[float, ...]:
    if len(row) != len(PIXEL_DTYPE.names or ()):
        raise BatchError(f"seeds: a row has {len(PIXEL_DTYPE.names or ())} values, not {len(row)}")
    return (int(row[0] or 0), *(np.nan if value is None else float(value) for value in row[1:]))
