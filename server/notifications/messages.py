"""Messages: what goes to one recipient at once, its way there, and the log of what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from config.notify import Smtp
from iceprod.ids import new_id, now
from server.common import metrics
from server.common.errors import NotFound, TooManyRequests
from server.notifications import notes, owners, recipients, rendering, rules, topics
from server.notifications.notes import Note
from server.notifications.rendering import Content
from server.notifications.rules import Rule
from server.production.people.sealing import SealError
from server.rest.context import Context
from server.sending import hooks, mail
from server.sending.hooks import Post
from server.sending.mail import Letter, MailServer
from server.sending.outbox import SENDING, STATES, WAITING, Outbox, Patience, Row, SendError
from server.services.leader import Service
from server.store.database import Index

__all__ = ["INDEXES", "SERVICES", "STATES", "again", "deliver", "find", "is_on_way", "last_of", "listed",
           "notes_of", "put", "recent_of", "test"]

_SIGNAL = "notification outbox"
_THREADS = ThreadPoolExecutor(4, "notifications")  # a mail server that hangs must stop no alerts
_LONGEST_PAUSE = 3600.0
_HOUR = 3600.0


# -- making


async def put(ctx: Context, key: str, rule: Rule, told: Sequence[Note]) -> None:
    """A message of a rule; once for a key."""
    await _put(ctx, key, rule, rendering.subject_of(rule.event, told), [note.note_id for note in told])


async def test(ctx: Context, rule: Rule) -> str:
    """A message that says that it is a test; its key. Raises TooManyRequests."""
    recent = await recent_of(ctx, rule.username, time.time() - _HOUR)
    most = ctx.settings.notify.messages_per_hour
    if len(recent) >= most:
        wait = int(recent[-most] + _HOUR - time.time()) + 1
        raise TooManyRequests(f"{rule.username} was sent {most} messages within an hour; wait {wait} s", wait)
    key = f"test-{new_id()}"
    await _put(ctx, key, rule, f"Test of the rule {mail.one_line(rule.name, 100)}", [])
    return key


async def _put(ctx: Context, key: str, rule: Rule, subject: str, note_ids: list[str]) -> None:
    await _OUTBOX.put(
        ctx, key, rule.username, rule_id=rule.rule_id, rule=rule.name, event=rule.event, kind=rule.kind,
        address=rule.shown_address, subject=subject, notes=note_ids, count=len(note_ids),
        expires=now() + timedelta(days=ctx.settings.notify.kept_days))
    ctx.signals.notify(_SIGNAL)


# -- what gathering asks


async def notes_of(ctx: Context, key: str) -> list[str] | None:
    """The notes of a message; None when there is none of this key."""
    row = await ctx.db.notification_outbox.find_one({"_id": key}, {"notes": 1})
    return None if row is None else list(row["notes"])


async def last_of(ctx: Context, rule_id: str) -> float:
    """When a rule's latest message was made, tests apart; 0 when there is none."""
    cursor = ctx.db.notification_outbox.find({"rule_id": rule_id, "count": {"$gt": 0}}, {"created": 1})
    async for row in cursor.sort([("created", -1)]).limit(1):
        return float(row["created"])
    return 0.0


async def recent_of(ctx: Context, username: str, since: float) -> list[float]:
    """When a user's messages since some time were made, in their order."""
    query = {"username": username, "created": {"$gt": since}}
    cursor = ctx.db.notification_outbox.find(query, {"created": 1})
    return [float(row["created"]) async for row in cursor.sort([("created", 1)])]


async def is_on_way(ctx: Context, rule_id: str) -> bool:
    """Whether a message of a rule is neither sent nor given up."""
    query = {"rule_id": rule_id, "state": {"$in": [WAITING, SENDING]}}
    return await ctx.db.notification_outbox.find_one(query, {"_id": 1}) is not None


# -- sending


async def deliver(ctx: Context) -> None:
    """Send what is due; of one user one message after the other."""
    await _OUTBOX.deliver(ctx)


async def _send(ctx: Context, row: Row) -> str:
    try:
        rule = await rules.find(ctx, row["rule_id"])
        address, secret = rule.address(ctx), rule.secret(ctx)
    except NotFound:
        raise SendError("the rule was removed", is_final=True) from None
    except SealError as error:
        raise SendError(f"its address cannot be read: {error}", is_final=True) from None
    await _check_owner(ctx, rule, address)
    content = await _content(ctx, row)
    if rule.kind == recipients.MAIL:
        return await mail.send(_server(ctx.settings.notify.smtp), _letter(ctx, content, address), _THREADS)
    return await hooks.post(_post(content, rule.kind, address, secret), ctx.settings.notify.allowed_hosts)


