"""Hours of an allocation: what its requests took, what the open ones will take, and what is left.

A telescope's hours are the exposures that were asked for: used once they were taken, reserved before. Hours
on our own grid are those that the tasks of the scan really took, core by core, whatever became of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.common.errors import BadRequest
from server.desk.followup.states import ACTIVE, Phase
from server.rest.context import Context

__all__ = ["Usage", "check", "of_dataset", "usage", "usages"]

_ROUNDING = 1e-9  # hours


@dataclass(frozen=True)
class Usage:
    """Hours of an allocation."""

    allocated: float
    used: float
    reserved: float

    @property
    def left(self) -> float:
        return max(self.allocated - self.used - self.reserved, 0.0)

    def shown(self) -> dict[str, float]:
        """As the API shows it."""
        return {"hours_used": round(self.used, 6), "hours_reserved": round(self.reserved, 6),
                "hours_left": round(self.left, 6)}


async def usage(ctx: Context, allocation: Mapping[str, Any]) -> Usage:
    """What became of an allocation's hours."""
    return (await usages(ctx, [allocation]))[allocation["_id"]]


async def usages(ctx: Context, found: Sequence[Mapping[str, Any]]) -> dict[int, Usage]:
    """What became of the hours of some allocations, by id."""
    used: defaultdict[int, float] = defaultdict(float)
    reserved: defaultdict[int, float] = defaultdict(float)
    stages: list[dict[str, Any]] = [
        {"$match": {"allocation_id": {"$in": [row["_id"] for row in found]}}},
        {"$group": {"_id": {"allocation": "$allocation_id", "phase": "$phase"},
                    "asked": {"$sum": "$hours_asked"}, "spent": {"$sum": "$hours_spent"}}}]
    async for row in await ctx.db.desk_followup_requests.aggregate(stages):
        number, phase = row["_id"]["allocation"], row["_id"]["phase"]
        used[number] += row["spent"] + (row["asked"] if phase == Phase.DONE else 0.0)
        reserved[number] += row["asked"] if phase in ACTIVE else 0.0
    return {row["_id"]: Usage(float(row["hours_allocated"]), used[row["_id"]], reserved[row["_id"]])
            for row in found}


async def check(ctx: Context, allocation: Mapping[str, Any], hours: float) -> None:
    """Refuse what goes beyond an allocation's hours. Raises BadRequest."""
    known = await usage(ctx, allocation)
    if hours > known.left + _ROUNDING or known.left <= 0:
        raise BadRequest(
            f"allocation_id: allocation {allocation['_id']} has {known.left:.3g} of its {known.allocated:g}"
            f" hours left ({known.used:.3g} used, {known.reserved:.3g} reserved), and this takes"
            f" {f'{hours:.3g}' if hours else 'some'}; have hours_allocated raised, or take requests back")


async def of_dataset(ctx: Context, dataset_id: str) -> float:
    """Core hours that the tasks of a dataset took, with those that were lost."""
    total = 0.0
    shown = {"_id": 0, "walltime": 1, "walltime_err": 1, "requirements.cpu": 1}
    async for task in ctx.db.tasks.find({"dataset_id": dataset_id}, shown):
        cores = (task.get("requirements") or {}).get("cpu") or 1
        total += cores * (task.get("walltime", 0.0) + task.get("walltime_err", 0.0))
    return total
