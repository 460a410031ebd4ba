"""Spatial catalogues: places with an extent, and the objects inside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import Api, Session, running_server
from tests.support.desk import ok, refused

pytestmark = pytest.mark.slow

RA, DEC = 83.0, 22.0


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk")) as server:
        yield server


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.session("admin", "user", "system", username="ada", groups=("observers",))


@pytest.fixture(scope="module")
def viewer(api: Api) -> Session:
    return api.session("nobody", username="vera", groups=())


def test_spatial_catalogues(admin: Session, viewer: Session) -> None:
    table = {"name": ["4FGL J0534", "far"], "ra": [RA, 200.0], "dec": [DEC, 0.0], "radius": [1.0, 2.0]}
    body = {"catalogName": "fermi", "catalogData": table}
    number = ok(admin.post("/api/spatial_catalog/ascii", json=body))["id"]
    assert ok(admin.post("/api/spatial_catalog/ascii", json=body))["id"] == number
    listed = viewer.get("/api/spatial_catalog")
    assert [(one["catalog_name"], one["entries_count"]) for one in ok(listed)] == [("fermi", 2)]
    one = ok(viewer.get(f"/api/spatial_catalog/{number}?numPerPage=1&pageNumber=2"))
    assert [entry["entry_name"] for entry in one["entries"]] == ["far"]
    for name, dec in (("near crab", DEC + 0.5), ("off crab", DEC + 1.5)):
        ok(admin.post("/api/sources", json={"id": name, "ra": RA, "dec": dec}))
    asked = {"spatialCatalogName": "fermi", "spatialCatalogEntryName": "4FGL-J0534"}
    found = ok(admin.get("/api/sources", params=asked))
    assert ([row["id"] for row in found["sources"]], found["totalMatches"]) == (["near crab"], 1)
    assert ok(viewer.get("/api/sources", params=asked))["sources"] == []
    refused(admin.get("/api/sources?spatialCatalogName=fermi"), 400, "give both")
    refused(admin.get("/api/sources", params={**asked, "spatialCatalogName": "x"}), 400, "no spatial catalog")
    refused(viewer.post("/api/spatial_catalog/ascii", json=body), 401, "Upload data")
    for bad in (7, "", "name,ra,dec\nx,1,1", {"name": ["x"], "ra": [1, 2]}):
        refused(admin.post("/api/spatial_catalog/ascii", json={"catalogName": "b", "catalogData": bad}), 400,
                "catalogData")
    refused(viewer.delete(f"/api/spatial_catalog/{number}"), 401)
    for wrong in ("x", "0", "99999999999999999999", "-1"):
        refused(admin.get(f"/api/spatial_catalog/{wrong}"), 400)
        refused(admin.delete(f"/api/spatial_catalog/{wrong}"), 400)
    ok(admin.delete(f"/api/spatial_catalog/{number}"))
    assert ok(viewer.get("/api/spatial_catalog")) == []
