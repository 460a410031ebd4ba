"""The scheduler: looks at the clock, takes what is due and runs it. It works in the holder of the lease.

Whatever it needs to know is in the database. The only state of its own are the runs that it works on now;
when it dies, the next holder of the lease goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from server.common import metrics
from server.rest.context import Context
from server.sensor.acquisitions import acquisitions, disk
from server.sensor.acquisitions.acquisitions import Acquisition
from server.sensor.acquisitions.outcomes import Outcome, Status, failure
from server.sensor.actions import actions
from server.sensor.actions.actions import Action, Overlap
from server.sensor.schedule import taking
from server.sensor.schedule.entries import Entry, all_entries
from server.sensor.schedule.times import Look, look, realigned
from server.store.away import is_away

__all__ = ["HOLD_SECONDS", "Scheduler", "close", "scheduler", "stop_runs", "tick"]

log = logging.getLogger("server.sensor")

HOLD_SECONDS = 30.0  # a local run whose server is not heard of for so long was interrupted
CARE_SECONDS = 10.0  # between two looks at what dead servers left, and at what other processes changed
FOLLOW_SECONDS = 2.0  # between two looks at work on the grid
AT_ONCE = 8  # local runs side by side
BACK_SECONDS = 5.0  # a larger step of the clock backwards is looked into

Clock = Callable[[], float]


class Scheduler:
    """What one server process does while it holds the lease; `clock` tells seconds since 1970."""

    def __init__(self, ctx: Context, clock: Clock = time.time) -> None:
        self.ctx, self.clock = ctx, clock
        self._work: dict[str, asyncio.Task[None]] = {}  # by acquisition
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._seen: float | None = None  # the clock at the last tick
        self._cared = self._followed = float("-inf")  # when it last looked after dead servers' runs, the grid
        self._known = -1  # how often this process had changed entries when it looked last
        self._next: int | None = None  # when the next entry is due, as far as was known then
        self._on_grid = False  # whether there was work on the grid

    async def look(self) -> None:
        """Like `tick`, unless nothing is due: as often as needed, however often it is called."""
        known, now = self.ctx.signals.count("schedule"), self.clock()
        is_due = self._on_grid or known != self._known or (self._next is not None and self._next <= now)
        if is_due or self._seen is None or not 0 <= now - self._seen < CARE_SECONDS:
            await self.tick()
            self._known, self._next = known, await _next_due(self.ctx)

    async def tick(self) -> None:
        """Everything that is due now; runs are started, not waited for."""
        now = self.clock()
        if self._seen is None:
            await self._renumber()
        if self._seen is None or now < self._seen - BACK_SECONDS:
            await self._realign(now)
        self._seen = now
        cares, follows = abs(now - self._cared) >= CARE_SECONDS, abs(now - self._followed) >= FOLLOW_SECONDS
        runs: list[Acquisition] = []
        if cares or follows:
            runs = await acquisitions.all_in_progress(self.ctx)
            self._on_grid = any(run.kind == "grid" for run in runs)
        if cares:
            self._cared = now
            await self._go_on_with_pending(now)
            await self._close_interrupted(runs, now)
        await self._take_due(now)
        if follows:
            self._followed = now
            await self._follow_grid(runs, now)

    async def settle(self) -> None:
        """Wait until everything that was started has ended."""
        while self._work:
            await asyncio.gather(*self._work.values(), return_exceptions=True)

    # -- entries

    async def _take_due(self, now: float) -> None:
        is_late = {"is_active": True, "look_at": {"$lte": int(now)}}
        due: dict[str, tuple[Look, Entry]] = {}
        for entry in await all_entries(self.ctx, {"$or": [is_late, {"asked": {"$exists": True}}]}):
            found = entry.is_active and entry.look_at <= int(now)
            due[entry.name] = (look(entry.times, int(now)) if found
                               else Look(None, 0, entry.next_time, entry.is_active)), entry

        def order(item: tuple[Look, Entry]) -> tuple[float, int, str]:
            look_, entry = item
            return (look_.run_at if look_.run_at is not None else now, entry.priority, entry.name)

        for at, entry in sorted(due.values(), key=order):
            await self._alone(entry.name, self._deal_with(entry, at, now))

    async def _alone(self, name: str, step: Awaitable[None]) -> None:
        """One entry's trouble stands in no other's way."""
        outcome, = await asyncio.gather(step, return_exceptions=True)
        if isinstance(outcome, PyMongoError) or (outcome is not None and not isinstance(outcome, Exception)):
            raise outcome
        if outcome is not None:
            log.error("entry failed", exc_info=outcome, extra={"action": "schedule", "entry": name})

    async def _deal_with(self, entry: Entry, found: Look, now: float) -> None:
        if found.run_at is None and entry.asked is None:
            if not found.is_active:
                await taking.deactivate(self.ctx, entry)
            return
        if entry.pending is not None:  # its last run is just being started
            return
        action = await actions.find(self.ctx, entry.action)
        if await self._has_nothing_to_do(entry, action):
            await taking.pass_by(self.ctx, entry, found)
            return
        if not await self._has_room(entry, action):
            if found.run_at is not None and entry.interval is not None:
                await taking.skip(self.ctx, entry, found)
            return
        taken = await (taking.take(self.ctx, entry, found, now) if found.run_at is not None
                       else taking.take_asked(self.ctx, entry, now))
        if taken is not None:
            await self._start(taken, action, now)

    async def _has_nothing_to_do(self, entry: Entry, action: Action | None) -> bool:
        """Whether a run may be left out: nobody asked for it, and no failure is to be made good."""
        if action is None or action.needed is None or entry.asked is not None or entry.failures:
            return False
        return not await action.needed(self.ctx)

    async def _has_room(self, entry: Entry, action: Action | None) -> bool:
        """Whether a run may begin, by the action's rule for runs that overlap."""
        running = await acquisitions.in_progress(self.ctx, entry.name)
        if not running or (action and action.overlap is Overlap.PARALLEL):
            return True
        if action and action.overlap is Overlap.REPLACE:
            for run in running:
                await stop_run(self.ctx, run, "replaced by the next run")
            return True
        return False

    async def _go_on_with_pending(self, now: float) -> None:
        for entry in await all_entries(self.ctx, {"pending.until": {"$lt": now}}):
            action = await actions.find(self.ctx, entry.action)
            await self._alone(entry.name, self._start(entry, action, now))

    async def _start(self, entry: Entry, action: Action | None, now: float) -> None:
        """Store the acquisition of a pending run, and begin it if that was ours to do."""
        assert entry.pending is not None
        kind = action.kind if action else "local"
        run = await acquisitions.begin(self.ctx, entry, entry.pending, kind, now + HOLD_SECONDS)
        await taking.clear(self.ctx, entry.name, entry.pending.task_id)
        if run is None:
            return
        if action is None:
            await close(self.ctx, run, failure(f"there is no action {entry.action!r} any more"))
        elif action.run:
            self._spawn(run, self._run(run, action, action.run))
        else:
            self._on_grid = True
            self._spawn(run, self._begin_on_grid(run, action))

    async def _renumber(self) -> None:
        """Let no entry give an id again that a run has: after a backup was restored in part, say."""
        for entry in await all_entries(self.ctx):
            last = await acquisitions.latest(self.ctx, entry.name, 1)
            if last and last[0]["task_id"] >= entry.next_task_id:
                await taking.renumber(self.ctx, entry, last[0]["task_id"] + 1)

    async def _realign(self, now: float) -> None:
        for entry in await all_entries(self.ctx, {"is_active": True}):
            next_time = realigned(entry.times, int(now))
            if next_time != entry.next_time:
                await taking.realign(self.ctx, entry, next_time)

    # -- runs

    def _spawn(self, run: Acquisition, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"run {run.id}")
        self._work[run.id] = task
        task.add_done_callback(lambda ended: self._forget(run, ended))

    def _forget(self, run: Acquisition, ended: asyncio.Task[None]) -> None:
        self._work.pop(run.id, None)
        if not ended.cancelled() and (error := ended.exception()):
            log.warning("the work for a run broke off; it is taken up again or closed", exc_info=error,
                        extra={"action": "schedule", "entry": run.entry, "task_id": run.task_id})

    async def _run(self, run: Acquisition, action: Action, work: actions.Run) -> None:
        """A local run, kept alive while it lasts."""
        async with self._slots:
            own = asyncio.current_task()
            assert own is not None
            keeper = asyncio.create_task(self._keep(run, own))
            try:
                outcome = await _outcome_of(work(self.ctx, run), run)
            finally:
                keeper.cancel()
        with contextlib.suppress(PyMongoError):  # the next holder of the lease says that it was interrupted
            await close(self.ctx, run, outcome or Outcome(), action)

    async def _keep(self, run: Acquisition, work: asyncio.Task[None]) -> None:
        """Say that a run is alive; stop it when somebody closed it."""
        while True:
            await asyncio.sleep(HOLD_SECONDS / 3)
            with contextlib.suppress(PyMongoError):
                if not await acquisitions.hold(self.ctx, run, self.clock() + HOLD_SECONDS):
                    work.cancel()
                    return

    async def _begin_on_grid(self, run: Acquisition, action: Action) -> None:
        assert action.start is not None
        outcome = await _outcome_of(action.start(self.ctx, run), run)
        if outcome is not None:
            await close(self.ctx, run, outcome, action)

    async def _follow_grid(self, runs: list[Acquisition], now: float) -> None:
        for run in runs:
            if run.kind == "grid" and run.id not in self._work:
                action = await actions.find(self.ctx, run.action)
                self._spawn(run, self._follow(run, action, now))

    async def _follow(self, run: Acquisition, action: Action | None, now: float) -> None:
        """Look how far a run on the grid is; one whose server died while it began is begun again."""
        if action is None or action.follow is None:
            await close(self.ctx, run, failure(f"there is no action {run.action!r} any more"))
        elif run.grid:
            outcome = await _outcome_of(action.follow(self.ctx, run), run)
            if outcome is not None:
                await close(self.ctx, run, outcome, action)
        elif run.until < now and await acquisitions.hold(
                self.ctx, run, now + HOLD_SECONDS, held_until=run.until):
            await self._begin_on_grid(run, action)

    async def _close_interrupted(self, runs: list[Acquisition], now: float) -> None:
        for run in runs:
            if run.kind == "local" and run.until < now and run.id not in self._work:
                await close(self.ctx, run, failure("interrupted: the server that ran it ended"))


