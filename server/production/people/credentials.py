"""Credentials of storage services, for users, groups, datasets, and tasks of a name in a dataset.

Secrets are sealed in the database and never logged. An OAuth access token that is about to end is renewed
when it is read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from server.common.errors import BadRequest, Conflict, NotFound, Unavailable
from server.production.common.documents import Document
from server.production.people import issuers
from server.production.people.sealing import SealError, seal, unseal
from server.rest.context import Context
from server.store.database import Index

__all__ = ["CHANGED", "INDEXES", "Owner", "change", "create", "find", "new_credential",
           "opened", "remove", "stored"]

CHANGED = "credentials"  # the signal
INDEXES = [Index("credentials", "owner", [("kind", 1), ("owner", 1), ("task_name", 1), ("url", 1),
                                          ("transfer_prefix", 1), ("scope", 1)], unique=True)]

SECRETS = ("access_key", "secret_key", "access_token", "refresh_token")
TYPES: dict[str, tuple[type, ...]] = {
    "url": (str,), "type": (str,), "transfer_prefix": (str,), "buckets": (list,), "access_key": (str,),
    "secret_key": (str,), "region": (str,), "access_token": (str,), "refresh_token": (str,), "scope": (str,),
    "expiration": (int, float), "expire_date": (int, float), "last_use": (int, float)}
CHANGEABLE = ("buckets", "region", *SECRETS, "expiration", "last_use")


@dataclass(frozen=True)
class Owner:
    """Whose credentials: a "user", a "group" or a "dataset", the latter perhaps for tasks of one name."""

    kind: str
    name: str
    task_name: str = ""

    def query(self) -> Document:
        return {"kind": self.kind, "owner": self.name, "task_name": self.task_name}


def check_types(body: Document) -> None:
    """Raise BadRequest for fields that are unknown or of a wrong type."""
    for name, value in body.items():
        if name not in TYPES:
            raise BadRequest(f"invalid keys found: {name[:100]}")
        if isinstance(value, bool) or not isinstance(value, TYPES[name]):
            raise BadRequest(f"key {name} should be of type {TYPES[name][-1].__name__}")
    if not all(isinstance(bucket, str) for bucket in body.get("buckets", ())):
        raise BadRequest("key buckets should be a list of str")


def new_credential(body: Document) -> Document:
    """A credential out of a request's body. Raises BadRequest for what is missing."""
    check_types(body)
    if not body.get("url"):
        raise BadRequest("missing key: url")
    common = {"url": body["url"], "type": body.get("type"), "scope": body.get("scope", ""),
              "transfer_prefix": body.get("transfer_prefix", "")}
    if body.get("type") == "s3":
        for name in ("buckets", "access_key", "secret_key"):
            if not body.get(name):
                raise BadRequest(f"must specify {'bucket(s)' if name == 'buckets' else name}")
        region = {"region": body["region"]} if body.get("region") else {}
        return {**common, **region, **{name: body[name] for name in ("buckets", "access_key", "secret_key")}}
    if body.get("type") != "oauth":
        raise BadRequest("bad credential type")
    access, refresh = body.get("access_token", ""), body.get("refresh_token", "")
    if not access and not refresh:
        raise BadRequest("must specify either access or refresh tokens")
    ends = body.get("expiration") or body.get("expire_date") or issuers.expiration_of(access)
    return {**common, "access_token": access, "refresh_token": refresh, "expiration": float(ends),
            "last_use": float(body.get("last_use") or time.time())}


def _sealed(ctx: Context, fields: Document) -> Document:
    return {name: seal(ctx, value) if name in SECRETS else value for name, value in fields.items()}


def _unsealed(ctx: Context, fields: Document) -> Document:
    try:
        return {name: unseal(ctx, value) if name in SECRETS else value for name, value in fields.items()}
    except SealError as error:
        raise Conflict(str(error)) from None


