"""What the form for follow-up says, as the payload of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config.json_text import JsonError, decode
from server.common.errors import BadRequest
from server.desk.followup.allocation_pages import GRID

__all__ = ["payload_of"]


def payload_of(filled: Mapping[str, str], filters: Sequence[str],
               instrument: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of a filled form; what is empty is left out. Raises BadRequest, which names the field."""
    return _rescan(filled) if instrument.get("api_classname") == GRID else _exposures(filled, filters)


def _rescan(filled: Mapping[str, str]) -> dict[str, Any]:
    payload: dict[str, Any] = {"event": filled.get("event", "").strip(),
                               "priority": int(_number(filled, "priority"))}
    if reco := filled.get("reco_algo", "").strip():
        payload["reco_algo"] = reco
    if text := filled.get("nsides", "").strip():
        payload["nsides"] = _object(text)
    return payload


def _object(text: str) -> Any:
    try:
        return decode(text)
    except JsonError as error:
        raise BadRequest(f"nsides: not a JSON object such as {{\"8\": 0, \"64\": 12}}: {error}") from None


def _exposures(filled: Mapping[str, str], filters: Sequence[str]) -> dict[str, Any]:
    names = ("exposure_time", "maximum_airmass", "minimum_lunar_distance")
    return {"observation_choices": list(filters), **{name: _number(filled, name) for name in names},
            "exposure_counts": int(_number(filled, "exposure_counts")),
            "priority": int(_number(filled, "priority")),
            **{name: filled.get(name, "") for name in ("start_date", "end_date")}}


def _number(filled: Mapping[str, str], name: str) -> float:
    text = filled.get(name, "").strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1e9 < value < 1e9:
        raise BadRequest(f"{name}: must be a number, not {text[:40]!r}")
    return value
