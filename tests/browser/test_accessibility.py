"""Every page, wide and narrow, light and dark: axe-core finds nothing wrong, not even with the colours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.app import ROUTES
from tests.browser.accessibility import COLOURS, faults, without_axe
from tests.browser.browsing import Visitor
from tests.browser.screenshots import SCHEMES, WIDTHS, left_out, pages
from tests.browser.world import World
from tests.support.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(api: Api, made: World, visit: Callable[..., Visitor], width: int) -> None:
    if reason := without_axe():
        pytest.skip(reason)
    visitor = visit(api.url, width=width)
    visitor.go("/web/login")
    found = {**_faults(visitor, "login")}
    visitor.log_in(api.token())
    for name, path in pages(made).items():
        visitor.go(path)
        visitor.settle()
        found |= _faults(visitor, name)
    assert {name: told for name, told in found.items() if told} == {}


def _faults(visitor: Visitor, name: str) -> dict[str, list[str]]:
    """Of the page as it is, and of its colours in the other schemes: nothing else hangs on the scheme."""
    found = {name: faults(visitor.page)}
    for scheme in SCHEMES[1:]:
        visitor.page.emulate_media(color_scheme=scheme)
        found[f"{name}, {scheme}"] = faults(visitor.page, COLOURS)
    visitor.page.emulate_media(color_scheme=SCHEMES[0])
    return found


def test_axe_would_find_something(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    if reason := without_axe():
        pytest.skip(reason)
    visitor = visit(api.url)
    visitor.go("/web/login")
    visitor.page.evaluate("document.querySelector('main p, main label').style.color = '#ddd'")
    visitor.page.evaluate("document.querySelector('input').removeAttribute('id')")
    told = "\n".join(faults(visitor.page))
    assert "color-contrast" in told
    assert "label" in told


def test_every_page_of_the_server_is_looked_at(made: World) -> None:
    shown = [path.partition("?")[0] for path in pages(made).values()]
    patterns = {route.openapi_path: route for route in ROUTES
                if route.openapi_path.startswith("/web") and "get" in route.methods()}
    seen = {pattern for pattern in patterns if any(_fits(path, pattern) for path in shown)}
    assert {*patterns} - seen == {*left_out()}


def _fits(path: str, pattern: str) -> bool:
    parts, wanted = path.rstrip("/").split("/"), pattern.rstrip("/").split("/")
    return len(parts) == len(wanted) and all(
        one == other or other.startswith("{") for one, other in zip(parts, wanted, strict=True))