async def create(ctx: Context, owner: Owner, credential: Document) -> None:
    """Keep a credential. Raises Conflict when there is one for the same service, prefix and scope."""
    try:
        await ctx.db.credentials.insert_one({**owner.query(), **_sealed(ctx, credential)})
    except DuplicateKeyError:
        raise Conflict("credential already exists") from None
    ctx.signals.notify(CHANGED)


async def change(ctx: Context, owner: Owner, body: Document) -> None:
    """Change fields of a credential. Raises BadRequest, NotFound."""
    check_types(body)
    if not body.get("url"):
        raise BadRequest("missing key: url")
    changes = {name: body[name] for name in CHANGEABLE if name in body}
    if "access_token" in changes and "expiration" not in changes:
        changes["expiration"] = issuers.expiration_of(changes["access_token"])
    query = owner.query() | {name: body[name] for name in ("url", "transfer_prefix", "scope") if name in body}
    found = await ctx.db.credentials.find_one(query, {"_id": 1})
    if found is None:
        raise NotFound("credential not found")
    if changes:
        await ctx.db.credentials.update_one({"_id": found["_id"]}, {"$set": _sealed(ctx, changes)})
        ctx.signals.notify(CHANGED)


async def remove(ctx: Context, owner: Owner, url: str | None) -> None:
    """Forget the credentials of an owner, those for one service or all."""
    await ctx.db.credentials.delete_many(owner.query() | ({"url": url} if url else {}))
    ctx.signals.notify(CHANGED)


# -- reading


async def find(ctx: Context, owner: Owner, url: str | None = None, *, renew: bool = True) -> list[Document]:
    """The credentials of an owner; with `renew`, tokens about to end are renewed and ended ones left out."""
    rows = await ctx.db.credentials.find(owner.query() | ({"url": url} if url else {})).to_list()
    found = [await opened(ctx, row, renew=renew) for row in rows]
    return [credential for credential in found if credential is not None]


async def stored(ctx: Context, owners: Sequence[Owner]) -> list[Document]:
    """The credentials of several owners as they are stored, in the order of the owners."""
    rows = await ctx.db.credentials.find({"$or": [owner.query() for owner in owners]}).to_list()
    order = {(owner.kind, owner.name, owner.task_name): place for place, owner in enumerate(owners)}
    return sorted(rows, key=lambda row: order[row["kind"], row["owner"], row["task_name"]])


async def opened(ctx: Context, row: Document, *, renew: bool = True) -> Document | None:
    """A stored credential with its secrets; with `renew`, None for a token that has ended.

    Raises Unavailable when its issuer does not answer, Conflict.
    """
    credential = _unsealed(ctx, {name: value for name, value in row.items()
                                 if name not in ("_id", "kind", "owner", "task_name")})
    if not renew or credential["type"] != "oauth":
        return credential
    return await _fresh(ctx, row["_id"], credential)


async def _fresh(ctx: Context, row_id: Any, credential: Document) -> Document | None:
    """The credential with a token that lives on; None when there is no such token."""
    changes: Document = {"last_use": time.time()}
    ends, moment = credential["expiration"], time.time()
    wanted = ctx.settings.credentials.refresh_before_seconds
    if credential["refresh_token"] and (not credential["access_token"] or 0 < ends < moment + wanted):
        try:
            changes |= await _renewed(ctx, credential)
        except (BadRequest, Unavailable) as error:
            if credential["access_token"] and ends > moment:
                pass  # the old one is good for a while
            elif isinstance(error, Unavailable):
                raise
            else:
                return None
    elif 0 < ends < moment:
        return None
    await ctx.db.credentials.update_one({"_id": row_id}, {"$set": _sealed(ctx, changes)})
    return {**credential, **changes}


async def _renewed(ctx: Context, credential: Document) -> Document:
    issuer = issuers.issuer_of(ctx, credential["url"])
    tokens = await issuers.renew(issuer, credential["refresh_token"], credential["scope"])
    return {"access_token": tokens.access_token, "expiration": tokens.expiration,
            "refresh_token": tokens.refresh_token or credential["refresh_token"]}
