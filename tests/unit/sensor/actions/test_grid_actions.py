"""Runs that the grid works on: begun once, followed by any server, closed when the work has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from iceprod.tokens import Caller
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanMetadata, ScanResult
from scanner.maps.skymap import SkyMap
from server.common.errors import BadRequest, Conflict, Forbidden, NotFound
from server.production.datasets import datasets
from server.production.datasets.datasets import NewDataset
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.people import groups
from server.production.submission import materialisation
from server.production.tasks import bulk, completion
from server.production.tasks.bulk import Selection
from server.rest.context import Context
from server.scans.manifests import manifests
from server.scans.results import maps, results
from server.scans.run.creation import create_scan
from server.sensor.acquisitions import acquisitions
from server.sensor.acquisitions.outcomes import Status
from server.sensor.actions import actions, canary, scan_runs
from server.sensor.clock import asking, scheduler
from server.sensor.clock.scheduler import HOLD_SECONDS, Scheduler
from server.sensor.common import grid_priority
from server.sensor.common.errors import FieldErrors
from server.sensor.schedule import entries
from tests.support.scans import made_up_map, scan_body
from tests.unit.sensor.conftest import T0, Clock, Sensor

ADMIN = Caller("root", frozenset({"admin"}))
USER = Caller("ann", frozenset({"user"}), ("users",))
CONFIG = {"version": 3.2, "description": "c", "tasks": [
    {"name": "gen", "requirements": {"memory": 2}, "trays": [{"modules": [{"src": "a.py"}]}]}]}
RESCAN = {"reco_algo": "track_mpe", "nsides": {"2": 0, "8": 4}, "request_clusters": {"local": 1},
          "real_or_simulated_event": "simulated"}


@pytest.fixture
async def template(ctx: Context) -> str:
    name = "submit_dataset:nightly"
    await actions.store(ctx, ADMIN, name, {"config": CONFIG, "description": "nightly", "jobs_submitted": 2})
    return name


async def dataset_of(sensor_: Sensor) -> dict[str, Any]:
    run = (await sensor_.runs())[-1]
    return await datasets.get(sensor_.ctx, run.grid["dataset_id"])


async def do_tasks(ctx: Context) -> None:
    while claimed := await leases.claim(ctx, Claim({"cpu": 8, "memory": 64.0, "disk": 64.0, "time": 48.0})):
        for task in claimed:
            await ends.complete(ctx, task["task_id"], task["instance_id"])


async def test_a_dataset_is_submitted_and_its_end_closes_the_run(sensor_: Sensor, template: str) -> None:
    await sensor_.make(action=template, priority=0)
    await sensor_.at(T0, T0 + 3)
    run, = await sensor_.runs()
    dataset = await dataset_of(sensor_)
    assert (run.status, run.kind) == (Status.IN_PROGRESS, "grid")
    assert (dataset["username"], dataset["jobs_submitted"], dataset["priority"]) == ("alice", 2, 1.0)
    await materialisation.buffer(sensor_.ctx)
    await do_tasks(sensor_.ctx)
    await sensor_.at(T0 + 6)
    run, = await sensor_.runs()
    assert (run.status, "2 jobs complete" in run.detail) == (Status.SUCCESS, True)
    summary = msgspec.json.decode(await acquisitions.data_of(sensor_.ctx, run))
    assert summary["jobs"]["complete"] == 2
    assert run.metadata["global"]["grid:dataset_id"] == dataset["dataset_id"]


async def test_another_server_follows_what_one_began(sensor_: Sensor, template: str) -> None:
    """The work goes on when the server that began it is gone, and nothing is begun twice."""
    await sensor_.make(action=template)
    await sensor_.at(T0)
    await materialisation.buffer(sensor_.ctx)
    await do_tasks(sensor_.ctx)
    clock = Clock(T0 + 2)
    other = Scheduler(replace(sensor_.ctx, server_id="other"), clock)
    await other.tick()
    await other.settle()
    assert [run.status for run in await sensor_.runs()] == [Status.SUCCESS]


async def test_a_beginning_that_was_cut_short_is_repeated_and_makes_one_dataset(
        sensor_: Sensor, template: str) -> None:
    await sensor_.make(action=template)
    await sensor_.at(T0)
    run, = await sensor_.runs()
    await sensor_.ctx.db.acquisitions.update_one({"_id": run.id}, {"$set": {"grid": {}}})
    await sensor_.at(T0 + 10)
    assert not (await sensor_.runs())[0].grid, "its server may be alive"
    await sensor_.at(T0 + HOLD_SECONDS + 10)
    assert (await sensor_.runs())[0].grid == run.grid
    assert await sensor_.ctx.db.datasets.count_documents({}) == 1


async def test_failed_jobs_fail_the_run(sensor_: Sensor, template: str) -> None:
    await sensor_.make(action=template)
    await sensor_.at(T0)
    dataset = await dataset_of(sensor_)
    await materialisation.buffer(sensor_.ctx)
    of_it = {"dataset_id": dataset["dataset_id"]}
    await sensor_.ctx.db.tasks.update_many(of_it, {"$set": {"status": "failed"}})
    async for job in sensor_.ctx.db.jobs.find(of_it):
        await completion.settle_jobs(sensor_.ctx, {job["job_id"]: dataset["dataset_id"]})
    await sensor_.at(T0 + 3)
    run, = await sensor_.runs()
    assert (run.status, "2 of 2 jobs failed" in run.detail) == (Status.FAILURE, True)


async def test_stopping_a_run_suspends_its_dataset(sensor_: Sensor, template: str) -> None:
    await sensor_.make(action=template)
    await sensor_.at(T0)
    await scheduler.stop_runs(sensor_.ctx, "e", "stopped by alice")
    assert (await dataset_of(sensor_))["status"] == "suspended"
    await bulk.reset_tasks(sensor_.ctx, Selection((await dataset_of(sensor_))["dataset_id"]))
    await sensor_.at(T0 + 10)
    assert [run.status for run in await sensor_.runs()] == [Status.FAILURE]


# -- scans


async def finish_scan(ctx: Context, scan_id: str) -> None:
    result = ScanResult(made_up_map("2:0,8:4"), ScanMetadata(7, 0, "neutrino"), complete=True)
    await results.put(ctx, scan_id, maps.result_text(result), True)


async def test_recent_events_are_scanned_again_and_their_maps_are_the_data(sensor_: Sensor) -> None:
    ctx = sensor_.ctx
    await actions.store(ctx, ADMIN, "rescan_event:gold", {**RESCAN, "classifiers": {"gold": True}})
    chosen = await create_scan(ctx, scan_body(classifiers={"gold": True}), "carol")
    await create_scan(ctx, scan_body(), "carol")
    await sensor_.make(action="rescan_event:gold", interval=3600)
    await sensor_.at(T0)
    run, = await sensor_.runs()
    scan_id, = run.grid["scan_ids"]
    manifest = await manifests.read(ctx, scan_id)
    assert manifest.i3_event_id == chosen.i3_event_id
    await sensor_.at(T0 + 3)
    await finish_scan(ctx, scan_id)
    await sensor_.at(T0 + 6)
    run, = await sensor_.runs()
    assert run.status is Status.SUCCESS
    parts = run.metadata["annotations"]
    numbers = np.frombuffer(await acquisitions.data_of(ctx, run), "<f4")
    ends_ = [(part["core:sample_start"] + part["core:sample_count"], part["grid:pixels"]) for part in parts]
    probability = sum(numbers[end - count:end].sum() for end, count in ends_)
    assert probability == pytest.approx(1, abs=1e-4)
    assert {part["grid:scan_id"] for part in parts} == {scan_id}
    assert run.metadata["global"]["grid:scan_id"] == scan_id
    await sensor_.at(T0 + 3600)
    assert len((await sensor_.runs())[-1].grid["scan_ids"]) == 1, "its own scans are no new events"


def test_the_samples_hold_the_map() -> None:
    result = ScanResult(made_up_map("2:0,8:4"), ScanMetadata(7, 0, "neutrino"), complete=True)
    skymap = SkyMap.from_results(result.pixels)
    made = scan_runs.samples([("one", result)])
    numbers = np.frombuffer(made.data, "<f4")
    pixels = {}
    for part in made.annotations:
        count = part["grid:pixels"]
        block = numbers[part["core:sample_start"]:part["core:sample_start"] + part["core:sample_count"]]
        number = block[:count].astype(int) * 4096 + block[count:2 * count].astype(int)
        pixels |= {(part["grid:nside"], int(n)): p for n, p in zip(number, block[2 * count:], strict=True)}
    cells = Posterior.of(skymap, default_levels("")).cells
    assert pixels.keys() == {(1 << int(o), int(n)) for o, n in zip(cells.order, cells.nested, strict=True)}
    assert sum(pixels.values()) == pytest.approx(1, rel=1e-5)
    best = max(pixels, key=lambda key: pixels[key] * key[0] ** 2)
    at = np.argmin(skymap.llh)
    assert best == (1 << int(skymap.order[at]), int(skymap.nested[at]))


async def test_without_an_event_there_is_nothing_to_do(sensor_: Sensor) -> None:
    await actions.store(sensor_.ctx, ADMIN, "rescan_event:gold", {**RESCAN, "classifiers": {"gold": True}})
    await sensor_.make(action="rescan_event:gold")
    await sensor_.at(T0)
    run, = await sensor_.runs()
    assert (run.status, run.size) == (Status.SKIPPED, 0)
    with pytest.raises(NotFound):
        await acquisitions.data_of(sensor_.ctx, run)


async def test_scans_are_made_once_even_when_the_beginning_is_repeated(sensor_: Sensor) -> None:
    ctx = sensor_.ctx
    await actions.store(ctx, ADMIN, "rescan_event:all", RESCAN)
    await create_scan(ctx, scan_body(), "carol")
    await sensor_.make(action="rescan_event:all")
    await sensor_.at(T0)
    run, = await sensor_.runs()
    await ctx.db.acquisitions.update_one({"_id": run.id}, {"$set": {"grid": {}}})
    await sensor_.at(T0 + HOLD_SECONDS + 1)
    assert (await sensor_.runs())[0].grid == run.grid
    assert await ctx.db.manifests.count_documents({}) == 2


async def test_a_deleted_scan_fails_its_run_and_a_stopped_run_deletes_its_scan(sensor_: Sensor) -> None:
    ctx = sensor_.ctx
    await actions.store(ctx, ADMIN, "rescan_event:all", RESCAN)
    await create_scan(ctx, scan_body(), "carol")
    await sensor_.make(action="rescan_event:all", interval=10)
    await sensor_.at(T0)
    first = (await sensor_.runs())[0].grid["scan_ids"][0]
    await manifests.mark_deleted(ctx, first)
    await sensor_.at(T0 + 3, T0 + 10)
    run, second = await sensor_.runs()
    assert (run.status, "deleted" in run.detail) == (Status.FAILURE, True)
    await scheduler.stop_runs(ctx, "e", "stopped")
    assert (await manifests.read(ctx, second.grid["scan_ids"][0])).is_deleted


@pytest.mark.parametrize("is_right", [True, False])
async def test_the_canary_knows_a_wrong_map(sensor_: Sensor, is_right: bool) -> None:
    ctx = sensor_.ctx
    event = (await create_scan(ctx, scan_body(), "carol")).i3_event_id
    best = SkyMap.from_results(made_up_map("2:0,8:4")).best_fit
    await ctx.db.schedule_notes.insert_one({
        "_id": canary._EVENT, "i3_event_id": event, "ra_deg": best.ra_deg + (0.5 if is_right else 90),
        "dec_deg": best.dec_deg})
    await sensor_.make(action="canary_scan")
    await sensor_.at(T0)
    await finish_scan(ctx, (await sensor_.runs())[0].grid["scan_ids"][0])
    await sensor_.at(T0 + 3)
    run, = await sensor_.runs()
    assert run.status is (Status.SUCCESS if is_right else Status.FAILURE)
    assert "from the truth" in run.detail


async def test_a_benchmark_is_a_table_of_hosts(sensor_: Sensor) -> None:
    ctx = sensor_.ctx
    event = (await create_scan(ctx, scan_body(), "carol")).i3_event_id
    await ctx.db.schedule_notes.insert_one({
        "_id": canary._EVENT, "i3_event_id": event, "ra_deg": 0.0, "dec_deg": 0.0})
    await sensor_.make(action="benchmark/track_mpe")
    await sensor_.at(T0)
    scan_id, = (await sensor_.runs())[0].grid["scan_ids"]
    for seq, (host, count, seconds) in enumerate((("fast", 10, 1.0), ("slow", 10, 5.0), ("fast", 30, 3.0))):
        await ctx.db.pixel_batches.insert_one({
            "scan_id": scan_id, "seq": seq, "task_id": str(seq), "done": True, "host": host, "count": count,
            "seconds": seconds, "cpu_seconds": seconds / 2})
    await finish_scan(ctx, scan_id)
    await sensor_.at(T0 + 3)
    run, = await sensor_.runs()
    table = np.frombuffer(await acquisitions.data_of(ctx, run), "<f8").reshape(-1, 3)
    assert table.tolist() == [[40, 4, 2], [10, 5, 2.5]]
    assert [part["core:label"] for part in run.metadata["annotations"]] == ["fast", "slow"]
    assert run.metadata["global"]["core:datatype"] == "rf64_le"
    assert "slow 500 ms per pixel" in run.detail


def test_separations() -> None:
    assert canary.separation_deg(10, 0, 370, 0) == pytest.approx(0)
    assert canary.separation_deg(0, 90, 180, 90) == pytest.approx(0, abs=1e-12)
    assert canary.separation_deg(0, -30, 180, 30) == pytest.approx(180)
    assert canary.separation_deg(0, 60, 0.001, 60) == pytest.approx(0.0005, rel=1e-6)


# -- stored actions


@pytest.mark.parametrize(("name", "arguments", "text"), [
    ("submit_dataset:x", {"config": {}, "description": "d"}, "config"),
    ("submit_dataset:x", {"config": CONFIG}, "description"),
    ("submit_dataset:x", {"config": CONFIG, "description": "d", "jobs_submitted": 0}, "jobs_submitted"),
    ("submit_dataset:x", {"config": CONFIG, "description": "d", "group": "nobody"}, "no group 'nobody'"),
    ("submit_dataset:", {"config": CONFIG, "description": "d"}, "name"),
    ("submit_dataset:a b", {"config": CONFIG, "description": "d"}, "name"),
    ("unknown:x", {}, "submit_dataset"), ("logger", {}, "kind"),
    ("rescan_event:x", {**RESCAN, "nsides": {"3": 0}}, "nsides"),
    ("rescan_event:x", {**RESCAN, "hours": 0}, "hours"),
    ("rescan_event:x", {**RESCAN, "nonsense": 1}, "nonsense")])
async def test_refused_actions(ctx: Context, name: str, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        await actions.store(ctx, ADMIN, name, arguments)
    assert await ctx.db.schedule_actions.count_documents({}) == 0


async def test_an_action_that_an_entry_names_stays(sensor_: Sensor, template: str) -> None:
    await sensor_.make(action=template)
    with pytest.raises(Conflict, match="e "):
        await actions.remove_stored(sensor_.ctx, template)
    await entries.delete(sensor_.ctx, "e", [], await sensor_.entry())
    await actions.remove_stored(sensor_.ctx, template)
    assert await actions.find(sensor_.ctx, template) is None


def test_priorities_turn_round() -> None:
    assert [grid_priority.of_dataset(p) for p in (-40, -20, 0, 10, 20, 99)] == [2.0, 2.0, 1.0, 0.5, 0.0, 0.0]
    assert [grid_priority.of_scan(p) for p in (-32768, 0, 10, 11, 32767)] == [99, 10, 0, -1, -99]


# -- whose names they are


async def stored(ctx: Context, **arguments: Any) -> str:
    name = "submit_dataset:theirs"
    await actions.store(ctx, ADMIN, name, {"config": CONFIG, "description": "d", **arguments})
    return name


async def test_only_members_schedule_a_dataset_of_a_group(ctx: Context) -> None:
    body = {"name": "mine", "action": await stored(ctx, group="simprod"), "interval": 60}
    with pytest.raises(FieldErrors, match="not a member of selected group"):
        await asking.create(ctx, USER, body)
    own = {"name": "own", "action": "logger"}
    await asking.create(ctx, USER, own)
    with pytest.raises(FieldErrors, match="not a member of selected group"):
        await asking.change(ctx, USER, "own", {"action": body["action"]})
    member = replace(USER, groups=("users", "simprod"))
    assert (await asking.create(ctx, member, body)).entry.owner == "ann"


async def test_a_scheduled_action_does_not_move_to_another_group(ctx: Context) -> None:
    name = await stored(ctx)
    await asking.create(ctx, USER, {"name": "mine", "action": name})
    await stored(ctx, description="other words")
    with pytest.raises(Conflict, match="mine has this action"):
        await stored(ctx, group="simprod")


async def test_only_readers_schedule_what_depends_on_a_dataset(ctx: Context) -> None:
    new = NewDataset("test", "simprod", 1, 1, 1, username="bob", auth_groups_read=())
    dataset = await datasets.create_dataset(ctx, new)
    task = {**CONFIG["tasks"][0], "depends": [f"{dataset}:gen"]}
    name = await stored(ctx, config={**CONFIG, "tasks": [task]})
    with pytest.raises(Forbidden, match="no dataset that you may read"):
        await asking.create(ctx, USER, {"name": "mine", "action": name})
    await asking.create(ctx, replace(USER, username="bob"), {"name": "mine", "action": name})


async def test_a_run_for_a_group_that_is_gone_fails(sensor_: Sensor) -> None:
    ctx = sensor_.ctx
    name = await stored(ctx, group="simprod")
    await sensor_.make(action=name)
    await groups.remove_group(ctx, "simprod")
    await sensor_.at(T0)
    run, = await sensor_.runs()
    assert (run.status, run.detail) == (Status.FAILURE, "there is no group 'simprod' any more")
    assert await ctx.db.datasets.count_documents({}) == 0
