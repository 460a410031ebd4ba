"""What clients send about entries: checked field by field, with Django REST framework's texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from server.sensor.common.errors import WHOLE, FieldErrors

__all__ = ["CREATE", "DEFAULT_PRIORITY", "REPLACE", "UPDATE", "Changes", "read_changes"]

DEFAULT_PRIORITY = 10
MAX_NAME = 50
_SLUG = re.compile(r"[-a-zA-Z0-9_]+")
_FAR = 1 << 53  # seconds; beyond it JSON numbers are not exact
_SHORT = 1 << 15
MAX_ADDRESS = 2000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Changes(msgspec.Struct, kw_only=True):
    """What a body asks for; UNSET is what it does not mention."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    action: str | msgspec.UnsetType = msgspec.UNSET
    interval: int | msgspec.UnsetType | None = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET
    start: int | msgspec.UnsetType = msgspec.UNSET
    stop: int | msgspec.UnsetType | None = msgspec.UNSET
    relative_stop: bool | int = False
    is_active: bool | msgspec.UnsetType = msgspec.UNSET
    max_failures: int | msgspec.UnsetType = msgspec.UNSET
    callback_url: str | msgspec.UnsetType | None = msgspec.UNSET
    validate_only: bool = False


class _Wrong(ValueError):
    """A value that its field cannot take."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("This field may not be null." if value is None else "Not a valid string.")
    if not value.strip():
        raise _Wrong("This field may not be blank.")
    return value


def _slug(value: Any) -> str:
    text = _text(value)
    if len(text) > MAX_NAME:
        raise _Wrong(f"Ensure this field has no more than {MAX_NAME} characters.")
    if not _SLUG.fullmatch(text):
        raise _Wrong('Enter a valid "slug" consisting of letters, numbers, underscores or hyphens.')
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("Must be a valid boolean.")
    return value


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():  # JSON knows no difference
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Wrong("A valid integer is required.")
        if value < least:
            raise _Wrong(f"Ensure this value is greater than or equal to {least}.")
        if value > most:
            raise _Wrong(f"Ensure this value is less than or equal to {most}.")
        return value

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _stop_kind(value: Any) -> bool | int:
    """Whether `stop` counts from start, or (as later clients say it) how long after start to stop."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if not isinstance(value, int | float):
        raise _Wrong("Must be a valid boolean.")
    return _integer(1, _FAR)(value)


_number = _integer(-_FAR, _FAR)


def _moment(value: Any) -> int:
    """Seconds since 1970, also of a date in ISO 8601 (UTC where it names no zone), rounded down."""
    if not isinstance(value, str):
        return _number(value)
    try:
        if not _DAY.match(value.strip()):
            raise ValueError
        moment = datetime.fromisoformat(value.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 1)
    except (ValueError, OverflowError):
        raise _Wrong("Give seconds since 1970, or a date in ISO 8601 such as 2026-03-14T05:06:07Z.") from None


def _address(value: Any) -> str | None:
    """An address, or none where it is blank, as clients' forms send it."""
    if value is None or value == "":
        return None
    text = _text(value)
    if len(text) > MAX_ADDRESS:
        raise _Wrong(f"Ensure this field has no more than {MAX_ADDRESS} characters.")
    return text

_READERS: dict[str, Callable[[Any], Any]] = {
    "name": _slug, "action": _text, "interval": _or_none(_integer(1, _FAR)),
    "priority": _or_none(_integer(-_SHORT, _SHORT - 1)), "start": _or_none(_moment),
    "stop": _or_none(_moment),
    "relative_stop": _stop_kind, "is_active": _flag, "max_failures": _integer(1, 1000),
    "callback_url": _address, "validate_only": lambda value: value is not None and _flag(value)}
CREATE = tuple(name for name in _READERS if name != "is_active")
UPDATE = tuple(_READERS)
REPLACE = ("name", "action")
"""The fields that a new entry takes, that a change takes, and that neither a new entry nor a PUT may lack."""


def read_changes(body: Any, fields: Collection[str], required: Collection[str] = ()) -> Changes:
    """The checked fields of a body; others are ignored. Raises FieldErrors.

    A null start is as if it were not there; a null priority is the default.
    """
    if not isinstance(body, dict):
        raise FieldErrors.of(WHOLE, "Invalid data. Expected a dictionary, but got "
                                    f"{type(body).__name__}.")
    texts: dict[str, list[str]] = {}
    values = {name: _checked(name, body[name], texts) for name in fields if name in body}
    for name in required:
        if name not in body:
            texts[name] = ["This field is required."]
    if not texts:
        _check_stop(values, texts)
    if values.get("relative_stop") is True and isinstance(body.get("stop"), str):
        texts["stop"] = ["With relative_stop it is the seconds from start, not a date."]
    if texts:
        raise FieldErrors(texts)
    return _changes(values)


def _checked(name: str, value: Any, texts: dict[str, list[str]]) -> Any:
    try:
        return _READERS[name](value)
    except _Wrong as error:
        texts[name] = [str(error)]
        return None


def _check_stop(values: Mapping[str, Any], texts: dict[str, list[str]]) -> None:
    kind, stop, start = values.get("relative_stop", False), values.get("stop"), values.get("start")
    if kind is True and stop is None:
        texts["relative_stop"] = ["A stop is required with it: it says that stop counts from start."]
    elif kind is True and stop is not None and stop <= 0:
        texts["stop"] = ["Stop time is not after start."]
    elif kind is not True and kind is not False and stop is not None:
        texts["relative_stop"] = ["Give either stop or the seconds from start, not both."]
    elif kind is False and stop is not None and start is not None and stop <= start:
        texts["stop"] = ["Stop time is not after start."]


def _changes(values: dict[str, Any]) -> Changes:
    if values.get("priority", 0) is None:
        values["priority"] = DEFAULT_PRIORITY
    if values.get("start", 0) is None:
        del values["start"]
    return Changes(**values)
