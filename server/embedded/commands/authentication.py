"""Logging in with SCRAM-SHA-256, and the users that can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.embedded.commands.registry import Answer, Context, command
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import decode, encode
from server.embedded.sessions import scram

_MECHANISM = "SCRAM-SHA-256"


def _credentials(context: Context, name: str) -> scram.Credentials | None:
    sql = "SELECT credentials FROM users WHERE db = 'admin' AND name = ?"
    row = context.store.storage.read(sql, (name,)).fetchone()
    return scram.Credentials(**decode(row[0])) if row else None


@command("saslStart", public=True)
def sasl_start(context: Context) -> Answer:
    """The first message of a login."""
    if context.body.get("mechanism") != _MECHANISM:
        raise CommandError(Code.AuthenticationFailed, f"only {_MECHANISM} is supported")
    options = context.body.get("options") or {}
    conversation = scram.Conversation(
        lambda name: _credentials(context, name), skip_empty=bool(options.get("skipEmptyExchange"))
    )
    context.peer.conversation = conversation
    payload = conversation.first(bytes(context.body["payload"]))
    return {"conversationId": 1, "done": False, "payload": payload}


@command("saslContinue", public=True)
def sasl_continue(context: Context) -> Answer:
    """The next message of a login."""
    conversation = context.peer.conversation
    if not isinstance(conversation, scram.Conversation):
        raise CommandError(Code.ProtocolError, "No SASL session state found")
    try:
        payload, done = conversation.next(bytes(context.body["payload"]))
    except CommandError:
        context.peer.conversation = None
        raise
    if done:
        context.peer.user, context.peer.conversation = conversation.user, None
    return {"conversationId": 1, "done": done, "payload": payload}


def speculate(context: Context, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first message of a login, sent with the greeting."""
    if spec.get("mechanism") != _MECHANISM:
        return None
    try:
        found = sasl_start(replace(context, name="saslStart", body=dict(spec)))
    except CommandError:
        return None
    return found if isinstance(found, Mapping) else None


def set_password(store: Any, name: str, password: str) -> None:
    """Make a user, or give one another password."""
    credentials = encode(scram.make_credentials(password).as_document())
    store.storage.write(
        "INSERT OR REPLACE INTO users (db, name, credentials) VALUES ('admin', ?, ?)", (name, credentials)
    )


@command("createUser", "updateUser")
def create_user(context: Context) -> Answer:
    """Make a user, who may do everything; roles are not looked at."""
    name, password = context.body[context.name], context.body.get("pwd")
    if not isinstance(name, str) or not isinstance(password, str) or context.database != "admin":
        raise CommandError(Code.BadValue, "a user of the database admin needs a name and a pwd")
    exists = _credentials(context, name) is not None
    if exists and context.name == "createUser":
        raise CommandError(Code.Location51003, f'User "{name}@admin" already exists')
    if not exists and context.name == "updateUser":
        raise CommandError(Code.UserNotFound, f"User {name}@admin not found")
    set_password(context.store, name, password)
    return {}


@command("dropUser")
def drop_user(context: Context) -> Answer:
    name = str(context.body["dropUser"])
    if _credentials(context, name) is None:
        raise CommandError(Code.UserNotFound, f"User '{name}@{context.database}' not found")
    context.store.storage.write("DELETE FROM users WHERE db = 'admin' AND name = ?", (name,))
    return {}


@command("usersInfo")
def users_info(context: Context) -> Answer:
    """The users' names."""
    rows = context.store.storage.read("SELECT name FROM users ORDER BY name").fetchall()
    return {"users": [{"_id": f"admin.{name}", "user": name, "db": "admin", "roles": []} for (name,) in rows]}
