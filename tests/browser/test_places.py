"""Pages keep where the reader is, and keep themselves up to date."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.browsing import Visitor
from tests.browser.world import World
from tests.support.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_action_leaves_the_reader_where_they_were(api: Api, made: World,
                                                     visit: Callable[..., Visitor]) -> None:
    root = visit(api.url, width=400)
    root.log_in(api.token(username="root"), "/web/schedule")
    page = root.page
    button = page.get_by_role("button", name="Run now housekeeping-update-priorities")
    button.scroll_into_view_if_needed()
    page.evaluate("window.scrollBy(0, 40)")
    before = page.evaluate("window.scrollY")
    assert before > 200
    button.click()
    page.get_by_role("status").first.wait_for()
    root.wait_for(f"Math.abs(window.scrollY - {before}) < 250")
    assert page.get_by_role("status").first.is_visible()


def test_a_list_renews_itself_but_not_under_the_readers_hands(api: Api, made: World,
                                                              visit: Callable[..., Visitor]) -> None:
    alice = visit(api.url)
    alice.log_in(api.token(username="alice"), "/web/datasets")
    page = alice.page
    assert page.locator("#list").get_attribute("hx-trigger") == "every 10s"
    made_now = api.session("user", username="alice").post("/datasets", json={
        "description": "made while the list is open", "group": "users", "jobs_submitted": 1,
        "tasks_submitted": 1, "tasks_per_job": 1})
    assert made_now.status_code == 201
    page.get_by_text("made while the list is open").wait_for(timeout=20_000)
    alice.go(f"/web/datasets/{made.datasets['running']}/tasks")
    page.locator("input[data-row]").first.check()
    page.wait_for_timeout(12_000)
    assert page.locator("input[data-row]:checked").count() == 1


def test_a_page_that_is_not_there_is_a_page(api: Api, visit: Callable[..., Visitor]) -> None:
    bob = visit(api.url)
    bob.log_in(api.token("user", username="bob"))
    bob.go("/web/nothing")
    assert bob.page.get_by_role("heading", name="Not found").is_visible()
    assert bob.page.get_by_role("navigation", name="Main").is_visible()
