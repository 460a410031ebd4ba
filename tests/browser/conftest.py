"""What browser tests share: a browser, and a server with a small world in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser import world
from tests.browser.browsing import Visitor, chromium, why_not
from tests.browser.world import World
from tests.support.api import Api


@pytest.fixture(scope="session", autouse=True)
def needs_a_browser() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture(scope="module")  # no longer: while it runs, no test can have an event loop of its own
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with world.serving(tmp_path_factory.mktemp("browser")) as server:
        yield server


@pytest.fixture(scope="session")
def made(api: Api) -> World:
    return world.build(api)


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens windows; at the end of the test nothing may have gone wrong in any of them."""
    visitors: list[Visitor] = []

    def open_window(url: str, **options: Any) -> Visitor:
        visitors.append(Visitor(browser, url, **options))
        return visitors[-1]

    yield open_window
    for visitor in visitors:
        visitor.close()
