"""hello and its relatives, sessions, transactions."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from typing import Any

import bson

from server.embedded.commands.authentication import speculate
from server.embedded.commands.registry import COMMANDS, Answer, Context, command
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MAX_DOCUMENT_BYTES, now
from server.embedded.documents.wire import MAX_MESSAGE_BYTES

VERSION = "7.0.0"  # of the MongoDB whose commands are spoken
WIRE_VERSION = 21
SESSION_MINUTES = 30
_STARTED = time.monotonic()


@command("hello", "ismaster", "isMaster", public=True)
def hello(context: Context) -> Answer:
    """What a driver needs to know: a standalone server."""
    answer: dict[str, Any] = {
        "helloOk": True, "isWritablePrimary": True, "ismaster": True, "readOnly": False,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES, "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": 100_000, "localTime": now(), "logicalSessionTimeoutMinutes": SESSION_MINUTES,
        "connectionId": context.peer.number, "minWireVersion": 0, "maxWireVersion": WIRE_VERSION,
    }  # fmt: skip
    if context.body.get("saslSupportedMechs"):
        answer["saslSupportedMechs"] = ["SCRAM-SHA-256"]
    speculative = context.body.get("speculativeAuthenticate")
    if isinstance(speculative, Mapping):
        started = speculate(context, speculative)
        if started is not None:
            answer["speculativeAuthenticate"] = started
    return answer


@command("ping", public=True)
def ping(context: Context) -> Answer:
    return {}


@command("buildInfo", "buildinfo", public=True)
def build_info(context: Context) -> Answer:
    """The version that is spoken; `modules` says what it really is."""
    return {
        "version": VERSION, "versionArray": [7, 0, 0, 0], "modules": ["iceprod-embedded"], "bits": 64,
        "gitVersion": "none", "debug": False, "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "storageEngines": ["sqlite"], "javascriptEngine": "none",
    }  # fmt: skip


@command("serverStatus")
def server_status(context: Context) -> Answer:
    """Figures for monitoring."""
    uptime = time.monotonic() - _STARTED
    return {
        "host": platform.node(), "version": VERSION, "process": "iceprod-embedded", "pid": os.getpid(),
        "uptime": uptime, "uptimeMillis": int(uptime * 1000), "localTime": now(),
        "metrics": {"cursor": {"open": {"total": len(context.store.cursors)}}},
        "transactions": {"currentOpen": len({id(t) for t in context.store.locks.documents.values()})},
        "storageEngine": {"name": "sqlite"},
    }  # fmt: skip


@command("hostInfo")
def host_info(context: Context) -> Answer:
    return {
        "system": {"hostname": platform.node(), "numCores": os.cpu_count(), "currentTime": now()},
        "os": {"type": platform.system()},
    }


@command("connectionStatus", public=True)
def connection_status(context: Context) -> Answer:
    user = context.peer.user
    users = [{"user": user, "db": "admin"}] if user else []
    return {"authInfo": {"authenticatedUsers": users, "authenticatedUserRoles": []}}


@command("whatsmyuri", public=True)
def whats_my_uri(context: Context) -> Answer:
    return {"you": f"connection:{context.peer.number}"}


@command("getParameter")
def get_parameter(context: Context) -> Answer:
    known: dict[str, Any] = {"featureCompatibilityVersion": {"version": "7.0"}}
    wanted = (
        known
        if context.body["getParameter"] == "*"
        else {k: v for k, v in known.items() if context.body.get(k)}
    )
    if not wanted:
        raise CommandError(Code.InvalidOptions, "no option found to get")
    return wanted


@command("getCmdLineOpts")
def get_command_line(context: Context) -> Answer:
    return {"argv": [], "parsed": {}}


@command("getLog")
def get_log(context: Context) -> Answer:
    return {"totalLinesWritten": 0, "log": []}


@command("listCommands", public=True)
def list_commands(context: Context) -> Answer:
    """The commands that there are."""
    return {
        "commands": {
            name: {"help": (found.handler.__doc__ or "").strip()} for name, found in sorted(COMMANDS.items())
        }
    }


@command("endSessions", "killSessions", transactions=False)
def end_sessions(context: Context) -> Answer:
    """Forget sessions; their open transactions are aborted."""
    for session in context.body[context.name]:
        if isinstance(session, Mapping) and "id" in session:
            context.store.sessions.end(bytes(session["id"]))
    return {}


@command("refreshSessions", "startSession")
def refresh_sessions(context: Context) -> Answer:
    """Sessions last for 30 minutes of silence."""
    if context.name == "startSession":
        identity = bson.Binary(os.urandom(16), 4)
        return {"id": {"id": identity}, "timeoutMinutes": SESSION_MINUTES}
    for session in context.body["refreshSessions"]:
        context.store.sessions.get(bytes(session["id"]))
    return {}


@command("commitTransaction", transactions=True)
def commit_transaction(context: Context) -> Answer:
    """Make a transaction's changes visible and durable."""
    store = context.store
    if context.session is None:
        raise CommandError(Code.InvalidOptions, "commitTransaction needs a session")
    store.sessions.commit(store.sessions.get(context.session), int(context.body["txnNumber"]))
    return {}


@command("abortTransaction", transactions=True)
def abort_transaction(context: Context) -> Answer:
    """Forget a transaction's changes."""
    store = context.store
    if context.session is None:
        raise CommandError(Code.InvalidOptions, "abortTransaction needs a session")
    session = store.sessions.get(context.session)
    store.sessions.current(session, int(context.body["txnNumber"]))
    store.sessions.abort(session)
    return {}


@command("logout", public=True)
def logout(context: Context) -> Answer:
    context.peer.user = None
    return {}
