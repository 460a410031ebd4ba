"""Dry run: what a rule would have done about what happened lately, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from iceprod.ids import now
from server.rest.context import Context
from server.rules import decisions, events
from server.rules.decisions import Decision, Rule

__all__ = ["DAYS", "Preview", "dry_run", "shown"]

DAYS = 30
MOST_EVENTS = 10_000


@dataclass(frozen=True)
class Preview:
    """A dry run over some days; events that the rule's groups may not know of are left out."""

    decisions: list[Decision]
    days: int
    is_whole: bool  # False: there were more events than are looked at

    @property
    def fires(self) -> list[Decision]:
        return [one for one in self.decisions if one.fires]


async def dry_run(ctx: Context, rule: Rule, days: int = DAYS) -> Preview:
    """What the rule would have done in the last days, had it been there. Changes nothing."""
    found = await events.of_kind(ctx, rule.event, now() - timedelta(days=days), MOST_EVENTS)
    seen = [event for event in found if rule.group_ids is None or event.group_ids is None
            or set(rule.group_ids) & set(event.group_ids)]
    return Preview(list(decisions.tried(rule, seen, since=False)), days, len(found) < MOST_EVENTS)


def shown(preview: Preview, limit: int = 200) -> dict[str, Any]:
    """A dry run as the API shows it: the latest decisions first."""
    rows = [{"at": one.event.at, "kind": one.event.kind, "row": one.event.row, "facts": dict(one.event.facts),
             "fires": one.fires, "reason": one.reason} for one in reversed(preview.decisions)]
    return {"days": preview.days, "events": len(rows), "fires": len(preview.fires),
            "is_whole": preview.is_whole, "decisions": rows[:limit]}
