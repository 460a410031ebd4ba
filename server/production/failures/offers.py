"""What pilots offer to tasks, and what a task finds missing in all of them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from iceprod.ids import timestamp
from iceprod.requirements import GPU_KINDS, NUMBERS, PREEMPTIBLE, fits
from server.production.common import heard
from server.production.common.documents import Document
from server.production.failures import quarantine, trusted
from server.production.failures.places import Place
from server.rest.context import Context

__all__ = ["Suitors", "kinds", "missing_of", "offer_of", "what_is_missing"]


def offer_of(pilot: Document, name: str) -> Document:
    """All that a pilot has, or has free, as requirements are compared with."""
    site, kind = pilot.get("site"), (pilot.get("resources_available") or {}).get("kind")
    return {**(pilot.get(name) or {}), **({"site": site} if site else {}), **({"kind": kind} if kind else {})}


async def kinds(ctx: Context) -> list[Document]:
    """What pilots offer that were heard of; of those that are alike, one."""
    found: dict[str, Document] = {}
    async for pilot in heard.pilots(ctx, "resources", "resources_available.kind", "site"):
        _note(found, offer_of(pilot, "resources"))
    return list(found.values())


def _note(found: dict[str, Document], offer: Document) -> None:
    found[json.dumps(offer, sort_keys=True, default=str)] = offer


@dataclass
class Suitors:
    """Pilots beside one task: how many could take it, have room for it now, or may not have it."""

    task: Document
    pilots: int = 0
    fitting: int = 0
    barred: int = 0
    free: int = 0
    offers: dict[str, Document] = field(default_factory=dict)  # of pilots that do not fit, each kind once

    @classmethod
    async def gather(cls, ctx: Context, task: Document) -> Suitors:
        """All that were heard of."""
        found = cls(task)
        async for pilot in heard.pilots(ctx, "resources", "resources_available", "site", "host", "tasks",
                                        "drain"):
            await found._add(ctx, pilot)
        return found

    async def _add(self, ctx: Context, pilot: Document) -> None:
        self.pilots += 1
        offer = offer_of(pilot, "resources")
        if not fits(self.task["requirements"], offer):
            _note(self.offers, offer)
            return
        self.fitting += 1
        if await self._is_barred(ctx, pilot):
            self.barred += 1
        else:
            self.free += self._has_room(pilot)

    async def _is_barred(self, ctx: Context, pilot: Document) -> bool:
        """Whether it may not have the task: it drains, is quarantined, or the task avoids it."""
        host, avoid = str(pilot.get("host") or ""), self.task.get("avoid") or {}
        if pilot.get("drain") or (host and avoid.get("host") == host and avoid["until"] > timestamp()):
            return True
        if self.task["dataset_id"] in trusted.of(ctx).paused(host, time.monotonic()):
            return True
        return bool(await quarantine.reason_against(ctx, Place(host, str(pilot.get("site") or ""))))

    def _has_room(self, pilot: Document) -> bool:
        if pilot.get("resources_available"):
            return fits(self.task["requirements"], offer_of(pilot, "resources_available"))
        return not pilot.get("tasks")

    def told(self) -> Document:
        """The numbers, what is missing where nobody fits, and the reason in words."""
        busy = self.fitting - self.barred - self.free
        numbers = {"pilots": self.pilots, "fitting_pilots": self.fitting, "barred_pilots": self.barred,
                   "free_pilots": self.free, "busy_pilots": busy}
        if not self.pilots:
            return {**numbers, "missing": [], "reason": "no pilot was heard of in the last minutes"}
        if not self.fitting:
            needs, offers = self.task["requirements"], list(self.offers.values())
            missing = missing_of(needs, offers)
            return {**numbers, "missing": missing, "reason": what_is_missing(needs, missing, offers)}
        reason = f"{self.fitting} of {self.pilots} pilots could take it: {busy} are busy"
        reason += f", {self.free} have room" if self.free else ""
        if self.barred:
            reason += f", {self.barred} get no tasks or not this one, as they drain or failed"
        return {**numbers, "missing": [], "reason": reason}


def what_is_missing(needs: Document, missing: list[Document], offers: list[Document]) -> str:
    """Why no pilot takes a task, in words."""
    hours = max((_number(offer.get(PREEMPTIBLE)) for offer in offers
                 if fits(needs, {**offer, PREEMPTIBLE: None})), default=0.0)
    if hours:
        return (f"pilots that may be stopped at any time take tasks of at most {hours:g} h, unless their "
                "requirements say restartable: true")
    if any(row["resource"] == "classads" for row in missing):
        return f"no pilot's job in HTCondor has the ClassAds {', '.join(needs['classads'])}"
    short = ", ".join(row["resource"] for row in missing) or "at once"
    return f"no pilot offers enough {short}"


def missing_of(requirements: Document, offers: list[Document]) -> list[Document]:
    """The requirements that no single pilot meets, each with the most that is offered."""
    result: list[Document] = []
    for name, wanted in requirements.items():
        if any(fits({name: wanted}, {name: offer[name]}) for offer in offers if name in offer):
            continue
        values: list[Any] = [offer[name] for offer in offers if offer.get(name) is not None]
        is_number = name in NUMBERS or all(isinstance(value, int | float) for value in values)
        best = max(values, default=None) if is_number else sorted({str(value) for value in values})
        if values or name in (*GPU_KINDS, "classads"):
            result.append({"resource": name, "wanted": wanted, "offered": best})
    return result


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
