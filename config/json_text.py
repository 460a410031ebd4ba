"""JSON from the outside, as strict as JSON is, but for the numbers that Python's own ``json`` writes.

``NaN``, ``Infinity`` and ``-Infinity`` are no JSON, yet many alerts and scanners send them where a number
is missing. `decode` lets whoever reads a document decide: with ``gaps`` they come as floats, which
`without_gaps` (and every encoder of ours) turns into null; otherwise they are refused with path and value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["JsonError", "decode", "first_gap", "gaps_of", "is_gap", "path_text", "spelt", "without_gaps"]

Path = tuple[str | int, ...]


class JsonError(ValueError):
    """Text that is not JSON, or holds a number that JSON does not know; says where."""


def decode(data: bytes | str, *, gaps: bool = False) -> Any:
    """What a JSON text says; with ``gaps`` numbers may be NaN or infinite. Raises JsonError."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        document = _as_python_writes_it(data, str(error))
    found = None if gaps else first_gap(document)
    if found:
        raise JsonError(f"{path_text(found[0])}: {spelt(found[1])} is not a JSON number")
    return document


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
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from gaps_of(item, (*path, number))
    elif is_gap(value):
        yield path, value


def without_gaps(document: Any) -> Any:
    """The document with null for every NaN and infinity."""
    if isinstance(document, dict):
        return {key: without_gaps(item) for key, item in document.items()}
    if isinstance(document, list):
        return [without_gaps(item) for item in document]
    return None if is_gap(document) else document


def path_text(path: Path) -> str:
    """Such as ``value.data.reco[3]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part[:80]}" for part in path)
    return text.lstrip(".") or "the document"


def spelt(value: float) -> str:
    """A NaN or an infinity as JSON texts have it."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
