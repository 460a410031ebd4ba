"""Services outside: protocols, limits, faults, and what of them is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pyvo

from config.settings import Catalogs, Settings
from server.common.errors import BadRequest, Forbidden, TooManyRequests
from server.desk.catalogs import catalog_queries, crossmatch, transients
from server.desk.catalogs.crossmatch import CrossmatchBody
from server.desk.common import jobs
from server.desk.common.access import Visitor
from server.desk.common.bodies import Body
from server.desk.maps import localizations
from server.desk.maps.localizations import NewLocalization
from server.desk.maps.skymaps import of_cone
from server.desk.objects import galaxies, galaxy_imports, notes, objs
from server.desk.objects.galaxy_text import GalaxyTextError, glade_galaxy, read_table
from server.desk.observing import allocations, finders, instruments
from server.desk.observing.instruments import InstrumentBody, TelescopeBody
from server.desk.outside import archives, imports
from server.desk.outside.archives import Cone
from server.desk.outside.calls import Call, ServiceError, check_address, fetch
from server.desk.people import people
from server.rest.context import Context
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.actions import actions
from tests.support.outside import Outside, glade_line, running_services

HERE = Cone(150.0, 2.2, 2.0)
DATEOBS = datetime(2023, 3, 14, 5, 6, 7)


@pytest.fixture(scope="module")
def services() -> Iterator[Outside]:
    with running_services() as running:
        yield running


@pytest.fixture
def outside(services: Outside) -> Outside:
    services.fault, services.break_after = "", 0
    services.asked.clear()
    services.files.clear()
    return services


@pytest.fixture
def ctx(ctx: Context, outside: Outside, tmp_path: Path) -> Context:
    """The desk with its services on the loopback interface."""
    addresses = {name.removeprefix("CATALOGS__").lower(): value for name, value in outside.settings().items()}
    catalogs = Catalogs(**addresses, timeout_seconds=2.0, tries=2, max_mb=2)  # type: ignore[arg-type]
    settings = msgspec.structs.replace(Settings(), catalogs=catalogs, data=str(tmp_path))
    return Context(settings, ctx.db, ctx.secret)


@pytest.fixture
async def who(ctx: Context) -> Visitor:
    await ctx.db.desk_groups.insert_one({"_id": 1, "name": "observers", "members": [], "stream_ids": []})
    return Visitor(7, "vera", frozenset({"Upload data"}), frozenset({1}))


async def obj(ctx: Context, who: Visitor, name: str = "target", ra: float = 150.0, dec: float = 2.2) -> str:
    await objs.ensure(ctx, who, name, {"ra": ra, "dec": dec})
    return name


async def annotations(ctx: Context, who: Visitor, name: str = "target") -> list[dict[str, Any]]:
    return (await notes.of_objects(ctx, who, [name])).get(name, [])


# -- the stand-ins speak the protocol


def test_another_client_reads_the_same_stars(outside: Outside) -> None:
    """The loopback service is TAP to an independent client as well."""
    service = pyvo.dal.TAPService(outside.url + "/gaia")
    found = service.run_sync(f"SELECT TOP 5 source_id, ra FROM gaiadr3.gaia_source WHERE {HERE.adql()}")
    assert [int(row["source_id"]) for row in found] == [3840000000000000001]


# -- calls


async def test_a_call_is_on_record_without_headers(ctx: Context, outside: Outside) -> None:
    outside.files["/x"] = b"hello"
    call = Call("Someone", outside.url + "/x", {"a": "b c"}, headers={"Authorization": "Bearer secret-word"})
    assert await fetch(ctx, call) == b"hello"
    record = await ctx.db.desk_transactions.find_one({"service": "Someone"})
    assert record is not None
    assert record["response"] == {"status": 200, "bytes": 5, "body": "hello"}
    assert "secret-word" not in str(record)


@pytest.mark.parametrize(("fault", "reason", "tries"), [
    ("down", "HTTP 503", 2), ("slow", "no whole answer within 2 s", 2), ("large", "more than 2 MB", 1),
    ("redirect", "does not call '169.254.169.254'", 1),
])  # fmt: skip
async def test_faults_are_told(ctx: Context, outside: Outside, fault: str, reason: str, tries: int) -> None:
    outside.fault = fault
    with pytest.raises(BadRequest, match=reason):
        await fetch(ctx, Call("Someone", outside.url + "/x"))
    assert len(outside.asked) == tries
    assert await ctx.db.desk_transactions.count_documents({}) == tries


async def test_nobody_there(ctx: Context) -> None:
    settings = msgspec.structs.replace(ctx.settings.catalogs, allowed_hosts=["127.0.0.1:9"])
    ctx = Context(msgspec.structs.replace(ctx.settings, catalogs=settings), ctx.db, ctx.secret)
    with pytest.raises(ServiceError, match="cannot be reached"):
        await fetch(ctx, Call("Someone", "http://127.0.0.1:9/x"))


@pytest.mark.parametrize("address", [
    "http://127.0.0.1/x.txt", "http://localhost:22/", "http://169.254.169.254/latest", "ftp://127.0.0.1/x",
    "file:///etc/passwd", "http://[::1]/", "http://user:word@gea.esac.esa.int/", "http://", "x", "http://[",
    "http://gea.esac.esa.int.example.org/",
])  # fmt: skip
async def test_other_hosts_are_not_called(ctx: Context, address: str) -> None:
    with pytest.raises(BadRequest, match="file_url"):
        check_address(ctx, address, "file_url")


# -- cross-matches


async def test_gaia(ctx: Context, who: Visitor) -> None:
    await crossmatch.gaia(ctx, who, await obj(ctx, who), CrossmatchBody())
    note, = await annotations(ctx, who)
    assert note["origin"] == "gaiadr3.gaia_source"
    assert note["group_ids"] == [1]
    assert note["data"]["Mag_G"] == pytest.approx(17.5)
    assert "A_G" not in note["data"], "what is missing is left out"
    assert note["data"]["dec"] < 2.2, "moved since 2016"
    with pytest.raises(BadRequest, match="already posted"):
        await crossmatch.gaia(ctx, who, "target", CrossmatchBody())


@pytest.mark.parametrize(("body", "place"), [
    (CrossmatchBody(crossmatchLimmag=12.0), (150.0, 2.2)), (CrossmatchBody(), (10.0, 2.2)),
])  # fmt: skip
async def test_no_star(ctx: Context, who: Visitor, body: CrossmatchBody, place: tuple[float, float]) -> None:
    name = await obj(ctx, who, "elsewhere", *place)
    with pytest.raises(BadRequest, match=r"No Gaia Photometry available\."):
        await crossmatch.gaia(ctx, who, name, body)
    assert await annotations(ctx, who, name) == []


async def test_several_stars(ctx: Context, who: Visitor) -> None:
    body = CrossmatchBody(crossmatchRadius=100.0, crossmatchNumber=3)
    await crossmatch.gaia(ctx, who, await obj(ctx, who), body)
    found = [note["data"]["Mag_G"] for note in await annotations(ctx, who)]
    assert found == pytest.approx([17.5, 15.0, 16.0])


async def test_irsa(ctx: Context, who: Visitor) -> None:
    await crossmatch.irsa(ctx, who, await obj(ctx, who), CrossmatchBody())
    note, = await annotations(ctx, who)
    assert note["origin"] == "allwise_p3as_psd-150.0-2.2"
    assert (note["data"]["w1mpro"], note["data"]["w4sigmpro"]) == (13.0, 0.02)
    with pytest.raises(BadRequest, match="already posted"):
        await crossmatch.irsa(ctx, who, "target", CrossmatchBody())


async def test_vizier(ctx: Context, who: Visitor) -> None:
    name = await obj(ctx, who)
    await crossmatch.vizier(ctx, who, name, CrossmatchBody())
    await crossmatch.vizier(ctx, who, name, CrossmatchBody(catalog="II/335/galex_ais"))
    galex, quasar = await annotations(ctx, who)
    assert quasar["origin"] == "VII/290-SDSS J100000.00+021200.0"
    assert (quasar["data"]["Qpct"], quasar["data"]["z"]) == (98, 1.2)
    assert galex["data"]["NUVmag"] == 21.5
    assert "FUVmag" not in galex["data"], "-99 means missing"
    with pytest.raises(BadRequest, match="more than one table"):
        await crossmatch.vizier(ctx, who, name, CrossmatchBody(catalog="J/two"))
    with pytest.raises(BadRequest, match="No VII/1 sources"):
        await crossmatch.vizier(ctx, who, name, CrossmatchBody(catalog="VII/1"))


@pytest.mark.parametrize("match", [crossmatch.gaia, crossmatch.irsa, crossmatch.vizier])
@pytest.mark.parametrize(("body", "error", "reason"), [
    (CrossmatchBody(group_ids=[99]), Forbidden, "group"),
    (CrossmatchBody(crossmatchRadius=0), BadRequest, "Radius"),
    (CrossmatchBody(catalog="x; DROP TABLE y"), BadRequest, "catalog"),
    (CrossmatchBody(catalog="x' OR '1'='1"), BadRequest, "catalog"),
])  # fmt: skip
async def test_bad_cross_matches(ctx: Context, who: Visitor, outside: Outside, match: Any, body: Body,
                                 error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        await match(ctx, who, await obj(ctx, who), body)
    assert outside.asked == []


@pytest.mark.parametrize("match", [crossmatch.gaia, crossmatch.irsa, crossmatch.vizier])
async def test_an_unknown_object_is_forbidden(ctx: Context, who: Visitor, match: Any) -> None:
    with pytest.raises(Forbidden):
        await match(ctx, who, "nothing", CrossmatchBody())


@pytest.mark.parametrize("match", [crossmatch.gaia, crossmatch.irsa, crossmatch.vizier])
@pytest.mark.parametrize("fault", ["down", "garbage", "error"])
async def test_a_faulty_service_is_named(ctx: Context, who: Visitor, outside: Outside, match: Any,
                                         fault: str) -> None:
    outside.fault = fault
    with pytest.raises(BadRequest, match=r"Gaia|IRSA|VizieR|VII/290|WISE"):
        await match(ctx, who, await obj(ctx, who), CrossmatchBody())
    assert await annotations(ctx, who) == []


def test_proper_motion() -> None:
    row = {"ra": 10.0, "dec": 60.0, "pmra": 1000.0, "pmdec": -500.0, "ref_epoch": 2016.0}
    ra, dec = archives.moved_to(row, datetime(2026, 1, 1, 12))
    assert (ra - 10.0) * 3600 * 0.5 == pytest.approx(10.0, rel=1e-3), "10 years of 1 arcsecond along the sky"
    assert (dec - 60.0) * 3600 == pytest.approx(-5.0, rel=1e-3)


# -- imports


@pytest.fixture
async def instrument(ctx: Context) -> int:
    number = await instruments.add_telescope(ctx, TelescopeBody(name="Observatory", nickname="Nick"))
    return await instruments.add_instrument(ctx, InstrumentBody(name="camera", telescope_id=number))


async def _done(ctx: Context, kind: str, worker: jobs.Worker) -> str:
    await jobs.work(ctx, kind, worker)
    row = await ctx.db.desk_jobs.find_one({"kind": kind}, sort=[("_id", -1)])
    assert row is not None
    assert row["is_done"]
    return str(row["status"])


async def test_gaia_alerts(ctx: Context, who: Visitor, instrument: int) -> None:
    first, last = datetime(2023, 5, 1), datetime(2023, 5, 2)
    for outcome in ("completed: Added 2 of 2 transients", "completed: No new objects"):
        await transients.start(ctx, who, "gaia_alerts", "Nick", first, last)
        assert await _done(ctx, "gaia_alerts", transients._import_gaia) == outcome
    assert (await objs.find(ctx, "Gaia23abc"))["ra"] == 150.1
    points = [point async for point in ctx.db.desk_photometry.find({"obj_id": "Gaia23abc"}).sort("mjd")]
    assert [(point["mjd"], point["mag"]) for point in points] == [(60064.5, 18.2), (60065.6, 18.1)]
    assert all(0 < point["magerr"] < 0.1 and point["instrument_id"] == instrument for point in points)
    assert await ctx.db.desk_sources.count_documents({"group_id": 1, "active": True}) == 2
    comment = await ctx.db.desk_comments.find_one({"obj_id": "Gaia23abc"})
    assert comment is not None
    assert comment["text"] == "blue, hostless"
    assert await ctx.db.desk_comments.count_documents({}) == 1


async def test_swift(ctx: Context, who: Visitor, instrument: int) -> None:
    for outcome in ("completed: Added 2 of 2 transients", "completed: No new objects"):
        await transients.start(ctx, who, "swift", "Nick")
        assert await _done(ctx, "swift", transients._import_swift) == outcome
    assert (await objs.find(ctx, "Swift-J100024.5+021100"))["dec"] == 2.18
    assert await ctx.db.desk_photometry.count_documents({"instrument_id": instrument}) == 2


async def test_an_import_that_fails_says_so(ctx: Context, who: Visitor, instrument: int,
                                            outside: Outside) -> None:
    await transients.start(ctx, who, "swift", "Nick")
    outside.fault = "garbage"
    assert "does not answer JSON" in await _done(ctx, "swift", transients._import_swift)


async def test_imports_by_the_clock(ctx: Context, who: Visitor) -> None:
    run = Acquisition(entry="nightly", task_id=1, action="import_swift_transients", kind="local",
                      owner="vera", priority=1, time=0, created="", started="")
    action = await actions.find(ctx, "import_swift_transients")
    assert action
    assert action.run
    assert "has not used the desk" in (await action.run(ctx, run)).detail
    await people.add_user(ctx, "vera", {"claimed_groups": ["observers"]})
    assert "Expected a Telescope named Swift" in (await action.run(ctx, run)).detail
    number = await instruments.add_telescope(ctx, TelescopeBody(name="Swift", nickname="Swift"))
    await instruments.add_instrument(ctx, InstrumentBody(name="XRT", telescope_id=number))
    assert (await action.run(ctx, run)).status == "success"
    assert "Added 2 of 2" in await _done(ctx, "swift", transients._import_swift)
    assert await ctx.db.desk_sources.distinct("group_id") == [1]


async def test_unknown_telescope(ctx: Context, who: Visitor) -> None:
    with pytest.raises(BadRequest, match="Expected a Telescope named Moon"):
        await transients.start(ctx, who, "swift", "Moon")


def test_gaia_errors_grow_towards_faint_stars() -> None:
    errors = [imports._gaia_error(mag / 10) for mag in range(150, 210)]
    assert errors == sorted(errors)
    assert 0.005 < errors[0] < errors[-1] < 0.2


# -- searches of a region


@pytest.fixture
async def allocation(ctx: Context, who: Visitor, instrument: int) -> int:
    await localizations.put(ctx, NewLocalization(DATEOBS, "cone", of_cone(150.0, 2.2, 0.5), 0.0))
    fields = {"group_id": 1, "instrument_id": instrument, "hours_allocated": 1.0}
    return await allocations.add(ctx, fields, '{"access_token": "hidden-word"}')


PAYLOAD = {"catalogName": "ZTF-Fink", "localizationDateobs": "2023-03-14T05:06:07",
           "localizationName": "cone", "localizationCumprob": 0.9, "startDate": "2023-03-14",
           "endDate": "2023-05-30"}


@pytest.mark.parametrize(("catalog", "added"), [
    ("ZTF-Fink", "Added 2 objects: ZTF23aaa, ZTF23aab"), ("Gaia", "Added 1 objects: Gaia23abc"),
    ("LSXPS", "Added 1 objects: Swift-J100024.5+021100"),
])  # fmt: skip
async def test_a_region_is_searched(ctx: Context, who: Visitor, allocation: int, catalog: str,
                                    added: str) -> None:
    for outcome in (f"completed: {added}", "completed: No new objects"):
        await catalog_queries.add(ctx, who, allocation, {**PAYLOAD, "catalogName": catalog}, None)
        assert await _done(ctx, catalog_queries.KIND, catalog_queries._search) == outcome
    rows = await jobs.listed(ctx, who, [catalog_queries.KIND], 10)
    assert len(rows) == 2
    assert "hidden-word" not in str([jobs.shown(row) for row in rows])


@pytest.mark.parametrize(("payload", "reason"), [
    (None, "catalogName"), ({}, "catalogName"), ({**PAYLOAD, "catalogName": "Best"}, "one of"),
    ({**PAYLOAD, "localizationDateobs": 5}, "localizationDateobs"),
    ({**PAYLOAD, "startDate": "x"}, "startDate"),
    ({**PAYLOAD, "endDate": "2020-01-01"}, "before"), ({**PAYLOAD, "localizationCumprob": "x"}, "Cumprob"),
    ({**PAYLOAD, "localizationName": "other"}, "other"),
])  # fmt: skip
async def test_bad_searches(ctx: Context, who: Visitor, allocation: int, payload: Any, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        await catalog_queries.add(ctx, who, allocation, payload, None)
    assert await ctx.db.desk_jobs.count_documents({}) == 0


async def test_a_foreign_allocation_looks_unknown(ctx: Context, who: Visitor, allocation: int) -> None:
    with pytest.raises(BadRequest, match="no allocation"):
        await catalog_queries.add(ctx, Visitor(8, "eve"), allocation, PAYLOAD, None)


async def test_credentials_are_encrypted_and_not_shown(ctx: Context, who: Visitor, allocation: int) -> None:
    row = await ctx.db.desk_allocations.find_one({"_id": allocation})
    assert row is not None
    assert "hidden-word" not in str(row)
    assert "secret" not in allocations.shown(row)
    assert allocations.secret_of(ctx, row) == {"access_token": "hidden-word"}


# -- galaxies


async def test_glade_from_the_web(ctx: Context, who: Visitor, outside: Outside) -> None:
    lines = [glade_line(i, i % 360, i % 90, c27=0.01, c32=50.5, c33=2.0, c35=1.5) for i in range(5000)]
    text = "\n".join([*lines, glade_line(5000)]) + "\n"
    outside.files["/files/GLADE+.txt"] = text.encode()
    outside.break_after = len(text) // 3
    for outcome in ("completed: 5000 new galaxies, 0 brought up to date",
                    "completed: 0 new galaxies, 5000 brought up to date"):
        await galaxy_imports.start_glade(ctx, who, None, outside.url + "/files/GLADE+.txt")
        assert await _done(ctx, "glade", galaxy_imports._import_glade) == outcome
    galaxy = await galaxies.find_named(ctx, "GLADE-77")
    assert (galaxy["distmpc"], galaxy["distmpc_unc"], galaxy["mstar"]) == (50.5, 2.0, 1.5e10)
    assert await ctx.db.desk_galaxies.count_documents({}) == 5000


async def test_glade_goes_on_where_a_crash_left_it(ctx: Context, who: Visitor, tmp_path: Path) -> None:
    folder = tmp_path / "catalogs"
    folder.mkdir()
    lines = [glade_line(i, 10, 10) + "\n" for i in range(30)]
    (folder / "few.txt").write_text("".join(lines))
    await galaxy_imports.start_glade(ctx, who, "few.txt", None)
    offset = sum(map(len, lines[:10]))
    await ctx.db.desk_jobs.update_many({}, {"$set": {"progress": {"offset": offset, "rows": 10, "new": 10}}})
    assert await _done(ctx, "glade", galaxy_imports._import_glade) == \
        "completed: 30 new galaxies, 0 brought up to date"
    assert await ctx.db.desk_galaxies.count_documents({}) == 20


@pytest.mark.parametrize(("name", "url"), [
    ("x.csv", None), ("missing.txt", None), ("../secret.txt", None), ("/etc/hostname.txt", None),
    (None, "http://127.0.0.1:1/x.txt"), (None, "http://127.0.0.1/x.csv"), ("x.txt", "http://y/x.txt"),
])  # fmt: skip
async def test_glade_from_elsewhere_is_refused(ctx: Context, who: Visitor, tmp_path: Path, name: str | None,
                                               url: str | None) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(BadRequest, match="file_"):
        await galaxy_imports.start_glade(ctx, who, name, url)
    assert await ctx.db.desk_jobs.count_documents({}) == 0


async def test_a_file_that_is_not_glade(ctx: Context, who: Visitor, outside: Outside) -> None:
    outside.files["/files/GLADE+.txt"] = b"<html>\n"
    await galaxy_imports.start_glade(ctx, who, None, None)
    assert "40 columns" in await _done(ctx, "glade", galaxy_imports._import_glade)


def test_glade_lines() -> None:
    assert glade_galaxy(glade_line(1)) is None
    galaxy = glade_galaxy(glade_line(1, 10.5, -30.25, c27=-0.001, c10=12.5, c18=9.5))
    assert galaxy is not None
    assert (galaxy.name, galaxy.ra, galaxy.redshift) == ("GLADE-1", 10.5, None)
    assert (galaxy.magb, galaxy.magk) == (12.5, 9.5)
    with pytest.raises(GalaxyTextError, match="column 28"):
        glade_galaxy(glade_line(1, 10, 10, c27="x"))


async def test_tables_are_stored(ctx: Context, who: Visitor) -> None:
    text = "\ufeffname,ra,dec,distmpc,alt_name\r\nA,150.0,2.2,40.5,first\r\nB,330,-45,,\r\n\r\n"
    assert await galaxy_imports.add_table(ctx, who, "mine", text) == 2
    assert "2 new" in await _done(ctx, "galaxies", galaxy_imports._store_table)
    first = await galaxies.find_named(ctx, "A")
    await galaxy_imports.add_table(ctx, who, "other", "name,ra,dec\nA,151.0,2.2\n")
    await _done(ctx, "galaxies", galaxy_imports._store_table)
    again = await galaxies.find_named(ctx, "A")
    assert (again["_id"], again["ra"], again["catalog_name"]) == (first["_id"], 151.0, "other")
    assert await ctx.db.desk_blobs.count_documents({}) == 0


@pytest.mark.parametrize(("text", "reason"), [
    ("", "column"), ("name,ra\nx,1\n", "'dec' is missing"), ("name,ra,dec\n", "no galaxy"),
    ("name,ra,dec\nx,360,0\n", "ra must"), ("name,ra,dec\nx,-1,0\n", "ra must"),
    ("name,ra,dec\nx,1,91\n", "dec must"),
    ("name,ra,dec,distmpc\nx,1,1,-5\n", "negative"), ("name,ra,dec,redshift_error\nx,1,1,-1\n", "negative"),
    ("name,ra,dec\nx,1\n", "2 values for 3"), ("name,ra,dec\n,1,1\n", "name is missing"),
    ("name,ra,dec\nx,,1\n", "ra is missing"), ("name,ra,dec\nx,a,1\n", "number"),
    ("name,ra,dec\nx,inf,1\n", "number"),
    ("name,ra,dec,size\nx,1,1,1\n", "unknown column"), ("name,ra,dec,ra\nx,1,1,1\n", "twice"),
    ("name,ra,dec\nx,1,1\nx,2,2\n", "twice"), ('name,ra,dec\n"x,1,1\n', "line"),
])  # fmt: skip
def test_bad_tables(text: str, reason: str) -> None:
    with pytest.raises(GalaxyTextError, match=reason):
        read_table(text)


# -- finding charts


GOOD: dict[str, str | None] = {"location_type": "pos", "ra": "150.0", "dec": "2.2"}


@pytest.mark.parametrize("kind", ["png", "pdf"])
@pytest.mark.parametrize("facility", ["Keck", "P200", "Shane"])
async def test_chart(ctx: Context, kind: str, facility: str) -> None:
    asked = finders.read({**GOOD, "type": kind, "facility": facility, "num_offset_stars": "2"})
    name, data = await finders.draw(ctx, asked)
    assert name.startswith("J100000.0+021200.0")
    assert data.startswith(b"%PDF" if kind == "pdf" else b"\x89PNG")
    assert 10_000 < len(data) < 20 << 20


async def test_chart_of_a_star(ctx: Context) -> None:
    asked = finders.read({"location_type": "gaia_dr3", "catalog_id": "3840000000000000001", "type": "png",
                          "obstime": "2030-01-01", "num_offset_stars": "0"})
    name, data = await finders.draw(ctx, asked)
    assert name == "Gaia_DR3_3840000000000000001"
    assert data.startswith(b"\x89PNG")
    with pytest.raises(BadRequest, match="no source 5"):
        await finders.draw(ctx, finders.read({"location_type": "gaia_dr2", "catalog_id": "5"}))


async def test_chart_of_a_sky_map(ctx: Context, outside: Outside) -> None:
    await localizations.put(ctx, NewLocalization(DATEOBS, "cone", of_cone(150.0, 2.2, 0.5), 0.0))
    asked = finders.read({**GOOD, "image_source": "skymap", "type": "png"})
    _, data = await finders.draw(ctx, asked)
    assert data.startswith(b"\x89PNG")
    assert outside.asked == [], "no service outside is needed"
    with pytest.raises(BadRequest, match="no sky map"):
        await finders.draw(ctx, finders.read({**GOOD, "ra": "10", "image_source": "skymap"}))


@pytest.mark.parametrize("fault", ["down", "garbage"])
async def test_chart_without_an_image(ctx: Context, outside: Outside, fault: str) -> None:
    outside.fault = fault
    with pytest.raises(BadRequest, match="The image service"):
        await finders.draw(ctx, finders.read(GOOD))


async def test_many_charts_at_once_have_to_wait(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finders, "_drawing", finders._MOST_AT_ONCE)
    with pytest.raises(TooManyRequests) as refusal:
        await finders.draw(ctx, finders.read(GOOD))
    assert refusal.value.retry_after > 0
    assert finders._drawing == finders._MOST_AT_ONCE


@pytest.mark.parametrize("over", [
    {"location_type": "name"}, {"location_type": None}, {"ra": None}, {"dec": None}, {"ra": "360"},
    {"ra": "-1"}, {"ra": "nan"}, {"dec": "91"}, {"dec": "north"}, {"imsize": "1"}, {"imsize": "30"},
    {"imsize": "big"}, {"facility": "Backyard"}, {"image_source": "whoknows"}, {"type": "gif"},
    {"num_offset_stars": "5"}, {"num_offset_stars": "two"}, {"obstime": "never"},
    {"catalog_id": "abc", "location_type": "gaia_dr3"}, {"catalog_id": None, "location_type": "gaia_dr3"},
], ids=str)  # fmt: skip
def test_bad_charts(over: dict[str, str | None]) -> None:
    with pytest.raises(BadRequest, match=f"^{next(iter(over))}:"):
        finders.read({**GOOD, **over})
