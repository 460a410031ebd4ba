"""Telling the desk of an event of others."""

from __future__ import annotations

from typing import Any

import msgspec

from server.desk.maps import arrivals
from server.desk.maps.arrivals import EventBody
from server.desk.maps.localizations import NameTaken
from server.rest.context import Context

__all__ = ["tell"]


async def tell(ctx: Context, alert_id: str, body: EventBody) -> dict[str, Any]:
    """Store an event with its map, if it has one; as `arrivals.keep`. Raises BadRequest.

    An update's map may go by the name of the one before: then the alert's id tells them apart.
    """
    try:
        return await arrivals.keep(ctx, body)
    except NameTaken:
        name = f"{body.localization_name}-{alert_id[:6]}"
        return await arrivals.keep(ctx, msgspec.structs.replace(body, localization_name=name))
