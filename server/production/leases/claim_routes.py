"""Routes by which pilots get work and report on it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from iceprod.requirements import RequirementError, check
from iceprod.tokens import Caller
from iceprod.tracing import spans, traces
from server.common.errors import BadRequest, NotFound
from server.common.signals import Signals
from server.common.together import Together
from server.production.common.documents import Document
from server.production.common.fields import Field, check_storable, number, takes
from server.production.common.handler import ProductionHandler
from server.production.failures import quarantine
from server.production.failures.places import Place, place_of
from server.production.leases import ends, leases, load, many_ends, waits
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.tasks import kinds, queueing, task_store
from server.rest import sites
from server.rest.context import Context
from server.rest.handler import encode
from server.rest.routing import Route, allow, urgent

__all__ = ["ROUTES", "ClaimHandler", "report_many"]

MOST_TASKS = 1000
FILTERS = ("dataset_id", "site", "instance_id", "priority", "requirements.site")


def read_claim(body: dict[str, Any]) -> Claim:
    """The offer and filters of a claim. Raises BadRequest."""
    offer, params = body.get("requirements", {}), body.get("query_params", {})
    for name, value in (("requirements", offer), ("query_params", params)):
        if not isinstance(value, dict):
            raise BadRequest(f"key {name} should be of type dict")
    _check_offer(offer)
    for name, value in params.items():
        if name == "status" or (name in FILTERS and _overrides(name, value, offer)):
            raise BadRequest(f"param {name} would override an already set filter")
        if name not in FILTERS:
            raise BadRequest(f"param {name[:100]} is not allowed")
        if isinstance(value, dict | list):
            raise BadRequest(f"param {name} must be a scalar value")
    check_storable(offer)
    pilot_id = body.get("pilot_id", "")
    if not isinstance(pilot_id, str):
        raise BadRequest("key pilot_id should be of type str")
    return Claim(offer=offer, filters=params, pilot_id=pilot_id)


def _overrides(name: str, value: Any, offer: dict[str, Any]) -> bool:
    return name == "requirements.site" and "site" in offer and offer["site"] != value


def _check_offer(offer: dict[str, Any]) -> None:
    """Offers may be fractions; otherwise they are like requirements."""
    for name, value in offer.items():
        if name in ("cpu", "gpu", "memory", "disk", "time"):
            if value is not None and not number(value):
                raise BadRequest(f"Bad type for {name}, should be float")
        elif isinstance(value, dict) and name != "classads":
            raise BadRequest(f"Bad type for {name}")
    try:
        check({name: value for name, value in offer.items() if name in ("os", "site", "classads")})
    except RequirementError as error:
        raise BadRequest(str(error)) from None


_together: WeakKeyDictionary[Signals, Together[Context, list[Document], dict[str, Any]]] = WeakKeyDictionary()


async def _payloads(ctx: Context, tasks: list[Document]) -> dict[str, Any]:
    """What to run, by task id; found together for all claims that were served together."""
    together = _together.get(ctx.signals)
    if together is None:
        together = _together[ctx.signals] = Together(_all_payloads)
    return await together.do(ctx, tasks)


async def _all_payloads(ctx: Context, claims: Sequence[list[Document]]) -> list[dict[str, Any] | Exception]:
    found = await kinds.payloads(ctx, [task for tasks in claims for task in tasks])
    return [found] * len(claims)


def _number_of_tasks(body: dict[str, Any]) -> int:
    amount = body.get("num", 1)
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1:
        raise BadRequest("key num should be an int >= 1")
    return min(amount, MOST_TASKS)


def _left_out(body: dict[str, Any]) -> tuple[str, ...]:
    datasets = body.get("dataset_deprio", [])
    if not isinstance(datasets, list) or not all(isinstance(d, str) for d in datasets):
        raise BadRequest("key dataset_deprio should be a list of str")
    return tuple(datasets)


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"key {name} should be of type bool")
    return value


class ClaimHandler(ProductionHandler):
    """A handler that hands out tasks."""

    def initialize(self, route: str = "") -> None:
        super().initialize(route)
        self.gone = asyncio.Event()
        self._lent: list[Document] = []
        self._host = ""

    async def claim(self, body: dict[str, Any]) -> Claim:
        """What a body asks for; a caller of one site gets tasks for that site alone."""
        request = read_claim(body)
        await sites.check_names(self.ctx, self.user, {"pilot_id": request.pilot_id})
        request = replace(request, pilot_id=sites.own_pilot(self.user, request.pilot_id))
        site = sites.own_site(self.user, request.offer.get("site"))
        place = await place_of(self.ctx, request.pilot_id)
        offer = {**request.offer, "site": site} if site else request.offer
        return replace(request, offer=offer, host=place.host)

    async def lease_of(self, body: dict[str, Any]) -> tuple[Claim, float]:
        """What a body asks for of many tasks, and how long it would wait for them. Raises BadRequest."""
        request = replace(await self.claim(body), num=_number_of_tasks(body), deprioritised=_left_out(body),
                          target="processing" if _flag(body, "start") else "queued")
        wait = body.get("wait", 0)
        if not number(wait) or wait < 0:
            raise BadRequest("key wait should be a number >= 0")
        return request, min(wait, load.longest_wait(self.ctx))

    async def lend(self, request: Claim, wait: float) -> list[Document]:
        """Tasks for a claim, as a pilot gets them; answered by `deliver` alone, inside of `lending`."""
        self._host = request.host
        self._lent = await waits.claim_or_wait(self.ctx, request, wait, self.gone)
        return await self._with_payloads(self._lent, request.pilot_id) if self._lent else []

    async def deliver(self, document: Any) -> None:
        """Answer. What was lent is taken back if the answer does not get out whole.

        A pilot that stops waiting, since it has something to say, loses an answer that is half under way;
        nobody would miss its tasks until their lease ends.
        """
        if not self._lent:
            self.send(document)
        elif not await self._gets_out(encode(document)):
            await leases.take_back(self.ctx, self._lent, self._host)

    @contextlib.asynccontextmanager
    async def lending(self) -> AsyncIterator[None]:
        """Around `lend` and `deliver`: what was lent is taken back if no answer can be made."""
        try:
            yield
        except Exception:
            if self._lent:
                await leases.take_back(self.ctx, self._lent, self._host)
            raise

    async def _gets_out(self, body: bytes) -> bool:
        """Whether all of an answer left this process; tornado's own futures do not tell."""
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
        self.flush()
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        try:
            gone_out = connection.stream.write(b"")  # ends after all that was written before
        except StreamClosedError:
            return False
        self.finish()
        try:
            await gone_out
        except StreamClosedError:
            return False
        return True

    async def _with_payloads(self, tasks: list[Document], pilot_id: str) -> list[Document]:
        """With what to run, and for how long they are the pilot's own."""
        began = time.time()
        payloads = await _payloads(self.ctx, tasks)
        promised = {"lease_seconds": load.lease_seconds(self.ctx, pilot_id),
                    "grace_seconds": self.ctx.settings.leases.grace_hours * 3600}
        return [{**task_store.public(task), "kind": kinds.kind_of(task), **promised,
                 "payload": _leased(task, payloads.get(task["task_id"]), began)} for task in tasks]

    async def check_place(self, request: Claim, wait: float = 0.0) -> None:
        """Raise NotFound, after a while, for a place that is quarantined."""
        place = await place_of(self.ctx, request.pilot_id)
        site = place.site or str(request.offer.get("site") or "")
        if reason := await quarantine.reason_against(self.ctx, Place(place.host, site)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), wait)
            raise NotFound(f"no tasks for this pilot: {reason}")

    def on_connection_close(self) -> None:
        self.gone.set()


