"""The desk in a real browser: lists that are gone through by keys, the map, pictures, comments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import world
from tests.browser.browsing import Visitor
from tests.browser.desk_world import NAMES, Desk, build_desk
from tests.support.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NEAR, MIDDLE, FAR = reversed(NAMES)
LEAVE = "ofsr"  # keys after which another page comes
CHOSEN = "document.querySelector('tr[aria-current]')?.dataset.rowKey"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("desk")
    with world.serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def desk(here: Api) -> Desk:
    admin = here.session()
    made = build_desk(admin)
    world.build_object(admin)
    return made


@pytest.fixture
def ada(here: Api, desk: Desk, visit: Callable[..., Visitor]) -> Visitor:
    """Somebody at the page of the first map."""
    visitor: Visitor = visit(here.url)
    visitor.log_in(here.token(), f"/web/desk/maps/{desk.map}")
    visitor.settle()
    return visitor


def press(visitor: Visitor, *keys: str) -> Any:
    """Press keys; which row is chosen then."""
    for key in keys:
        visitor.page.keyboard.press(key)
    return None if keys[-1] in LEAVE else visitor.page.evaluate(CHOSEN)


def test_rows_are_gone_through_by_keys(ada: Visitor) -> None:
    press(ada, "s")
    ada.page.get_by_text("Choose a row first: j").wait_for()
    assert press(ada, "k") == NEAR, "the most probable place first"
    assert [press(ada, "j"), press(ada, "j")] == [MIDDLE, FAR]
    assert press(ada, "k") == MIDDLE
    focused = ada.page.evaluate("document.activeElement.dataset.rowKey")
    assert focused == MIDDLE
    outline = ada.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    assert press(ada, "Control+j") == MIDDLE, "the browser's own keys are left to it"
    press(ada, "o")
    ada.page.wait_for_url(f"**/web/desk/objects/{MIDDLE}")


def test_help_is_shown_and_closed(ada: Visitor) -> None:
    help_ = ada.page.get_by_role("dialog", name="Keys")
    press(ada, "?")
    help_.wait_for()
    assert press(ada, "j") is None, "while it is open keys do nothing else"
    press(ada, "?")
    help_.wait_for(state="hidden")
    ada.page.get_by_role("button", name="Keys").click()
    help_.get_by_role("button", name="Close").click()
    help_.wait_for(state="hidden")
    assert press(ada, "j") == NEAR


def test_a_shifter_saves_stars_and_rejects_by_keys(ada: Visitor) -> None:
    page = ada.page
    page.set_viewport_size({"width": 1280, "height": 500})
    press(ada, "j", "j", "f")
    page.get_by_text(f"{MIDDLE} is on your list of favorites.").wait_for()
    ada.wait_for(f"{CHOSEN} === '{MIDDLE}'")  # the reader is where they were
    assert page.evaluate("window.scrollY") > 0
    page.keyboard.press("s")
    page.get_by_text(f"{MIDDLE} is saved for your groups.").wait_for()
    ada.wait_for(f"{CHOSEN} === '{MIDDLE}'")
    page.keyboard.press("s")
    page.get_by_text("This row has no thing to save").wait_for()
    page.keyboard.press("r")
    page.get_by_text(f"{MIDDLE} is rejected: your lists leave it out.").wait_for()
    ada.wait_for(f"{CHOSEN} === '{FAR}'")  # the row that has its place now
    page.get_by_label("Rejected").select_option(label="shown")
    page.get_by_role("row", name=MIDDLE).get_by_role("button", name="Take back").click()
    page.get_by_text(f"{MIDDLE} is off your list.").wait_for()


def test_what_is_written_is_no_command(ada: Visitor) -> None:
    page = ada.page
    words = "just so rejected? jk, cores of stars fork"
    press(ada, "j", "c")
    box = page.get_by_role("textbox", name=f"Comment on {NEAR}")
    ada.wait_for("document.activeElement.matches('textarea')")
    page.keyboard.type(words)
    assert box.input_value() == words
    assert page.evaluate(CHOSEN) == NEAR
    assert not page.get_by_role("dialog", name="Keys").is_visible()
    assert press(ada, "Escape", "j") == MIDDLE
    assert press(ada, "k", "c") == NEAR
    assert box.input_value() == words, "what was written is still there"
    page.get_by_role("button", name=f"Keep the comment on {NEAR}").click()
    page.get_by_text(f"Your comment on {NEAR} is kept.").wait_for()
    page.get_by_role("row", name=NEAR).get_by_text(words).wait_for()
    assert page.get_by_role("row", name=NEAR).get_by_text("rejected", exact=True).count() == 0
    ada.go(f"/web/desk/objects/{NEAR}")
    page.get_by_role("region", name="Comments").get_by_text(words).wait_for()
    page.get_by_label("Comment, for your groups").fill("s")
    page.get_by_role("button", name="Comment", exact=True).click()
    page.get_by_role("region", name="Comments").get_by_role("button", name="Take back").first.click()
    page.get_by_text(f"A comment on {NEAR} is taken back.").wait_for()


def test_other_fields_take_their_letters_too(here: Api, desk: Desk, visit: Callable[..., Visitor]) -> None:
    bob = visit(here.url)
    bob.log_in(here.token(username="bob"), "/web/desk")
    bob.page.get_by_label("Name or tag").click()
    bob.page.keyboard.type("jkgold?")
    assert bob.page.get_by_label("Name or tag").input_value() == "jkgold?"
    assert bob.page.evaluate(CHOSEN) is None


def test_events_are_found_sorted_and_opened_by_keys(here: Api, desk: Desk,
                                                    visit: Callable[..., Visitor]) -> None:
    bob = visit(here.url, width=400)
    bob.log_in(here.token(username="bob"), "/web/desk")
    page = bob.page
    titles = ".event-title"
    assert page.locator(titles).all_inner_texts()[0].startswith("IceCube-231202A · 1.8")
    page.get_by_label("Order").select_option(label="smallest 90 %")
    page.wait_for_url("**sort=area*")
    assert "fermi" in page.locator(titles).all_inner_texts()[-1]
    page.get_by_label("Name or tag").fill("bronze")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**text=bronze*")
    assert page.locator(titles).count() == 1
    press(bob, "j", "o")
    page.get_by_role("heading", name="IceCube-231120A").wait_for()


def test_a_chosen_row_outlasts_the_renewal_of_its_list(here: Api, desk: Desk,
                                                       visit: Callable[..., Visitor]) -> None:
    bob = visit(here.url)
    bob.log_in(here.token(username="bob"), "/web/desk")
    chosen = press(bob, "j", "j")
    bob.page.evaluate("htmx.trigger('#list', 'every')")
    bob.page.evaluate("htmx.ajax('GET', '/web/desk', {target: '#list', select: '#list', swap: 'outerHTML'})")
    bob.settle()
    bob.wait_for(f"{CHOSEN} === '{chosen}'")


def test_the_map_has_axes_and_its_picture_of_the_sky(ada: Visitor, desk: Desk) -> None:
    page = ada.page
    chart = page.get_by_role("group", name="Map of the region").first
    for text in ("RA (J2000)", "83.5°", "5h34m", "-5.0°"):
        assert chart.get_by_text(text, exact=True).count() == 1
    assert chart.locator(".line.r50").count() == chart.locator(".line.r90").count() == 1
    loaded = page.evaluate("""async () => { const address = document.querySelector('svg image').href.baseVal;
        const answer = await fetch(address); return [answer.status, answer.headers.get('Content-Type')]; }""")
    assert loaded == [200, "image/jpeg"]
    page.get_by_role("link", name=NEAR, exact=True).first.click()  # the mark on the map
    assert page.evaluate("location.hash") == "#candidate-1"


def test_without_scripts_there_are_the_same_forms(here: Api, desk: Desk, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(here.url + "/web/login")
    page.get_by_label("Token", exact=True).fill(here.token(username="carl"))
    page.get_by_role("button", name="Log in", exact=True).click()
    page.goto(f"{here.url}/web/desk/maps/{desk.map}")
    row = page.get_by_role("row", name=FAR)
    assert not page.get_by_role("button", name="Keys").is_visible()
    row.get_by_role("button", name="Star", exact=True).click()
    assert row.get_by_role("button", name="Unstar").is_visible()
    row.locator("summary").click()
    page.get_by_role("textbox", name=f"Comment on {FAR}").fill("without scripts")
    page.get_by_role("button", name=f"Keep the comment on {FAR}").click()
    assert page.get_by_role("row", name=FAR).get_by_text("without scripts").is_visible()
    context.close()
