"""Maps that notices only link to: fetched when wanted, again when late, never from inside."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.alerts.common import alerts
from server.alerts.common.alerts import Alert, MapState, State
from server.alerts.way import arriving, linked_maps
from server.common.errors import BadRequest, NotFound
from server.desk.maps import localizations
from server.rest.context import Context
from tests.support.alerts import Crash, Dying, arrival, with_alerts
from tests.support.storage.secure import Answer, Site, secure_site
from tests.unit.alerts.incoming.test_reading import sky_map

NOTICE = {"$schema": "https://gcn.nasa.gov/schema/v7.2.1/gcn/notices/x/alert.schema.json", "mission": "X",
          "trigger_time": "2026-01-02T03:04:05Z", "event_name": "X-260102A", "ra": 10.0, "dec": 5.0,
          "ra_dec_error": 1.0}
MAP = sky_map()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with secure_site(tmp_path, monkeypatch) as made:
        yield made


def fetching(ctx: Context, *hosts: str, **more: Any) -> Context:
    made = with_alerts(ctx)
    changed = msgspec.structs.replace(
        made.settings.alerts, **{"fetch_maps": True, "map_hosts": list(hosts), **more})
    return replace(made, settings=msgspec.structs.replace(made.settings, alerts=changed))


async def came(ctx: Context, url: object, **more: Any) -> Alert:
    return await arriving.take_in(ctx, arrival(json.dumps({**NOTICE, "healpix_url": url, **more}).encode()))


async def tried(ctx: Context, alert: Alert) -> Alert:
    """The alert after its map was asked for once."""
    await ctx.db.alerts.update_one({"_id": alert.alert_id}, {"$set": {"linked.due": 0.0}})
    assert await linked_maps.fetch_next(ctx)
    return await alerts.find(ctx, alert.alert_id)


async def test_the_map_takes_the_cones_place(ctx: Context, site: Site) -> None:
    site.answers["/map.fits"] = Answer(MAP)
    ctx = fetching(ctx, site.host)
    alert = await came(ctx, site.url("/map.fits"))
    assert (alert.state, alert.localization[:8]) == (State.TOLD, "10.00000"), "the cone is there at once"
    await linked_maps.fetch_all(ctx)
    found = await alerts.find(ctx, alert.alert_id)
    assert found.linked is not None
    assert (found.linked.state, found.linked.reason, found.localization) == (MapState.KEPT, "", "X-260102A")
    event = await ctx.db.desk_gcn_events.find_one({})
    newest = await localizations.find(ctx, event["dateobs"], None)
    assert newest["name"] == "X-260102A"
    assert newest["area_90"] > 30_000, "of the whole sky"
    assert not await linked_maps.fetch_next(ctx), "once is enough"


async def test_by_default_nobody_is_asked(ctx: Context, site: Site) -> None:
    site.answers["/map.fits"] = Answer(MAP)
    ctx = with_alerts(ctx)
    assert not ctx.settings.alerts.fetch_maps
    alert = await came(ctx, site.url("/map.fits"))
    assert alert.linked is not None
    assert (alert.linked.state, "alerts.fetch_maps" in alert.linked.reason) == (MapState.OFF, True)
    assert not await linked_maps.fetch_next(ctx)
    with pytest.raises(BadRequest, match="fetch_maps"):
        await linked_maps.again(ctx, alert.alert_id)
    assert site.asked == []
    there = fetching(ctx, site.host)  # an administrator switches it on
    await linked_maps.again(there, alert.alert_id)
    await linked_maps.fetch_all(there)
    assert (await alerts.find(ctx, alert.alert_id)).localization == "X-260102A"


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/latest/meta-data", "https://127.0.0.1:8080/alerts", "file:///etc/passwd",
    "https://maps.example.org@10.0.0.1/x",
])  # fmt: skip
async def test_links_into_our_network_are_refused_at_once(ctx: Context, url: str) -> None:
    ctx = fetching(ctx, "maps.example.org")
    alert = await came(ctx, url)
    assert alert.state is State.TOLD, "the notice itself is good"
    assert alert.linked is not None
    assert alert.linked.state is MapState.FAILED
    assert not await linked_maps.fetch_next(ctx)


async def test_a_map_that_comes_late_is_asked_for_again(ctx: Context, site: Site) -> None:
    ctx = fetching(ctx, site.host)
    alert = await tried(ctx, await came(ctx, site.url("/late.fits")))
    assert alert.linked is not None
    assert (alert.linked.state, alert.linked.reason) == (MapState.WAITING, "answers HTTP 404")
    assert 20 < alert.linked.due - time.time() < 40
    assert not await linked_maps.fetch_next(ctx), "only after its pause"
    site.answers["/late.fits"] = Answer(b"<html>soon</html>")
    alert = await tried(ctx, alert)
    assert alert.linked is not None
    assert (alert.linked.tries, "FITS" in alert.linked.reason) == (2, True)
    site.answers["/late.fits"] = Answer(MAP)
    alert = await tried(ctx, alert)
    assert alert.linked is not None
    assert alert.linked.state is MapState.KEPT


async def test_it_ends_after_some_tries_until_somebody_asks(ctx: Context, site: Site) -> None:
    ctx = fetching(ctx, site.host)
    alert = await came(ctx, site.url("/never.fits"))
    for _ in range(linked_maps.MOST_TRIES):
        alert = await tried(ctx, alert)
    assert alert.linked is not None
    assert (alert.linked.state, alert.linked.reason) == (
        MapState.FAILED, "given up after 8 tries: answers HTTP 404")
    assert not await linked_maps.fetch_next(ctx)
    site.answers["/never.fits"] = Answer(MAP)
    await linked_maps.again(ctx, alert.alert_id)
    await linked_maps.fetch_all(ctx)
    assert (await alerts.find(ctx, alert.alert_id)).localization == "X-260102A"


async def test_too_large_is_not_asked_for_again(ctx: Context, site: Site) -> None:
    site.answers["/big.fits"] = Answer(MAP + bytes(1 << 20))
    ctx = fetching(ctx, site.host, map_max_mb=1)
    alert = await tried(ctx, await came(ctx, site.url("/big.fits")))
    assert alert.linked is not None
    assert (alert.linked.state, alert.linked.reason) == (MapState.FAILED, "sends more than 1 MB")


async def test_a_later_notice_is_not_hidden_by_an_older_map(ctx: Context, site: Site) -> None:
    site.answers["/map.fits"] = Answer(MAP)
    ctx = fetching(ctx, site.host)
    first = await came(ctx, site.url("/map.fits"))
    await came(ctx, "", ra=11.0, alert_type="update")
    first = await tried(ctx, first)
    assert first.linked is not None
    assert first.linked.state is MapState.SUPERSEDED
    assert site.asked == []


async def test_an_update_brings_another_map(ctx: Context, site: Site) -> None:
    site.answers |= {"/1.fits": Answer(MAP), "/2.fits": Answer(sky_map(MAPS=2))}
    ctx = fetching(ctx, site.host)
    for number in (1, 2):
        alert = await tried(ctx, await came(ctx, site.url(f"/{number}.fits"), record_number=number))
        assert alert.linked is not None
        assert alert.linked.state is MapState.KEPT, alert.linked


async def test_a_crash_leaves_it_to_the_next_try(ctx: Context, site: Site) -> None:
    site.answers["/map.fits"] = Answer(MAP)
    ctx = fetching(ctx, site.host)
    alert = await came(ctx, site.url("/map.fits"))
    for number in range(1, 30):
        await ctx.db.alerts.update_one(
            {"_id": alert.alert_id}, {"$set": {"linked.state": "waiting", "linked.due": 0.0}})
        try:
            await linked_maps.fetch_next(replace(ctx, db=Dying(ctx.db, number)))  # type: ignore[arg-type]
        except Crash:
            await ctx.db.alerts.update_one({"_id": alert.alert_id}, {"$set": {"linked.due": 0.0}})
            await linked_maps.fetch_next(ctx)
            alert = await alerts.find(ctx, alert.alert_id)
            assert alert.linked is not None
            assert alert.linked.state is MapState.KEPT
        else:
            break
    assert number > 3
    assert await ctx.db.desk_localizations.count_documents({}) == 2, "the cone and the map, each once"


async def test_without_a_link(ctx: Context) -> None:
    alert = await came(fetching(ctx), None)
    assert alert.linked is None
    with pytest.raises(NotFound):
        await linked_maps.again(ctx, alert.alert_id)
    refused = await came(fetching(ctx), 5)
    assert (refused.state, "healpix_url" in refused.reason) == (State.REFUSED, True)


async def test_what_fails_with_one_map_stands_in_no_others_way(
        ctx: Context, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers |= {"/a.fits": Answer(MAP), "/b.fits": Answer(MAP)}
    ctx = fetching(ctx, site.host)
    broken = await came(ctx, site.url("/a.fits"))
    well = await came(ctx, site.url("/b.fits"), trigger_time="2026-01-03T03:04:05Z", event_name="X-260103A")
    usual = linked_maps.fetch_link

    async def fails(address: str, *arguments: Any) -> bytes:
        if address.endswith("/a.fits"):
            raise RuntimeError("nobody thought of this")
        return await usual(address, *arguments)

    monkeypatch.setattr(linked_maps, "fetch_link", fails)
    await linked_maps.fetch_all(ctx)
    found = [(await alerts.find(ctx, one.alert_id)).linked for one in (broken, well)]
    assert [one.state for one in found if one] == [MapState.WAITING, MapState.KEPT]
    assert found[0] is not None
    assert found[0].reason == "RuntimeError: see the server's log"