async def _outcome_of(work: Awaitable[Outcome | None], run: Acquisition) -> Outcome | None:
    """What a run comes to; whatever goes wrong in an action is the run's failure, and no one else's.

    Raises what says that the database is away: that tells nothing of the run.
    """
    outcome, = await asyncio.gather(work, return_exceptions=True)
    if isinstance(outcome, PyMongoError) and is_away(outcome):
        raise outcome
    if isinstance(outcome, Exception):
        log.warning("run failed", exc_info=outcome,
                    extra={"action": "schedule", "entry": run.entry, "task_id": run.task_id})
        return failure(str(outcome) or type(outcome).__name__)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def close(ctx: Context, run: Acquisition, outcome: Outcome, action: Action | None = None) -> bool:
    """End a run and draw the consequences for its entry; whether this call did."""
    description = action.summary if action else run.action
    if not await acquisitions.finish(ctx, run, outcome, description):
        return False
    metrics.SCHEDULE_RUNS.labels(outcome.status.value).inc()
    if not outcome.is_stopped:
        failed = await _failures_in_a_row(ctx, run)
        may_stop = action is None or action.may_pause
        if await taking.give_up_failing(ctx, run.entry, failed, outcome.detail, may_stop=may_stop):
            log.warning("entry deactivated",
                        extra={"action": "schedule", "entry": run.entry, "failures": failed})
    await acquisitions.trim(ctx, run, action.retention if action else actions.RETENTION,
                            rows=action is not None and not action.keeps_runs)
    if outcome.data:
        await disk.guard(ctx, run)
    ctx.signals.notify(f"schedule:{run.entry}")
    return True


