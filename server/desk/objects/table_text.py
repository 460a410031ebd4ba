"""Tables that come as text or as lists by column."""

from __future__ import annotations

import csv
import io
from typing import Any

from server.common.errors import BadRequest

__all__ = ["as_text"]


def as_text(data: Any) -> str:
    """A table as text, also when its columns come as lists. Raises BadRequest."""
    if isinstance(data, str):
        return data
    if not isinstance(data, dict) or not all(isinstance(column, list) for column in data.values()):
        raise BadRequest("catalogData: must be comma-separated text with a header, or lists by column")
    if len({len(column) for column in data.values()}) > 1:
        raise BadRequest("catalogData: the columns must be of equal length")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(data)
    writer.writerows(["" if value is None else value for value in row]
                     for row in zip(*data.values(), strict=True))
    return file.getvalue()
