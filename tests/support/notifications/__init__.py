"""Notifications for tests: owners, rules, happenings, and everything that a server does about them."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from config.notify import Notify, Smtp
from iceprod.tokens import Caller, encode
from server.notifications import gathering, messages, owners, rules
from server.notifications.owners import Owner
from server.notifications.rules import Rule, Wanted
from server.production.datasets import datasets
from server.production.datasets.datasets import NewDataset
from server.rest.context import Context
from server.rules import engine

__all__ = ["dataset", "owner", "rule", "run", "visit", "with_notify"]


def with_notify(ctx: Context, *, hosts: tuple[str, ...] = (), mail: str = "", **changes: Any) -> Context:
    """The same server with other settings; nothing waits unless they say so."""
    quick: dict[str, Any] = {"gather_seconds": 0.0, "retry_seconds": 0.0, "allowed_hosts": list(hosts)}
    if mail:
        quick |= {"smtp": Smtp(address=mail, sender="IceProd <iceprod@example.org>"),
                  "allowed_recipients": ["*@example.org"]}
    settings = msgspec.structs.replace(ctx.settings, notify=Notify(**{**quick, **changes}))
    return dataclasses.replace(ctx, settings=settings)


async def visit(ctx: Context, username: str = "ada", *roles: str, groups: tuple[str, ...] = ("users",),
                **claims: Any) -> Owner:
    """Somebody comes with a token."""
    token = encode(ctx.secret, username, roles or ("user",), groups=groups, **claims)
    caller: Caller = await ctx.tokens.caller(token)
    return await owners.seen(ctx, caller, token)


async def owner(ctx: Context, username: str) -> Owner:
    """Somebody who was here."""
    found = await owners.find(ctx, username)
    assert found is not None
    return found


async def rule(ctx: Context, who: Owner, address: str, event: str = "dataset_errors", kind: str = "webhook",
               **more: Any) -> Rule:
    """A rule; its pause is none unless it says so."""
    wanted = {"event": event, "kind": kind, "address": address, "pause_minutes": 0, **more}
    made, _ = await rules.add(ctx, who, rules.read(wanted, Wanted))
    return made


async def dataset(ctx: Context, username: str = "ada", status: str = "errors", **more: Any) -> str:
    """A dataset that ended."""
    fields: dict[str, Any] = {"description": "muons", "group": "users", "jobs_submitted": 1,
                              "tasks_submitted": 1, "tasks_per_job": 1, "username": username, **more}
    dataset_id = await datasets.create_dataset(ctx, NewDataset(**fields))
    await datasets.set_status(ctx, dataset_id, status)
    return dataset_id


async def run(ctx: Context) -> None:
    """What the services do about what happened, once."""
    await engine.run(ctx)
    await gathering.gather(ctx)
    await messages.deliver(ctx)


