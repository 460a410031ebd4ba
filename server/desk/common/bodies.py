"""Request bodies of the desk: typed, with SkyPortal's wording when they are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from config.json_text import gaps_of, path_text, spelt, without_gaps
from server.common.errors import BadRequest
from server.production.common.fields import Described

__all__ = ["Body", "Finite", "Id", "Name", "Text", "changes", "convert", "refuse_gaps", "takes"]

Id = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Text = Annotated[str, msgspec.Meta(max_length=100_000)]
Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of every body; fields that may be left out have a default, or `msgspec.UNSET`."""


_B = TypeVar("_B", bound=Body)


def takes(body: type[Body]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say what a handler's method takes; the OpenAPI document shows it."""
    _, components = msgspec.json.schema_components([body])
    schema = Described(dict(components[body.__name__]))

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.body = schema  # type: ignore[attr-defined]
        return method

    return mark


def convert(document: Mapping[str, Any], body: type[_B], artefacts: Iterable[str] = ()) -> _B:
    """A typed body. Raises BadRequest, which names the field.

    NaN and infinities count as null where a field may be null, and are refused elsewhere.

    `artefacts` are relations that the documentation of SkyPortal's bodies lists although nobody can send
    them: null and empty ones are ignored, others refused.
    """
    relations = set(artefacts) - set(body.__struct_fields__)
    if filled := sorted(name for name in relations & set(document) if document[name]):
        raise BadRequest(f"Invalid/missing parameters: {filled[0]!r} cannot be set here")
    rest = {name: value for name, value in document.items() if name not in relations}
    try:
        return msgspec.convert(without_gaps(rest), body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid/missing parameters: {_gap_behind(str(error), rest) or error}") from None


def refuse_gaps(document: Any, name: str) -> None:
    """Refuse NaN and infinities in a field that misses none. Raises BadRequest."""
    for path, value in gaps_of(document.get(name)):
        raise BadRequest(f"Invalid/missing parameters: {path_text((name, *path))}: {spelt(value)} is not a "
                         "JSON number")


def _gap_behind(reason: str, document: Any) -> str:
    """What to say when it was a NaN or an infinity that did not fit."""
    for path, value in gaps_of(document):
        if reason.endswith(f"`$.{path_text(path)}`"):
            return f"{path_text(path)}: {spelt(value)} is not a JSON number"
    return ""


def changes(body: Body) -> dict[str, Any]:
    """The fields that were sent."""
    return {name: value for name in body.__struct_fields__
            if (value := getattr(body, name)) is not msgspec.UNSET}
