"""What each rule of the alerts did: kept in the journal of all rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from config.alerts import AlertRule
from server.alerts.common.alerts import Alert
from server.rest.context import Context
from server.rules import events, firings

__all__ = ["note", "of_rule"]

KIND, ACTION = "alert", "alert"


async def note(ctx: Context, alert: Alert, name: str, rule: AlertRule, facts: Mapping[str, Any]) -> None:
    """A rule takes an alert; written once, however often it is told."""
    moment = datetime.fromtimestamp(alert.received, UTC).replace(tzinfo=None)
    event = events.made(KIND, alert.alert_id, moment, facts)
    result = {"alert_id": alert.alert_id, "steps": [step.reco for step in rule.steps]}
    await firings.note(ctx, _key(name), ACTION, event, result)


async def of_rule(ctx: Context, name: str, skip: int, limit: int) -> list[dict[str, Any]]:
    """The alerts that a rule of this name took, the latest first."""
    return [firings.shown(row) for row in await firings.listed(ctx, _key(name), limit, skip)]


def _key(name: str) -> str:
    return f"{ACTION}:{name}"
