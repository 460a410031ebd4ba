"""The templates that ship, run by a real pilot on objects of a real desk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
import requests

from iceprod.ids import now
from server.embedded.serving import url_of
from tests.support.desk import ok
from tests.support.installation import Installed, installation, wait_until

pytestmark = pytest.mark.slow

DATEOBS = "2024-02-03T04:05:06"
RA, DEC, SIGMA = 40.0, 20.0, 2.0


class Desk:
    """The desk of an installation with one event, one object, its photometry and some galaxies."""

    def __init__(self, here: Installed) -> None:
        self.here, self.url = here, json.loads((here.data / "up.json").read_text())["url"]
        token = here.iceprod("token", "--data", here.data, "--user", "ada", "--roles", "admin,user").strip()
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.group = ok(self.call("post", "groups", json={"name": "analysts"}))["id"]
        alpha = {"id": "Alpha", "ra": RA, "dec": DEC, "group_ids": [self.group]}
        ok(self.call("post", "sources", json=alpha))
        sky = {"ra": RA, "dec": DEC, "error": SIGMA, "localization_name": "disc"}
        ok(self.call("post", "gcn_event", json={"dateobs": DATEOBS, "skymap": sky}))
        self.fill()
        self.services = wait_until(lambda: {row["name"]: row["id"] for row in ok(
            self.call("get", "analysis_service")) if row.get("shipped")})

    def call(self, method: str, path: str, **how: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}/api/{path}", timeout=60, **how)

    def fill(self) -> None:
        """A light curve, as imports bring it."""
        dice = np.random.default_rng(5)
        days = np.sort(dice.uniform(60000, 60090, 50))
        flux = 300 * np.exp(-(days - 60020) / 30) / (1 + np.exp(-(days - 60020) / 4)) + dice.normal(0, 4, 50)
        rows = [{"_id": 1000 + number, "obj_id": "Alpha", "mjd": float(day), "filter": "ztfr",
                 "instrument_id": 1, "flux": float(value), "fluxerr": 4.0, "mag": None, "magerr": None,
                 "group_ids": [self.group], "created_at": now()}
                for number, (day, value) in enumerate(zip(days, flux, strict=True))]
        with pymongo.MongoClient[dict[str, Any]](url_of(self.here.data / "store")) as client:
            name = next(name for name in client.list_database_names() if "desk_objs" in
                        client[name].list_collection_names())
            client[name].desk_photometry.insert_many(rows)

    def run(self, service: str, **parameters: Any) -> dict[str, Any]:
        body = {"analysis_parameters": parameters, "group_ids": [self.group]}
        number = ok(self.call("post", f"obj/Alpha/analysis/{self.services[service]}", json=body))["id"]
        found: dict[str, Any] = wait_until(lambda: (row := self.read(number))["status"] not in (
            "queued", "pending") and row)
        return found

    def read(self, number: int) -> dict[str, Any]:
        row: dict[str, Any] = ok(self.call("get", f"obj/analysis/{number}"))
        return row

    def result(self, row: dict[str, Any]) -> dict[str, Any]:
        assert row["status"] == "completed", json.dumps(row) + self.here.logs()
        found: dict[str, Any] = ok(self.call("get", f"obj/analysis/{row['id']}/results/0"))
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root: Path = tmp_path_factory.mktemp("analyses")
    with installation(root, pilots=1, PILOTS__COUNT=1, SERVICES__REPAIR_SECONDS=2) as here:
        yield Desk(here)


def test_a_light_curve(desk: Desk) -> None:
    row = desk.run("lightcurve-fit", steps=3000)
    found = desk.result(row)
    assert found["posterior"]["fall"]["median"] == pytest.approx(30, rel=0.1)
    assert found["t0_mjd"] == pytest.approx(60020, abs=2)
    for product in ("plots", "corner"):
        assert desk.call("get", f"obj/analysis/{row['id']}/{product}/0").content.startswith(b"\x89PNG")
    task = row["grid"]["task_id"]
    done = wait_until(lambda: (found := desk.session.get(
        f"{desk.url}/datasets/{row['grid']['dataset_id']}/tasks/{task}", timeout=60).json())[
            "status"] == "complete" and found)
    assert done["name"] == "analysis"


def test_the_association_with_a_gaussian_map(desk: Desk) -> None:
    found = desk.result(desk.run("neutrino-association", sources=100, completeness=1))
    factor = 2 / np.radians(SIGMA) ** 2
    assert found["bayes_factor"] == pytest.approx(factor, rel=0.1)
    assert found["probability"] == pytest.approx(1 / (1 + 99 / factor), rel=0.05)


def test_the_region_without_catalogues(desk: Desk) -> None:
    row = desk.run("region-counts")
    assert (row["status"], row["status_message"]) == (
        "failure", "there are no catalogues: import one first")


def test_the_region(desk: Desk) -> None:
    table = "name,ra,dec\n" + "".join(f"g{n},{RA + 0.1 * n},{DEC}\n" for n in range(5)) + "far,220,-20\n"
    ok(desk.call("post", "galaxy_catalog/ascii", json={"catalogName": "mine", "catalogData": table}))
    wait_until(lambda: ok(desk.call("get", "galaxy_catalog"))["totalMatches"] == 6)
    found = desk.result(desk.run("region-counts"))
    mine = {(row["region"], row["background"]): row for row in found["rows"]}
    assert mine["90%", "sky"]["count"] == 5
    area = mine["90%", "sky"]["area_deg2"]
    assert area == pytest.approx(np.pi * (2.146 * SIGMA) ** 2, rel=0.1)  # of a Gaussian
    assert mine["90%", "sky"]["expected"] == pytest.approx(6 * area / 41253, rel=1e-3)


def test_parameters_that_cannot_be_are_the_analysts_to_mend(desk: Desk) -> None:
    row = desk.run("neutrino-association", completeness=7)
    assert (row["status"], "completeness" in row["status_message"]) == ("failure", True)
