"""Named values as people write them: a line of ``name = value`` each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from config.json_text import JsonError, decode
from server.common.errors import BadRequest

__all__ = ["read_lines", "words", "write_lines"]


def read_lines(text: str, field: str) -> dict[str, Any]:
    """Values by name; one that is no JSON is text as it stands. Raises BadRequest, which names the field."""
    found: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.split("\n"))):
        name, sign, value = line.partition("=")
        if not sign or not name.strip():
            raise BadRequest(f"{field}: expected lines of name = value, not {line[:60]!r}")
        if name.strip() in found:
            raise BadRequest(f"{field}: {name.strip()[:60]} is there twice")
        found[name.strip()] = _value(value.strip())
    return found


def write_lines(values: Mapping[str, Any]) -> str:
    """What `read_lines` reads as these values."""
    return "\n".join(f"{name} = {_text(value)}" for name, value in values.items())


def words(text: str) -> list[str]:
    """Words that are parted by commas."""
    return [word for word in (part.strip() for part in text.split(",")) if word]


def _value(text: str) -> Any:
    try:
        return decode(text)
    except JsonError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and value == value.strip() and _value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
