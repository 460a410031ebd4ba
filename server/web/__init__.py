"""The web pages: one module per group of pages (`*_pages.py`), its templates, and one line in ROUTES here.

How a page is written stands in `handler.py`; what the navigation shows, in `navigation.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from server.rest.routing import Route
from server.web.alerts import alert_pages
from server.web.common import static
from server.web.desk import (
    analysis_pages,
    desk_pages,
    followup_pages,
    object_pages,
    rule_form_pages,
    rule_pages,
)
from server.web.home import (
    admin_pages,
    docs_pages,
    home_pages,
    login,
    missing,
    notification_pages,
    root,
    schedule_pages,
    site_pages,
)
from server.web.production import dataset_pages, submit_pages, task_actions, task_pages
from server.web.scans import scan_actions, scan_pages

__all__ = ["MISSING", "ROUTES", "SETTINGS"]

MISSING = missing.MISSING

ROUTES: list[Route] = [
    *root.ROUTES, *login.ROUTES, *home_pages.ROUTES, *dataset_pages.ROUTES, *task_pages.ROUTES,
    *task_actions.ROUTES, *submit_pages.ROUTES, *scan_actions.ROUTES, *scan_pages.ROUTES, *site_pages.ROUTES,
    *desk_pages.ROUTES, *object_pages.ROUTES, *analysis_pages.ROUTES, *followup_pages.ROUTES,
    *rule_form_pages.ROUTES, *rule_pages.ROUTES, *alert_pages.ROUTES,
    *schedule_pages.ROUTES, *notification_pages.ROUTES, *admin_pages.ROUTES, *docs_pages.ROUTES,
    *static.ROUTES]
SETTINGS: dict[str, Any] = {
    "template_path": str(Path(__file__).parent / "templates"), "autoescape": "xhtml_escape",
}
