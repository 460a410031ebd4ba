"""Sizes of memory and disk as people write them."""

from __future__ import annotations

import re

from server.common.errors import BadRequest

__all__ = ["parse_size"]

_SIZE = re.compile(r"\s*(?P<number>[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})\s*"
                   r"(?:(?P<prefix>[KMGTP])(?P<binary>i)?)?(?:B|bytes?)?\s*", re.IGNORECASE)
_LIMIT = 1 << 63


def parse_size(value: int | float | str) -> int:
    """Bytes of ``8000000000``, ``"8G"``, ``"8 GB"`` (10⁹) or ``"8GiB"`` (2³⁰). Raises BadRequest."""
    if isinstance(value, (int, float)):
        return int(value)
    match = _SIZE.fullmatch(value)
    if match is None:
        raise BadRequest(f"invalid size: {value}")
    power = "KMGTP".index(match["prefix"].upper()) + 1 if match["prefix"] else 0
    size = round(float(match["number"]) * (1024 if match["binary"] else 1000) ** power)
    if size >= _LIMIT:
        raise BadRequest(f"invalid size: {value}")
    return size
