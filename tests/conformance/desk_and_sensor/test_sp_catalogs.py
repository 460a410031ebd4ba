"""K5 catalogue cross-match and ingestion; K6 finding charts; K13 earthquakes."""
import pytest
from client import ok, refused

op = pytest.mark.op
BIG = 987654321
CROSS = {15: ("gaia", "gaiadr3.gaia_source"), 16: ("irsa", "allwise_p3as_psd"), 17: ("vizier", "VII/290")}




@op(15, 16, 17)
@pytest.mark.parametrize("number", [15, 16, 17])
def test_cross_match_answers_clearly(sp, world, number):
    """Match, no match or a dead service: never a crash."""
    a = sp.op(number, obj_id=world.obj(), json={"crossmatchRadius": 2, "group_ids": [world.group]})
    ok(a) if a.status == 200 else refused(a)


@op(15, 16, 17)
@pytest.mark.parametrize("number", [15, 16, 17])
def test_cross_match_writes_one_annotation_per_origin(sp, world, pytestconfig, number):
    if not pytestconfig.getoption("--skyportal-stubs"):
        pytest.skip("needs --skyportal-stubs")
    obj = world.obj(150.0, 2.2)
    ok(sp.op(number, obj_id=obj, json={"group_ids": [world.group]}))
    rows = ok(sp.op(37, obj_id=obj))["annotations"]
    assert len(rows) == 1
    assert rows[0]["origin"].startswith(CROSS[number][1])
    assert {15: "Mag_G", 16: "w1mpro", 17: "z"}[number] in rows[0]["data"]
    refused(sp.op(number, obj_id=obj, json={"group_ids": [world.group]}), hint="already")


@op(15)
def test_cross_match_unknown_group(sp, world):
    refused(sp.op(15, obj_id=world.obj(), json={"group_ids": [BIG]}), 403, 400)


@op(12, 13)
@pytest.mark.parametrize("number", [12, 13])
def test_transient_import_unknown_telescope(sp, uniq, number):
    refused(sp.op(number, json={"telescope_name": uniq}), hint="telescope")


@op(12, 13)
@pytest.mark.parametrize(("number", "extra"), [(12, {}), (13, {"startDate": "2023-05-01", "endDate": "2023-05-02"})])
def test_transient_import_starts(sp, world, number, extra):
    world.instrument
    ok(sp.op(number, json={"telescope_name": world.telescope_nickname, **extra}))


@op(13)
def test_transient_import_bad_date(sp, world):
    world.instrument
    refused(sp.op(13, json={"telescope_name": world.telescope_nickname, "startDate": "never"}))


def query(world, **over):
    dateobs, name, _ = world.localization
    return {"catalogName": "Gaia", "localizationDateobs": dateobs, "localizationName": name, "localizationCumprob": 0.9,
            "startDate": "2023-03-14", "endDate": "2023-03-21", **over}






# finding charts ---------------------------------------------------------------------------



GOOD = {"location_type": "pos", "ra": 150.0, "dec": 2.2}


@op(18)
@pytest.mark.parametrize("over", [
    {"location_type": "name"}, {"ra": 360.0}, {"ra": -1}, {"ra": "east"}, {"dec": 91}, {"dec": "north"}, {"imsize": 1}, {"imsize": 30}, {"imsize": "big"},
    {"facility": "Backyard"}, {"image_source": "whoknows"}, {"type": "gif"}, {"num_offset_stars": 5}, {"num_offset_stars": "two"},
    {"location_type": "gaia_dr3", "catalog_id": "abc"},
], ids=lambda o: ",".join(f"{k}={v}" for k, v in o.items()))
def test_finding_chart_refused(sp, over):
    refused(sp.op(18, params={**GOOD, **over}))


@op(18)
@pytest.mark.parametrize("missing", ["location_type", "ra", "dec"])
def test_finding_chart_needs(sp, missing):
    refused(sp.op(18, params={k: v for k, v in GOOD.items() if k != missing}))


# earthquakes --------------------------------------------------------------------------------

@op(14)
def test_earthquake(sp, uniq):
    ok(sp.companion("POST", "/api/earthquake", json={"event_id": uniq, "date": "2023-03-14T05:00:00", "latitude": -65.0, "longitude": 10.0, "depth": 10.0, "magnitude": 6.1}))
    data = ok(sp.op(14, event_id=uniq))
    data = data[0] if isinstance(data, list) else data
    assert data["event_id"] == uniq
    assert len(data["notices"]) == 1


