"""Every event from the write that makes it to what its hearers are told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from iceprod.ids import now
from scanner.maps.result import ScanMetadata
from server.alerts.common import revisions
from server.alerts.outgoing import outbox
from server.alerts.way import advance, arriving
from server.desk.followup import rows, watching
from server.desk.followup.adaptors import Outcome as Answer
from server.desk.followup.states import Phase
from server.desk.people import people
from server.notifications import rules, topics
from server.notifications.topics import TOPICS
from server.production.datasets import datasets
from server.production.failures import quarantine
from server.rest.context import Context
from server.rules import events
from server.rules.decisions import EPOCH
from server.scans.pixels import runs
from server.scans.pixels.runs import Run
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.outcomes import Outcome, Status, failure
from server.sensor.schedule.entries import Entry, Pending, utc
from tests.support.alerts import arrival, event_bytes, with_alerts
from tests.support.notifications import dataset, rule, run, visit, with_notify
from tests.support.notifications.receivers import Poster, poster


@pytest.fixture
def receiver() -> Iterator[Poster]:
    with poster() as one:
        yield one


@pytest.fixture
def ctx(ctx: Context, receiver: Poster) -> Context:
    return with_notify(ctx, hosts=(receiver.host,), messages_per_hour=1000)


async def told(ctx: Context, receiver: Poster) -> list[str]:
    """The titles of what was told since the last time."""
    await run(ctx)
    found = [item["title"] for post in receiver.got for item in json.loads(post.body)["items"]]
    receiver.got.clear()
    return sorted(found)


async def scan(ctx: Context, scan_id: str, phase: str, area: float = 5.0, username: str = "ada") -> None:
    await runs.create(ctx, Run(
        scan_id=scan_id, dataset_id=f"d{scan_id}", i3_event_id="e", event=ScanMetadata(7, 11),
        reco="millipede", nsides="8:0", threshold=1.0, max_pixel_reco_time=1, memory_gb=1, disk_gb=1,
        priority=1, username=username))
    if phase == "final":
        summary = {"best_fit": {"ra_deg": 10.0, "dec_deg": -5.0}, "area_50_deg2": 1.0, "area_90_deg2": area}
        await runs.change(ctx, scan_id, {}, phase="final", since=time.time(), summary=summary, unlogged=True)
    else:
        await runs.stop(ctx, scan_id, runs.Phase(phase), "no pixel could be fitted")


async def test_scans(ctx: Context, receiver: Poster) -> None:
    who = await visit(ctx)
    await rule(ctx, who, receiver.url, "scan_final", filters={"area_below_deg2": 10, "recos": ["mill*"]})
    await rule(ctx, who, receiver.url, "scan_failed")
    await scan(ctx, "a", "final")
    await scan(ctx, "b", "final", area=20.0)
    await scan(ctx, "c", "final", username="bob")
    await scan(ctx, "d", "failed")
    await scan(ctx, "e", "aborted")
    event = "scan of run 7 event 11"
    assert await told(ctx, receiver) == [f"{event} has no map", f"{event} is final"]


async def test_datasets_of_scans_are_not_told_besides(ctx: Context, receiver: Poster) -> None:
    who = await visit(ctx)
    await rule(ctx, who, receiver.url, "dataset_complete")
    await rule(ctx, who, receiver.url, "dataset_errors", filters={"text": "1 ended"})
    await dataset(ctx)
    of_scan = await dataset(ctx, status="complete")
    await ctx.db.scan_runs.insert_one({"scan_id": "x", "dataset_id": of_scan})
    await dataset(ctx, status="complete")
    await dataset(ctx, status="suspended")
    assert await told(ctx, receiver) == ["dataset 1 ended in errors", "dataset 3 is complete"]


@pytest.mark.parametrize(("later", "titles"), [
    (timedelta(microseconds=900), ["dataset 1 ended in errors"]), (timedelta(microseconds=1100), [])])
async def test_what_happens_in_the_millisecond_in_which_a_rule_is_made_is_told(
        ctx: Context, receiver: Poster, later: timedelta, titles: list[str]) -> None:
    """The database keeps no more of the time of an event."""
    await rule(ctx, await visit(ctx), receiver.url)
    await dataset(ctx)
    await events.sweep(ctx)
    event = await ctx.db.rule_events.find_one({})
    since = (event["at"] - EPOCH + later).total_seconds()
    await ctx.db.notification_rules.update_one({}, {"$set": {"since": since}})
    assert await told(ctx, receiver) == titles


async def test_a_second_end_is_told_again(ctx: Context, receiver: Poster) -> None:
    await rule(ctx, await visit(ctx), receiver.url)
    dataset_id = await dataset(ctx)
    assert await told(ctx, receiver) == ["dataset 1 ended in errors"]
    await ctx.db.datasets.update_one({"dataset_id": dataset_id}, {"$set": {"status": "processing"}})
    assert await told(ctx, receiver) == []
    await datasets.set_status(ctx, dataset_id, "errors")
    assert await told(ctx, receiver) == ["dataset 1 ended in errors"]


async def test_sites(ctx: Context, receiver: Poster) -> None:
    await rule(ctx, await visit(ctx, "root", "admin"), receiver.url, "site_quarantined")
    await quarantine.put(ctx, "site", "NPX", {"reason": "no disk"}, "root")
    await quarantine.put(ctx, "host", "n1", {"reason": "no disk"}, "root")
    assert "unlogged" not in str(await quarantine.listed(ctx))
    assert await told(ctx, receiver) == ["site NPX is quarantined by root"]


async def _ended(ctx: Context, number: int, outcome: Outcome) -> None:
    entry = Entry(name="nightly", action="test", owner="ada", start=0, next_time=0, created=utc(),
                  modified=utc())
    made = await acquisitions.begin(ctx, entry, Pending(task_id=number, time=0, until=0.0), "local", 0.0)
    assert made is not None
    await acquisitions.finish(ctx, made, outcome)


async def test_runs_of_the_schedule(ctx: Context, receiver: Poster) -> None:
    await rule(ctx, await visit(ctx), receiver.url, "schedule_run_failed")
    await rule(ctx, await visit(ctx, "bob"), receiver.url, "schedule_run_failed")
    await _ended(ctx, 1, Outcome())
    await _ended(ctx, 2, failure("no tape"))
    await _ended(ctx, 3, Outcome(Status.FAILURE, "stopped by ada", is_stopped=True))
    assert await told(ctx, receiver) == ["run 2 of nightly failed"]


async def test_alerts(ctx: Context, receiver: Poster, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path / "none")
    (tmp_path / "none").write_text("")  # a folder that cannot be written
    admin = await visit(ctx, "root", "admin")
    await rule(ctx, admin, receiver.url, "alert_held", filters={"streams": ["gold*"]})
    await rule(ctx, admin, receiver.url, "dead_letter")
    for stream, replay in (("gold", ""), ("bronze", ""), ("gold", "night")):
        alert = await arriving.take_in(ctx, arrival(event_bytes(len(stream)), replay, stream=stream))
        await advance.advance(ctx, alert.alert_id)
        revision, = await revisions.of_alert(ctx, alert.alert_id)
        await runs.stop(ctx, revision.scan_id, runs.Phase.FAILED, "no pixel")
        await ctx.db.manifests.update_one({"scan_id": revision.scan_id}, {"$set": {"is_deleted": True}})
        await advance.advance(ctx, alert.alert_id)
    assert await told(ctx, receiver) == ["TEST: alert run 7 event 11 is held"]
    row = {"notice_id": "", "alert_id": alert.alert_id, "text": "x", "title": "x"}
    await outbox._OUTBOX.put(ctx, "a.folder", "gone", **row)
    await outbox.deliver(ctx)
    assert await told(ctx, receiver) == ["gone did not take a notice of run 7 event 11"]


async def test_watch_lists(ctx: Context, receiver: Poster) -> None:
    ada, bob, eve = [await visit(ctx, name) for name in ("ada", "bob", "eve")]
    for who in (ada, bob, eve):
        await rule(ctx, who, receiver.url, "watched_request", name=who.username)
    group = await ctx.db.desk_groups.find_one({"name": "users"})
    row: dict[str, Any] = {
        "_id": 5, "obj_id": "ZTF1", "group_id": group["_id"], "target_group_ids": [], "requester_id": 99,
        "watchers": [], "phase": "open", "status": "submitted", "created_at": now(), "modified": now()}
    await ctx.db.desk_followup_requests.insert_one(row)
    for who in (ada, bob):
        visitor = await people.of_user(ctx, who.user_id)
        await watching.begin(ctx, visitor, 5)
    await ctx.db.desk_users.update_one({"username": "bob"}, {"$set": {"claimed_groups": []}})  # he left
    await rows.move(ctx, 5, Answer("observing", Phase.OPEN))
    assert await told(ctx, receiver) == []
    moved = await rows.move(ctx, 5, Answer("complete", Phase.DONE))
    assert moved is not None
    assert "unlogged" not in rows.shown(moved)
    await run(ctx)
    body, = [json.loads(post.body) for post in receiver.got]
    assert (body["rule"], body["subject"]) == ("ada", "request 5 on ZTF1 is done")
    assert "bob" not in str(body), "who else watches is nobody's business"
    receiver.got.clear()
    await rows.move(ctx, 5, Answer("complete", Phase.DONE))  # the facility says it once more
    assert await told(ctx, receiver) == []


@pytest.mark.parametrize("topic", TOPICS.values(), ids=list(TOPICS))
def test_whatever_is_written_has_words(topic: topics.Topic) -> None:
    assert topics.find(topic.name) is topic
    assert topic.many.split()[-1]


async def test_rules_made_later_do_not_tell_of_before(ctx: Context, receiver: Poster) -> None:
    await dataset(ctx)
    await rule(ctx, await visit(ctx), receiver.url)
    assert await told(ctx, receiver) == []
    assert len(await rules.for_topic(ctx, "dataset_errors")) == 1
