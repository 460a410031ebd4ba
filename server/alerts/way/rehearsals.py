"""The report of a rehearsal: stored alerts that were played through the whole way once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from server.alerts.common import alerts, revisions
from server.alerts.common.alerts import OPEN, Alert, Search
from server.alerts.common.latency import STEPS, durations, percentiles
from server.alerts.common.revisions import Revision
from server.alerts.rules.gate import separation_deg
from server.common.errors import NotFound
from server.rest.context import Context

__all__ = ["MOST", "listed", "report", "row_of"]

MOST = 2000  # alerts of one rehearsal

_Pair = tuple[Alert, list[Revision]]


async def listed(ctx: Context) -> list[dict[str, Any]]:
    """Rehearsals with the time of their first alert and how many there were, the latest first."""
    groups = await ctx.db.alerts.aggregate([
        {"$match": {"replay": {"$ne": ""}}},
        {"$group": {"_id": "$replay", "began": {"$min": "$received"}, "alerts": {"$sum": 1}}},
        {"$sort": {"began": -1}}, {"$limit": 200}])
    return [{"replay": row["_id"], "began": row["began"], "alerts": row["alerts"]} async for row in groups]


async def report(ctx: Context, replay: str) -> dict[str, Any]:
    """Latencies, gate decisions and distances to references. Raises NotFound."""
    found = await alerts.listed(ctx, Search(replay=replay), 0, MOST)
    if not found or not replay:
        raise NotFound("there is no such rehearsal")
    pairs = [(alert, await revisions.of_alert(ctx, alert.alert_id)) for alert in reversed(found)]
    taken = [durations(alert) for alert in found]
    return {
        "replay": replay, "alerts": len(found), "open": sum(alert.state in OPEN for alert in found),
        "states": dict(Counter(alert.state.value for alert in found)),
        "latency_seconds": {step: percentiles(one[step] for one in taken if step in one) for step in STEPS},
        "gate": _gate(pairs), "events": [row_of(*pair) for pair in pairs]}


def _gate(pairs: Sequence[_Pair]) -> dict[str, dict[str, int]]:
    """For each check how many maps passed and failed."""
    counted: dict[str, Counter[str]] = {}
    for _, found in pairs:
        for check in (check for revision in found for check in revision.checks):
            counted.setdefault(check.name, Counter())["passed" if check.passed else "failed"] += 1
    return {name: {"passed": one["passed"], "failed": one["failed"]} for name, one in counted.items()}


def row_of(alert: Alert, found: Sequence[Revision]) -> dict[str, Any]:
    """One event of the report; distances in degrees."""
    return {"alert_id": alert.alert_id, "title": alert.title, "stream": alert.stream, "state": alert.state,
            "reason": alert.reason, "seconds": durations(alert), "revisions": [
                {"number": one.number, "reco": one.step.reco, "state": one.state, "reason": one.reason,
                 "area_90_deg2": one.facts.area_90_deg2 if one.facts else None,
                 "to_online_deg": _apart(one, alert.online), "to_truth_deg": _apart(one, alert.truth)}
                for one in found]}


def _apart(revision: Revision, reference: dict[str, Any] | None) -> float | None:
    if revision.facts is None or reference is None:
        return None
    facts = revision.facts
    return round(separation_deg(facts.ra_deg, facts.dec_deg, reference["ra_deg"], reference["dec_deg"]), 4)