async def _check_owner(ctx: Context, rule: Rule, address: str) -> None:
    """What was right when the rule was made need not be so any more. Raises SendError."""
    owner = await owners.find(ctx, rule.username)
    asleep = "its owner is not known" if owner is None else await owners.why_asleep(ctx, owner)
    if owner is None or asleep:
        raise SendError(asleep, is_final=True)
    if not await owners.may_hear(ctx, owner, topics.find(rule.event)):
        raise SendError(f"{rule.username} may not hear of this any more", is_final=True)
    if rule.kind != recipients.MAIL:
        return
    if not ctx.settings.notify.smtp.is_on:
        raise SendError("this installation sends no mails any more (setting notify.smtp)", is_final=True)
    if not recipients.may_mail(ctx, owner, address):
        raise SendError(f"{rule.username} may not mail {address} any more", is_final=True)


async def _content(ctx: Context, row: Mapping[str, Any]) -> Content:
    server = ctx.settings.server
    base = server.public_url or f"http://{server.host}:{server.port}"
    items = await notes.of_message(ctx, row["notes"][:rendering.MOST_ITEMS])
    return Content(row["_id"], row["rule_id"], row["rule"], row["username"], row["event"], row["subject"],
                   row["count"], items, base.rstrip("/"), is_test=not row["notes"])


def _server(settings: Smtp) -> MailServer:
    return MailServer(settings.address, starttls=settings.starttls, tls=settings.tls,
                      username=settings.username, password=settings.password)


def _letter(ctx: Context, content: Content, address: str) -> Letter:
    headers = [("Auto-Submitted", "auto-generated")]  # RFC 3834: nobody's absence answers it
    return Letter(content.key, content.rule_id, ctx.settings.notify.smtp.sender, [address],
                  f"[IceProd] {content.subject}", rendering.mail_text(content), headers=headers)


def _post(content: Content, kind: str, address: str, secret: str) -> Post:
    if kind == recipients.SLACK:
        return Post(address, rendering.slack_body(content))
    body = rendering.webhook_body(content)
    signature = hooks.signed(secret, content.key, int(time.time()), body)
    return Post(address, body, {"Idempotency-Key": content.key, **signature})


# -- the log


async def listed(ctx: Context, username: str | None, *, state: str = "", rule_id: str = "", skip: int = 0,
                 limit: int = 100) -> list[dict[str, Any]]:
    """Messages to a user, or (None) to all, the latest first."""
    query = {name: value for name, value in (("username", username), ("state", state), ("rule_id", rule_id))
             if value}
    return [_shown(row) for row in await _OUTBOX.listed(ctx, query, limit, skip)]


async def find(ctx: Context, key: str, username: str | None) -> dict[str, Any]:
    """One message with what it tells; with a name, one to that user. Raises NotFound."""
    query = {"_id": key, **({} if username is None else {"username": username})}
    row = await ctx.db.notification_outbox.find_one(query)
    if row is None:
        raise NotFound("there is no such message")
    items = await notes.of_message(ctx, row["notes"])
    told = [{"at": note.at, "title": note.title, "text": note.text, "path": note.path} for note in items]
    return {**_shown({"key": row.pop("_id"), **row}), "items": told}


async def again(ctx: Context, key: str, username: str | None) -> None:
    """Try a message anew that was given up. Raises NotFound."""
    await find(ctx, key, username)
    await _OUTBOX.again(ctx, key)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("key", "username", "rule_id", "rule", "event", "kind", "address", "subject", "count", "state",
             "outcome", "tries", "created", "sent")
    return {**{name: row[name] for name in names},
            "next_try": row["due"] if row["state"] == WAITING else None}


def _patience(ctx: Context) -> Patience:
    settings = ctx.settings.notify
    return Patience(settings.tries, settings.retry_seconds, _LONGEST_PAUSE)


def _noted(ctx: Context, row: Mapping[str, Any], state: str, outcome: str) -> None:
    metrics.NOTIFICATIONS.labels("tried" if state == WAITING else state).inc()


_OUTBOX = Outbox("notification_outbox", "username", _SIGNAL, _send, _patience, _noted)

INDEXES: list[Index] = [
    *_OUTBOX.indexes(),
    Index("notification_outbox", "owner", [("username", 1), ("created", -1)]),
    Index("notification_outbox", "rule", [("rule_id", 1), ("created", -1)]),
    Index("notification_outbox", "newest", [("created", -1)]),
    Index("notification_outbox", "expires", [("expires", 1)], options={"expireAfterSeconds": 0})]

SERVICES = [Service("send notifications", lambda ctx: 2.0, deliver, signal=_SIGNAL)]
