"""Somebody makes a rule in a browser, tries it, is told, and removes it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.browsing import Visitor
from tests.support.api import Api, running_server
from tests.support.installation import wait_until
from tests.support.notifications.receivers import Poster, poster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Poster]:
    with poster() as one:
        yield one


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, receiver: Poster) -> Iterator[Api]:
    settings = {"NOTIFY__ALLOWED_HOSTS": json.dumps([receiver.host]), "NOTIFY__GATHER_SECONDS": 0.2,
                "NOTIFY__TRIES": 1}
    with running_server(tmp_path_factory.mktemp("notifications"), settings) as server:
        yield server


def test_a_rule_from_its_making_to_its_end(here: Api, receiver: Poster, visit: Callable[..., Visitor],
                                           tmp_path: Path) -> None:
    ada = visit(here.url, width=1400)
    ada.log_in(here.token("user", username="ada"))
    page = ada.page
    page.get_by_role("link", name="Notifications").click()
    page.get_by_text("No rule yet: nobody is told anything.").wait_for()
    page.get_by_label("Event").select_option("dataset_errors")
    page.get_by_label("By").select_option("webhook")
    page.get_by_label("Pause").select_option("0")
    page.get_by_label("Address").fill("https://127.0.0.1/inside")
    page.get_by_label("Name").fill("my failures")
    page.get_by_role("button", name="Create rule").click()
    page.get_by_role("alert").get_by_text("no host of the open internet").wait_for()
    assert page.get_by_label("Event").input_value() == "dataset_errors", "what was typed is still there"
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Create rule").click()
    assert page.get_by_label("Secret", exact=True).input_value().startswith("whsec_")
    page.screenshot(path=tmp_path / "made.png", full_page=True)

    page.goto(f"{here.url}/web/notifications")
    assert page.get_by_label("Secret", exact=True).count() == 0
    page.get_by_role("button", name="Test my failures").click()
    wait_until(lambda: bool(receiver.got), 60)
    assert json.loads(receiver.got[0].body)["is_test"]

    receiver.status = 500
    session = here.session("user", username="ada")
    made = session.post("/datasets", json={"description": "muons", "group": "users", "jobs_submitted": 1,
                                           "tasks_submitted": 1, "tasks_per_job": 1}).json()["result"]
    session.put(f"/datasets/{made.rpartition('/')[2]}/status", json={"status": "errors"})
    wait_until(lambda: len(receiver.got) == 2, 60)
    wait_until(lambda: session.get("/notifications?state=dead").json()["notifications"], 60)
    page.reload()
    row = page.get_by_role("row").filter(has_text="dataset 1 ended in errors")
    assert "given up" in row.inner_text()
    assert "answers HTTP 500" in row.inner_text()
    page.screenshot(path=tmp_path / "log.png", full_page=True)
    receiver.status = 200
    row.get_by_role("button", name="Send again").click()
    page.get_by_text("It is tried again.").wait_for()
    wait_until(lambda: len(receiver.got) == 3, 60)
    assert receiver.got[1].headers["webhook-id"] == receiver.got[2].headers["webhook-id"]

    page.get_by_role("button", name="Switch my failures off").click()
    page.get_by_role("status").get_by_text("The rule my failures is off.").wait_for()
    page.get_by_role("button", name="Remove my failures").click()
    page.get_by_text("No rule yet: nobody is told anything.").wait_for()
