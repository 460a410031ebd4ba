"""JSON from the outside, as strict as JSON is, but for the numbers that Python's own ``json`` writes.

``NaN``, ``Infinity`` and ``-Infinity`` are no JSON, yet many alerts and scanners send them where a number
is missing. `decode` lets whoever reads a document decide: with ``gaps`` they come as floats, which
`without_gaps` (and every encoder of ours) turns into null; otherwise they are refused with path and value.

A short text can make a large document: an empty list takes two bytes there, and fifty here. Hence a document
has no more values, lists, objects and depth than the limits below, whoever reads it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["MOST_DEPTH", "MOST_PARTS", "MOST_VALUES", "JsonError", "decode", "first_gap", "gaps_of", "is_gap",
           "path_text", "spelt", "without_gaps"]

MOST_VALUES = 8_000_000  # a sky map of three million tiles has six; numbers take half a second then
MOST_PARTS = 500_000  # lists and objects
MOST_DEPTH = 100  # MongoDB keeps 100, too
_ROOM = 1 << 20  # bytes that are taken apart at a time

Path = tuple[str | int, ...]


class JsonError(ValueError):
    """Text that is not JSON, or holds a number that JSON does not know; says where."""


def decode(data: bytes | str, *, gaps: bool = False) -> Any:
    """What a JSON text says; with ``gaps`` numbers may be NaN or infinite. Raises JsonError."""
    text = data.encode("utf8", "surrogatepass") if isinstance(data, str) else data
    parts = _checked_parts(text)
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        document = _as_python_writes_it(data, str(error))
        found = None if gaps else first_gap(document)
        if found:
            raise JsonError(f"{path_text(found[0])}: {spelt(found[1])} is not a JSON number") from None
    if parts > MOST_DEPTH:
        _check_depth(document)
    return document


def _checked_parts(text: bytes) -> int:
    """How many lists and objects a text may make, no fewer than it will. Raises JsonError for too many."""
    parts, values = _counted(text)
    if parts > MOST_PARTS or values > MOST_VALUES:  # its texts may hold these signs, too
        parts, values = _counted(_outside_of_texts(text))
    if parts > MOST_PARTS:
        raise JsonError(f"more than {MOST_PARTS} lists and objects")
    if values > MOST_VALUES:
        raise JsonError(f"more than {MOST_VALUES} values")
    return parts


def _counted(text: bytes) -> tuple[int, int]:
    parts = text.count(b"[") + text.count(b"{")
    return parts, parts + text.count(b",")


def _outside_of_texts(text: bytes) -> bytes:
    signs = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(_every_other(signs))


def _every_other(signs: bytes) -> Iterator[bytes]:
    """What stands before the first quote, after the second, and so on; in parts, to need little room."""
    inside = False
    for start in range(0, len(signs), _ROOM):
        pieces = signs[start:start + _ROOM].split(b'"')
        yield b"".join(pieces[inside::2])
        inside ^= len(pieces) % 2 == 0


def _check_depth(document: Any) -> None:
    """Level by level, so that depth cannot exhaust the stack here. Raises JsonError."""
    level = [document]
    for _ in range(MOST_DEPTH):
        level = [item for whole in level for item in (whole.values() if type(whole) is dict else whole)
                 if type(item) in (dict, list)]
        if not level:
            return
    raise JsonError(f"nested deeper than {MOST_DEPTH}")


def _as_python_writes_it(data: bytes | str, reason: str) -> Any:
    """The document when NaN and infinities are all that is wrong with it."""
    try:
        document = json.loads(data)
        msgspec.json.encode(document)  # fails for text that no UTF-8 spells
        has_gap = first_gap(document) is not None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno} (byte {len(error.doc[:error.pos].encode())})"
        raise JsonError(f"{error.msg} at {where}") from None
    except RecursionError:
        raise JsonError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"byte {error.start}: not UTF-8 text") from None
    except (ValueError, OverflowError):
        raise JsonError(reason) from None
    if not has_gap:
        raise JsonError(reason)
    return document


def is_gap(value: object) -> bool:
    """Whether this stands where a number is missing: NaN or an infinity."""
    return isinstance(value, float) and not math.isfinite(value)


def first_gap(document: Any) -> tuple[Path, float] | None:
    """The first NaN or infinity of a document with its path; None when there is none."""
    return next(gaps_of(document), None)


def gaps_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, float]]:
    """Every NaN and infinity of a document with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from gaps_of(item, (*path, key))
    elif isinstance(value, list) and not _are_numbers(value):
        for number, item in enumerate(value):
            yield from gaps_of(item, (*path, number))
    elif is_gap(value):
        yield path, value


def without_gaps(document: Any) -> Any:
    """The document with null for every NaN and infinity."""
    if isinstance(document, dict):
        return {key: without_gaps(item) for key, item in document.items()}
    if isinstance(document, list):
        return [*document] if _are_numbers(document) else [without_gaps(item) for item in document]
    return None if is_gap(document) else document


def _are_numbers(items: list[Any]) -> bool:
    """Whether all are finite numbers, at once: a sum is finite then, as a rule."""
    try:
        return math.isfinite(sum(items))
    except (TypeError, OverflowError):
        return False


def path_text(path: Path) -> str:
    """Such as ``value.data.reco[3]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:80]}" for part in path)
    return text.lstrip(".") or "the document"


def spelt(value: float) -> str:
    """A NaN or an infinity as JSON texts have it."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