async def _failures_in_a_row(ctx: Context, run: Acquisition) -> int:
    """How many of the entry's last runs failed without a good one after them, since it was forgiven."""
    last = await acquisitions.listed(ctx, run.entry, limit=1, newest=True)
    if last and last[0].status is Status.SUCCESS:
        return 0
    entry = await ctx.db.schedule.find_one({"_id": run.entry}, {"forgiven": 1})
    recent = await acquisitions.listed(ctx, run.entry, limit=100, newest=True)
    failed = 0
    for one in recent:
        if one.status is Status.SUCCESS or one.task_id < (entry or {}).get("forgiven", 0):
            break
        failed += one.status is Status.FAILURE and not one.is_stopped
    return failed


async def stop_run(ctx: Context, run: Acquisition, reason: str) -> None:
    """Stop a run that is in progress, wherever it is."""
    action = await actions.find(ctx, run.action)
    if action and action.abort and run.grid:
        await action.abort(ctx, run, reason)
    await close(ctx, run, Outcome(Status.FAILURE, reason, is_stopped=True), action)


async def stop_runs(ctx: Context, entry: str, reason: str) -> None:
    """Stop all runs of an entry."""
    for run in await acquisitions.in_progress(ctx, entry):
        await stop_run(ctx, run, reason)


_schedulers: WeakKeyDictionary[AsyncDatabase, Scheduler] = WeakKeyDictionary()


def scheduler(ctx: Context) -> Scheduler:
    """This process's scheduler."""
    if ctx.db not in _schedulers:
        _schedulers[ctx.db] = Scheduler(ctx)
    return _schedulers[ctx.db]


async def tick(ctx: Context) -> None:
    """One look at the clock, by this process's scheduler, when a second begins."""
    await asyncio.sleep(-time.time() % 1.0)
    await scheduler(ctx).look()


async def _next_due(ctx: Context) -> int | None:
    """When the next entry is due that is active; None without any."""
    row = await ctx.db.schedule.find_one({"is_active": True}, {"look_at": 1}, sort=[("look_at", 1)])
    return row.get("look_at") if row else None
