"""Places that come from outside: polygons, ellipses, maps of 2Δ ln L, spatial catalogues."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import healpy
import numpy as np
import pytest
from astropy.io import fits

from tests.support.api import Api, Session, running_server
from tests.support.desk import ok, refused
from tests.support.scans import wait_for

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


@pytest.fixture(scope="module")
def galaxies(admin: Session) -> None:
    table = "name,ra,dec\n" + "".join(f"at {far},{RA},{DEC + far}\n" for far in (0.0, 0.9, 1.9, 5.0, 9.0))
    ok(admin.post("/api/galaxy_catalog/ascii", json={"catalogName": "ladder", "catalogData": table}))
    path = "/api/galaxy_catalog?catalog_name=ladder"
    wait_for(lambda: ok(admin.get(path))["totalMatches"] == 5, "galaxies")


def inside(admin: Session, when: str, name: str, level: float = 0.9) -> list[str]:
    region = {"localizationDateobs": when, "localizationName": name, "localizationCumprob": level}
    found = ok(admin.get("/api/galaxy_catalog", params={**region, "catalog_name": "ladder"}))
    return sorted(one["name"] for one in found["galaxies"])


def alert(comments: str) -> str:
    """2Δ ln L with a Gaussian of half a degree, as IceCube's alerts have it."""
    lon, lat = healpy.pix2ang(128, np.arange(12 * 128**2), lonlat=True)
    away = np.degrees(healpy.rotator.angdist([RA, DEC], np.array([lon, lat]), lonlat=True))
    values = (away / 0.5) ** 2
    values[:100] = np.nan
    table = fits.BinTableHDU.from_columns([fits.Column("2DLLH", "D", array=values)])
    table.header.update(ORDERING="RING", NSIDE=128, COORDSYS="C", RUNID=1, COMMENTS=comments)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return base64.b64encode(file.getvalue()).decode()


def test_an_alert_of_icecube(admin: Session, galaxies: None) -> None:
    when = "2021-01-01T01:01:01"
    for name, comments, levels in (
            ("wilks", "50%(90%) uncertainty location => Change in 2LLH based on Wilks theorem", "wilks"),
            ("alert", "50%(90%) uncertainty location => Change in 2LLH of 22.2(64.2)", "ic160427a")):
        ok(admin.post("/api/gcn_event", json={"dateobs": when, "skymap": alert(comments),
                                              "localization_name": name}))
        assert ok(admin.get(f"/api/localization/{when}/name/{name}"))["levels"] == levels
    assert inside(admin, when, "wilks") == ["at 0.0", "at 0.9"]
    assert inside(admin, when, "alert") == ["at 0.0", "at 0.9", "at 1.9"]
    assert inside(admin, when, "wilks:calibrated") == ["at 0.0", "at 0.9", "at 1.9"]
    body = {"dateobs": when, "skymap": alert("Change in 2LLH of 5(1)"), "localization_name": "bad"}
    refused(admin.post("/api/gcn_event", json=body), 400, "COMMENTS")


def test_polygons_and_ellipses(admin: Session, galaxies: None) -> None:
    when = "2021-01-02T01:01:01"
    corners = [[RA - 1, DEC - 1], [RA + 1, DEC - 1], [RA + 1, DEC + 6], [RA - 1, DEC + 6]]
    for name, sky in (("polygon", {"polygon": corners}),
                      ("ellipse", {"ra": RA, "dec": DEC, "amaj": 2.0, "amin": 0.5, "phi": 0.0})):
        sky["localization_name"] = name
        ok(admin.post("/api/gcn_event", json={"dateobs": when, "skymap": sky}))
    assert inside(admin, when, "polygon", 1.0) == ["at 0.0", "at 0.9", "at 1.9", "at 5.0"]
    assert inside(admin, when, "ellipse", 0.9) == ["at 0.0", "at 0.9", "at 1.9"]
    refused(admin.get("/api/galaxy_catalog", params={
        "localizationDateobs": when, "localizationName": "polygon:calibrated"}), 400, "calibrated")
    for bad in ("x", [[1, 1]], [[0, 0], [1, 1], [2, "a"]], [[0, 0], [1, 1], [2, None]], {},
                [[0, 0], [1, 0], [5]], [[0, 0], [10, 0], [5, 0]]):
        sky = {"polygon": bad, "localization_name": "bad"}
        refused(admin.post("/api/gcn_event", json={"dateobs": when, "skymap": sky}), 400, "polygon")
    sky = {"ra": RA, "dec": DEC, "amaj": "x", "amin": 0.5, "phi": 0.0, "localization_name": "bad"}
    refused(admin.post("/api/gcn_event", json={"dateobs": when, "skymap": sky}), 400, "amaj")


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


def test_a_published_file_of_sources(admin: Session, viewer: Session) -> None:
    data = b"Source_Name,RAJ2000,DEJ2000,CLASS1\n4FGL J0509.4+0542,77.36,5.7,bll"
    body = {"catalogName": "4FGL", "file_data": base64.b64encode(data).decode()}
    number = ok(admin.post("/api/spatial_catalog/file", json=body))["id"]
    entry, = ok(viewer.get(f"/api/spatial_catalog/{number}"))["entries"]
    assert (entry["entry_name"], entry["about"]["class"]) == ("4FGL-J0509.4+0542", "bll")
    for change, reason in (({"file_data": "?"}, "base64"), ({"file_data": "AAAA"}, "no column for name"),
                           ({"file_name": "x"}, "give one of them"),
                           ({"file_name": "../x", "file_data": None}, "no file"),
                           ({"columns": {"nome": "x"}}, "columns: 'nome'")):
        refused(admin.post("/api/spatial_catalog/file", json={**body, **change}), 400, reason)
    refused(viewer.post("/api/spatial_catalog/file", json=body), 401, "Upload data")
    ok(admin.delete(f"/api/spatial_catalog/{number}"))
    assert ok(viewer.get("/api/spatial_catalog")) == []
