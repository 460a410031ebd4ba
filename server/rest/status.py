"""Health and metrics."""

from __future__ import annotations

import asyncio
import time

from pymongo.errors import PyMongoError

from server.common import metrics
from server.rest import health
from server.rest.handler import Handler
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Health(Handler):
    """Whether the server can do its work: the database answers, and the services run."""

    @allow("everybody")
    async def get(self) -> None:
        services = self.application.settings["services"]
        started = time.perf_counter()
        try:
            await asyncio.wait_for(self.ctx.db.command("ping"), 5)
        except (PyMongoError, TimeoutError) as error:
            self.send({"status": "error", "reason": f"the database does not answer: {error}"}, 500)
            return
        ages = {name: round(time.time() - moment, 1)
                for name, moment in (services.last_success if services else {}).items()}
        probes = await health.probes(self.ctx)
        self.send({"status": "ok", "database_ms": round((time.perf_counter() - started) * 1000, 1),
                   "seconds_since_success": ages, **probes})


class Metrics(Handler):
    """Prometheus metrics."""

    @allow("everybody")
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(metrics.render())


ROUTES = [Route("/healthz", Health, "operation"), Route("/metrics", Metrics, "operation")]
