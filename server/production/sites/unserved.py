"""Which waiting tasks nobody offers a place to: no pilot that was heard of fits, and no site can send one."""

from __future__ import annotations

from dataclasses import dataclass

from iceprod.requirements import fits
from server.production.common.documents import Document
from server.production.failures import explain
from server.production.failures.offers import kinds, missing_of, what_is_missing
from server.production.leases import demand
from server.production.tasks.classes import class_table
from server.rest.context import Context

__all__ = ["Unserved", "unserved"]


@dataclass(frozen=True)
class Unserved:
    """Tasks of one requirement class that nobody offers a place to."""

    requirements: Document
    waiting: int
    datasets: tuple[str, ...]  # that have such tasks
    why: str


async def unserved(ctx: Context) -> list[Unserved]:
    """What waits for nobody, most tasks first.

    It looks at classes and at kinds of pilots, never at tasks: the cost does not grow with either.
    """
    rows = [row for row in await demand.demand(ctx) if row["waiting"]]
    if not rows:
        return []
    offers, table = await kinds(ctx), class_table(ctx).datasets
    found = []
    for row in rows:
        if any(fits(_least(row), offer) for offer in offers):
            continue
        sites = await explain.sites_for(ctx, row)
        if any(not site["why"] for site in sites):
            continue
        why = "; ".join(filter(None, (_why(row, offers), explain.what_sites_say(sites) if sites else "")))
        datasets = tuple(sorted(table.get(row["class_key"], ())))
        found.append(Unserved(_least(row), row["waiting"], datasets, why))
    return sorted(found, key=lambda one: -one.waiting)


def _least(row: Document) -> Document:
    """The least that a task of the class really needs, which may be less than its bin says."""
    return {**row["requirements"], **row["least"]}


def _why(row: Document, offers: list[Document]) -> str:
    if not offers:
        return "no pilot was heard of in the last minutes"
    needs = _least(row)
    return what_is_missing(needs, missing_of(needs, offers), offers)
