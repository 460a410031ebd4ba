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
        """Waiting, queued and processing tasks by requirement class; with site, those it may run.

        With grid_id, waiting is that grid's share of all_waiting: sites divide them by free places and speed.
        """
        rows = await demand.demand(self.ctx, self.query("site") or "", self.query("grid_id") or "")
        self.send({"classes": rows, "at_most": demand.AT_MOST})


ROUTES = [Route("/task_classes", TaskClasses, "tasks")]
