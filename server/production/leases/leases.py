"""Claims and leases: how tasks reach pilots, stay with them, and come back when a pilot is silent.

A claim reads the table of requirement classes, takes the first entries of one compound index for each class
that fits, and marks the best of them with a fresh instance_id on condition that they are still there to be
taken. Its cost does not depend on how many tasks wait.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from pymongo import UpdateMany, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from iceprod.ids import timestamp
from iceprod.requirements import PREEMPTIBLE, Fit, fits, parse_class
from server.common import metrics
from server.common.errors import NotFound
from server.common.together import Together
from server.production.common.documents import Document
from server.production.failures import tallies, trusted
from server.production.leases import load
from server.production.tasks.classes import class_table
from server.production.tasks.task_store import LEASED, soon
from server.rest.context import Context

__all__ = ["Claim", "Outcome", "attempt", "claim", "expire", "extend", "extend_many", "held", "present",
           "release_listed", "release_pilot", "take_back"]

ATTEMPTS = 8
LOOK_DEEPER = 100  # candidates of a class of which only some tasks fit
LONGER = 1.5  # so many times the promised seconds a lease lasts
MOST_PAIRS = 200  # (class, dataset) pairs looked at when datasets are left out


@dataclass(frozen=True)
class Claim:
    """What a pilot asks for."""

    offer: dict[str, Any]
    num: int = 1
    source: str = "waiting"  # the status that tasks are taken from
    target: str = "queued"
    filters: dict[str, Any] = field(default_factory=dict)
    deprioritised: tuple[str, ...] = ()  # datasets, used only if others cannot fill
    pilot_id: str = ""
    host: str = ""  # where the pilot runs


@dataclass(frozen=True)
class _Look:
    """Places of the index to take candidates from, in one query; no `datasets`: of any dataset."""

    keys: list[str]
    datasets: list[str]
    fit: Fit


@dataclass(frozen=True)
class Outcome:
    """What a claim got; and, of one in vain, whether there are tasks that only this one may not have."""

    tasks: list[Document]
    hidden: bool = False


async def claim(ctx: Context, request: Claim) -> list[Document]:
    """Lease up to `num` tasks, best priority first, all with one fresh instance_id; maybe none."""
    return (await attempt(ctx, request)).tasks


async def attempt(ctx: Context, request: Claim) -> Outcome:
    """Like `claim`; also tells of one in vain whether others may have what there is.

    Claims of one process go one after another, so that they do not all run after the same tasks; those that
    come meanwhile and ask for the same kinds of tasks are served together.
    """
    turns = _turns.get(ctx.db)
    if turns is None:
        turns = _turns[ctx.db] = Together(_attempts, pause=load.gather_seconds)
    outcome = await turns.do(ctx, request)
    if outcome.tasks:
        metrics.LEASES.inc(len(outcome.tasks))
    return outcome


_turns: WeakKeyDictionary[AsyncDatabase, Together[Context, Claim, Outcome]] = WeakKeyDictionary()


async def _attempts(ctx: Context, requests: Sequence[Claim]) -> list[Outcome | Exception]:
    """What comes of claims that were made at the same time."""
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for number, request in enumerate(requests):
        groups[await _kind(ctx, request) if len(requests) > 1 else None].append(number)
    outcomes: dict[int, Outcome | Exception] = {}
    for numbers in groups.values():
        found = await _claim_together(ctx, [requests[number] for number in numbers])
        outcomes |= dict(zip(numbers, found, strict=True))
    return [outcomes[number] for number in range(len(requests))]


async def _kind(ctx: Context, request: Claim) -> object:
    """What claims have in common that look in the same places and may have all that is there."""
    fitting = await class_table(ctx).fitting(ctx, request.offer)
    if request.deprioritised or not all(fit is Fit.ALL for fit in fitting.values()):
        return object()  # like no other
    return (tuple(sorted(fitting)), tuple(sorted(request.filters.items())), request.source)


async def _claim_together(ctx: Context, requests: Sequence[Claim]) -> list[Outcome | Exception]:
    """Claims of one kind: the best tasks go to who came first. What that misses, each looks for by itself."""
    outcomes: list[Outcome | Exception | None] = [None] * len(requests)
    if len(requests) > 1:
        shares, nothing_there = await _shares(ctx, requests)
        for number, tasks in (await _take_shares(ctx, requests, shares)).items():
            trusted.given(ctx, requests[number].host, tasks)
            outcomes[number] = Outcome(tasks)
        if nothing_there:
            return [outcome or Outcome([]) for outcome in outcomes]
    for number, request in enumerate(requests):
        if outcomes[number] is None:
            try:
                outcomes[number] = await _claim(ctx, request)
            except PyMongoError as error:
                outcomes[number] = error
    return [outcome or Outcome([]) for outcome in outcomes]


async def _shares(ctx: Context, requests: Sequence[Claim]) -> tuple[dict[int, list[Document]], bool]:
    """Candidates for those claims that may have any task; and whether there are none at all."""
    open_to_all = [number for number, request in enumerate(requests)
                   if trusted.leave(ctx, request.host) == trusted.Leave()]
    looks = await _looks(ctx, requests[0])
    if not open_to_all or len(looks) > 1:
        return {}, not looks
    wanted = sum(requests[number].num for number in open_to_all)
    found = await _first(ctx, _query(requests[0], looks[0]), wanted) if looks else []
    shares: dict[int, list[Document]] = {}
    left = list(reversed(found))
    for number in open_to_all:
        mine = [left.pop() for _ in range(min(requests[number].num, len(left)))]
        if mine and not any(_avoids(task, requests[number].host) for task in mine):
            shares[number] = mine
    return shares, not found


async def _take_shares(ctx: Context, requests: Sequence[Claim],
                       shares: Mapping[int, list[Document]]) -> dict[int, list[Document]]:
    """Mark all shares in one go; of those that somebody else had taken a part of, what is left."""
    marks = {number: _mark(ctx, requests[number], secrets.token_hex(16)) for number in shares}
    if not marks:
        return {}
    writes = [UpdateMany(_still_there(shares[number], requests[number]), update)
              for number, (_, update) in marks.items()]
    result = await ctx.db.tasks.bulk_write(writes, ordered=False)
    if result.modified_count == sum(map(len, shares.values())):
        return {number: [_marked(task, requests[number], marks[number][0]) for task in tasks]
                for number, tasks in shares.items()}
    numbers = {str(changes["instance_id"]): number for number, (changes, _) in marks.items()}
    mine = {"task_id": {"$in": [task["task_id"] for tasks in shares.values() for task in tasks]},
            "instance_id": {"$in": list(numbers)}}
    got: defaultdict[int, list[Document]] = defaultdict(list)
    for task in await ctx.db.tasks.find(mine, {"_id": 0}).to_list():
        got[numbers[task["instance_id"]]].append(task)
    return {number: sorted(tasks, key=_priority, reverse=True) for number, tasks in got.items()}


async def _claim(ctx: Context, request: Claim) -> Outcome:
    instance_id, got = secrets.token_hex(16), list[Document]()  # only who gets it may report
    left_out, may = list(request.deprioritised), trusted.leave(ctx, request.host)
    hidden = may.most == 0 or bool(may.not_of)
    if may.most is not None:
        request = replace(request, num=min(request.num, may.most))
    for _ in range(ATTEMPTS + len(left_out) if request.num else 0):
        wanted = replace(request, num=request.num - len(got), deprioritised=(*may.not_of, *left_out))
        found, others = await _candidates(ctx, wanted)
        hidden |= others
        if found:
            got += await _take(ctx, found, wanted, instance_id)
        elif left_out:
            left_out.pop()
        else:
            break
        if len(got) >= request.num:
            break
    trusted.given(ctx, request.host, got)
    return Outcome(got, hidden)


async def take_back(ctx: Context, got: list[Document], host: str) -> None:
    """Nobody is there to hear of the claim: whatever the caller said at its end came too early for it.

    No pilot had the tasks, so it is no eviction: pilots stop waiting whenever they have something to say.
    """
    for task in got:
        trusted.dropped(ctx, host, task)
    mine = {"task_id": {"$in": [task["task_id"] for task in got]}, "instance_id": got[0]["instance_id"]}
    await _return(ctx, mine, "the pilot was gone before it had the task", had=False)


# -- finding candidates


async def _candidates(ctx: Context, request: Claim) -> tuple[list[Document], bool]:
    """The best tasks that fit; and whether there are some that do not fit this request alone."""
    looks = await _looks(ctx, request)
    found = await asyncio.gather(*(_best_of(ctx, request, look) for look in looks))
    best = heapq.nlargest(request.num, (task for tasks, _ in found for task in tasks), key=_priority)
    return best, any(hidden for _, hidden in found)


def _priority(task: Document) -> float:
    return float(task["priority"])


async def _looks(ctx: Context, request: Claim) -> list[_Look]:
    """Where to look: once for all classes that fit as a whole, once for each of which only some tasks do."""
    table = class_table(ctx)
    fitting = await table.fitting(ctx, request.offer)
    if (site := request.filters.get("requirements.site")) is not None:
        fitting = {key: fit for key, fit in fitting.items() if parse_class(key).get("site") == site}
    only, left_out = request.filters.get("dataset_id"), set(request.deprioritised)
    if only is not None:
        fitting = {key: fit for key, fit in fitting.items() if only in table.datasets[key]}
        return _split(fitting, [only])
    pairs = {(key, dataset_id) for key in fitting for dataset_id in table.datasets[key] - left_out}
    if not pairs:
        return []
    if left_out and len(pairs) <= MOST_PAIRS:
        return _split(fitting, sorted({dataset_id for _, dataset_id in pairs}))
    return _split(fitting, [])


def _split(fitting: dict[str, Fit], datasets: list[str]) -> list[_Look]:
    whole = [key for key, fit in fitting.items() if fit is Fit.ALL]
    return [*([_Look(whole, datasets, Fit.ALL)] if whole else []),
            *(_Look([key], datasets, Fit.SOME) for key, fit in fitting.items() if fit is Fit.SOME)]


async def _best_of(ctx: Context, request: Claim, look: _Look) -> tuple[list[Document], bool]:
    query = _query(request, look)
    limit = request.num if look.fit is Fit.ALL else max(request.num, LOOK_DEEPER)
    tasks = all_of_them = await _first(ctx, query, limit)
    if any(_avoids(task, request.host) for task in tasks):
        tasks = await _first(ctx, {**query, "$nor": [_avoiding(request.host)]}, limit)
    if look.fit is not Fit.ALL:
        tasks = [task for task in tasks if fits(task["requirements"], request.offer)]
    return tasks, bool(all_of_them) and not tasks


def _query(request: Claim, look: _Look) -> Document:
    query: Document = {"status": request.source, "class_key": _one_of(look.keys)}
    if look.datasets:
        query["dataset_id"] = _one_of(look.datasets)
    elif request.deprioritised:
        query["dataset_id"] = {"$nin": list(request.deprioritised)}
    return query | {name: value for name, value in request.filters.items() if name != "dataset_id"}


async def _first(ctx: Context, query: Document, limit: int) -> list[Document]:
    return await ctx.db.tasks.find(query, {"_id": 0}, sort=[("priority", -1)], limit=limit).to_list()


def _avoids(task: Document, host: str) -> bool:
    """Whether a task that failed at a host should try another first, for a while."""
    avoid = task.get("avoid")
    return bool(avoid and host and avoid["host"] == host and avoid["until"] > timestamp())


def _avoiding(host: str) -> Document:
    return {"avoid.host": host, "avoid.until": {"$gt": timestamp()}}


def _one_of(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else {"$in": values}


# -- taking them


def _due(ctx: Context, pilot_id: str) -> str:
    """When a lease that is written now ends: later than promised, so that few heartbeats must extend it."""
    return soon(load.lease_seconds(ctx, pilot_id) * (LONGER if pilot_id else 1))


async def _take(ctx: Context, found: list[Document], request: Claim, instance_id: str) -> list[Document]:
    """Mark the candidates as taken; those that were still there, as they are then, the best first."""
    changes, update = _mark(ctx, request, instance_id)
    result = await ctx.db.tasks.update_many(_still_there(found, request), update)
    if not result.modified_count:
        return []
    if result.modified_count == len(found):
        return [_marked(task, request, changes) for task in found]
    mine = {"task_id": {"$in": [task["task_id"] for task in found]}, "instance_id": instance_id}
    tasks = await ctx.db.tasks.find(mine, {"_id": 0}).to_list()
    return sorted(tasks, key=_priority, reverse=True)


def _still_there(found: Sequence[Document], request: Claim) -> Document:
    return {"task_id": {"$in": [task["task_id"] for task in found]}, "status": request.source}


def _mark(ctx: Context, request: Claim, instance_id: str) -> tuple[Document, Document]:
    """What changes in a task that a claim gets, and the update that does it.

    Where tasks may be stopped at any time, to be handed back once more says nothing against the task.
    """
    site = request.offer.get("site")
    changes: Document = {"status": request.target, "status_changed": timestamp(), "instance_id": instance_id,
                         "lease": instance_id, "site": site if isinstance(site, str) and site else "unknown",
                         "due": _due(ctx, request.pilot_id)}
    removed = {"silent": "", "evicted_by": ""}
    counted = {"$inc": {"free_evictions": 1}} if request.offer.get(PREEMPTIBLE) else {}
    if request.pilot_id:
        changes["pilot_id"] = request.pilot_id
    else:
        removed["pilot_id"] = ""
    return changes, {"$set": changes, "$unset": removed, **counted}


def _marked(task: Document, request: Claim, changes: Document) -> Document:
    if not request.pilot_id:
        task = {name: value for name, value in task.items() if name != "pilot_id"}
    return {**task, **changes}


# -- keeping them


async def held(ctx: Context, task_id: str, instance_id: str) -> Document:
    """The task of a lease, its own again if it ran out in silence. Raises NotFound when it is another's."""
    mine = {"task_id": task_id, "instance_id": instance_id, "status": {"$in": list(LEASED)}}
    task = await ctx.db.tasks.find_one(mine, {"_id": 0})
    if task is None and await present(ctx, {(task_id, instance_id): ""}):
        task = await ctx.db.tasks.find_one(mine, {"_id": 0})
    if task is None:
        raise NotFound("Task not found: the instance_id is not that of its lease")
    return task