def _leased(task: Document, payload: dict[str, Any] | None, began: float) -> dict[str, Any] | None:
    """The payload of a task below a span, in its own trace, that says who got it."""
    trace = traces.of_document(payload) if payload and spans.is_recording() else None
    if payload is None or trace is None:
        return payload
    about = {"iceprod.task_id": task["task_id"], "iceprod.pilot_id": task.get("pilot_id", "")}
    one = spans.recorded("lease task", spans.INTERNAL, trace, about, at=began)
    if one is None:
        return payload
    one.end()
    return {**payload, **one.trace.document()}


class AskingHandler(ClaimHandler):
    """A handler whose body is a claim alone."""

    def examine(self, document: Any) -> None:
        """Names may be any here: `read_claim` says which are wrong, and why."""
        check_storable(document, names=False)


class Queue(AskingHandler):
    """Queue tasks, or lease one: the body decides."""

    @allow("admin", "client", "system")
    @takes(Field("num_tasks", "int"), Field("requirements", "dict"), Field("query_params", "dict"))
    async def post(self) -> None:
        """With requirements or query_params, lease the best waiting task that fits; else queue num_tasks."""
        body = self.body(required=False)
        if "requirements" in body or "query_params" in body:
            await self.lease(await self.claim(body))
            return
        amount = body.get("num_tasks", 100)
        if isinstance(amount, bool) or not isinstance(amount, int) or amount < 0:
            raise BadRequest("key num_tasks should be of type int")
        self.send({"queued": await queueing.queue(self.ctx, min(amount, 100_000))})

    async def lease(self, request: Claim) -> None:
        await self.check_place(request)
        got = await leases.claim(self.ctx, request)
        if not got:
            raise NotFound("Task not found")
        self.send(task_store.public(got[0]))


