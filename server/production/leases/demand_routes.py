"""The route by which grids hear what work waits."""

from __future__ import annotations

from server.production.common.handler import ProductionHandler
from server.production.leases import demand
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class TaskClasses(ProductionHandler):
    """What work waits."""

    @allow("admin", "client", "system", "user")
    async def get(self) -> None:
        """Waiting, queued and processing tasks by requirement class; with site, those it may run."""
        self.send(
            {"classes": await demand.demand(self.ctx, self.query("site") or ""), "at_most": demand.AT_MOST}
        )


ROUTES = [Route("/task_classes", TaskClasses, "tasks")]