async def extend(ctx: Context, pilot_id: str, tasks: dict[str, str]) -> list[str]:
    """Extend the leases of tasks (id → instance_id); the ids of those that are not this holder's any more."""
    lost = await extend_many(ctx, [(pilot_id, tasks)])
    return [task_id for task_id, instance_id in tasks.items() if (task_id, instance_id) in lost]


async def extend_many(ctx: Context,
                      held_by: Sequence[tuple[str, Mapping[str, str]]]) -> set[tuple[str, str]]:
    """Extend the leases of many pilots' tasks; (id, instance_id) of those that are their holders' no more.

    Every lease then lasts as long as promised at least; those that did anyway are not written.
    """
    asked = {pair for _, tasks in held_by for pair in tasks.items()}
    if not asked:
        return set()
    shown = {"_id": 0, "task_id": 1, "instance_id": 1, "due": 1}
    leased = {"task_id": {"$in": sorted({task_id for task_id, _ in asked})}, "status": {"$in": list(LEASED)}}
    rows = await ctx.db.tasks.find(leased, shown).to_list()
    held = {(row["task_id"], row["instance_id"]): row.get("due", "") for row in rows}
    held = {pair: due for pair, due in held.items() if pair in asked}
    missing = {pair: pilot_id for pilot_id, tasks in held_by for pair in tasks.items() if pair not in held}
    held |= await present(ctx, missing)
    await _keep_long_enough(ctx, held, held_by[0][0])
    return asked - held.keys()


