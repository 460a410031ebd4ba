"""The application: every family's routes, indexes and services, and the server that runs them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from pymongo.errors import PyMongoError
from tornado.httpserver import HTTPServer
from tornado.web import Application

from config.settings import Settings
from iceprod.processes.watchdog import Notifier
from iceprod.tokens import read_secret
from server import alerts, desk, notifications, openapi, production, scans, sensor, sharding, web
from server.common.listening import listen, raise_limit
from server.reference import house
from server.rest import revocations, status
from server.rest.admission import watch
from server.rest.context import Context
from server.rest.door import Door
from server.rest.handler import NoRoute
from server.rest.routing import Route
from server.rules import engine
from server.sensor.actions import housekeeping
from server.services import peers
from server.services.leader import Service, Services
from server.services.migrations import migrate
from server.services.peers import Peers, neighbours
from server.store.database import Index, connect, ensure_indexes, is_cluster

__all__ = ["INDEXES", "ROUTES", "SERVICES", "make_app", "serve"]

log = logging.getLogger("server")

IDLE_SECONDS, BODY_SECONDS = 600.0, 300.0  # of a connection between requests; of a body on its way
OTHERS_SECONDS = 2.0  # for the database to say whether others serve

ROUTES: list[Route] = [
    *status.ROUTES, *openapi.ROUTES, *production.ROUTES, *scans.ROUTES, *sensor.ROUTES, *desk.ROUTES,
    *alerts.ROUTES, *notifications.ROUTES, *web.ROUTES]
INDEXES: list[Index] = [
    *revocations.INDEXES, *peers.INDEXES, *engine.INDEXES, *production.INDEXES, *scans.INDEXES, *desk.INDEXES,
    *alerts.INDEXES, *sensor.INDEXES, *notifications.INDEXES]
PERIODIC: list[Service] = [*engine.SERVICES, *production.SERVICES, *scans.SERVICES, *desk.SERVICES,
                           *alerts.SERVICES, *notifications.SERVICES]
SERVICES: list[Service] = [*housekeeping.divide(PERIODIC), *sensor.SERVICES]
house.describe(ROUTES, SERVICES)


def make_app(ctx: Context, services: Services | None = None, start_id: str = "") -> Application:
    """The tornado application that answers every route."""
    specs = [route.spec() for route in [*ROUTES, web.MISSING]]
    return Application(specs, default_handler_class=NoRoute, context=ctx, services=services,
                       start_id=start_id, routes=ROUTES, log_function=lambda handler: None, **web.SETTINGS)


async def serve(settings: Settings, start_id: str = "") -> None:
    """Run the server until SIGTERM or SIGINT."""
    data = Path(settings.data)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = connect(settings.database)
    ctx = Context(settings, db, read_secret(data / settings.tokens.secret_file))
    door = Door()
    http = HTTPServer(door, max_body_size=settings.server.max_body_mb << 20,
                      idle_connection_timeout=IDLE_SECONDS, body_timeout=BODY_SECONDS)
    host, port = settings.server.host, settings.server.port
    raise_limit()
    is_late = settings.server.processes > 1 and await _others_serve(ctx, start_id)
    if not is_late:
        http.add_sockets(listen(port, host, shared=settings.server.processes > 1))
    await migrate(ctx, say=door.wait_for)
    await ensure_indexes(db, sharding.on_shards(INDEXES) if await is_cluster(db) else INDEXES)
    await housekeeping.ensure_entries(ctx, PERIODIC)
    stop = asyncio.Event()
    here = Peers(ctx, start_id, stop.set)
    await here.join()
    await migrate(ctx)  # a newer program may have begun a step before it could see us
    services = Services(ctx, SERVICES)
    door.application = make_app(ctx, services, start_id)
    services.start()
    if is_late:
        http.add_sockets(listen(port, host, shared=True))
    watching = [asyncio.create_task(watch(ctx.admission, db)), asyncio.create_task(_say_that_we_work())]
    log.info("listening", extra={"action": "start", "host": host, "port": port})
    await _until_told_to_stop(stop)
    http.stop()
    for task in watching:
        task.cancel()
    await services.stop()
    await here.leave()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.server.shutdown_seconds):
            await ctx.admission.close()  # what is stored is answered, else whoever asked would ask again
            await http.close_all_connections()
    await db.client.close()


async def _others_serve(ctx: Context, start_id: str) -> bool:
    """Whether others answer at our port meanwhile, so that nobody need hear from us that we are starting."""
    with contextlib.suppress(PyMongoError, TimeoutError):
        return bool(await asyncio.wait_for(neighbours(ctx, start_id), OTHERS_SECONDS))
    return False


async def _say_that_we_work() -> None:
    """From the loop that answers requests: when it hangs, nothing is said."""
    notifier = Notifier()
    notifier.ready()
    while notifier.is_watched:
        notifier.works()
        await asyncio.sleep(notifier.seconds)


async def _until_told_to_stop(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
