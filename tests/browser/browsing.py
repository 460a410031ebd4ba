"""A real browser for tests: Debian's Chromium, driven by Playwright. No page may load from elsewhere."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Visitor", "chromium", "why_not"]

CHROMIUM = os.environ.get("ICEPROD_TEST_BROWSER") or shutil.which("chromium") or ""


def why_not() -> str:
    """Why there is no browser here; empty when there is one."""
    if not CHROMIUM:
        return "there is no chromium here"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return ""


OVERFLOW = """() => {
  const window_ = document.documentElement.clientWidth;
  let most = document.documentElement.scrollWidth - window_;
  for (const card of document.querySelectorAll(".card, .scroll, .live")) {
    if (!card.closest(".docs")) most = Math.max(most, card.scrollWidth - card.clientWidth);
  }
  for (const one of document.querySelectorAll("button, select, input, .button")) {
    const place = one.getBoundingClientRect();
    if (place.width > 1 && one.checkVisibility()) most = Math.max(most, Math.ceil(place.right) - window_);
  }
  return most;
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody with a browser window, and what went wrong in it, such as errors of scripts."""

    browser: Any
    url: str
    width: int = 1280
    scheme: str = "light"
    friends: tuple[str, ...] = ()  # other addresses that may be asked
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context = self.browser.new_context(
            viewport={"width": self.width, "height": 900}, color_scheme=self.scheme)
        self.context.set_default_timeout(30_000)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and "status of 40" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url, *self.friends, "data:", "blob:")):
            self.problems.append(f"asked elsewhere: {request.url}")

    def go(self, path: str) -> None:
        """Open a page of the server."""
        self.page.goto(self.url + path)

    def log_in(self, token: str, path: str = "/web/") -> None:
        """Log in with a token, as people do."""
        self.go(path)
        self.page.get_by_label("Token", exact=True).fill(token)
        self.page.get_by_role("button", name="Log in", exact=True).click()
        self.page.wait_for_url(f"**{path}")

    def settle(self) -> None:
        """Wait until what a page loads after itself is there."""
        self.page.wait_for_load_state("load")
        self.wait_for("!document.querySelector('.htmx-request')")
        # also those that nobody has seen yet
        self.page.evaluate("() => { for (const image of document.images) image.loading = 'eager' }")
        self.wait_for("[...document.images].every((image) => image.complete)")
        self.wait_for("!document.querySelector('[data-skymap]:not([hidden]) canvas[data-drawn=no]')")

    def wait_for(self, script: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true; Playwright's own way is refused by the pages' policy."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(script):
            assert time.monotonic() < end, f"waited {seconds} s in vain for {script}"
            self.page.wait_for_timeout(50)

    def overflow(self) -> int:
        """By how many pixels the page, or anything in a card of it, is wider than there is room for."""
        return int(self.page.evaluate(OVERFLOW))

    def close(self) -> None:
        """Leave; nothing may have gone wrong."""
        self.context.close()
        assert not self.problems, self.problems