async def _keep_long_enough(ctx: Context, held: Mapping[tuple[str, str], str], pilot_id: str) -> None:
    """Give leases that end too soon their whole time again; later than that: a clock stepped back."""
    least, most = soon(load.lease_seconds(ctx, pilot_id)), _due(ctx, pilot_id)
    wrong = [pair for pair, due in held.items() if not least <= due <= most]
    if wrong:  # an instance_id is of one claim alone, so the two lists need not be matched
        mine = {"task_id": {"$in": [task_id for task_id, _ in wrong]}, "status": {"$in": list(LEASED)},
                "instance_id": _one_of(sorted({instance_id for _, instance_id in wrong}))}
        await ctx.db.tasks.update_many(mine, {"$set": {"due": most}})


async def present(ctx: Context, missing: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """Give leases that ran out in silence back to who still works on them: (id, instance_id) → pilot, or "".

    They are its own again as long as nobody else took the tasks; those that are, with their new ends. A whole
    site may come back at once: it costs three commands.
    """
    if not missing:
        return {}
    lost = {"status": "waiting", "silent": True}
    rows = await ctx.db.tasks.find({"task_id": {"$in": sorted({task_id for task_id, _ in missing})}, **lost},
                                   {"task_id": 1, "lease": 1}).to_list()
    back = [pair for row in rows if (pair := (row["task_id"], row["lease"])) in missing]
    if not back:
        return {}
    dues = {pilot_id: _due(ctx, pilot_id) for pilot_id in {missing[pair] for pair in back}}
    await ctx.db.tasks.bulk_write(
        [UpdateOne({"task_id": task_id, "lease": lease, **lost},
                   _presented(lease, missing[task_id, lease], dues[missing[task_id, lease]]))
         for task_id, lease in back], ordered=False)
    mine = {"task_id": {"$in": [task_id for task_id, _ in back]}, "status": "processing"}
    rows = await ctx.db.tasks.find(mine, {"task_id": 1, "instance_id": 1}).to_list()
    there = {(row["task_id"], row["instance_id"]) for row in rows}
    return {pair: dues[missing[pair]] for pair in back if pair in there}


def _presented(instance_id: str, pilot_id: str, due: str) -> Document:
    """The update that gives a task back to who held it: as if it had never been taken."""
    changes = {"status": "processing", "status_changed": timestamp(), "instance_id": instance_id, "due": due,
               "reason": "", **({"pilot_id": pilot_id} if pilot_id else {})}
    return {"$set": changes, "$unset": {"silent": ""}, "$inc": {"evictions": -1}}


# -- giving them back


def returned(reason: str) -> Document:
    """The update that takes leased tasks back to waiting: nobody's failure."""
    return {"$set": {"status": "waiting", "status_changed": timestamp(), "instance_id": "", "reason": reason},
            "$inc": {"evictions": 1}, "$unset": {"due": "", "pilot_id": ""}}


async def expire(ctx: Context) -> int:
    """Take back the tasks whose leases have ended; how many."""
    late = {"due": {"$lt": timestamp()}, "status": {"$in": list(LEASED)}}
    return await _return(ctx, late, "lease expired: the pilot was not heard of", {"silent": True})


async def release_pilot(ctx: Context, pilot_id: str, *, silent: bool = False) -> int:
    """Take back the tasks of a pilot that ended, or is `silent`; how many."""
    held = {"pilot_id": pilot_id, "status": {"$in": list(LEASED)}}
    why = "the pilot was not heard of" if silent else "the pilot ended"
    return await _return(ctx, held, why, {"evicted_by": pilot_id, **({"silent": True} if silent else {})})


async def release_listed(ctx: Context, task_ids: list[str]) -> int:
    """Take back the tasks that an ended pilot listed and that nobody holds a timed lease of; how many."""
    held = {"task_id": {"$in": task_ids}, "status": "processing", "pilot_id": {"$exists": False}}
    return await _return(ctx, held, "the pilot ended") if task_ids else 0


async def _return(ctx: Context, query: Document, reason: str, more: Document | None = None, *,
                  had: bool = True) -> int:
    """Take tasks back from pilots that `had` them, or did not get so far."""
    update = returned(reason)
    update["$set"] |= more or {}
    if not had:
        del update["$inc"]
    result = await ctx.db.tasks.update_many(query, update)
    if result.modified_count:
        if had:
            metrics.TASK_ENDS.labels("evicted").inc(result.modified_count)
            tallies.of(ctx).evicted(ends=result.modified_count)
        ctx.signals.notify("tasks")
    return result.modified_count