class Process(Queue):
    """Take the best queued task, which is then processing."""

    @allow("admin", "client", "system", "pilot")
    @takes(Field("requirements", "dict"), Field("query_params", "dict"))
    async def post(self) -> None:
        """Take the best queued task that fits; it is processing then."""
        body = self.body(required=False)
        await self.lease(replace(await self.claim(body), source="queued", target="processing"))


class QueueMany(AskingHandler):
    """Lease several tasks at once; wait for some when there are none."""

    @allow("admin", "client", "system", "pilot")
    @takes(Field("num", "int"), Field("requirements", "dict"), Field("query_params", "dict"),
           Field("dataset_deprio", "list"), Field("wait", "number"), Field("start", "bool"),
           Field("pilot_id", "str"))
    async def post(self) -> None:
        """Lease up to num tasks, with what to run; with wait, a long poll of so many seconds."""
        body = self.body()
        request, wait = await self.lease_of(body)
        await self.check_place(request, wait)
        async with self.lending():
            tasks = await self.lend(request, wait)
            if not tasks:
                raise NotFound("Task not found")
            await self.deliver(tasks)


class Access(ProductionHandler):
    """What a task is lent for its files."""

    @allow("admin", "client", "system", "pilot")
    @takes(Field("task_id", "str", required=True), Field("instance_id", "str", required=True), closed=True)
    async def post(self) -> None:
        """Tokens and signed addresses for the files of a leased task, made anew: old ones end."""
        body = self.body()
        task_id, instance_id = body.get("task_id"), body.get("instance_id")
        if not isinstance(task_id, str) or not isinstance(instance_id, str) or not instance_id:
            raise BadRequest("keys task_id and instance_id should be of type str")
        await sites.check_names(self.ctx, self.user, {"task_id": task_id})
        task = await leases.held(self.ctx, task_id, instance_id)
        payload = (await kinds.payloads(self.ctx, [task])).get(task_id) or {}
        self.send(payload.get("access") or {})


class Waiting(ProductionHandler):
    """Let idle tasks wait for a pilot."""

    @allow("admin", "client", "system")
    @takes(Field("task_ids", "list", required=True))
    async def post(self) -> None:
        """Move the idle tasks among task_ids to waiting."""
        ids = self.body().get("task_ids")
        if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
            raise BadRequest("Missing task_ids in body")
        if len(ids) > 100:
            raise BadRequest("too many tasks. must be <= 100")
        self.send({"waiting": await queueing.make_waiting(self.ctx, ids)})


# -- reports


def read_report(body: dict[str, Any]) -> Report:
    """What a pilot says of an attempt. Raises BadRequest."""
    instance_id, site, reason = body.get("instance_id"), body.get("site"), body.get("reason")
    for name, value in (("instance_id", instance_id), ("site", site)):
        if value is not None and not isinstance(value, str):
            raise BadRequest(f"key {name} should be of type str")
    time_used = body.get("time_used") or 0
    if not number(time_used) or not 0 <= time_used < 1e12:
        raise BadRequest("key time_used should be a number of seconds")
    resources = body.get("resources") or {}
    if not isinstance(resources, dict):
        raise BadRequest("key resources should be of type dict")
    text = reason if isinstance(reason, str) else str(reason or "")
    return Report(instance_id, time_used, site, text, resources)


class ReportHandler(ProductionHandler):
    """A handler of what a pilot says of a task that it holds, or held."""

    names_ended_tasks = True

    def report(self, *, required: bool = False) -> Report:
        """What the body says; a pilot says by which lease."""
        report = read_report(self.body(required=required))
        sites.check_lease(self.user, report.instance_id)
        return report


