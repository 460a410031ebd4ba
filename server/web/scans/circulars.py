"""The text of a circular about a scan, in the words of the alerts' own drafts."""

from __future__ import annotations

import asyncio
import time

from scanner.maps.skymap import EmptyMapError
from server.alerts.outgoing import drafts, known_sources, names, notices
from server.alerts.outgoing.drafts import Subject
from server.common.errors import NotFound
from server.rest.context import Context
from server.scans.manifests.manifests import Manifest
from server.scans.manifests.told import Told
from server.scans.results import maps, sketches

__all__ = ["text_of"]

_MJD_1970 = 40587.0
_LIVE_DAYS = 1.0


async def text_of(ctx: Context, manifest: Manifest) -> str:
    """What a circular would say of a scan's final map. Raises NotFound while there is none."""
    result, is_final = await maps.latest(ctx, manifest.scan_id)
    if not is_final:
        raise NotFound("this scan has no final map yet, so there is nothing to tell")
    event, told = result.metadata, await sketches.told_of(ctx, manifest.scan_id) or Told()
    settings, is_test = ctx.settings.alerts, not event.is_real_event
    key = f"{event.run_id}_{event.event_id}"
    scope = f"test:{key}" if is_test else key
    prefix = f"TEST-{settings.mission}" if is_test else settings.mission
    number = await notices.count_of(ctx, scope) + 1
    subject = Subject(
        await names.known(ctx, scope, prefix, event.mjd if event.time else 0.0), key,
        "initial" if number == 1 else "update", number, settings.mission, settings.instrument,
        event.event_type or "neutrino", is_test, time.time() / 86400 + _MJD_1970 - event.mjd < _LIVE_DAYS,
        told.extras, event.mjd)
    try:
        known = known_sources.lines(await known_sources.near(ctx, result))
        return await asyncio.to_thread(drafts.circular_of_map, result, subject, known)
    except EmptyMapError as error:
        raise NotFound(str(error)) from None
