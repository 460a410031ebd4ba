"""The whole way survives a crash after any write, and tells nothing twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.alerts.common import alerts, revisions
from server.alerts.outgoing import notices, outbox
from server.alerts.way import acts, advance, arriving
from server.rest.context import Context
from tests.support.alerts import Crash, Dying, arrival, event_bytes, finish, finished_map, with_alerts

MESSAGE = event_bytes()
MAP = finished_map()


async def story(ctx: Context, outside: Context, replay: str) -> None:
    """Everything that a server does from an alert's receipt until both its maps are told.

    A scanner, who finishes scans, is not part of what dies.
    """
    alert = await arriving.take_in(ctx, arrival(MESSAGE, replay))
    for _ in range(3):
        await advance.advance(ctx, alert.alert_id)
        for revision in await revisions.of_alert(outside, alert.alert_id):
            if revision.state is revisions.Fate.SCANNING:
                await finish(outside, revision.scan_id, MAP)
    await outbox.deliver(ctx)


async def came_to(ctx: Context, replay: str, folder: Path) -> None:
    """Each map is told once, under one number, and every target has it once."""
    found, = await alerts.listed(ctx, alerts.Search(replay=replay), 0, 10)
    assert found.state == "done"
    said = await notices.of_alert(ctx, found.alert_id)
    assert [(one.alert_type, one.record_number) for one in said] == [("initial", 1), ("update", 2)]
    assert {one.event_name for one in said} == {found.event_name}
    rows = await outbox.listed(ctx, alert_id=found.alert_id)
    assert [row["state"] for row in rows] == ["sent", "sent"]
    files = [json.loads(path.read_text()) for path in sorted(folder.glob(f"*{found.event_name}*.json"))]
    assert [one["record_number"] for one in files] == [1, 2]
    marks = {f"{found.alert_id[:20]}.{number}" for number in (1, 2)}
    made = [row async for row in ctx.db.manifests.find({"classifiers.alert": {"$in": sorted(marks)}})]
    assert len(made) == 2, "a scan was made twice"


async def test_a_crash_after_any_write(ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sending.outbox.LEASE", 0.0)  # the next server need not wait for the dead one
    ctx = with_alerts(ctx, tmp_path, steps=2)
    await story(ctx, ctx, "clean")
    await came_to(ctx, "clean", tmp_path)
    for number in range(1, 100):
        replay = f"crash-{number}"
        dying: Any = replace(ctx, db=Dying(ctx.db, number))
        try:
            await story(dying, ctx, replay)
        except (Crash, BaseExceptionGroup):
            await story(ctx, ctx, replay)
            await came_to(ctx, replay, tmp_path)
        else:
            assert number > 20
            return


async def test_a_crash_in_a_retraction(ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sending.outbox.LEASE", 0.0)
    ctx = with_alerts(ctx, tmp_path, steps=1)
    for number in range(1, 30):
        replay = f"retracted-{number}"
        await story(ctx, ctx, replay)
        found, = await alerts.listed(ctx, alerts.Search(replay=replay), 0, 10)
        try:
            await acts.retract(replace(ctx, db=Dying(ctx.db, number)), found.alert_id, "a flasher", "x")  # type: ignore[arg-type]
        except Crash:
            await acts.retract(ctx, found.alert_id, "a flasher", "x")
        else:
            assert number > 4
            return
        await outbox.deliver(ctx)
        said = await notices.of_alert(ctx, found.alert_id)
        assert [one.alert_type for one in said] == ["initial", "retraction"]
        assert {row["state"] for row in await outbox.listed(ctx, alert_id=found.alert_id)} == {"sent"}