class TaskStart(ReportHandler):
    """A leased task begins to run."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("instance_id", "str", required=True), Field("site", "str"))
    async def post(self, task_id: str) -> None:
        """Say that the task runs now; the task before."""
        report = self.report(required=True)
        if report.instance_id is None:
            raise BadRequest("Missing instance_id in body")
        self.send(task_store.public(await ends.start(self.ctx, task_id, report)))


class TaskComplete(ReportHandler):
    """A task is done."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("instance_id", "str"), Field("time_used", "number"), Field("resources", "dict"),
           Field("site", "str"), Field("reason", "str"))
    async def post(self, task_id: str) -> None:
        """Say that the task is done; the task before."""
        report = self.report()
        before = await ends.complete(self.ctx, task_id, report.instance_id, time_used=report.time_used,
                                     site=report.site, resources=report.resources)
        if before["status"] != "complete":
            await kinds.announce_end(self.ctx, before, "complete", report.reason)
        self.send(task_store.public(before))


class TaskReset(ReportHandler):
    """An attempt failed; another may follow."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("instance_id", "str"), Field("time_used", "number"), Field("resources", "dict"),
           Field("site", "str"), Field("reason", "str"))
    async def post(self, task_id: str) -> None:
        """Say that an attempt failed; the task before."""
        report = self.report()
        self.send(task_store.public(await ends.reset(self.ctx, task_id, report)))


class TaskFailed(ReportHandler):
    """An attempt failed; none may follow."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("instance_id", "str"), Field("time_used", "number"), Field("resources", "dict"),
           Field("site", "str"), Field("reason", "str"))
    async def post(self, task_id: str) -> None:
        """Say that the task failed for good; the task before."""
        report = self.report()
        self.send(task_store.public(await ends.fail(self.ctx, task_id, report)))


class TaskEvict(ReportHandler):
    """A pilot hands a task back."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("instance_id", "str"), Field("time_used", "number"), Field("resources", "dict"),
           Field("site", "str"), Field("reason", "str"))
    async def post(self, task_id: str) -> None:
        """Hand the task back, for no fault of anybody's; the task before."""
        report = self.report()
        self.send(task_store.public(await ends.evict(self.ctx, task_id, report)))


class ReportMany(ProductionHandler):
    """Many tasks ended."""

    @urgent
    @allow("admin", "client", "system", "pilot")
    @takes(Field("reports", "list", required=True), Field("pilot_id", "str"), closed=True)
    async def post(self) -> None:
        """Report ends: {task_id, instance_id, outcome, time_used, resources, site, reason, logs, stats} each.

        Answers 200 with {task_id, status, reason} for each: 200, or what it had been answered alone. A claim
        that the pilot waits with is answered too, for now the pilot has more room.
        """
        body = self.body()
        pilot_id = body.get("pilot_id", "")
        if not isinstance(pilot_id, str):
            raise BadRequest("key pilot_id should be of type str")
        await sites.check_names(self.ctx, self.user, {"pilot_id": pilot_id})
        self.send({"results": await report_many(self.ctx, self.user, body.get("reports"), pilot_id)})


async def report_many(ctx: Context, caller: Caller, rows: Any, pilot_id: str) -> list[Document]:
    """Act on the ends that a caller reports of a pilot's tasks. Raises BadRequest."""
    if not isinstance(rows, list) or len(rows) > many_ends.MOST:
        raise BadRequest(f"key reports should be a list of at most {many_ends.MOST} objects")
    if not all(isinstance(row, dict) for row in rows):
        raise BadRequest("key reports should be a list of objects")
    batch = [many_ends.read_ended(row, number, read_report(row)) for number, row in enumerate(rows)]
    for ended in batch:
        sites.check_lease(caller, ended.report.instance_id)
    results = await many_ends.report_many(ctx, batch, only_site=sites.bound_site(caller),
                                          only_pilot=sites.bound_pilot(caller))
    waits.end_waits(ctx, pilot_id)
    return results


ROUTES = [
    Route("/task_actions/queue", Queue, "tasks"),
    Route("/task_actions/process", Process, "tasks"),
    Route("/task_actions/queue_many", QueueMany, "tasks"),
    Route("/task_actions/access", Access, "tasks"),
    Route("/task_actions/waiting", Waiting, "tasks"),
    Route("/task_actions/report_many", ReportMany, "tasks"),
    Route("/tasks/{task_id}/task_actions/processing", TaskStart, "tasks"),
    Route("/tasks/{task_id}/task_actions/complete", TaskComplete, "tasks"),
    Route("/tasks/{task_id}/task_actions/reset", TaskReset, "tasks"),
    Route("/tasks/{task_id}/task_actions/failed", TaskFailed, "tasks"),
    Route("/tasks/{task_id}/task_actions/evict", TaskEvict, "tasks"),
]
