"""Batches of pixels: one document each, written once when it is made and once when its result comes."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from pymongo.errors import BulkWriteError

from server.rest.context import Context
from server.scans.pixels.cutting import Cut
from server.scans.pixels.tables import pack, pixels_of, rows_of
from server.store.duplicates import are_duplicates

__all__ = ["Aside", "Batch", "Group", "Outcome", "Times", "adopt", "any_open", "by_tasks", "cuts", "done",
           "enter_known", "enter_piece", "failures", "find", "finished", "insert_new", "known_pixels",
           "lose", "next_seq", "open_batches", "overview", "set_aside", "set_piece", "share_done", "store",
           "tables", "task_id_of", "task_ids", "times", "whole", "with_tasks"]

_NAMESPACE = uuid.UUID("5c0f2fd1-6f2b-5d2f-9a55-7d0a3c1f9d11")
MOST_TIMES = 20_000
_COSTS = ("seconds", "cpu_seconds", "round_trip")


class Aside(IntEnum):
    """Why a pixel is set aside."""

    SUSPECT = 1  # it, or a neighbour in the same part, took too long: to be done alone
    SLOW = 2  # it took too long alone: to be done once more, elsewhere


@dataclass(frozen=True)
class Batch:
    """What a batch asks for, and whose result it has, if any."""

    task_id: str
    scan_id: str
    seq: int
    nside: int
    pixels: np.ndarray  # int64, shape (n,)
    seeds: np.ndarray | None  # PIXEL_DTYPE, shape (n,)
    done: bool
    instance_id: str  # of the lease under which the result came
    known: np.ndarray | None = None  # PIXEL_DTYPE: rows that are there already, of some pixels
    piece: int | None = None  # so many pixels at a time, since more failed
    piece_instance: str = ""  # of the lease under which the latest piece came
    aside: Mapping[int, Aside] = field(default_factory=dict)  # pixels that wait until the others are done

    @property
    def missing(self) -> np.ndarray:
        """Which pixels have no rows yet; bool, shape (n,)."""
        if self.known is None:
            return np.ones(len(self.pixels), dtype=bool)
        return ~np.isin(self.pixels, self.known["index"])

    @property
    def stage(self) -> int:
        """0 while pixels are missing of which nothing is known, else the least `Aside` of those missing."""
        return int(self._stages[self.missing].min(initial=max(Aside)))

    @property
    def todo(self) -> np.ndarray:
        """Which of them the next worker is to do; bool, shape (n,)."""
        chosen = self.missing & (self._stages == self.stage)
        return chosen if self.piece is None else chosen & (np.cumsum(chosen) <= self.piece)

    @property
    def _stages(self) -> np.ndarray:
        return np.array([self.aside.get(int(pixel), 0) for pixel in self.pixels], dtype=np.int64)

    def completed(self, rows: np.ndarray) -> np.ndarray:
        """A worker's rows together with those known before, in the order of the pixels."""
        if self.known is None:
            return rows
        table = np.concatenate([self.known, rows])
        by_pixel = np.argsort(table["index"], kind="stable")
        return table[by_pixel][np.argsort(np.argsort(self.pixels, kind="stable"), kind="stable")]


@dataclass(frozen=True)
class Outcome:
    """The result of a batch: its table in the order of its pixels, and what it cost in seconds.

    The round trip is from the lease until the result came.
    """

    table: np.ndarray
    instance_id: str
    seconds: float
    cpu_seconds: float
    host: str
    round_trip: float = 0.0
    before: float = 0.0  # of it, until the worker began
    received: float = 0.0  # when it came, since 1970

    @property
    def cost(self) -> dict[str, float]:
        """What a batch's document adds up."""
        return {name: getattr(self, name) for name in _COSTS}


@dataclass(frozen=True)
class Group:
    """Batches of one nside that are all done, or all not; pixels, seconds, and when the last was done."""

    nside: int
    done: bool
    batches: int
    count: int
    seconds: float
    cpu_seconds: float
    finished: float = 0.0
    reused: int = 0  # pixels that were taken over from an earlier scan
    round_trip: float = 0.0


