"""Health and metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from server.common import metrics
from server.rest import health
from server.rest.addresses import is_trusted
from server.rest.context import Context
from server.rest.handler import Handler
from server.rest.routing import Route, allow, urgent

__all__ = ["ROUTES"]


class Services(Protocol):
    """What runs again and again."""

    last_success: dict[str, float]


class Health(Handler):
    """Whether the server can do its work: the database answers, and the services run."""

    @urgent
    @allow("everybody")
    async def get(self) -> None:
        """However many ask at the same time, the answer is made once."""
        settings = self.application.settings
        asking: asyncio.Task[tuple[dict[str, Any], int]] | None = settings.get("asking_health")
        if asking is None or asking.done():
            asking = asyncio.create_task(_health(self.ctx, settings["services"]))
            settings["asking_health"] = asking
        document, status = await asyncio.shield(asking)
        self.send({**document, "start_id": settings.get("start_id", "")}, status)


async def _health(ctx: Context, services: Services | None) -> tuple[dict[str, Any], int]:
    started = time.perf_counter()
    try:
        await asyncio.wait_for(ctx.db.command("ping"), 5)
    except (PyMongoError, TimeoutError) as error:
        return {"status": "error", "reason": f"the database does not answer: {error}"}, 500
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    ages = {name: round(time.time() - moment, 1)
            for name, moment in (services.last_success if services else {}).items()}
    return {"status": "ok", "database_ms": milliseconds, "seconds_since_success": ages,
            **await health.probes(ctx)}, 200


class Metrics(Handler):
    """Prometheus metrics."""

    @urgent
    @allow("everybody")
    def get(self) -> None:
        """While the server has much to do, what was counted a second ago will do."""
        settings, moment = self.application.settings, time.monotonic()
        made, text = settings.get("counted", (float("-inf"), b""))
        if not self.ctx.admission.is_short or moment - made > 1.0:
            text = metrics.render()
            settings["counted"] = (moment, text)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(text)


class Connection(Handler):
    """How a request reaches us: whom we take its sender for, and what proxies in between made of it."""

    @allow("any")
    def get(self) -> None:
        headers, peer = self.request.headers, self.request.remote_ip or ""
        self.send({"time": time.time(), "peer": peer, "address": self.caller_address,
                   "is_forwarded": "Forwarded" in headers or "X-Forwarded-For" in headers,
                   "is_trusted": is_trusted(peer, self.ctx.trusted_proxies), "host": self.request.host,
                   "public_url": self.ctx.settings.server.public_url})

    @allow("any")
    def post(self) -> None:
        """Tell how much of a body came through; it is thrown away."""
        self.send({"bytes": len(self.request.body)})


ROUTES = [Route("/connection", Connection, "operation"), Route("/healthz", Health, "operation"),
          Route("/metrics", Metrics, "operation")]
