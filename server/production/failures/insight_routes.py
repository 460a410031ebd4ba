"""Routes that tell why tasks do not run."""

from __future__ import annotations

from server.production.common.handler import ProductionHandler
from server.production.failures import explain
from server.production.records import problems
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Explain(ProductionHandler):
    """Why a task is where it is."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str, task_id: str) -> None:
        """What the task waits for, its rank, the pilots that could take it, and what they lack."""
        await self.present(dataset_id)
        self.send(await explain.explain(self.ctx, dataset_id, task_id))


class Errors(ProductionHandler):
    """The errors of a dataset's tasks."""

    @allow("admin", "client", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """The last errors of the tasks, the same ones together, most frequent first."""
        await self.present(dataset_id)
        self.send({"errors": await problems.top_errors(self.ctx, dataset_id)})


ROUTES = [
    Route("/datasets/{dataset_id}/tasks/{task_id}/explain", Explain, "insight"),
    Route("/datasets/{dataset_id}/errors", Errors, "insight"),
]