@dataclass(frozen=True)
class Times:
    """When a batch was made, leased, received and stored (since 1970), and what its worker took (s)."""

    made: float
    leased: float | None  # of the lease under which the result came; None while there is none
    before: float
    seconds: float
    cpu_seconds: float
    received: float
    finished: float


def task_id_of(scan_id: str, seq: int) -> str:
    """The task of a batch has an id that everybody computes alike, so that nobody makes a second one."""
    return uuid.uuid5(_NAMESPACE, f"{scan_id}:{seq}").hex


async def insert_new(ctx: Context, scan_id: str, cuts: Sequence[Cut]) -> None:
    """Store batches that are not there yet."""
    documents = [_document(scan_id, cut) for cut in cuts]
    if not documents:  # guesses were all that a round wants
        return
    try:
        await ctx.db.pixel_batches.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if not are_duplicates(error):
            raise


def _document(scan_id: str, cut: Cut) -> dict[str, Any]:
    return {"task_id": task_id_of(scan_id, cut.seq), "scan_id": scan_id, "seq": cut.seq, "nside": cut.nside,
            "count": len(cut.pixels), "pixels": pack(cut.pixels),
            "seeds": None if cut.seeds is None else pack(cut.seeds), "done": False, "rows": None,
            "known": None, "reused": 0, "made": time.time()}


def _batch(document: dict[str, Any]) -> Batch:
    seeds, known = document["seeds"], document.get("known")
    return Batch(document["task_id"], document["scan_id"], document["seq"], document["nside"],
                 pixels_of(document["pixels"]), None if seeds is None else rows_of(seeds), document["done"],
                 document.get("instance_id", ""), None if known is None else rows_of(known),
                 document.get("piece"), document.get("piece_instance", ""),
                 {int(pixel): Aside(stage) for pixel, stage in document.get("aside", {}).items()})


async def find(ctx: Context, task_id: str) -> Batch | None:
    """The batch of a task."""
    document = await ctx.db.pixel_batches.find_one({"task_id": task_id}, {"rows": 0})
    return None if document is None else _batch(document)


async def by_tasks(ctx: Context, task_ids: Iterable[str]) -> list[Batch]:
    """The batches of some tasks."""
    cursor = ctx.db.pixel_batches.find({"task_id": {"$in": list(task_ids)}}, {"rows": 0})
    return [_batch(document) async for document in cursor]


async def cuts(ctx: Context, scan_id: str) -> list[Cut]:
    """All batches of a scan as they were cut, in their order."""
    shown = {"seq": 1, "nside": 1, "pixels": 1, "seeds": 1}
    cursor = ctx.db.pixel_batches.find({"scan_id": scan_id}, shown).sort([("seq", 1)])
    return [Cut(d["seq"], d["nside"], pixels_of(d["pixels"]), d["seeds"] and rows_of(d["seeds"]))
            async for d in cursor]


async def task_ids(ctx: Context, scan_id: str, among: Iterable[str]) -> list[str]:
    """Those tasks that do batches of a scan."""
    query = {"scan_id": scan_id, "task_id": {"$in": list(among)}}
    return [document["task_id"] async for document in ctx.db.pixel_batches.find(query, {"task_id": 1})]


async def adopt(ctx: Context, task_id: str, guess: str, scan_id: str, seq: int) -> None:
    """Make a batch that was a guess a batch of its scan."""
    await ctx.db.pixel_batches.update_one(
        {"task_id": task_id, "scan_id": guess}, {"$set": {"scan_id": scan_id, "seq": seq, "ahead": True}})


async def store(ctx: Context, task_id: str, outcome: Outcome) -> bool:
    """Keep the result of a batch, unless it has one; whether it was kept."""
    fields = {"done": True, "rows": pack(outcome.table), "instance_id": outcome.instance_id,
              "host": outcome.host, "finished": time.time(), "received": outcome.received,
              "before": outcome.before, "leased": outcome.received - outcome.round_trip}
    result = await ctx.db.pixel_batches.update_one(
        {"task_id": task_id, "done": False}, {"$set": fields, "$inc": outcome.cost})
    return bool(result.modified_count)


