"""Routes that show and set what follows from failures, and which places get no tasks."""

from __future__ import annotations

from server.common.errors import NotFound
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.failures import explain, parking, policy, quarantine, usage
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class FailurePolicy(ProductionHandler):
    """The table of failure rules."""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        """The rules in force, in the order in which they are tried."""
        self.send(await policy.show(self.ctx))

    @allow("admin")
    @takes(Field("rules", "list", required=True), closed=True)
    async def put(self) -> None:
        """Put another table in force: a list of {name, pattern, blame, action, limit, resource}."""
        self.send(await policy.replace(self.ctx, self.body(), self.user.username))

    @allow("admin")
    async def delete(self) -> None:
        """Go back to the defaults."""
        self.send(await policy.forget(self.ctx))


class Quarantine(ProductionHandler):
    """Places that get no tasks."""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        """Hosts and sites that are quarantined or on probation, why, and until when."""
        self.send({"quarantine": await quarantine.listed(self.ctx)})


class QuarantinedPlace(ProductionHandler):
    """One place."""

    @allow("admin")
    @takes(Field("reason", "str", required=True), Field("minutes", "number"))
    async def put(self, kind: str, name: str) -> None:
        """Give the host or site no tasks for so many minutes."""
        self.send(await quarantine.put(self.ctx, kind, name, self.body(), self.user.username))

    @allow("admin")
    async def delete(self, kind: str, name: str) -> None:
        """Lift the quarantine now."""
        await quarantine.lift(self.ctx, kind, name)
        self.send({})


class Breakers(ProductionHandler):
    """Resources outside that do not answer."""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        """Storage hosts, folders and images that failed, whether tasks wait for them, and until when."""
        self.send({"breakers": await parking.listed(self.ctx)})


class OneBreaker(ProductionHandler):
    """One resource."""

    @allow("admin")
    @takes(Field("reason", "str", required=True), Field("datasets", "list"))
    async def put(self, resource: str) -> None:
        """Open it by hand: tasks that need the resource wait until somebody closes it."""
        await parking.open_by_hand(self.ctx, resource, self.body(), self.user.username)
        self.send({"breakers": await parking.listed(self.ctx)})

    @allow("admin")
    async def delete(self, resource: str) -> None:
        """Close it now: what waits for the resource may run."""
        self.send({"released": await parking.close(self.ctx, resource)})


class TaskUsage(ProductionHandler):
    """What the tasks of a dataset use."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """Median and 95th percentile of what completed tasks used, by name, beside what they ask for."""
        await self.readable(dataset_id)
        self.send({"tasks": await usage.of_dataset(self.ctx, dataset_id)})


class ExplainTask(ProductionHandler):
    """Why a task is where it is, for those who know no more than its id."""

    @allow("admin", "client", "system", "user")
    async def get(self, task_id: str) -> None:
        """As GET /datasets/{dataset_id}/tasks/{task_id}/explain."""
        task = await self.ctx.db.tasks.find_one({"task_id": task_id}, {"dataset_id": 1})
        if task is None:
            raise NotFound("Task not found")
        await self.readable(task["dataset_id"])
        self.send(await explain.explain(self.ctx, task["dataset_id"], task_id))


ROUTES = [
    Route("/failure_policy", FailurePolicy, "failures"),
    Route("/quarantine", Quarantine, "failures"),
    Route("/quarantine/{kind}/{name:any}", QuarantinedPlace, "failures"),
    Route("/breakers", Breakers, "failures"),
    Route("/breakers/{resource:any}", OneBreaker, "failures"),
    Route("/datasets/{dataset_id}/task_usage", TaskUsage, "insight"),
    Route("/tasks/{task_id}/explain", ExplainTask, "insight"),
]
