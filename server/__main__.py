"""``python -m server``: run the REST server in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import os
import sys
from collections.abc import Iterator

import msgspec
from pymongo.errors import PyMongoError

from config.settings import Settings, load
from iceprod.tracing.recording import CannotRecord, record
from iceprod.walls import namespaces
from server.app import serve
from server.common import logs, telemetry
from server.services.migrations import FromTheFuture, LeaseLost

_PARTING_SECONDS = 2.0  # for spans that are not sent yet


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = load(arguments.config)
    server, database = settings.server, settings.database
    if arguments.port is not None:
        server = msgspec.structs.replace(server, port=arguments.port)
    if arguments.processes is not None:
        server = msgspec.structs.replace(server, processes=arguments.processes)
    if arguments.database is not None:
        database = msgspec.structs.replace(database, url=arguments.database)
    data = arguments.data or settings.data
    return msgspec.structs.replace(settings, data=data, server=server, database=database)


def main() -> int:
    parser = argparse.ArgumentParser(prog="server", description=__doc__)
    parser.add_argument("--config", help="YAML file with settings")
    parser.add_argument("--data", help="directory of the installation")
    parser.add_argument("--port", type=int)
    parser.add_argument("--database", help="URL of the database")
    parser.add_argument("--processes", type=int, help="how many share the port, this one included")
    parser.add_argument("--start-id", default="", help="told at /healthz, where who started it looks")
    arguments = parser.parse_args()
    try:
        settings = _settings(arguments)
    except ValueError as error:  # SettingsError, or of what was given on the command line
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not settings.database.url:
        print("error: database.url is empty; `iceprod up` starts the embedded store", file=sys.stderr)
        return 2
    faulthandler.enable()  # one that hangs is ended by SIGABRT, and writes where it was
    namespaces.limit(0)  # no core dumps, for memory holds secrets
    os.umask(0o077)
    logs.configure(settings.logging)
    try:
        with _recorded(settings):
            asyncio.run(serve(settings, arguments.start_id))
    except (CannotRecord, FromTheFuture, LeaseLost) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, CannotRecord) else 1
    except PyMongoError as error:  # while it starts; later nothing ends the server
        print(f"error: the database: {error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _recorded(settings: Settings) -> Iterator[None]:
    """Record spans, if the settings say so. Raises CannotRecord."""
    if not settings.telemetry.traces:
        yield
        return
    stop = record("iceprod-server", telemetry.count)
    try:
        yield
    finally:
        stop(_PARTING_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
