"""An alert's way: what is told, what waits, what a person decides, what comes twice."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import msgspec
import pytest
from astropy.io import fits
from jsonschema import Draft202012Validator

from config.alerts import AlertGate
from server.alerts.common import alerts, revisions
from server.alerts.common.alerts import Alert, Search, State
from server.alerts.common.latency import durations, percentiles
from server.alerts.common.revisions import Fate
from server.alerts.outgoing import notices, outbox
from server.alerts.way import acts, advance, arriving, rehearsals
from server.common.errors import BadRequest, Conflict, NotFound
from server.rest.context import Context
from server.scans.run import deletion
from tests.support import gcn_schema
from tests.support.alerts import arrival, event_bytes, finish, finished_map, with_alerts

NOTICE = {"$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/x/alert.schema.json", "mission": "X",
          "trigger_time": "2026-01-02T03:04:05Z", "event_name": "X-260102A", "ra": 10.0, "dec": 5.0,
          "ra_dec_error": 1.0}


async def scanned(ctx: Context, data: bytes, *maps: tuple[float, float], replay: str = "") -> Alert:
    """An alert whose scans ended with best fits at these places."""
    alert = await arriving.take_in(ctx, arrival(data, replay))
    await advance.advance(ctx, alert.alert_id)
    for number, place in enumerate(maps):
        revision = (await revisions.of_alert(ctx, alert.alert_id))[number]
        await finish(ctx, revision.scan_id, finished_map(*place, reco=revision.step.reco))
        await advance.advance(ctx, alert.alert_id)
    await outbox.deliver(ctx)
    return await alerts.find(ctx, alert.alert_id)


async def test_two_maps_are_told_as_initial_and_update(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path, steps=2)
    alert = await scanned(ctx, event_bytes(), (120.0, 20.0), (120.5, 20.0))
    assert alert.state is State.DONE
    assert alert.event_name == "TEST-IceCube-230225A"
    first, second = (json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json")))
    assert (first["alert_type"], second["alert_type"]) == ("initial", "update")
    assert first["event_name"] == second["event_name"]
    assert first["healpix_file"] != second["healpix_file"]
    for document in (first, second):
        schema = gcn_schema.notice_schema(document["alert_type"], is_test=True)
        Draft202012Validator(schema).validate(document)
    packed = sorted(tmp_path.glob("*.fits.gz"))[0].read_bytes()
    with fits.open(io.BytesIO(gzip.decompress(packed))) as units:
        assert units[1].header["OBJECT"] == alert.event_name
        assert (units[1].header["RECORD"], units[1].header["TENSE"]) == (1, "test")


async def test_incompatible_maps_wait_for_a_person(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path, steps=2, sends_held=True)
    alert = await scanned(ctx, event_bytes(), (120.0, 20.0), (170.0, 20.0))
    assert alert.state is State.HELD
    first, second = await revisions.of_alert(ctx, alert.alert_id)
    assert (first.state, second.state) == (Fate.PUBLISHED, Fate.HELD)
    assert "reconstructions compatible" in second.reason
    told = [row for row in await outbox.listed(ctx) if not row["notice_id"]]
    assert [row["title"] for row in told] == ["held: run 7 event 11"]
    with pytest.raises(NotFound):
        await acts.release(ctx, alert.alert_id, 3, "me")
    await acts.release(ctx, alert.alert_id, 2, "me")
    with pytest.raises(Conflict):
        await acts.release(ctx, alert.alert_id, 2, "me")
    await advance.advance(ctx, alert.alert_id)
    await outbox.deliver(ctx)
    said = await notices.of_alert(ctx, alert.alert_id)
    assert [(one.alert_type, one.by) for one in said] == [("initial", ""), ("update", "me")]
    found = await alerts.find(ctx, alert.alert_id)
    assert found.state is State.DONE
    assert [act["what"] for act in found.acts] == ["released revision 2"]


async def test_dismissing(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path, gate=AlertGate(max_area_deg2=1.0))
    alert = await scanned(ctx, event_bytes(), (120.0, 20.0))
    assert alert.state is State.HELD
    with pytest.raises(BadRequest, match="reason"):
        await acts.dismiss(ctx, alert.alert_id, " ", "me")
    with pytest.raises(Conflict, match="nothing of this alert was published"):
        await acts.retract(ctx, alert.alert_id, "why", "me")
    await acts.dismiss(ctx, alert.alert_id, "a bundle of muons", "me")
    with pytest.raises(Conflict):
        await acts.release(ctx, alert.alert_id, 1, "me")
    await advance.advance(ctx, alert.alert_id)
    assert not list(tmp_path.glob("*.json"))
    assert (await alerts.find(ctx, alert.alert_id)).state is State.DISMISSED


async def test_without_a_target_nothing_is_told_until_there_is_one(ctx: Context, tmp_path: Path) -> None:
    quiet = with_alerts(ctx)
    alert = await scanned(quiet, event_bytes(), (120.0, 20.0))
    revision, = await revisions.of_alert(ctx, alert.alert_id)
    assert (alert.state, revision.state) == (State.DONE, Fate.QUIET)
    assert await notices.listed(ctx, "", 0, 10) == []
    with pytest.raises(Conflict, match="no target"):
        await acts.release(quiet, alert.alert_id, 1, "me")
    there = with_alerts(ctx, tmp_path)
    await acts.release(there, alert.alert_id, 1, "me")
    await advance.advance(there, alert.alert_id)
    await outbox.deliver(there)
    assert len(list(tmp_path.glob("*.json"))) == 1


async def test_a_retracted_alert_is_told_no_further(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path, steps=2)
    alert = await scanned(ctx, event_bytes(), (120.0, 20.0))
    await acts.retract(ctx, alert.alert_id, "a flasher run", "me")
    second = (await revisions.of_alert(ctx, alert.alert_id))[1]
    await finish(ctx, second.scan_id, finished_map())
    await advance.advance(ctx, alert.alert_id)
    await outbox.deliver(ctx)
    kinds = [json.loads(path.read_text())["alert_type"] for path in sorted(tmp_path.glob("*.json"))]
    assert kinds == ["initial", "retraction"]


async def test_the_same_content_counts_once_whatever_its_bytes_and_way(ctx: Context) -> None:
    ctx = with_alerts(ctx)
    first = await arriving.take_in(ctx, arrival(event_bytes(), source="kafka", stream="a"))
    again = await arriving.take_in(ctx, arrival(event_bytes(), source="zeromq", stream="a"))
    assert again.alert_id == first.alert_id
    assert [one.source for one in again.origins] == ["kafka", "zeromq"]
    other = json.dumps(json.loads(event_bytes()), indent=2).encode()
    twin = await arriving.take_in(ctx, arrival(other, source="folder"))
    assert (twin.state, twin.duplicate_of) == (State.DUPLICATE, first.alert_id)
    assert len([row async for row in ctx.db.alert_revisions.find({})]) == 1


async def test_a_notice_becomes_an_event_on_the_desk(ctx: Context) -> None:
    alert = await arriving.take_in(ctx, arrival(json.dumps(NOTICE).encode()))
    assert (alert.state, alert.title, alert.stream) == (State.TOLD, "X-260102A", "X")
    event = await ctx.db.desk_gcn_events.find_one({})
    assert event["aliases"] == ["X-260102A"]
    assert (await ctx.db.desk_localizations.find_one({}))["name"] == alert.localization


async def test_what_cannot_be_read_is_kept_with_the_reason(ctx: Context) -> None:
    alert = await arriving.take_in(ctx, arrival(b"hello"))
    assert alert.state is State.REFUSED
    assert await alerts.message_of(ctx, alert) == b"hello"
    found, = await alerts.listed(ctx, Search("refused", text="NEITHER"), 0, 10)
    assert found.alert_id == alert.alert_id


async def test_a_scan_that_ends_without_a_map_waits_for_a_person(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path)
    alert = await arriving.take_in(ctx, arrival(event_bytes()))
    await advance.advance(ctx, alert.alert_id)
    revision, = await revisions.of_alert(ctx, alert.alert_id)
    await deletion.delete(ctx, revision.scan_id, completed_too=False)
    await advance.advance(ctx, alert.alert_id)
    revision, = await revisions.of_alert(ctx, alert.alert_id)
    assert revision.state is Fate.HELD
    assert "there is no map" in revision.reason
    with pytest.raises(Conflict, match="no map"):
        await acts.release(ctx, alert.alert_id, 1, "me")


async def test_the_report_of_a_rehearsal(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path)
    await scanned(ctx, event_bytes(), (120.0, 20.0), replay="night")
    await arriving.take_in(ctx, arrival(json.dumps(NOTICE).encode(), "night"))
    assert await ctx.db.desk_gcn_events.find_one({}) is None, "a rehearsal tells the desk nothing"
    report = await rehearsals.report(ctx, "night")
    assert report["states"] == {"told": 1, "done": 1}
    assert report["gate"]["fit converged"] == {"passed": 1, "failed": 0}
    event = report["events"][0]
    assert event["revisions"][0]["to_truth_deg"] > 1
    assert msgspec.json.encode(report)
    assert [row["replay"] for row in await rehearsals.listed(ctx)] == ["night"]
    with pytest.raises(NotFound):
        await rehearsals.report(ctx, "")


async def test_advancing_all_notes_when_it_was_published(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path)
    alert = await scanned(ctx, event_bytes(), (120.0, 20.0))
    await advance.advance_all(ctx)
    seconds = durations(await alerts.find(ctx, alert.alert_id))
    assert 0 <= seconds["stored"] < seconds["final_map"] < seconds["published"]


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p90": 3.0, "p99": 3.0}


async def test_however_many_wait_a_new_alert_is_read(ctx: Context, tmp_path: Path) -> None:
    ctx = with_alerts(ctx, tmp_path)
    stuck = [{"_id": f"stuck-{number}", "stream": "", "blob": "gone", "size": 1, "origins": [],
              "received": float(number), "stored": float(number), "state": state, "replay": ""}
             for number, state in enumerate(["received"] * 150 + ["working"] * 150)]
    await ctx.db.alerts.insert_many(stuck)
    fresh = await alerts.arrive(ctx, arrival(event_bytes()))
    await advance.advance_all(ctx)
    assert (await alerts.find(ctx, fresh.alert_id)).state is State.WORKING


async def test_who_is_told_while_somebody_retracts_hears_of_that_too(
        ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = with_alerts(ctx, tmp_path)
    usual, retracted = outbox.add, list[Alert]()

    async def add(ctx: Context, notice: notices.Notice, targets: list[str]) -> None:
        if not retracted:
            retracted.append(await alerts.find(ctx, notice.alert_id))
            await acts.retract(ctx, notice.alert_id, "a mistake", "ada")
        await usual(ctx, notice, targets)

    monkeypatch.setattr(outbox, "add", add)
    alert = await scanned(ctx, event_bytes(), (120.0, 20.0))
    assert retracted
    assert alert.state is State.RETRACTED
    told = [json.loads(path.read_text())["alert_type"] for path in sorted(tmp_path.glob("*.json"))]
    assert told == ["initial", "retraction"]
