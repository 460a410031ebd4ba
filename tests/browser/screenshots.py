"""Pictures of every page, light and dark, wide and narrow, of a small world that is made for them.

    python -m tests.browser.screenshots FOLDER [PART_OF_A_NAME]
    python -m tests.browser.screenshots --docs

The second makes the pictures of the documentation anew, in docs/pictures.
"""

from __future__ import annotations

import io
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.browser import world
from tests.browser.browsing import Visitor, chromium, why_not
from tests.browser.desk_world import NAMES
from tests.browser.world import World
from tests.support.api import Api

__all__ = ["DOCS", "FOR_DOCS", "SCHEMES", "WIDTHS", "left_out", "pages", "take"]

WIDTHS = (1400, 400)
SCHEMES = ("light", "dark")
DOCS = Path(__file__).parents[2] / "docs" / "pictures"
FOR_DOCS = {"home": 620, "dataset": 860, "task-failed": 860, "submit": 860, "scan-final": 900, "sites": 700,
            "alerts": 620, "desk-map": 860, "schedule": 620}
"""Pages whose pictures the documentation shows, with their heights in pixels."""
_DOCS_WIDTH, _DOCS_QUALITY = 1100, 82


def pages(made: World) -> dict[str, str]:
    """The paths of all pages, by name."""
    running, waiting = made.datasets["running"], made.datasets["waiting"]
    rule = made.more["desk-rule"].partition("?")[0]
    return {
        "home": "/web/", "week": "/web/?span=7d",
        "datasets": "/web/datasets", "datasets-none": "/web/datasets?text=nothing",
        "dataset": f"/web/datasets/{running}",
        "dataset-suspended": f"/web/datasets/{made.datasets['suspended']}",
        "config": f"/web/datasets/{running}/config", "tasks": f"/web/datasets/{running}/tasks",
        "tasks-failed": f"/web/datasets/{running}/tasks?status=failed",
        "jobs": f"/web/datasets/{running}/jobs", "job": f"/web/datasets/{running}/jobs/{made.job}",
        "task-running": f"/web/datasets/{running}/tasks/{made.running_task}",
        "task-failed": f"/web/datasets/{running}/tasks/{made.failed_task}",
        "task-waiting": f"/web/datasets/{waiting}/tasks/{made.waiting_task}",
        "submit": "/web/submit", "submit-like": f"/web/submit?like={running}",
        "scans": "/web/scans", "scan-final": f"/web/scans/{made.scans['final']}",
        "scans-by-area": "/web/scans?sort=area",
        "scan-circular": f"/web/scans/{made.scans['final']}/circular",
        "scan-galaxies": f"/web/scans/{made.scans['final']}?catalog=galaxies",
        "scan-running": f"/web/scans/{made.scans['running']}",
        "scan-outside": f"/web/scans/{made.scans['outside']}",
        "alerts": "/web/alerts", "alerts-held": "/web/alerts?state=held",
        **{f"alert-{state}": f"/web/alerts/{alert_id}" for state, alert_id in made.alerts.items()},
        "alert-draft": f"/web/alerts/{made.alerts['held']}/draft/1",
        "alert-notices": "/web/alert_notices", "alert-replays": "/web/alert_replays",
        "sites": "/web/sites", "pilots": f"/web/sites/{made.grid_id}", "admin": "/web/admin",
        "schedule": "/web/schedule", "schedule-entry": "/web/schedule/housekeeping-repair-tasks",
        "desk": "/web/desk", "desk-none": "/web/desk?text=nothing", "desk-area": "/web/desk?sort=area",
        "desk-map": f"/web/desk/maps/{made.desk.map}", "desk-map-pole": f"/web/desk/maps/{made.desk.map + 1}",
        "desk-map-wide": f"/web/desk/maps/{made.desk.map + 2}?region=99",
        "desk-map-scan": f"/web/desk/scans/{made.scans['final']}",
        "desk-object": f"/web/desk/objects/{world.OBJECT}",
        "desk-candidate": f"/web/desk/objects/{NAMES[0]}", "desk-rules": "/web/desk/rules",
        "desk-rule-plan": "/web/desk/rules/new?action=plan", "desk-rule-edit": f"{rule}/edit",
        "desk-rule-analysis": "/web/desk/rules/new?action=analysis",
        "requests": "/web/desk/requests", "allocations": "/web/desk/allocations",
        "scan-rescan": f"/web/scans/{made.scans['final']}/rescan",
        "scan-abort": f"/web/scans/{made.scans['running']}/abort",
        "tokens": "/web/tokens", "docs": "/web/docs", "docs-guide": "/web/docs/physicist",
        "docs-reference": "/web/docs/reference/commands", "notifications": "/web/notifications",
        "notifications-all": "/web/notifications?all=true", **made.more,
        "missing": "/web/datasets/none", "no-scan": "/web/scans/none", "no-page": "/web/nothing",
    }


