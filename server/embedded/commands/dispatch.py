"""From a message to its answer."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

from server.embedded.commands.registry import COMMANDS, Answer, Command, Context, Peer, time_limit
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import Document
from server.embedded.documents.wire import Message
from server.embedded.sessions.store import Store
from server.embedded.storage.storage import GroupFailed, GroupLost
from server.embedded.storage.views import View
from server.embedded.storage.writes import Steps


def dispatch(store: Store, peer: Peer, message: Message) -> Steps[Answer]:
    """Run the command of a message.

    Raises CommandError.
    """
    body = message.body
    name = next(iter(body), "")
    found = COMMANDS.get(name)
    if found is None:
        raise CommandError(Code.CommandNotFound, f"no such command: '{name}'")
    if not found.open and not peer.trusted and peer.user is None:
        raise CommandError(Code.Unauthorized, f"Command {name} requires authentication")
    database = body.get("$db")
    if not isinstance(database, str):
        raise CommandError(Code.Location40571, "OP_MSG requests require a $db argument")
    session = _session(body)
    view = _view(store, peer, found, body, session)
    context = Context(store, peer, database, name, body, message.sequences, view, session)
    result = found.handler(context)
    if isinstance(result, Generator):
        return (yield from _in_transaction(context, result))
    return result


def deadline_of(body: Document) -> float | None:
    """When the command is to be given up, by its maxTimeMS."""
    seconds = time_limit(body)
    return None if seconds is None else time.monotonic() + seconds


def _session(body: Document) -> bytes | None:
    session = body.get("lsid")
    if isinstance(session, Mapping) and isinstance(session.get("id"), bytes):
        return bytes(session["id"])
    return None


def _view(store: Store, peer: Peer, found: Command, body: Document, session: bytes | None) -> View:
    """The view of the transaction that the command is part of, or the direct one."""
    if body.get("autocommit") is not False or session is None:
        return store.direct
    number = body.get("txnNumber")
    if not isinstance(number, int):
        raise CommandError(Code.InvalidOptions, "a transaction needs a txnNumber")
    if not found.transactions:
        text = f"Cannot run '{next(iter(body))}' in a multi-document transaction."
        raise CommandError(Code.OperationNotSupportedInTransaction, text)
    entry = store.sessions.get(session)
    if body.get("startTransaction"):
        store.storage.commit()  # a snapshot has what is acknowledged, and no more
        return store.sessions.start_transaction(entry, number, peer.number)
    if next(iter(body)) in ("commitTransaction", "abortTransaction"):
        return store.direct
    return store.sessions.current(entry, number)


def _in_transaction(context: Context, steps: Steps[Answer]) -> Steps[Answer]:
    """Run a command; an error ends the transaction that it is part of."""
    try:
        return (yield from steps)
    except (CommandError, GroupFailed, GroupLost):
        if context.view.transaction is not None and context.session is not None:
            store: Any = context.store
            store.sessions.abort(store.sessions.get(context.session))
        raise