async def enter_known(ctx: Context, scan_id: str, cut: Cut, rows: np.ndarray) -> None:
    """Enter rows of some pixels of a batch; one whose pixels are all there is done. The first entry stays."""
    fields: dict[str, Any] = {"known": pack(rows), "reused": len(rows)}
    if len(rows) == len(cut.pixels):
        batch = Batch("", scan_id, cut.seq, cut.nside, cut.pixels, cut.seeds, False, "", rows)
        fields |= {"done": True, "whole": True, "rows": pack(batch.completed(rows[:0])), "seconds": 0.0,
                   "cpu_seconds": 0.0, "finished": time.time()}
    await ctx.db.pixel_batches.update_one(
        {"scan_id": scan_id, "seq": cut.seq, "done": False, "known": None}, {"$set": fields})


async def enter_piece(ctx: Context, batch: Batch, outcome: Outcome, **fields: Any) -> bool:
    """Enter rows of some more pixels of an unfinished batch, if it is as it was read; whether it was."""
    before = None if batch.known is None else pack(batch.known)
    known = outcome.table if batch.known is None else np.concatenate([batch.known, outcome.table])
    changes = {"known": pack(known), "piece_instance": outcome.instance_id, **fields}
    result = await ctx.db.pixel_batches.update_one(
        {"task_id": batch.task_id, "done": False, "known": before}, {"$set": changes, "$inc": outcome.cost})
    return bool(result.modified_count)


async def set_aside(ctx: Context, batch: Batch, pixels: Mapping[int, Aside]) -> None:
    """Have pixels of an unfinished batch done later than its others."""
    fields = {f"aside.{pixel}": int(stage) for pixel, stage in pixels.items()}
    await ctx.db.pixel_batches.update_one({"task_id": batch.task_id, "done": False}, {"$set": fields})


async def set_piece(ctx: Context, task_id: str, piece: int) -> None:
    """Have fewer pixels of an unfinished batch done at a time."""
    await ctx.db.pixel_batches.update_one({"task_id": task_id, "done": False}, {"$set": {"piece": piece}})


async def lose(ctx: Context, task_id: str, reason: str) -> None:
    """Count a pixel of a batch as lost, and say why."""
    update = {"$set": {"failed": reason}, "$inc": {"lost": 1}}
    await ctx.db.pixel_batches.update_one({"task_id": task_id}, update)


async def whole(ctx: Context, scan_id: str, seqs: Sequence[int]) -> set[int]:
    """Which of these batches were taken over as a whole, and have no task."""
    query = {"scan_id": scan_id, "seq": {"$in": list(seqs)}, "whole": True}
    return {document["seq"] async for document in ctx.db.pixel_batches.find(query, {"seq": 1, "_id": 0})}


async def with_tasks(ctx: Context, scan_id: str) -> int:
    """How many batches have a task."""
    return await ctx.db.pixel_batches.count_documents({"scan_id": scan_id, "whole": {"$ne": True}})


async def finished(ctx: Context, scan_id: str, nsides: Iterable[int],
                   ) -> AsyncIterator[tuple[int, np.ndarray, np.ndarray | None, np.ndarray]]:
    """All batches of some nsides that have a result: nside, pixels, seeds, rows."""
    query = {"scan_id": scan_id, "done": True, "nside": {"$in": list(nsides)}}
    async for d in ctx.db.pixel_batches.find(query, {"nside": 1, "pixels": 1, "seeds": 1, "rows": 1}):
        seeds = None if d["seeds"] is None else rows_of(d["seeds"])
        yield d["nside"], pixels_of(d["pixels"]), seeds, rows_of(d["rows"])


async def failures(ctx: Context, scan_id: str) -> list[tuple[int, int, str]]:
    """Batches with pixels that were given up: nside, number of those pixels, the latest reason."""
    query = {"scan_id": scan_id, "failed": {"$exists": True}}
    cursor = ctx.db.pixel_batches.find(query, {"nside": 1, "lost": 1, "failed": 1})
    return [(d["nside"], d["lost"], d["failed"]) async for d in cursor]


