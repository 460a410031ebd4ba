"""Alerts in a list, each with its latest map and, when it is held, why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.alerts.common import latency, revisions
from server.alerts.common.alerts import Alert
from server.alerts.common.revisions import Fate, MapFacts, Revision
from server.rest.context import Context

__all__ = ["Row", "rows_of"]


@dataclass(frozen=True)
class Row:
    """An alert in a list."""

    alert: Alert
    seconds: dict[str, float]  # to each step that is done
    facts: MapFacts | None  # of its latest map
    reason: str

    @property
    def title(self) -> str:
        """What it is called."""
        return self.alert.event_name or self.alert.title or "A message that cannot be read"

    @property
    def latest(self) -> tuple[str, float] | None:
        """The last step that is done, and after how many seconds."""
        done = [step for step in latency.STEPS if step in self.seconds]
        return (done[-1], self.seconds[done[-1]]) if done else None


async def rows_of(ctx: Context, found: Sequence[Alert]) -> list[Row]:
    """The rows of alerts, in their order."""
    known = await revisions.of_alerts(ctx, [alert.alert_id for alert in found])
    return [_row(alert, known.get(alert.alert_id, [])) for alert in found]


def _row(alert: Alert, found: Sequence[Revision]) -> Row:
    facts = [one.facts for one in found if one.facts is not None]
    held = [f"revision {one.number}: {one.reason}" for one in found if one.state is Fate.HELD and one.reason]
    return Row(alert, latency.durations(alert), facts[-1] if facts else None, alert.reason or "; ".join(held))
