"""A night on shift: an alert is held by the gate, released with one click, and withdrawn with a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import night, world
from tests.browser.browsing import Visitor
from tests.browser.night import HOSTILE_STREAM, calm_event, work_until
from tests.browser.world import World
from tests.support.api import Api, running_server
from tests.support.scans import PixelPilot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ASKED = """() => { window.asked = 0;
    document.addEventListener('htmx:beforeRequest', () => { window.asked++; }); }"""


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Api]:
    """A server on which nothing else is to do."""
    with running_server(tmp_path, world.SETTINGS | night.settings(tmp_path)) as server:
        yield server


def test_an_alert_is_held_released_and_withdrawn(quiet: Api, visit: Callable[..., Visitor]) -> None:
    manager = quiet.session("system", username="detector")
    shifter = visit(quiet.url)
    page = shifter.page
    shifter.log_in(quiet.token("admin", "user", username="shifter"), "/web/alerts?text=run+400")
    assert page.get_by_role("link", name="run 400 event 11").count() == 0
    alert = manager.post("/alerts", params={"stream": "neutrino"}, data=calm_event(400)).json()["alert_id"]
    page.get_by_role("link", name="run 400 event 11").wait_for()  # without loading the page again
    page.get_by_role("link", name="run 400 event 11").first.click()
    page.get_by_text("It is scanned, checked or told just now").wait_for()

    page.evaluate(ASKED)
    page.get_by_label("Why it is not published").fill("half a sentence")
    page.keyboard.press("Tab")
    shifter.wait_for("window.asked > 0")
    assert page.get_by_label("Why it is not published").input_value() == "half a sentence", "it is kept"
    page.get_by_label("Why it is not published").fill("")
    page.keyboard.press("Tab")

    pilot = PixelPilot(quiet.session("pilot")).register("night")
    work_until(manager, pilot, alert, "held")
    page.get_by_text("It waits for a person").wait_for()
    first = page.get_by_role("region", name="Revision 1: track_mpe held")
    assert first.get_by_text("failed", exact=True).count() == 2
    first.get_by_role("link", name="What would be told").click()
    assert "THIS IS A TEST" in page.get_by_label("Circular, as it would be now").input_value()
    page.go_back()
    page.get_by_role("button", name="Release revision 1").click()
    page.get_by_text("Revision 1 is released: its notice goes to the targets now.").wait_for()
    page.get_by_role("heading", name="Notices").wait_for()
    page.get_by_role("list", name="Deliveries").get_by_text("to archive").wait_for()
    page.locator("#notice-1 summary").click()
    assert "RA (J2000)" in page.locator("#notice-1 pre").inner_text()
    assert "released by shifter" in page.get_by_role("region", name="Revision 1: track_mpe").inner_text()

    page.get_by_label("Why, for everybody who was told").fill("the calibration of that run was wrong")
    page.get_by_role("button", name="Send a retraction").click()
    page.get_by_text("A retraction goes to everybody who was told.").wait_for()
    assert page.get_by_role("status").get_by_text("retracted").count() == 1
    assert page.get_by_role("button", name=re.compile("Release|Dismiss|retraction")).count() == 0
    shifter.go("/web/alert_notices?text=calibration+of+that+run")
    page.locator("summary").first.click()
    page.get_by_text("is withdrawn: the calibration of that run was wrong").wait_for()


def test_who_comes_too_late_is_told_and_sees_what_is_now(api: Api, made: World,
                                                         visit: Callable[..., Visitor]) -> None:
    ann = visit(api.url)
    ann.log_in(api.token("admin", "user", username="ann"), f"/web/alerts/{made.alerts['held']}")
    dismiss = f"/alerts/{made.alerts['held']}/actions/dismiss"
    answer = api.session("system").post(dismiss, json={"reason": "rain"})
    assert answer.status_code == 200
    ann.page.get_by_role("button", name="Release revision 1").click()
    ann.page.get_by_role("alert").get_by_text("Nothing was done").wait_for()
    assert ann.page.get_by_text("A person decided not to publish it").count() == 1


def test_what_streams_are_called_is_text(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    eve = visit(api.url)
    eve.log_in(api.token("user", username="reader"), "/web/alerts")
    assert HOSTILE_STREAM in eve.page.locator("main").inner_text()
    assert eve.page.get_by_role("button", name="Send again").count() == 0, "a reader only reads"
    eve.go(f"/web/alerts/{made.alerts['dismissed']}")
    assert HOSTILE_STREAM in eve.page.locator("main").inner_text()
    assert eve.page.get_by_role("button", name=re.compile("Release|Dismiss")).count() == 0