async def any_open(ctx: Context, scan_id: str) -> bool:
    """Whether a batch has no result yet."""
    return await ctx.db.pixel_batches.find_one({"scan_id": scan_id, "done": False}, {"_id": 1}) is not None


async def open_batches(ctx: Context, scan_id: str) -> list[int]:
    """Sequence numbers of the batches that have no result yet."""
    cursor = ctx.db.pixel_batches.find({"scan_id": scan_id, "done": False}, {"seq": 1, "_id": 0})
    return sorted([document["seq"] async for document in cursor])


async def next_seq(ctx: Context, scan_id: str) -> int:
    """The sequence number after the last batch."""
    last = await ctx.db.pixel_batches.find_one({"scan_id": scan_id}, {"seq": 1}, sort=[("seq", -1)])
    return 0 if last is None else int(last["seq"]) + 1


async def share_done(ctx: Context, scan_id: str, first: int) -> float:
    """Which part of the batches from a sequence number on is done."""
    query = {"scan_id": scan_id, "seq": {"$gte": first}}
    total = await ctx.db.pixel_batches.count_documents(query)
    return await ctx.db.pixel_batches.count_documents({**query, "done": True}) / max(total, 1)


async def done(ctx: Context, scan_id: str) -> list[int]:
    """Sequence numbers of the batches that have a result."""
    cursor = ctx.db.pixel_batches.find({"scan_id": scan_id, "done": True}, {"seq": 1, "_id": 0})
    return sorted([document["seq"] async for document in cursor])


async def tables(ctx: Context, scan_id: str, seqs: Sequence[int]) -> dict[int, tuple[int, np.ndarray]]:
    """Results of finished batches: sequence number → nside and table."""
    query = {"scan_id": scan_id, "seq": {"$in": list(seqs)}, "done": True}
    cursor = ctx.db.pixel_batches.find(query, {"seq": 1, "nside": 1, "rows": 1, "_id": 0})
    return {d["seq"]: (d["nside"], rows_of(d["rows"])) async for d in cursor}


async def known_pixels(ctx: Context, scan_id: str, before: int) -> dict[int, np.ndarray]:
    """All pixels of the batches with smaller sequence numbers, by nside."""
    groups: dict[int, list[np.ndarray]] = {}
    query = {"scan_id": scan_id, "seq": {"$lt": before}}
    async for document in ctx.db.pixel_batches.find(query, {"nside": 1, "pixels": 1, "_id": 0}):
        groups.setdefault(document["nside"], []).append(pixels_of(document["pixels"]))
    return {nside: np.concatenate(parts) for nside, parts in groups.items()}


async def times(ctx: Context, scan_id: str) -> list[Times]:
    """When what happened to a scan's batches, of the first MOST_TIMES."""
    names = ("made", "leased", "before", "seconds", "cpu_seconds", "received", "finished")
    cursor = ctx.db.pixel_batches.find({"scan_id": scan_id, "whole": {"$ne": True}},
                                       {"_id": 0, **dict.fromkeys(names, 1)})
    documents = cursor.sort([("seq", 1)]).limit(MOST_TIMES)
    return [Times(**{"leased": None, **dict.fromkeys(names[:1] + names[2:], 0.0), **document})
            async for document in documents]


async def overview(ctx: Context, scan_id: str) -> list[Group]:
    """All batches of a scan, added up by nside and whether they are done."""
    sums = {name: {"$sum": f"${name}"} for name in ("count", "reused", *_COSTS)}
    stages: list[dict[str, Any]] = [
        {"$match": {"scan_id": scan_id}},
        {"$group": {"_id": {"nside": "$nside", "done": "$done"}, "batches": {"$sum": 1}, **sums,
                    "finished": {"$max": "$finished"}}}]
    groups = await (await ctx.db.pixel_batches.aggregate(stages)).to_list()
    return [Group(g["_id"]["nside"], g["_id"]["done"], g["batches"], g["count"], g["seconds"],
                  g["cpu_seconds"], g["finished"] or 0.0, g["reused"], g["round_trip"]) for g in groups]
