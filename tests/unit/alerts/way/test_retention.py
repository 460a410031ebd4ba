"""Refused messages: their bytes go after a time, their records stay, and nothing else goes."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import msgspec
import pytest

from server.alerts.common import alerts
from server.alerts.common.alerts import Alert, Arrival, Origin, State
from server.alerts.way import arriving, retention
from server.common.errors import NotFound
from server.desk.common import blobs
from server.rest.context import Context
from tests.support.alerts import Crash, Dying, with_alerts


async def came(ctx: Context, data: bytes, days_ago: float, stream: str = "") -> Alert:
    return await arriving.take_in(
        ctx, Arrival(stream, data, Origin("test", time.time() - days_ago * 86400)))


def keeping(ctx: Context, days: int) -> Context:
    made = with_alerts(ctx)
    changed = msgspec.structs.replace(made.settings.alerts, keep_refused_days=days)
    return replace(made, settings=msgspec.structs.replace(made.settings, alerts=changed))


async def test_only_old_refused_bytes_go(ctx: Context) -> None:
    ctx = keeping(ctx, 90)
    notice = json.dumps({"$schema": "x", "mission": "X", "trigger_time": "2026-01-02T03:04:05Z"}).encode()
    old, new = await came(ctx, b"nonsense", 91), await came(ctx, b"nonsense", 89, "other")
    told = await came(ctx, notice, 500)
    assert (old.state, new.state, told.state) == (State.REFUSED, State.REFUSED, State.TOLD)
    await blobs.put(ctx, b"nonsense")  # somebody else's
    assert await retention.prune(ctx) == 1
    assert await retention.prune(ctx) == 0
    gone = await alerts.find(ctx, old.alert_id)
    assert (gone.state, gone.reason, gone.size) == (State.REFUSED, old.reason, 8)
    with pytest.raises(NotFound, match="keep_refused_days"):
        await alerts.message_of(ctx, gone)
    assert await alerts.message_of(ctx, new) == b"nonsense"
    assert await alerts.message_of(ctx, told) == notice
    assert await ctx.db.desk_blobs.count_documents({}) == 3


async def test_for_ever(ctx: Context) -> None:
    await came(keeping(ctx, 0), b"nonsense", 10_000)
    assert await retention.prune(keeping(ctx, 0)) == 0


async def test_a_crash_in_between_is_made_up_for(ctx: Context) -> None:
    ctx = keeping(ctx, 1)
    old = await came(ctx, b"nonsense", 2)
    with pytest.raises(Crash):
        await retention.prune(replace(ctx, db=Dying(ctx.db, 1)))  # type: ignore[arg-type]
    assert await retention.prune(ctx) == 1
    assert (await alerts.find(ctx, old.alert_id)).pruned
