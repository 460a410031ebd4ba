"""Pages of the schedule: all entries with their next and last runs, and one entry with its history."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tornado.escape import xhtml_escape

from server.common.errors import ApiError, BadRequest
from server.rest.routing import Route, allow
from server.sensor.acquisitions import acquisitions
from server.sensor.actions import actions
from server.sensor.clock import asking, state
from server.sensor.schedule import entries
from server.sensor.schedule.entries import SYSTEM, Entry
from server.sensor.schedule.times import upcoming
from server.web.common.handler import READERS, PageHandler
from server.web.common.show import since

__all__ = ["ROUTES", "epoch", "strip"]

STRIP_RUNS = 40
HISTORY_RUNS = 100
SHOWN_TIMES = 5
FAR = 1 << 62  # seconds since 1970
_STYLES = {"success": "good", "failure": "bad", "in-progress": "busy", "skipped": "idle"}


@dataclass(frozen=True)
class Row:
    """An entry in the list."""

    entry: Entry
    runs: list[dict[str, Any]]
    may_change: bool
    is_sparing: bool = False  # what it would find nothing to do at is no run

    @property
    def latest(self) -> str:
        """What came last, in words."""
        if not self.runs:
            return "nothing to do yet" if self.is_sparing else "never ran"
        told = f"{self.runs[-1]['status']} {since(self.runs[-1]['started'].rstrip('Z'))}"
        return f"{told}, nothing to do since" if self.is_sparing and self.state == "active" else told

    @property
    def state(self) -> str:
        """A word for people."""
        if any(run["status"] == "in-progress" for run in self.runs[-3:]):
            return "running"
        return "active" if self.entry.is_active else "paused" if self.entry.interval else "finished"

    @property
    def strip(self) -> str:
        return strip(self.entry.name, self.runs)


def strip(name: str, runs: list[dict[str, Any]]) -> str:
    """The latest runs side by side, the newest at the right, as SVG: good, bad, at work or nothing to do."""
    counted = Counter(run["status"] for run in runs)
    told = ", ".join(f"{number} {status}" for status, number in counted.items()) or "none yet"
    label, width = xhtml_escape(f"Latest runs of {name}: {told}"), 10 * STRIP_RUNS
    parts = [f'<svg class="bar-chart" viewBox="0 0 {width} 4" preserveAspectRatio="none" role="img" '
             f'aria-label="{label}">']
    first = STRIP_RUNS - len(runs)
    for place, run in enumerate(runs, first):
        title = f"{run['task_id']}: {run['status']} {run['started'][:19].replace('T', ' ')} {run['detail']}"
        style = _STYLES.get(run["status"], "wait")
        parts.append(f'<rect class="{style}" x="{10 * place}" width="8" height="4">'
                     f"<title>{xhtml_escape(title)}</title></rect>")
    return "".join([*parts, "</svg>"])


class Schedule(PageHandler):
    """All entries; and making one."""

    @allow(*READERS)
    async def get(self) -> None:
        template = "schedule_now.html" if self.part_wanted == "now" else "schedule.html"
        await self.show(template)

    async def show(self, template: str = "schedule.html", problem: str = "", filled: Any = None) -> None:
        """Answer with the list; with what was wrong in the form, if anything was."""
        found = await entries.all_entries(self.ctx)
        rows = list(await asyncio.gather(*(self._row(entry) for entry in found)))
        known = [action for action in await actions.all_actions(self.ctx)
                 if not action.admin_only or "admin" in self.user.roles]
        self.page(template, mine=[row for row in rows if row.entry.owner != SYSTEM],
                  systems=[row for row in rows if row.entry.owner == SYSTEM], actions=known, problem=problem,
                  filled=filled or {}, scheduler=await state.scheduler_state(self.ctx, bool(found)),
                  now=time.time())

    async def _row(self, entry: Entry) -> Row:
        runs = await acquisitions.latest(self.ctx, entry.name, STRIP_RUNS)
        action = await actions.find(self.ctx, entry.action)
        return Row(entry, runs, asking.may_change(self.user, entry), bool(action and action.needed))

    @allow(*READERS)
    async def post(self) -> None:
        """Make an entry."""
        names = ("name", "action", "interval", "priority", "start", "stop")
        filled = {name: self.field(name, "") for name in names}
        try:
            entry = (await asking.create(self.ctx, self.user, _body(filled))).entry
        except ApiError as error:
            self.set_status(error.code)
            await self.show(problem=error.reason, filled=filled)
            return
        self.done(f"{entry.name} is on the schedule.", f"/web/schedule/{entry.name}")


def _body(filled: dict[str, str]) -> dict[str, Any]:
    """The API's body of a form. Raises BadRequest."""
    body: dict[str, Any] = {name: value for name, value in filled.items() if value}
    for name in ("interval", "priority"):
        if name in body and body[name].lstrip("-").isdigit():
            body[name] = int(body[name])
    for name in ("start", "stop"):
        if name in body:
            body[name] = epoch(name, body[name])
    return body


def epoch(name: str, text: str) -> int:
    """A time as a form gives it (UTC), in seconds since 1970. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name}: {text[:40]!r} is no time such as 2026-01-31T18:00 (UTC)") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class OneEntry(PageHandler):
    """An entry with its history."""

    @allow(*READERS)
    async def get(self, name: str) -> None:
        entry = await entries.get(self.ctx, name)
        runs = await acquisitions.listed(self.ctx, name, limit=HISTORY_RUNS, newest=True)
        template = "schedule_entry_now.html" if self.part_wanted == "now" else "schedule_entry.html"
        self.page(template, item=entry, runs=runs, styles=_STYLES,
                  action=await actions.find(self.ctx, entry.action),
                  row=Row(entry, await acquisitions.latest(self.ctx, name, STRIP_RUNS),
                          asking.may_change(self.user, entry)),
                  upcoming=_upcoming(entry))


def _upcoming(entry: Entry) -> list[int]:
    return upcoming(entry.times, int(time.time()), FAR, SHOWN_TIMES) if entry.is_active else []


class Change(PageHandler):
    """Pause, resume or run an entry, or change its priority."""

    @allow(*READERS)
    async def post(self, name: str) -> None:
        wanted = self.field("do")
        target = f"/web/schedule/{name}" if self.field("from", "") == "entry" else "/web/schedule"
        match wanted:
            case "run":
                await asking.run_now(self.ctx, self.user, name)
                text = f"{name} runs as soon as it can."
            case "pause" | "resume":
                await asking.change(self.ctx, self.user, name, {"is_active": wanted == "resume"})
                text = f"{name} is {'active again' if wanted == 'resume' else 'paused'}."
            case "delete":
                await asking.delete(self.ctx, self.user, name)
                text, target = f"{name} is deleted.", "/web/schedule"
            case _:
                raise BadRequest("do: run, pause, resume or delete")
        self.done(text, target)


ROUTES = [
    Route("/web/schedule", Schedule, "web"),
    Route("/web/schedule/{name:any}", OneEntry, "web"),
    Route("/web/schedule/{name:any}/change", Change, "web"),
]
