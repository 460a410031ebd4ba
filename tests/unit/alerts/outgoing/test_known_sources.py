"""Known sources in a circular's draft: named with class, distance and region, or why there are none."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from server.alerts.common import alerts, revisions
from server.alerts.outgoing import known_sources, notices, outbox
from server.alerts.outgoing.known_sources import Known, Looked, lines
from server.alerts.way import advance, arriving
from server.desk.common.access import Visitor
from server.desk.objects import spatial_catalogs
from server.rest.context import Context
from tests.support.alerts import arrival, event_bytes, finish, finished_map, with_alerts

WHO = Visitor(7, "vera", frozenset({"Upload data"}), frozenset({1}))
GAMMA = ("name,ra,dec,radius,class,association\n4FGL J0800.0+2000,120.5,20,0.1,bll,TXS 0800+200\n"
         "4FGL J0801.0+2600,120.0,26,0.1,,\n4FGL J0700.0+2000,90,20,0.1,fsrq,far away\n"
         "south,120,-60,0.1,bll,x")


def looking(ctx: Context, folder: Path | None, *catalogs: str) -> Context:
    made = with_alerts(ctx, folder)
    changed = msgspec.structs.replace(made.settings.alerts, circular_catalogs=list(catalogs))
    return replace(made, settings=msgspec.structs.replace(made.settings, alerts=changed))


async def test_what_lies_in_the_region(ctx: Context) -> None:
    await spatial_catalogs.add(ctx, WHO, "4FGL-DR4", GAMMA)
    await spatial_catalogs.add(ctx, WHO, "5BZCAT", "name,ra,dec,radius\nfar,0,0,0.1")
    found = await known_sources.near(looking(ctx, None, "4FGL-DR4", "5BZCAT", "RFC"), finished_map(120, 20))
    gamma, blazars, radio = found
    assert gamma.found is not None
    assert [(one.name, one.about, one.in_half) for one in gamma.found] == [
        ("4FGL J0800.0+2000", "bll; TXS 0800+200", True), ("4FGL J0801.0+2600", "", False)]
    assert [one.apart_deg for one in gamma.found] == pytest.approx([0.47, 6.0], abs=0.6)
    assert (blazars.found, radio.found) == ([], None)


async def test_over_the_meridian_and_at_a_pole(ctx: Context) -> None:
    await spatial_catalogs.add(ctx, WHO, "c", "name,ra,dec,radius\na,359.5,0,1\nb,200,89,1\nc,20,88.5,1")
    ctx = looking(ctx, None, "c")
    for place, names in (((0.3, 0.2), ["a"]), ((200.0, 88.8), ["b", "c"])):
        looked, = await known_sources.near(ctx, finished_map(*place, width=2.0))
        assert [one.name for one in looked.found or []] == names


async def test_the_circular_has_them(ctx: Context, tmp_path: Path) -> None:
    await spatial_catalogs.add(ctx, WHO, "4FGL-DR4", GAMMA)
    ctx = looking(ctx, tmp_path, "4FGL-DR4")
    alert = await arriving.take_in(ctx, arrival(event_bytes()))
    await advance.advance(ctx, alert.alert_id)
    revision, = await revisions.of_alert(ctx, alert.alert_id)
    await finish(ctx, revision.scan_id, finished_map(120.0, 20.0))
    await advance.advance(ctx, alert.alert_id)
    await outbox.deliver(ctx)
    notice, = await notices.of_alert(ctx, (await alerts.find(ctx, alert.alert_id)).alert_id)
    assert "  4FGL-DR4:\n    4FGL J0800.0+2000 (bll; TXS 0800+200): 0." in notice.circular
    assert "inside the 50 % region" in notice.circular
    assert "completed by the shifter" not in notice.circular
    assert (tmp_path / f"{notice.file_name}.txt").read_text() == notice.circular
    assert "4FGL" not in json.dumps(notice.document), "the notice itself tells of our measurement alone"


def test_what_is_said_when_there_is_nothing() -> None:
    assert "no catalogue is configured" in lines([])[0]
    assert lines([Looked("RFC", []), Looked("X", None)])[1:] == [
        "  RFC: none",
        "  X: not looked for, since this desk has no catalogue of this name [to be completed by the shifter]"]


def test_many_are_counted() -> None:
    one = Known("a", "", 0.1, True)
    many = [dataclasses.replace(one, name=str(number)) for number in range(25)]
    assert lines([Looked("C", many)])[-1] == "    and 5 more, further away"
