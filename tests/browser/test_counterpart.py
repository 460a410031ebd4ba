"""From a finished scan to a classified counterpart: a rule that fires, an analysis on the grid, a rescan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.browser.browsing import Visitor
from tests.support.desk import ok
from tests.support.installation import Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 300_000  # milliseconds; pilots share the machine with everything else
PAYLOAD = {"observation_choices": ["ztfr"], "priority": 4, "exposure_time": 300, "exposure_counts": 1,
           "maximum_airmass": 2, "minimum_lunar_distance": 30}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    root = tmp_path_factory.mktemp("counterpart")
    with installation(root, pilots=1, SERVICES__REPAIR_SECONDS=1) as running:
        running.iceprod("simulate", "--seed", "7", "--out", running.root / "event.json")
        running.wait_for_pilots()
        yield running


class Desk:
    """What somebody prepares before the night: a group with all that it needs, and a standing rule."""

    def __init__(self, here: Installed) -> None:
        self.url = str(json.loads((here.data / "up.json").read_text())["url"])
        self.token = here.iceprod("token", "--data", here.data, "--user", "ada", "--roles",
                                  "admin,user").strip()
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        group = self.post("groups", name="observers")
        stream = self.post("streams", name="alerts")
        self.post(f"groups/{group}/streams", stream_id=stream)
        self.post("filters", name="bright ones", stream_id=stream, group_id=group)
        tree = {"name": "ours", "version": "1", "hierarchy": {"class": "Blazar"}, "group_ids": [group]}
        ok(self.call("post", "taxonomy", json=tree))
        telescope = self.post("telescope", name="Palomar", nickname="P48", lat=33.35, lon=-116.86,
                              elevation=1700)
        camera = self.post("instrument", name="ZTF", telescope_id=telescope, filters=["ztfr"],
                           api_classname="GENERICAPI")
        scanner = self.post("instrument", name="Skymap scanner", telescope_id=telescope,
                            api_classname="GRIDSCANAPI")
        self.camera, self.scanner = (self.post("allocation", group_id=group, instrument_id=number,
                                               hours_allocated=20) for number in (camera, scanner))
        self.post("default_followup_request", allocation_id=self.camera, payload=PAYLOAD,
                  default_followup_name="images of blazars", target_group_ids=[group],
                  source_filter={"classification": "Blazar"})

    def call(self, method: str, path: str, **how: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}/api/{path}", timeout=60, **how)

    def post(self, path: str, **body: Any) -> int:
        return int(ok(self.call("post", path, json=body)).get("id", 0))

    def best(self, scan_id: str) -> dict[str, float]:
        """Where a scan's map is densest, once the desk has it."""
        def found() -> Any:
            rows = ok(self.call("get", "gcn_event"))["events"]
            maps = [one for row in rows for one in ok(self.call("get", f"gcn_event/{row['dateobs']}"))[
                "localizations"] if one["scan_id"] == scan_id]
            return maps and maps[0]["best"]

        place: dict[str, float] = wait_until(found)
        return place

    def bring(self, name: str, place: dict[str, float]) -> None:
        """A galaxy of the reference catalogue."""
        table = f"name,ra,dec,distmpc\n{name},{place['ra']},{place['dec']},40\n"
        ok(self.call("post", "galaxy_catalog/ascii", json={"catalogName": "near", "catalogData": table}))
        wait_until(lambda: ok(self.call("get", "galaxy_catalog"))["totalMatches"])


def test_a_shifter_finds_the_counterpart(here: Installed, visit: Callable[..., Visitor]) -> None:
    desk = Desk(here)
    levels = ("--nsides", "4:0,16:12")
    found = json.loads(here.iceprod("scan", "event.json", *levels, "--json", "--out", "results"))
    scan_id = str(found["scan_id"])
    desk.bring("NGC-7", desk.best(scan_id))
    ada = visit(desk.url)
    ada.log_in(desk.token, "/web/desk")
    ada.go(f"/web/desk/scans/{scan_id}")
    page = ada.page
    page.get_by_role("row", name="NGC-7").get_by_role("button", name="Make it a candidate").click()
    page.get_by_text("NGC-7 is a candidate now.").wait_for()
    page.get_by_role("row", name="NGC-7").get_by_role("button", name="Classify").click()
    page.get_by_text("NGC-7 is classified as Blazar.").wait_for()

    page.get_by_role("rowheader", name="NGC-7").get_by_role("link").first.click()  # is it the source?
    page.get_by_role("heading", name="Analyses").wait_for()
    page.get_by_label("Service").select_option(label="Association with the neutrino (on the grid)")
    page.get_by_label("Parameters, a line of name = value each").fill("sources = 100\ncompleteness = 1")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("is queued.").first.wait_for()
    wait_until(lambda: ok(desk.call("get", "obj/NGC-7/analysis"))[0]["status"] == "completed")
    page.reload()
    page.get_by_text("bayes factor", exact=True).wait_for()

    request = wait_until(lambda: ok(desk.call("get", "followup_request"))["followup_requests"])[0]
    assert (request["obj_id"], request["status"], request["payload"]["priority"]) == ("NGC-7", "submitted", 4)
    ada.go("/web/desk/rules")
    row = page.get_by_role("row", name="images of blazars")
    assert "1 of 10" in row.inner_text()

    ada.go(f"/web/desk/ask?obj=NGC-7&event={scan_id}&allocation={desk.scanner}")
    page.get_by_label("Levels").fill('{"4": 0}')
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("heading", name="Follow-up requests").wait_for()
    wait_until(lambda: sorted(one["status"] for one in ok(desk.call("get", "followup_request"))[
        "followup_requests"]) == ["completed", "submitted"])
