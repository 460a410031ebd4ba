"""The list of scans: each event once, in the order asked for, whatever the pages."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from server.common.errors import BadRequest
from server.rest.context import Context
from server.scans.manifests.manifests import Manifest
from server.scans.results import sketches
from server.web.scans import event_rows, scan_lines
from server.web.scans.event_rows import EventRow, Wanted, found_rows
from tests.support.alerts import finish, finished_map

EVENTS = 40


async def make(ctx: Context, scans: int) -> list[dict[str, Any]]:
    """Scans of some events at some times, many at the same; three in four have a sketch."""
    dice = random.Random(5)
    made = []
    for number in range(scans):
        event = dice.randrange(EVENTS)
        row = {"scan_id": f"{number:032x}", "event": event, "timestamp": float(dice.randrange(60)),
               "mjd": 50000.0 + event % 7, "area": float(dice.randrange(9)), "final": bool(number % 4)}
        metadata = {"run_id": event, "event_id": 1, "event_type": "HESE" if event % 2 else "<i>",
                    "mjd": row["mjd"], "is_real_event": False}
        manifest = Manifest(scan_id=row["scan_id"], timestamp=row["timestamp"], event_metadata=metadata)
        await ctx.db.manifests.insert_one(msgspec.to_builtins(manifest) | {"number": number})
        if row["final"]:
            sketch = sketches.Sketch(
                scan_id=row["scan_id"], finished=1.0, reco="track", mjd=row["mjd"], area=row["area"],
                summary={"area_90_deg2": row["area"], "best_fit": {"ra_deg": 1.0, "dec_deg": 2.0}})
            await ctx.db.scan_sketches.insert_one(msgspec.to_builtins(sketch))
        made.append(row)
    return made


async def all_pages(ctx: Context, **wanted: Any) -> list[EventRow]:
    rows: list[EventRow] = []
    after = ""
    for _ in range(100):
        found = await found_rows(ctx, Wanted(**wanted, after=after))
        rows += found.rows
        after = found.next
        if not after:
            return rows
    raise AssertionError("the pages never end")


KEYS = {"newest": lambda row: (-row["timestamp"], -int(row["scan_id"], 16)),
        "event": lambda row: (-row["mjd"], -int(row["scan_id"], 16)),
        "area": lambda row: (row["area"], -int(row["scan_id"], 16))}


@pytest.mark.parametrize("sort", event_rows.SORTS)
@pytest.mark.parametrize("per_page", [3, 30])
async def test_each_event_once_in_order(ctx: Context, monkeypatch: pytest.MonkeyPatch, sort: str,
                                        per_page: int) -> None:
    monkeypatch.setattr(event_rows, "PER_PAGE", per_page)
    made = await make(ctx, 130)
    rows = await all_pages(ctx, sort=sort)
    wanted, seen = [], set()
    for row in sorted((row for row in made if sort == "newest" or row["final"]), key=KEYS[sort]):
        if row["event"] not in seen:
            seen.add(row["event"])
            wanted.append(row["scan_id"])
    assert [row.lead.scan_id for row in rows] == wanted
    for row in rows:
        event = row.lead.manifest.event_metadata
        others = {one["scan_id"] for one in made if one["event"] == event["run_id"]} - {row.lead.scan_id}
        assert {line.scan_id for line in row.scans} == others


async def test_filters(ctx: Context) -> None:
    made = await make(ctx, 80)
    of_stream = await all_pages(ctx, stream="HESE")
    assert {row.lead.manifest.event_metadata["run_id"] for row in of_stream} == {
        row["event"] for row in made if row["event"] % 2}
    final = await all_pages(ctx, state="final", reco="track")
    assert {row.lead.manifest.event_metadata["run_id"] for row in final} == {
        row["event"] for row in made if row["final"]}
    one = await all_pages(ctx, text="3 1")
    assert {row.lead.scan_id for row in one} == {row["scan_id"] for row in made if row["event"] == 3}
    assert all(not row.scans for row in one), "each has its own row"
    assert await all_pages(ctx, reco="nothing") == []


async def test_a_page_looks_at_so_many_only(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_rows, "MOST_LOOKED_AT", 50)
    await make(ctx, 130)
    found = await found_rows(ctx, Wanted(reco="nothing"))
    assert found.rows == []
    assert found.next, "but it says where to go on"


@pytest.mark.parametrize("after", ["x", ",", "1", "nan,a", "1," + "a" * 200, "1,"])
async def test_a_wrong_place_is_refused(ctx: Context, after: str) -> None:
    with pytest.raises(BadRequest, match="after"):
        await found_rows(ctx, Wanted(after=after))


async def test_a_list_reads_no_result(ctx: Context) -> None:
    manifest = Manifest(scan_id="a" * 32, timestamp=5.0)
    await ctx.db.manifests.insert_one(msgspec.to_builtins(manifest))
    await finish(ctx, manifest.scan_id, finished_map())
    await ctx.db.results.update_one({}, {"$set": {"data": b"not to be read"}})
    line, = await scan_lines.lines_of(ctx, [manifest])
    assert scan_lines.kind_of(line.state) == "final"
    assert not line.sketched
