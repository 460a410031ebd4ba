"""Which adaptor an instrument's facility has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.common.errors import BadRequest
from server.desk.followup.adaptors import Adaptor
from server.desk.followup.generic import Generic, Loopback
from server.desk.followup.gridscan import GridScan

__all__ = ["ADAPTORS", "adaptor_of"]

ADAPTORS: dict[str, Adaptor] = {"GENERICAPI": Generic(), "GRIDSCANAPI": GridScan(), "LOOPBACKAPI": Loopback()}
"""Adaptors by the name that instruments have in `api_classname`."""


def adaptor_of(instrument: Mapping[str, Any]) -> Adaptor:
    """The adaptor of an instrument. Raises BadRequest."""
    name = instrument.get("api_classname")
    if name not in ADAPTORS:
        raise BadRequest(f"instrument {instrument['_id']} takes no requests: its api_classname is {name!r}, "
                         f"none of {', '.join(sorted(ADAPTORS))}")
    return ADAPTORS[name]
