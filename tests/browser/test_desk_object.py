"""The page of an object in a real browser: narrow and wide, light and dark, and judged on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.browsing import Visitor
from tests.browser.test_pages import LONELY, NAMELESS
from tests.browser.world import OBJECT, build_object
from tests.support.api import Api, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("object")
    with running_server(folder) as server:
        build_object(server.session())
        yield server


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark"), (400, "light")])
def test_it_fits_and_can_be_used_without_seeing_it(here: Api, visit: Callable[..., Visitor], width: int,
                                                   scheme: str) -> None:
    visitor = visit(here.url, width=width, scheme=scheme)
    visitor.log_in(here.token(), f"/web/desk/objects/{OBJECT}")
    visitor.settle()
    assert visitor.page.get_by_role("heading", level=1).inner_text().startswith(OBJECT)
    assert visitor.page.get_by_text("10:00:27.91 +02:12:20.9").first.is_visible()
    assert visitor.overflow() <= 0
    assert visitor.page.evaluate(NAMELESS) == []
    assert visitor.page.evaluate(LONELY) == []


def test_a_shifter_judges_and_stars_it(here: Api, visit: Callable[..., Visitor]) -> None:
    ada = visit(here.url)
    ada.log_in(here.token(), f"/web/desk/objects/{OBJECT}")
    page = ada.page
    page.get_by_role("button", name="Take back my vote on Blazar").click()
    page.get_by_text("0 votes, +0").wait_for()
    page.get_by_role("button", name="Agree with Blazar", exact=True).click()
    page.get_by_text("1 votes, +1").wait_for()
    page.get_by_role("button", name="Star", exact=True).click()
    page.get_by_role("button", name="Unstar").wait_for()
    page.get_by_label("Class", exact=True).select_option(label="Blazar (ours)")
    page.get_by_role("button", name="Classify").click()
    page.get_by_text(f"{OBJECT} is classified as Blazar.").wait_for()
