"""Rules in a real browser: tried before they are made, changed, refused with a reason, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import world
from tests.browser.browsing import Visitor
from tests.browser.test_pages import LONELY, NAMELESS
from tests.support.api import Api
from tests.support.desk import ok
from tests.support.standing import Watch, watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("rules")
    with world.serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def prepared(here: Api) -> Watch:
    return watch(here, here.session("admin", username="ada", groups=()))


@pytest.fixture
def ada(here: Api, prepared: Watch, visit: Callable[..., Visitor]) -> Visitor:
    visitor: Visitor = visit(here.url)
    visitor.log_in(here.token("admin", "user", username="ada", groups=()), "/web/desk/rules")
    return visitor


def test_a_rule_is_tried_made_changed_and_removed(ada: Visitor, prepared: Watch) -> None:
    sure, unsure = prepared.judge("TDE", 0.9), prepared.judge("TDE", 0.2)
    page = ada.page
    page.get_by_role("link", name="New rule").click()
    page.get_by_label("Name", exact=True).fill("flares that are sure")
    page.get_by_label("Classes, with commas").fill("TDE")
    page.get_by_label("With a probability of at least").fill("0.5")
    assert "observation_choices = [" in page.get_by_label("Payload").input_value(), "something to begin with"
    page.get_by_role("button", name="Dry run").click()
    tried = page.get_by_role("region", name="Dry run:")
    tried.get_by_role("row", name=sure).get_by_text("yes", exact=True).wait_for()
    tried.get_by_role("row", name=unsure).get_by_text("probability is 0.2, less than 0.5").wait_for()
    assert ok(prepared.admin.get("/api/rules"))["totalMatches"] == 0, "nothing is stored yet"
    page.get_by_role("button", name="Make the rule").click()
    page.get_by_text("The rule is kept, for what happens from now on.").wait_for()
    rule, = ok(prepared.admin.get("/api/rules"))["rules"]
    assert rule["condition"] == [[{"field": "classification", "in": ["TDE"]},
                                  {"field": "probability", "min": 0.5}]]
    page.get_by_role("link", name="Change").click()
    assert page.get_by_label("With a probability of at least").input_value() == "0.5"
    page.get_by_label("Classes, with commas").fill("TDE, Blazar")
    page.get_by_label("Times a day at most").fill("3")
    page.get_by_role("button", name="Change it for the future").click()
    page.get_by_text("The rule is changed, for what happens from now on.").wait_for()
    changed, = ok(prepared.admin.get("/api/rules"))["rules"]
    assert (changed["id"], changed["name"], changed["daily_limit"]) == (rule["id"], rule["name"], 3)
    assert changed["condition"][0][0]["in"] == ["TDE", "Blazar"]
    page.get_by_role("link", name="Change").click()
    page.get_by_text("Remove this rule").click()
    page.get_by_role("button", name="Remove flares that are sure").click()
    page.get_by_text("flares that are sure is removed; what it did stays.").wait_for()
    assert ok(prepared.admin.get("/api/rules"))["totalMatches"] == 0


@pytest.mark.parametrize(("label", "text", "problem"), [
    ("Classes, with commas", " , ", "classes: name at least one class"),
    ("With a probability of at least", "often", "probability: must be a number from 0 to 1"),
    ("Payload, a line of name = value each", "exposure_time", "payload: expected lines of name = value"),
    ("Payload, a line of name = value each", "exposure_time = -3", "exposure_time"),
])  # fmt: skip
def test_what_cannot_be_is_told_and_nothing_that_was_written_is_lost(
        ada: Visitor, prepared: Watch, label: str, text: str, problem: str) -> None:
    page = ada.page
    ada.go("/web/desk/rules/new")
    page.get_by_label("Name", exact=True).fill("kept")
    page.get_by_label("Classes, with commas").fill("TDE")
    page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Make the rule").click()
    assert problem in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Name", exact=True).input_value() == "kept"
    assert page.get_by_label(label).input_value() == text.strip()
    assert ok(prepared.admin.get("/api/rules"))["totalMatches"] == 0


def test_nobody_elses_change_is_lost(ada: Visitor, prepared: Watch) -> None:
    asked = {"gcn_tags": ["gold"], "max_area_90": 5}
    number = prepared.default_plan(default_plan_name="near ones", filters=asked)
    ada.go(f"/web/desk/rules/plan:{number}/edit")
    page = ada.page
    assert page.get_by_label("Tags of the event, one of").input_value() == "gold"
    ok(prepared.admin.patch(f"/api/rules/plan:{number}", json={"is_active": False}))
    page.get_by_label("90 % area up to (deg²)").fill("50")
    page.get_by_role("button", name="Change it for the future").click()
    assert "somebody changed or removed this rule meanwhile" in page.get_by_role("alert").inner_text()
    page.get_by_role("link", name="the rule", exact=True).click()
    page.get_by_role("link", name="Change").click()
    page.get_by_label("90 % area up to (deg²)").fill("50")
    page.get_by_role("button", name="Change it for the future").click()
    page.get_by_text("The rule is changed").wait_for()
    told = ok(prepared.admin.get(f"/api/default_observation_plan/{number}"))
    assert told["filters"] == {"gcn_tags": ["gold"], "max_area_90": 50}
    assert told["is_active"] is False, "it stays switched off"
    ok(prepared.admin.delete(f"/api/default_observation_plan/{number}"))


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
@pytest.mark.parametrize("action", ["followup", "plan", "efficiency", "analysis"])
def test_the_forms_fit_and_can_be_used_without_seeing_them(
        here: Api, prepared: Watch, visit: Callable[..., Visitor], width: int, scheme: str,
        action: str) -> None:
    number = prepared.default_plan()
    visitor = visit(here.url, width=width, scheme=scheme)
    token = here.token("admin", "user", username="ada", groups=())
    visitor.log_in(token, f"/web/desk/rules/new?action={action}")
    assert visitor.page.get_by_role("button", name="Dry run").is_visible()
    assert visitor.overflow() <= 0
    assert visitor.page.evaluate(NAMELESS) == visitor.page.evaluate(LONELY) == []
    ok(prepared.admin.delete(f"/api/default_observation_plan/{number}"))


def test_who_has_no_right_makes_no_rule(here: Api, prepared: Watch) -> None:
    vera = here.anonymous()
    vera.cookies.set("iceprod_session", here.token("user", username="vera", groups=("others",)))
    assert vera.get("/web/desk/rules/new?action=plan").status_code == 403
    assert vera.get("/web/desk/rules/new?action=x").status_code == 400
    number = prepared.default_followup("TDE")
    for call in (vera.get, vera.post):
        assert call(f"/web/desk/rules/followup:{number}/edit").status_code == 404
    ok(prepared.admin.delete(f"/api/default_followup_request/{number}"))
