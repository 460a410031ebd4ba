"""What ``iceprod doctor`` looks at of a server's own: its database, and whom it asks who people are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from config.settings import Settings
from iceprod.checks.clocks import clock
from iceprod.checks.findings import Finding, left_out, odd, well, wrong
from iceprod.checks.subject import Check, Subject
from server.app import INDEXES
from server.embedded.access import store_url
from server.embedded.documents.errors import DataDirectoryError
from server.embedded.limits import measure
from server.services.migrations import MIGRATIONS

__all__ = ["CHECKS"]

OLDEST = (4, 4)  # of MongoDB: what the operators and options that we send came with
PATIENCE_MS = 10_000

Client = pymongo.MongoClient[dict[str, Any]]


def database(subject: Subject) -> Iterator[Finding]:
    """Everything about the database, asked of itself."""
    settings = subject.settings
    if not settings.database.url and not (subject.data / "store").is_dir():
        yield left_out("database", "this machine has no store, and no database.url is set (--config FILE)")
        return
    try:
        with _url(settings) as url, Client(url, serverSelectionTimeoutMS=PATIENCE_MS) as client:
            yield from _asked(client, settings)
            if not settings.database.url:
                yield from _size(url, subject)
    except (PyMongoError, DataDirectoryError) as error:
        yield wrong("database", f"it does not answer: {error}",
                    "start it; look into logs/store.log (iceprod store check) or MongoDB's log, and compare "
                    "database.url")


@contextlib.contextmanager
def _url(settings: Settings) -> Iterator[str]:
    """Where the database answers: a store that nobody serves is served meanwhile."""
    if settings.database.url:
        yield settings.database.url
        return
    with store_url(Path(settings.data) / "store") as url:
        yield url


def _asked(client: Client, settings: Settings) -> Iterator[Finding]:
    sent = time.time()
    hello = client.admin.command("hello")
    took = time.time() - sent
    yield _version(client.server_info(), embedded=not settings.database.url)
    if moment := hello.get("localTime"):
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        yield clock("database", "the database's", seconds - sent - took / 2, took)
    if settings.database.url:
        yield from _copies(client, hello)
    yield _schema(client[settings.database.name])
    yield from _indexes(client[settings.database.name])


def _version(told: Mapping[str, Any], *, embedded: bool) -> Finding:
    version = str(told.get("version", "?"))
    name = "the embedded store speaks as MongoDB" if embedded else "it speaks as MongoDB"
    numbers = tuple(told.get("versionArray", OLDEST))[:2]
    if numbers < OLDEST:
        return wrong("database", f"{name} {version}", f"upgrade it to {'.'.join(map(str, OLDEST))} or newer")
    return well("database", f"{name} {version}")


def _copies(client: Client, hello: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether an acknowledged write outlives one machine."""
    if hello.get("msg") == "isdbgrid":
        yield well("replicas", "it is a sharded cluster")
        return
    if not hello.get("setName"):
        yield odd("replicas", "the database is one process alone: without its disk, everything is lost",
                  "make it a replica set of three, or back it up often (docs/operate.md)")
        return
    concern = client.write_concern.document.get("w", "majority")
    if concern not in ("majority", len(hello.get("hosts", ()))):
        yield wrong("replicas", f"writes are acknowledged with w={concern}, and an election may undo them",
                    "put w=majority into database.url")
    yield from _members(client, str(hello["setName"]), len(hello.get("hosts", ())))


def _members(client: Client, name: str, hosts: int) -> Iterator[Finding]:
    try:
        told = client.admin.command("replSetGetStatus")["members"]
    except OperationFailure:  # needs a right (clusterMonitor) that our account need not have
        yield well("replicas", f"replica set {name} of {hosts}; this account may not see its members' states")
        return
    away = [member["name"] for member in told if member.get("health") != 1]
    if away:
        yield odd("replicas", f"of replica set {name} these do not answer: {', '.join(away)}",
                  "start them: when half of all are away, no write is acknowledged")
    else:
        yield well("replicas", f"replica set {name}, {len(told)} members, all of them well")


def _schema(db: Any) -> Finding:
    found, ours = db.meta.find_one({"_id": "schema"}) or {"version": 0}, MIGRATIONS[-1].version
    version = int(found["version"])
    text, newer = f"the database {db.name!r} has version {version}", "install the newer program here, too"
    if int(found.get("oldest", version)) > ours:
        return wrong("schema", f"{text}, this program knows {ours}",
                     f"{newer}: this one's server would refuse to start")
    if version > ours:
        return odd("schema", f"{text}; this program knows {ours}, and may still use it", newer)
    if version < ours:
        return odd("schema", f"{text}, this program brings {ours}",
                   "the next start of a server brings it there; make a backup before (iceprod backup)")
    return well("schema", f"{text}, which is ours")


def _indexes(db: Any) -> Iterator[Finding]:
    missing = list(_missing(db))
    if missing:
        yield odd("indexes", f"missing or different: {', '.join(missing)}",
                  "start a server of this version: it makes them; until then some requests read everything")
    else:
        yield well("indexes", f"all {len(INDEXES)} are there")


def _missing(db: Any) -> Iterator[str]:
    """Indexes that we need and the database lacks, or has with other keys."""
    present: dict[str, dict[str, Any]] = {}
    for index in INDEXES:
        if index.collection not in present:
            present[index.collection] = db[index.collection].index_information()
        known = present[index.collection].get(index.name)
        if known is None or [tuple(key) for key in known["key"]] != index.keys:
            yield f"{index.collection}.{index.name}"


def _size(url: str, subject: Subject) -> Iterator[Finding]:
    """Whether the embedded store nears where it ends."""
    size = measure(url, subject.data / "store")
    for warning in size.warnings():
        yield odd("store", warning, "archive ended datasets, or move to a MongoDB (docs/operate.md)")
    if not size.warnings():
        yield well("store", f"its files have {size.file_bytes / 1e9:.2f} GB")


CHECKS: tuple[Check, ...] = (database,)
