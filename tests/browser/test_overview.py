"""Home, sites and a dataset as a shifter reads them: over time, what needs attention, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser import world
from tests.browser.browsing import Visitor
from tests.browser.world import World
from tests.support.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_shifter_reads_what_ran_and_follows_what_nobody_offers(api: Api, made: World,
                                                                 visit: Callable[..., Visitor]) -> None:
    world.keep_alive(api)
    root = visit(api.url)
    root.log_in(api.token(username="root"))
    page = root.page
    activity = page.get_by_role("region", name="Activity")
    charts = activity.get_by_role("img")
    assert charts.count() == 3
    told = charts.first.get_attribute("aria-label") or ""
    assert told.startswith("Tasks ended (tasks/s): complete ")
    activity.get_by_text("Numbers (cores)").click()
    assert activity.get_by_role("group", name="Cores, numbers").locator("tbody tr").count() > 15
    activity.get_by_role("link", name="7 days").click()
    root.wait_for("location.search === '?span=7d'")
    assert page.get_by_role("link", name="7 days").get_attribute("aria-current") == "true"
    assert page.locator("#activity").locator("xpath=ancestor::section").get_attribute("hx-get") == (
        "/web/?part=activity&span=7d"), "what renews itself stays at the time that was chosen"
    assert page.locator(".chart").nth(1).locator("polyline").count() == 4, "a night without pilots is a gap"

    page.get_by_role("link", name="Nobody offers this: cpu 64").click()
    page.get_by_role("heading", name="A task that is too large for every pilot").wait_for()
    why = page.locator("#why").inner_text()
    assert why.startswith("Nothing runs. No pilot offers enough cpu, memory; no site can send one: north: ")
    answer = api.session().get(f"/tasks/{made.waiting_task}/explain").json()
    assert why.split(". ")[1].lower() == answer["reason"].lower()  # as `iceprod why` says
    page.locator("#why").get_by_role("link").click()
    page.get_by_role("heading", name="Why it is waiting").wait_for()


def test_the_latest_maps_are_pictures_that_lead_to_their_scans(api: Api, made: World,
                                                               visit: Callable[..., Visitor]) -> None:
    bob = visit(api.url)
    bob.log_in(api.token("user", username="bob"))
    bob.settle()
    here = bob.page.locator(f"a[href='/web/scans/{made.scans['final']}']")
    picture = here.get_by_role("img", name="Sky map of Run 100")
    assert picture.evaluate("(image) => image.naturalWidth >= 240")
    picture.click()
    bob.page.wait_for_url(f"**/web/scans/{made.scans['final']}")


def test_a_host_that_eats_tasks_stands_out(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    root = visit(api.url, width=400, scheme="dark")
    root.log_in(api.token(username="root"), "/web/sites")
    page = root.page
    hosts = page.get_by_role("region", name="Failures by host and hour")
    label = hosts.get_by_role("img").get_attribute("aria-label") or ""
    assert label.endswith("standing out: node07.north.example.org")
    hosts.get_by_text("Numbers").click()
    first = hosts.locator("tbody tr").first
    assert "node07.north.example.org" in first.inner_text()
    assert "eats tasks" in first.inner_text()
    assert hosts.get_by_text("eats tasks").count() == 1, "one that ran more, and so failed more, does not"
    page.wait_for_timeout(11_000)  # it renews itself
    assert hosts.locator("details").evaluate("(one) => one.open"), "what was opened stays open"
    assert root.overflow() <= 0


def test_hosts_are_not_for_everybody(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    bob = visit(api.url)
    bob.log_in(api.token("user", username="bob"), "/web/sites")
    assert bob.page.get_by_role("heading", name="Failures by host and hour").count() == 0
    assert bob.page.get_by_role("region", name="Site north").get_by_role("heading", name="Cores").is_visible()


def test_boxes_of_the_graph_lead_to_their_tasks(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    alice = visit(api.url)
    alice.log_in(api.token("user", username="alice"), f"/web/datasets/{made.datasets['running']}")
    graph = alice.page.get_by_role("region", name="Dependencies").locator("svg")
    assert "propagate after generate: " in (graph.get_attribute("aria-label") or "")
    graph.get_by_role("link", name="propagate").focus()
    alice.page.keyboard.press("Enter")
    alice.page.wait_for_url("**/tasks?name=propagate")
