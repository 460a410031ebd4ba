"""Products of scans through the real server: while a scan runs and after, by REST and by the command."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from astropy.io import fits
from mocpy import MOC

from iceprod.cli.main import main
from scanner.maps import healpix
from scanner.maps.catalogue import CATALOGUE, products_for
from scanner.maps.result import Method, ScanResult
from tests.support.api import Api, running_server
from tests.support.scans import PixelPilot, made_up_map, scan_body, simulated_event, wait_for

SETTINGS = {"SCANS__FIRST_BATCH_PIXELS": 7, "SERVICES__REPAIR_SECONDS": 1, "LEASES__SWEEP_SECONDS": 1}
PICTURES = ("png", "pdf", "svg")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("products"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module")
def user(api: Api) -> requests.Session:
    return api.session("user")


def start(user: requests.Session, **changes: Any) -> str:
    answer = user.post("/scan", json=scan_body(**changes))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["scan_id"])


def finish(user: requests.Session, pilot: PixelPilot, scan_id: str) -> None:
    def over() -> bool:
        pilot.work(3)
        return bool(user.get(f"/scan/{scan_id}/progress").json()["is_final"])

    wait_for(over, "the final map")


@pytest.fixture(scope="module")
def pilot(api: Api) -> PixelPilot:
    return PixelPilot(api.session("pilot")).register()


@pytest.fixture(scope="module")
def final(user: requests.Session, pilot: PixelPilot) -> str:
    scan_id = start(user)
    finish(user, pilot, scan_id)
    return scan_id


@pytest.mark.parametrize("name", [product.name for product in products_for("track_mpe")
                                   if not product.name.endswith(PICTURES)]
                         + ["sky.ic160427a.png", "zoom.wilks.svg", "zoom.wilks.pdf"])
def test_every_product_of_a_final_map(user: requests.Session, final: str, name: str) -> None:
    answer = user.get(f"/scan/{final}/products/{name}")
    assert answer.status_code == 200, answer.text
    product = CATALOGUE[name]
    assert answer.headers["Content-Type"] == product.media_type
    assert answer.headers["Content-Disposition"].endswith(f'.{name}"')
    assert answer.headers.get("X-Level-Set") == product.levels
    assert answer.headers["X-Map-Is-Final"] == "true"
    assert "max-age" in answer.headers["Cache-Control"]
    assert answer.content
    assert user.get(f"/scan/{final}/products/{name}").content == answer.content


def test_the_list_names_all_products_or_those_asked_for(user: requests.Session, final: str) -> None:
    listed = user.get(f"/scan/{final}/products").json()
    assert listed["is_final"] is True
    assert [product["name"] for product in listed["products"]] == [
        product.name for product in products_for("track_mpe")]
    assert "moc_90.calibrated_track_mpe.json" in {product["name"] for product in listed["products"]}
    assert "calibrated_cascade" not in listed["level_sets"]
    assert listed["default_levels"] == "calibrated_track_mpe"
    assert listed["cautions"] == {"wilks": "under-covers"}
    assert listed["level_sets"]["wilks"]["0.9"] == 4.61
    assert listed["level_sets"]["ic160427a"] == {"0.5": 22.2, "0.9": 64.2}
    query = {"format": "moc", "levels": "ic160427a"}
    chosen = user.get(f"/scan/{final}/products", params=query).json()["products"]
    assert {product["name"] for product in chosen} == {
        f"moc_{level}.ic160427a.{suffix}" for level in (50, 90) for suffix in ("json", "fits")}
    for bad in ({"format": "gif"}, {"levels": "x"}):
        assert user.get(f"/scan/{final}/products", params=bad).status_code == 400


def test_products_of_a_partial_map(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user)
    assert user.get(f"/scan/{scan_id}/products/multiorder.wilks.fits").status_code == 404
    wait_for(lambda: pilot.work(1) == 1, "the first batch")
    wait_for(lambda: user.get(f"/scan/{scan_id}/progress").json()["pixels_done"] > 0, "the first result")
    answer = user.get(f"/scan/{scan_id}/products/multiorder.wilks.fits")
    assert answer.headers["X-Map-Is-Final"] == "false"
    assert answer.headers["Cache-Control"] == "no-store"
    header = fits.getheader(io.BytesIO(answer.content), 1)
    assert header["COMPLETE"] is False
    finish(user, pilot, scan_id)
    again = user.get(f"/scan/{scan_id}/products/multiorder.wilks.fits")
    assert fits.getheader(io.BytesIO(again.content), 1)["COMPLETE"] is True


def test_the_calibration_of_another_reconstruction_is_refused(user: requests.Session, final: str) -> None:
    answer = user.get(f"/scan/{final}/products/moc_90.calibrated_cascade.json")
    assert answer.status_code == 404
    assert "calibrated_cascade holds for maps of cascade, not of track_mpe" in answer.json()["reason"]


@pytest.mark.parametrize(("asked", "computes"), [
    ("splinempe", "track_mpe"), ("millipede_wilks", "millipede"), ("auto", "track")])
def test_a_map_says_what_was_asked_for_and_what_computed(
        user: requests.Session, pilot: PixelPilot, asked: str, computes: str) -> None:
    scan_id = start(user, reco_algo=asked)
    finish(user, pilot, scan_id)
    said = user.get(f"/scan/{scan_id}/manifest").json()["scan_metadata"]
    assert (said["reco_algo"], said["reconstruction"]) == (asked, computes)
    result = user.get(f"/scan/{scan_id}/result").json()["skyscan_result"]
    assert ScanResult.from_json(result).method == Method(asked, computes)
    told = user.get(f"/scan/{scan_id}/products/contours.wilks.json").json()
    assert (told["reco_algo"], told["reconstruction"]) == (asked, computes)
    fits_file = user.get(f"/scan/{scan_id}/products/multiorder.wilks.fits").content
    header = fits.getheader(io.BytesIO(fits_file), 1)
    assert (header["RECOALGO"], header["RECO"]) == (asked, computes)


@pytest.mark.parametrize("changes", [{}, {"refine": True}])
def test_rest_files_and_desk_say_the_same_area(api: Api, user: requests.Session, pilot: PixelPilot,
                                               tmp_path: Path, changes: dict[str, Any]) -> None:
    scan_id = start(user, event_i3live_json=simulated_event(run_id=160 + len(changes)), **changes)
    finish(user, pilot, scan_id)
    view = user.get(f"/scan/{scan_id}/progress").json()
    assert view["level_set"] == "calibrated_track_mpe"
    root = f"/scan/{scan_id}/products"
    path = tmp_path / "map.fits"
    path.write_bytes(user.get(f"{root}/multiorder.calibrated_track_mpe.fits").content)
    header, gcn = fits.getheader(path, 1), user.get(f"{root}/gcn.calibrated_track_mpe.json").json()
    summary = user.get(f"{root}/summary.calibrated_track_mpe.json").json()
    assert gcn["area_90_deg2"] == pytest.approx(view["area_90_deg2"])
    for level, percent in ((0.5, 50), (0.9, 90)):
        wanted = view[f"area_{percent}_deg2"]
        cells = user.get(f"{root}/moc_{percent}.calibrated_track_mpe.json").json()
        for region in (MOC.from_json(cells), MOC.from_multiordermap_fits_file(str(path), 0.0, level)):
            assert region.sky_fraction * healpix.FULL_SKY_DEG2 == pytest.approx(wanted, rel=0.01)
        assert header[f"AREA{percent}"] == pytest.approx(wanted)
        assert summary["area_deg2"][f"{level:g}"] == pytest.approx(wanted)
        assert header.get(f"LIMIT{percent}", "") == view[f"area_{percent}_limits"]
    desk = api.session("admin")
    wait_for(lambda: any(scan_id in one["aliases"] for one in _events(desk)), "the map on the desk")
    event = next(one for one in _events(desk) if scan_id in one["aliases"])
    maps = desk.get(f"/api/gcn_event/{event['dateobs']}").json()["data"]["localizations"]
    row = next(one for one in maps if one["scan_id"] == scan_id)
    assert row["levels"] == "calibrated_track_mpe"
    assert row["area_50"] == pytest.approx(view["area_50_deg2"], rel=0.01)
    assert row["area_90"] == pytest.approx(view["area_90_deg2"], rel=0.01)


def _events(desk: requests.Session) -> list[dict[str, Any]]:
    return list(desk.get("/api/gcn_event", params={"numPerPage": 50}).json()["data"]["events"])


def test_levels_grow_on_request_alone_and_to_the_same_map(user: requests.Session, pilot: PixelPilot) -> None:
    scan_id = start(user, refine=True, event_i3live_json=simulated_event(run_id=171))
    finish(user, pilot, scan_id)
    result = ScanResult.from_json(user.get(f"/scan/{scan_id}/result").json()["skyscan_result"])
    wanted = made_up_map("2:0,8:4+")
    exact = made_up_map("2:0,8:4")
    assert sum(map(len, wanted.values())) > sum(map(len, exact.values()))
    assert result.pixels.keys() == wanted.keys()
    assert all(result.pixels[nside].tobytes() == table.tobytes() for nside, table in wanted.items())
    assert user.get(f"/scan-request/{scan_id}").json()["refine"] is True
    assert user.get(f"/scan/{scan_id}/manifest").json()["scan_metadata"]["refine"] is True
    levels = user.get(f"/scan/{scan_id}/progress").json()["levels"]
    assert [level["nside"] for level in levels] == list(wanted)


def test_what_is_no_product_is_not_found(user: requests.Session, api: Api, final: str) -> None:
    answer = user.get(f"/scan/{final}/products/moc_90.wilk.json")
    assert answer.status_code == 404
    assert "'moc_90.wilks.json'" in answer.json()["reason"]
    assert user.get("/scan/nothing/products").status_code == 404
    assert api.session("pilot").get(f"/scan/{final}/products").status_code == 403


def command(api: Api, *arguments: object) -> int:
    return main(["skymap", *map(str, arguments), "--server", api.url, "--token", api.token("user")])


def test_the_command_writes_the_usual_files(api: Api, final: str, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert command(api, final, "--out", tmp_path, "--json", "--levels", "ic160427a") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_final"] is True
    assert set(told["files"]) == {path.name for path in tmp_path.iterdir()}
    assert {"result.json", "result.npz", "multiorder.ic160427a.fits", "moc_90.ic160427a.json",
            "contour_50.ic160427a.txt", "gcn.ic160427a.json", "sky.ic160427a.png"} <= set(told["files"])
    assert not [name for name in told["files"] if "wilks" in name or name.startswith("flat")]
    back = ScanResult.from_json(json.loads((tmp_path / "result.json").read_text()))
    wanted = made_up_map("2:0,8:4")
    assert all(back.pixels[nside].tobytes() == table.tobytes() for nside, table in wanted.items())


def test_the_command_writes_the_formats_asked_for(api: Api, final: str, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert command(api, final, "--out", tmp_path, "--format", "moc", "--format", "flat",
                   "--levels", "all") == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(map(str, tmp_path.iterdir()))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{stem}.{levels}.{suffix}" for levels in ("wilks", "ic160427a", "calibrated_track_mpe")
        for stem, suffix in (("flat", "fits"), ("moc_50", "json"), ("moc_90", "json"), ("moc_50", "fits"),
                             ("moc_90", "fits"))}
    assert command(api, final, "--list") == 0
    said = capsys.readouterr().out
    assert "multiorder.calibrated_track_mpe.fits" in said
    assert "wilks" not in said, "only on request"


@pytest.mark.parametrize(("option", "value"), [("--format", "gif"), ("--levels", "x")])
def test_the_command_refuses_what_does_not_exist(api: Api, final: str, option: str, value: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert command(api, final, option, value) == 2
    assert f"error: {option}: must be " in capsys.readouterr().err
