"""Whole stories, as people live them: each in a real browser, on an installation with real pilots."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.browsing import Visitor
from tests.support.api import Api
from tests.support.installation import Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FAILS_ONCE = """#!/bin/sh
echo "job $1 starts"
if [ "$1" = 1 ] && [ ! -e "{mark}" ]; then
    touch "{mark}"
    echo "ERROR: the photon table for job $1 cannot be opened" >&2
    exit 3
fi
echo done
"""
PATIENCE = 300_000  # milliseconds; pilots share the machine with everything else


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    # the stories' programs lie, and leave marks, where an isolated task sees nothing
    settings = {"FAILURES__MAX_FAILURES": 0, "SERVICES__REPAIR_SECONDS": 1, "PILOTS__ISOLATION": "off"}
    with installation(tmp_path_factory.mktemp("stories"), pilots=1, **settings) as running:
        running.iceprod("simulate", "--seed", "7", "--out", running.root / "event.json")
        running.wait_for_pilots()
        yield running


def url_of(here: Installed) -> str:
    return str(json.loads((here.data / "up.json").read_text())["url"])


def token_of(here: Installed, user: str, roles: str) -> str:
    return here.iceprod("token", "--data", here.data, "--user", user, "--roles", roles).strip()


def test_a_physicist_submits_finds_a_failure_reads_its_log_and_resets_it(
        here: Installed, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    script = tmp_path / "simulate.sh"
    script.write_text(FAILS_ONCE.format(mark=tmp_path / "was here"))
    script.chmod(0o755)
    ada = visit(url_of(here))
    ada.log_in(token_of(here, "ada", "user"), "/web/submit")
    page = ada.page
    page.get_by_label("Description").fill("Three jobs")
    page.get_by_label("Jobs").fill("3")
    page.get_by_label("Memory (GB)").fill("0.5")
    page.get_by_label("Program", exact=True).fill(str(script))
    page.get_by_label("Arguments").fill("$(job)")
    page.get_by_text("It is good: 3 jobs of 1 task, 3 tasks in all.").wait_for()
    page.get_by_role("button", name="Submit", exact=True).click()
    page.get_by_text("Submitted.").wait_for()

    page.get_by_role("status").get_by_text(re.compile(r"\d+ failed")).wait_for(timeout=PATIENCE)
    page.get_by_role("link", name="1", exact=True).first.click()
    page.get_by_role("heading", name="1 task", exact=True).wait_for()
    page.get_by_role("link", name="task", exact=True).click()
    page.get_by_text("needs somebody to look at it").wait_for()
    assert page.locator("pre .hit").inner_text() == "ERROR: the photon table for job 1 cannot be opened"

    page.get_by_role("button", name="Reset…", exact=True).click()
    page.get_by_role("heading", name="Reset?").wait_for()
    page.get_by_role("button", name="Reset 1 task").click()
    page.get_by_text("it is being done").wait_for()
    page.get_by_text("3 of 3 tasks are complete (100 %)").wait_for(timeout=PATIENCE)


PRINTS = """#!/bin/sh
echo "job $1 starts"
while [ ! -e "{mark}" ]; do sleep 0.1; done
echo "the mark is there"
while [ ! -e "{mark}.end" ]; do sleep 0.1; done
echo done
"""


def test_a_physicist_reads_what_a_task_prints_while_it_runs(
        here: Installed, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    script, mark = tmp_path / "slow.sh", tmp_path / "mark"
    script.write_text(PRINTS.format(mark=mark))
    script.chmod(0o755)
    ada = visit(url_of(here))
    ada.log_in(token_of(here, "ada", "user"), "/web/submit")
    page = ada.page
    page.get_by_label("Description").fill("One that takes its time")
    page.get_by_label("Jobs").fill("1")
    page.get_by_label("Memory (GB)").fill("0.5")
    page.get_by_label("Program", exact=True).fill(str(script))
    page.get_by_label("Arguments").fill("$(job)")
    page.get_by_text("It is good: 1 job of 1 task").wait_for()
    page.get_by_role("button", name="Submit", exact=True).click()
    page.get_by_text("Submitted.").wait_for()

    page.get_by_role("heading", name="Running tasks").wait_for()
    page.locator("summary", has_text="job 0").click(timeout=PATIENCE)
    page.locator("pre", has_text="job 0 starts").wait_for(timeout=PATIENCE)
    page.locator("details[data-hold]").get_by_role("link", name="The task").click()
    page.get_by_role("heading", name="Log, while it runs").wait_for()
    mark.touch()
    page.locator("pre", has_text="the mark is there").wait_for(timeout=PATIENCE)
    (tmp_path / "mark.end").touch()
    page.get_by_role("heading", name="End of stdout").wait_for(timeout=PATIENCE)  # without loading it again
    page.locator("pre", has_text="done").wait_for()
    page.locator("#attempts ~ details > summary", has_text="complete").click()
    page.locator("#attempts ~ details details > summary", has_text="stdout").click()
    page.locator("#attempts ~ details pre", has_text="the mark is there").wait_for()


def test_a_shifter_watches_a_scan_to_its_final_map(here: Installed, visit: Callable[..., Visitor]) -> None:
    bob = visit(url_of(here))
    bob.log_in(token_of(here, "bob", "user"), "/web/scans")
    page = bob.page
    if not page.get_by_label("Event, as JSON").is_visible():
        page.get_by_text("Start a scan").click()
    page.get_by_label("Event, as JSON").set_input_files(str(here.root / "event.json"))
    page.get_by_label("Data", exact=True).select_option("simulated")
    page.get_by_label("Reconstruction").select_option("track_mpe")
    page.get_by_label("Levels", exact=True).fill("4:0,16:12")
    page.get_by_label("then finer and wider as needed").uncheck()
    page.get_by_role("button", name="Start the scan").click()
    page.get_by_text("The scan waits for its turn").wait_for()
    page.get_by_text("scan has final result").wait_for(timeout=PATIENCE)  # without loading the page again
    page.get_by_role("link", name="Candidates on the desk").wait_for()  # nothing of the running scan stays
    assert page.get_by_role("link", name="Abort…").count() == page.get_by_label("More workers").count() == 0
    assert page.get_by_role("link", name="Delete…").count() == 1
    bob.wait_for("document.querySelector('canvas').dataset.drawn === 'yes'")
    best = page.locator("output").get_by_text("2Δ ln L = 0.00 (nside 16)")

    def is_at_the_best() -> bool:
        """The last map may come a moment after the news of it, with another best pixel."""
        page.get_by_role("button", name="Region").click()
        page.wait_for_timeout(300)
        return best.is_visible()

    wait_until(is_at_the_best)
    assert re.fullmatch(r"[\d.]+° \(\+[\d.]+/−[\d.]+\)", page.locator('[data-show="ra"]').inner_text())
    scan_id = page.url.rsplit("/", 1)[1]
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON for skyreader").click()
    assert "nside-16" in json.loads(Path(download.value.path()).read_text())
    assert scan_id in here.iceprod("watch", scan_id, "--data", here.data, "--json")


def test_a_shifter_aborts_a_scan_and_scans_again(here: Installed, visit: Callable[..., Visitor]) -> None:
    bob = visit(url_of(here))
    bob.log_in(token_of(here, "bob", "user"), "/web/scans")
    page = bob.page
    if not page.get_by_label("Event, as JSON").is_visible():
        page.get_by_text("Start a scan").click()
    page.get_by_label("Event, as JSON").set_input_files(str(here.root / "event.json"))
    page.get_by_label("Data", exact=True).select_option("simulated")
    page.get_by_label("Levels", exact=True).fill("32:0")
    page.get_by_label("then finer and wider as needed").uncheck()
    page.get_by_role("button", name="Start the scan").click()
    page.get_by_role("link", name="Abort…").click()
    page.get_by_role("button", name="Abort it").click()
    page.get_by_text("What it found stays readable here").wait_for()
    page.get_by_role("link", name="Scan again…").click()
    page.get_by_role("button", name="Scan again").click()
    page.get_by_text("again after an earlier scan").wait_for()
    page.get_by_role("link", name="Abort…").click()
    page.get_by_role("button", name="Abort it").click()


def test_what_is_no_event_is_told(here: Installed, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("[1, 2]")
    bob = visit(url_of(here))
    bob.log_in(token_of(here, "bob", "user"), "/web/scans")
    page = bob.page
    if not page.get_by_label("Event, as JSON").is_visible():
        page.get_by_text("Start a scan").click()
    page.get_by_label("Event, as JSON").set_input_files(str(tmp_path / "no.json"))
    page.get_by_role("button", name="Start the scan").click()
    assert "the file holds no JSON object" in page.get_by_role("alert").inner_text()


def test_an_admin_drains_a_site(api: Api, visit: Callable[..., Visitor]) -> None:
    grid = api.session("system", username="grid")
    body = {"host": "submit.west.example.org", "queues": {"q": "htcondor"}, "version": "1", "site": "west"}
    grid_id = grid.post("/grids", json=body).json()["result"]
    root = visit(api.url)
    root.log_in(api.token(username="root"), "/web/sites")
    page = root.page
    control = page.locator(f"#control-{grid_id}")
    control.locator("summary").click()
    control.get_by_label("Reason").fill("the power is cut at noon")
    control.get_by_role("button", name="Drain").click()
    page.get_by_text("west submits no more pilots, and its pilots end after their tasks").wait_for()
    wish = grid.patch(f"/grids/{grid_id}", json={"pilots": {}}).json()["control"]  # the grid's next heartbeat
    assert (wish["state"], wish["reason"], wish["username"]) == (
        "draining", "the power is cut at noon", "root")
    west = page.get_by_role("region", name="Site west")
    assert west.get_by_text("draining", exact=True).first.is_visible()
    assert west.get_by_text("the power is cut at noon").is_visible()
    control.locator("summary").click()
    control.get_by_role("button", name="Resume").click()
    wait_until(lambda: grid.get(f"/grids/{grid_id}").json()["control"]["state"] == "active")


def test_an_admin_makes_a_token_and_revokes_it(api: Api, visit: Callable[..., Visitor]) -> None:
    root = visit(api.url)
    root.log_in(api.token(username="root"), "/web/tokens")
    page = root.page
    page.get_by_label("Good for").select_option("temp:user")
    page.get_by_role("button", name="Create token").click()
    token = page.get_by_label("Token", exact=True).input_value()
    headers = {"Authorization": f"Bearer {token}"}
    someone = api.anonymous()
    assert someone.get("/datasets", headers=headers).status_code == 200
    assert someone.get("/grids", headers=headers).status_code == 403
    page.get_by_label("A token", exact=True).fill(token)
    page.get_by_role("button", name="Revoke token").click()
    page.get_by_text("The token is refused from now on").wait_for()
    wait_until(lambda: someone.get("/datasets", headers=headers).status_code == 403)


def test_others_pages_are_not_shown(api: Api, visit: Callable[..., Visitor]) -> None:
    eve = visit(api.url)
    eve.log_in(api.token("user", username="eve"))
    assert eve.page.get_by_role("link", name="Admin").count() == 0
    eve.go("/web/admin")
    assert eve.page.get_by_role("heading", name="Not allowed").is_visible()
