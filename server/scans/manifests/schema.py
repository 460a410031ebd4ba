"""Request bodies are described once, as JSON Schema; the checker and the OpenAPI document both read that.

The texts of the errors are SkyDriver's: field first, then what it must be, several joined by ``"; "``.

NaN and infinities, which Python's ``json`` writes, are null here: taken where a number may be missing, which
is where the schema takes null, and refused with path and value elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from config.json_text import gaps_of, is_gap, path_text, spelt, without_gaps
from server.common.errors import BadRequest

__all__ = ["Body", "check_storable"]

MAX_DEPTH = 80  # documents nest at most 100 deep in MongoDB, and ours put theirs a few levels down
_INT64 = 1 << 63

_TYPES = {
    "object": "'object' (dict)", "array": "'array' (list)", "string": "'string' (str)",
    "integer": "'integer' (int)", "number": "'number' (float or int)", "boolean": "'boolean' (bool)",
    "null": "'null' (None)",
}

_TEXTS: dict[str, Callable[[Any], str]] = {
    "type": lambda v: f"must be type {' or '.join(_TYPES[t] for t in ([v] if isinstance(v, str) else v))}",
    "enum": lambda v: f"must be one of: {', '.join(map(repr, v))}",
    "const": lambda v: f"must be {v!r}",
    "minimum": lambda v: f"must be at least {v}",
    "maximum": lambda v: f"must be no more than {v}",
    "minItems": lambda v: f"must have at least {v} entries",
    "maxItems": lambda v: f"must have no more than {v} entries",
    "minProperties": lambda v: f"must have at least {v} entries",
    "maxProperties": lambda v: f"must have no more than {v} entries",
    "minLength": lambda v: f"must be at least {v} characters long",
    "maxLength": lambda v: f"must be no more than {v} characters long",
    "pattern": lambda v: f"must match the pattern {v!r}",
    "items": lambda v: "has too many entries",  # of a list whose places are described one by one
    "uniqueItems": lambda v: "must not contain the same entry twice",
}


def _unique_strings(_: Any, wanted: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
    """``uniqueItems`` in linear time; what is no string is for another keyword to refuse."""
    if wanted and isinstance(value, list):
        strings = [item for item in value if isinstance(item, str)]
        if len(set(strings)) != len(strings):
            yield ValidationError("duplicates")


def _is_integer(_: Any, value: Any) -> bool:
    """JSON Schema's rule that 60.0 is an integer too; but not numbers that no integer of a database holds."""
    if isinstance(value, float):
        return math.isfinite(value) and value.is_integer() and -_INT64 <= value < _INT64
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not is_gap(value)


def _is_null(_: Any, value: Any) -> bool:
    return value is None or is_gap(value)


_Validator = extend(
    Draft202012Validator, {"uniqueItems": _unique_strings},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number, "null": _is_null}))


class Body:
    """The schema of one request body: an object of named properties that knows no others.

    Required names are those listed; a default is documentation here, whoever reads the body applies it.
    `opaque` values are kept as text, so that the database sets them no limits; `query` names a value that
    is a database query and therefore may hold operators.
    """

    def __init__(self, properties: dict[str, dict[str, Any]], required: Iterable[str] = (), *,
                 opaque: Iterable[str] = (), query: str = "") -> None:
        self._opaque, self._query = frozenset(opaque), query
        self.schema: dict[str, Any] = {"type": "object", "properties": properties,
                                       "required": list(required), "additionalProperties": False}
        self._validator = _Validator(self.schema)

    def check(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body, null for every gap, when it fits and can be stored; BadRequest with all that does not."""
        texts = dict.fromkeys(_text(error) for error in self._validator.iter_errors(body))
        if texts:
            raise BadRequest("; ".join(texts))
        for name in body.keys() - self._opaque:
            check_storable(name, body[name], operators=name == self._query)
        return without_gaps(body) if next(gaps_of(body), None) else body


def _text(error: ValidationError) -> str:
    keyword = str(error.validator)
    name = ".".join(str(part) for part in error.absolute_path)
    if gap := _gap_behind(error):
        return f"{path_text(tuple(gap.absolute_path))!r}: {spelt(gap.instance)} is not a JSON number"
    if keyword in ("required", "additionalProperties"):
        return f"{name!r}: {error.message}" if name else error.message
    if keyword in ("oneOf", "anyOf"):
        return f"{name!r}: must match one of the accepted types{_why(error)}"
    if keyword == "false schema":
        return f"{name!r}: is not allowed"
    return f"{name!r}: {_TEXTS[keyword](error.validator_value)}"


def _gap_behind(error: ValidationError) -> ValidationError | None:
    """The error that a NaN or an infinity made where no number may be missing."""
    if is_gap(error.instance):
        return error
    return next((found for inner in error.context or () if (found := _gap_behind(inner))), None)


def _why(error: ValidationError) -> str:
    """What is wrong inside an object that was meant to be the union's object."""
    inner = [e for e in error.context or () if e.validator in ("required", "additionalProperties")
             or len(e.relative_path) > 0]
    texts = dict.fromkeys(_text(e) for e in inner)
    return f" ({'; '.join(texts)})" if texts else ""


def check_storable(name: str, value: Any, *, operators: bool = False, depth: int = 0) -> None:
    """Refuse what JSON can say but a database document cannot hold. Raises BadRequest."""
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        raise BadRequest(f"{name!r}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if key.startswith("$") and not operators:
                raise BadRequest(f"{name!r}: keys must not start with '$'")
            if "\0" in key:
                raise BadRequest(f"{name!r}: keys must not contain a NUL character")
            check_storable(name, item, operators=operators, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_storable(name, item, operators=operators, depth=depth + 1)
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise BadRequest(f"{name!r}: integers must fit into 64 bits")
    elif operators and is_gap(value):
        raise BadRequest(f"{name!r}: numbers must be finite")

