"""Pictures of every page, light and dark, wide and narrow: ``python -m tests.browser.screenshots FOLDER``."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser import world
from tests.browser.browsing import Visitor, chromium, why_not
from tests.browser.world import World
from tests.support.api import Api, running_server

__all__ = ["SCHEMES", "WIDTHS", "pages", "take"]

WIDTHS = (1400, 400)
SCHEMES = ("light", "dark")


def pages(made: World) -> dict[str, str]:
    """The paths of all pages, by name."""
    running, waiting = made.datasets["running"], made.datasets["waiting"]
    return {
        "home": "/web/", "datasets": "/web/datasets", "datasets-none": "/web/datasets?text=nothing",
        "dataset": f"/web/datasets/{running}",
        "dataset-suspended": f"/web/datasets/{made.datasets['suspended']}",
        "config": f"/web/datasets/{running}/config", "tasks": f"/web/datasets/{running}/tasks",
        "tasks-failed": f"/web/datasets/{running}/tasks?status=failed",
        "jobs": f"/web/datasets/{running}/jobs",
        "task-failed": f"/web/datasets/{running}/tasks/{made.failed_task}",
        "task-waiting": f"/web/datasets/{waiting}/tasks/{made.waiting_task}",
        "submit": "/web/submit", "submit-like": f"/web/submit?like={running}",
        "scans": "/web/scans", "scan-final": f"/web/scans/{made.scans['final']}",
        "scan-running": f"/web/scans/{made.scans['running']}",
        "scan-outside": f"/web/scans/{made.scans['outside']}",
        "sites": "/web/sites", "pilots": f"/web/sites/{made.grid_id}", "admin": "/web/admin",
        "schedule": "/web/schedule", "schedule-entry": "/web/schedule/housekeeping-repair-tasks",
        "desk": "/web/desk", "desk-object": f"/web/desk/objects/{world.OBJECT}",
        "requests": "/web/desk/requests", "allocations": "/web/desk/allocations",
        "docs": "/web/docs", "tokens": "/web/tokens", "notifications": "/web/notifications",
        "notifications-all": "/web/notifications?all=true",
        "missing": "/web/datasets/none", "no-scan": "/web/scans/none", "no-page": "/web/nothing",
    }


def take(browser: Any, api: Api, made: World, folder: Path, only: str = "") -> Iterator[tuple[Path, int]]:
    """Take all pictures; each with the pixels by which its page is too wide."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme, width in itertools.product(SCHEMES, WIDTHS):
        visitor = Visitor(browser, api.url, width, scheme)
        visitor.go("/web/login")
        yield _picture(visitor, folder, "login"), visitor.overflow()
        visitor.log_in(api.token())
        for name, path in pages(made).items():
            if only in name:
                visitor.go(path)
                visitor.settle()
                yield _picture(visitor, folder, name), visitor.overflow()
        visitor.close()


def _picture(visitor: Visitor, folder: Path, name: str) -> Path:
    path = folder / f"{name}-{visitor.width}-{visitor.scheme}.png"
    visitor.page.screenshot(path=path, full_page=True)
    return path


def main() -> int:
    """Take pictures of a small world of pages; says which pages are too wide."""
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    if reason := why_not():
        print(f"no pictures: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder), world.SETTINGS) as api:
        made = world.build(api)
        with chromium() as browser:
            return _print(take(browser, api, made, Path(sys.argv[1]), "".join(sys.argv[2:3])))


def _print(pictures: Iterator[tuple[Path, int]]) -> int:
    wide = 0
    for path, overflow in pictures:
        wide += overflow > 0
        print(path, f"is {overflow} pixels too wide" if overflow > 0 else "")
    return 1 if wide else 0


if __name__ == "__main__":
    sys.exit(main())