def left_out() -> dict[str, str]:
    """Routes below /web/ that are no page of their own, and what they are."""
    return {
        "/web/login/once": "logs in, and leads on", "/web/login/issuer": "leads to the issuer",
        "/web/login/callback": "comes from the issuer", "/web/tasks/{task_id}": "leads to the task's page",
        "/web/tokens/revoke": "the page of tokens again",
        "/web/login": "looked at before anybody is logged in",
        "/web/datasets/{dataset_id}/errors": "a part of the dataset's page",
        "/web/scans/{scan_id}/progress": "a part of the scan's page",
        "/web/scans/{scan_id}/pixels": "bytes of the map",
        "/web/scans/{scan_id}/picture/{view}": "a picture", "/web/scans/{scan_id}/event": "a picture",
        "/web/scans/{scan_id}/map/{kind}": "a file", "/web/scans/{scan_id}/products/{name}": "a file",
        "/web/notifications/rules/{rule_id}": "the page of notifications again",
        "/web/notifications/retries": "the page of notifications again",
        "/web/scans/{scan_id}/thumbnail": "a picture", "/web/desk/maps/{number}/sky": "a picture",
        "/web/desk/finder": "a picture", "/web/desk/analyses/{number}/{kind}/{index}": "a file",
        "/web/desk/instruments/{number}/{what}": "a file", "/web/static/{name}": "a file"}


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
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    if reason := why_not():
        print(f"no pictures: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, world.serving(Path(folder)) as api:
        made = world.build(api)
        with chromium() as browser:
            if words[0] == "--docs":
                return _for_docs(browser, api, made)
            return _print(take(browser, api, made, Path(words[0]), "".join(words[1:2])))


def _for_docs(browser: Any, api: Api, made: World) -> int:
    """Write the documentation's pictures: the upper parts of pages, small."""
    from PIL import Image

    DOCS.mkdir(exist_ok=True)
    visitor = Visitor(browser, api.url, _DOCS_WIDTH, "light")
    visitor.log_in(api.token("user", "admin", username="ada"))
    for name, height in FOR_DOCS.items():
        visitor.page.set_viewport_size({"width": _DOCS_WIDTH, "height": height})
        visitor.go(pages(made)[name])
        visitor.settle()
        shot = io.BytesIO(visitor.page.screenshot())
        path = DOCS / f"{name}.webp"
        Image.open(shot).convert("RGB").save(path, quality=_DOCS_QUALITY, method=6)
        print(path, path.stat().st_size)
    visitor.close()
    return 0


def _print(pictures: Iterator[tuple[Path, int]]) -> int:
    wide = 0
    for path, overflow in pictures:
        wide += overflow > 0
        print(path, f"is {overflow} pixels too wide" if overflow > 0 else "")
    return 1 if wide else 0


if __name__ == "__main__":
    sys.exit(main())
