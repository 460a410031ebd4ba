"""The pages of scans as a shifter, a physicist and an astronomer use them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.browsing import Visitor
from tests.browser.world import HOSTILE, World
from tests.support.api import Api
from tests.support.scans import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COLOURED = """(colours) => { const canvas = document.querySelector('[data-skymap] canvas');
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return colours.map((colour) => {
      let found = 0;
      for (let place = 0; place < data.length; place += 4) {
        if (Math.abs(data[place] - colour[0]) + Math.abs(data[place + 1] - colour[1])
            + Math.abs(data[place + 2] - colour[2]) < 24) found++; }
      return found; }); }"""
ONLINE, TRUTH, OTHER, CATALOG = [77, 181, 255], [61, 220, 151], [255, 180, 84], [255, 143, 216]


@pytest.fixture
def reader(api: Api, made: World, visit: Callable[..., Visitor]) -> Visitor:
    visitor = visit(api.url)
    visitor.log_in(api.token("user", username="astronomer"))
    return visitor


def sketched(api: Api, made: World) -> None:
    """Small pictures come shortly after the maps."""
    cookies = {"iceprod_session": api.token("user")}
    for name in ("earlier", "final"):
        path = f"/web/scans/{made.scans[name]}/thumbnail"
        wait_for(lambda path=path: api.anonymous().get(path, cookies=cookies).status_code == 200, "a picture")


def test_a_scan_says_what_circulars_say(api: Api, made: World, reader: Visitor) -> None:
    reader.go(f"/web/scans/{made.scans['final']}")
    reader.settle()
    page = reader.page
    assert "2023-02-25 00:00:00.000" in page.locator("header.heading").inner_text()
    assert "MJD 60000.000000" in page.locator("header.heading").inner_text()
    best = page.get_by_role("region", name="Best fit")
    assert re.search(r"111\.09° \(\+[\d.]+/−[\d.]+\)", best.inner_text())
    assert "07h 24m 22.5s +19° 28′ 16″" in best.inner_text()
    assert best.get_by_text("calibrated_track_mpe").count() == 2, "the level set stands beside every area"
    compared = page.get_by_role("region", name="Compared with").first
    assert re.search(r"Online direction.*4\.0\d° from the best fit, inside the 50 % region",
                     compared.inner_text().replace("\n", " "))
    assert "Truth of the simulation" in compared.inner_text()
    event = page.locator("section", has=page.get_by_role("heading", name="Event", exact=True)).inner_text()
    assert "77.4\u00a0TeV" in event
    assert "0.62" in event
    *marked, of_catalog = page.evaluate(COLOURED, [ONLINE, TRUTH, OTHER, CATALOG])
    assert min(marked) > 5, "all are marked on the map"
    assert of_catalog == 0
    compared.get_by_role("link", name="Scan", exact=False).first.click()
    page.wait_for_url(f"**/{made.scans['earlier']}")


def test_catalogues_are_marked_on_request(api: Api, made: World, reader: Visitor) -> None:
    page = reader.page
    def taken_in() -> bool:
        reader.go(f"/web/scans/{made.scans['final']}?catalog=galaxies")
        return page.get_by_text("NGC 1").count() > 0

    wait_for(taken_in, "the desk takes the map in")
    reader.settle()
    table = page.get_by_role("group", name="Catalogue", exact=True)
    assert HOSTILE in table.inner_text()
    assert "far away" not in table.inner_text()
    assert page.evaluate(COLOURED, [CATALOG])[0] > 5
    page.get_by_label("Mark what is inside").select_option("")  # sends itself
    page.wait_for_url(re.compile(r"catalog=(#|$)"))
    assert page.get_by_text("NGC 1").count() == 0
    assert page.get_by_label("Mark what is inside").evaluate("one => one.value") == ""


def test_files_are_grouped_by_what_they_are_for(made: World, reader: Visitor) -> None:
    reader.go(f"/web/scans/{made.scans['final']}")
    files = reader.page.locator("section", has=reader.page.get_by_role("heading", name="Files", exact=True))
    for title in ("To publish", "To read on", "To plot"):
        assert files.get_by_role("heading", name=title).first.is_visible()
    assert files.locator("a:visible").count() < 30
    with reader.page.expect_download() as download:
        files.get_by_role("link", name="Figure of the region").first.click()
    assert download.value.suggested_filename.endswith(".pdf")


def test_the_text_of_a_circular_can_be_copied(made: World, reader: Visitor) -> None:
    reader.go(f"/web/scans/{made.scans['final']}")
    reader.page.get_by_role("link", name="Text for a circular").click()
    text = reader.page.get_by_label("Draft, to be completed").input_value()
    assert "THIS IS A TEST" in text
    assert re.search(r"RA \(J2000\):  111\.094 \(\+[\d.]+/-[\d.]+, 90 %\) deg", text)
    assert "Signalness: 0.62." in text
    assert "Known gamma-ray and radio sources inside the 90 % region: not looked for" in text
    reader.page.get_by_role("button", name="Copy").click()
    reader.page.get_by_text("Copied.").wait_for()


def test_scans_are_listed_by_event(api: Api, made: World, reader: Visitor) -> None:
    sketched(api, made)
    page = reader.page
    reader.go("/web/scans")
    reader.settle()
    row = page.get_by_role("row", name="Run 100 · Event 11")
    assert row.count() == 1, "one row for both scans"
    assert row.locator("img").evaluate("one => one.naturalWidth") == 240
    assert row.locator(f"a[href$='{made.scans['earlier']}']").count() == 1
    assert "calibrated_track_mpe" in row.inner_text()
    page.get_by_role("link", name="90 % area").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**?sort=area")
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("90 % area")
    page.get_by_label("State", exact=True).select_option("running")
    page.wait_for_url(re.compile("state=running"))
    page.get_by_label("Sorted by").select_option("newest")
    page.wait_for_url(re.compile("sort=newest"))
    page.get_by_role("row", name="Run 101 · Event 11").wait_for()
    assert page.get_by_role("row", name="Run 100 · Event 11").count() == 0


def test_the_list_is_whole_without_scripts(api: Api, made: World, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(api.url + "/web/login")
    page.get_by_label("Token", exact=True).fill(api.token("user", username="alice"))
    page.get_by_role("button", name="Log in", exact=True).click()
    page.goto(api.url + "/web/scans")
    page.get_by_label("State", exact=True).select_option("final")
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.get_by_role("row", name="Run 100 · Event 11").count() == 1
    page.get_by_role("row", name="Run 100 · Event 11").get_by_role("link", name="neutrino").click()
    assert "stream=neutrino" in page.url
    context.close()
