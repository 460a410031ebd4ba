"""What tasks are lent for their files: tokens for the folders they use, and addresses of S3 that we sign.

Credentials are looked for with the dataset's tasks of that name, the dataset, its owner and its group, in
this order, and among one's own the one with the longest address counts. Keys of S3 never leave the server; a
token leaves it exchanged for one of the task's paths, where its issuer does that (`credentials.issuers`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from pymongo.asynchronous.database import AsyncDatabase

from iceprod.ids import now
from server.common.errors import ApiError, BadRequest, Unavailable
from server.production.common.documents import Document
from server.production.people import credentials, issuers
from server.production.people.credentials import Owner
from server.production.transfers import s3
from server.production.transfers.needs import Need, scope_of
from server.rest.context import Context

__all__ = ["WITH_TOKENS", "base_of", "choose", "lend", "stored_for"]

WITH_TOKENS = ("http", "https", "dav", "davs", "osdf", "pelican")
KEPT_SECONDS = 10.0  # a credential that another server stored is lent after so long at the latest
MOST_KEPT = 5000
_EARLY_SECONDS = 300.0  # a token that ends sooner is not lent any more when there may be another
_SPARE_SECONDS = 86400.0  # beyond the time that a task asks for, for outputs that wait

log = logging.getLogger("server.production")


@dataclass
class _Kept:
    """One process's memory."""

    rows: dict[tuple[str, str], tuple[float, list[Document]]] = field(default_factory=dict)
    tokens: dict[tuple[Any, str], tuple[str, float]] = field(default_factory=dict)  # by credential and scope
    changes: int = 0  # of credentials, when all this was read


_kept: WeakKeyDictionary[AsyncDatabase, _Kept] = WeakKeyDictionary()


# -- choosing


async def stored_for(ctx: Context, dataset: Document, task_name: str) -> list[Document]:
    """The stored credentials that tasks of a name may use, the nearest first; remembered for a while."""
    kept, key = _of(ctx), (dataset.get("dataset_id", ""), task_name)
    read_at, rows = kept.rows.get(key, (-1e9, []))
    if not key[0] or time.monotonic() - read_at > KEPT_SECONDS:
        rows = await credentials.stored(ctx, _owners(dataset, task_name))
        if len(kept.rows) >= MOST_KEPT:
            kept.rows.clear()
        kept.rows[key] = time.monotonic(), rows
    return rows


def _of(ctx: Context) -> _Kept:
    kept, changes = _kept.setdefault(ctx.db, _Kept()), ctx.signals.count(credentials.CHANGED)
    if kept.changes != changes:
        kept = _kept[ctx.db] = _Kept(changes=changes)
    return kept


def _owners(dataset: Document, task_name: str) -> list[Owner]:
    owners = []
    if dataset_id := dataset.get("dataset_id"):
        owners += [Owner("dataset", dataset_id, task_name), Owner("dataset", dataset_id)]
    owners += [Owner(kind, dataset[name]) for kind, name in (("user", "username"), ("group", "group"))
               if dataset.get(name)]
    return owners or [Owner("user", "")]


def choose(rows: Iterable[Document], need: Need) -> Document | None:
    """The stored credential for a file, if there is one."""
    if need.scheme == "s3":
        bucket = s3.bucket_of(need.remote)[0]
        fitting = [row for row in rows if row["type"] == "s3" and bucket in row["buckets"]
                   and need.remote.startswith(row["transfer_prefix"])]
    elif need.scheme in WITH_TOKENS:
        fitting = [row for row in rows if row["type"] == "oauth" and _covers(base_of(row), need.remote)]
    else:
        return None
    nearest = [row for row in fitting if _whose(row) == _whose(fitting[0])]
    return max(nearest, key=lambda row: len(base_of(row)), default=None)


def base_of(row: Document) -> str:
    """The beginning of the addresses that a credential is for."""
    return str(row["transfer_prefix"] or row["url"])


def _whose(row: Document) -> tuple[str, str, str]:
    return row["kind"], row["owner"], row["task_name"]


def _covers(base: str, remote: str) -> bool:
    return remote.startswith(base) and (base.endswith("/") or remote[len(base):][:1] in ("", "/", "?"))


# -- lending


async def lend(ctx: Context, dataset: Document, payload: Document, needs: list[Need],
               hours: float) -> Document:
    """What a task of so many hours is lent: {"tokens", "signed", "missing"}, for `grid.moving.lent`."""
    wanted = [need for need in needs if need.scheme == "s3" or need.scheme in WITH_TOKENS]
    if not wanted:
        return {}
    rows = await stored_for(ctx, dataset, str(payload.get("name", "")))
    scopes = (payload.get("task") or {}).get("token_scopes") or {}
    lent: Document = {"tokens": [], "signed": {}, "missing": {}}
    for need in _by_folder(wanted):
        row = choose(rows, need)
        try:
            if need.scheme == "s3":
                await _sign(ctx, row, need, hours, lent)
            elif row is not None:
                await _hand_token(ctx, row, need, scopes, lent)
        except ApiError as error:
            log.warning("nothing to lend", extra={"dataset_id": dataset.get("dataset_id"),
                                                  "reason": error.reason})
            code = 503 if isinstance(error, Unavailable) else 403
            lent["missing"][need.remote] = f"HTTP {code}: no credential: {error.reason}"
    return {name: part for name, part in lent.items() if part}


def _by_folder(needs: list[Need]) -> list[Need]:
    """The needs, but one alone for what is reached with one token: whatever is done in a folder."""
    found: dict[str, Need] = {}
    for need in needs:
        key = need.remote if need.scheme == "s3" else need.remote.rpartition("/")[0]
        same = found.get(key, need)
        found[key] = replace(same, reads=same.reads or need.reads, writes=same.writes or need.writes)
    return [*found.values()]


async def _sign(ctx: Context, row: Document | None, need: Need, hours: float, lent: Document) -> None:
    bucket, key = s3.bucket_of(need.remote)
    if row is None:
        raise BadRequest(f"no stored credential covers the bucket {bucket!r}")
    opened = await credentials.opened(ctx, row) or {}
    keys = s3.Keys(opened["url"], opened["access_key"], opened["secret_key"],
                   opened.get("region") or s3.Keys.region)
    seconds = int(min(s3.LONGEST_SECONDS, hours * 3600 + _SPARE_SECONDS))
    methods = [*(["get"] if need.reads else []), *(["put", "head"] if need.writes else [])]
    signed = {name: s3.presigned(keys, name.upper(), bucket, key, now(), seconds) for name in methods}
    lent["signed"][need.remote] = {**signed, "expires": time.time() + seconds}


async def _hand_token(ctx: Context, row: Document, need: Need, scopes: Document, lent: Document) -> None:
    base = base_of(row)
    scope = next((str(text) for prefix, text in scopes.items() if need.remote.startswith(prefix)), "")
    scope = scope or scope_of(need, base, row.get("scope", ""))
    token, ends, is_narrow = await _token(ctx, row, scope)
    prefix = need.remote.rpartition("/")[0] + "/" if is_narrow else base
    told = {"prefix": prefix, "token": token, "expires": ends}
    if told not in lent["tokens"]:
        lent["tokens"].append(told)


async def _token(ctx: Context, row: Document, scope: str) -> tuple[str, float, bool]:
    """A token, its end, and whether it is for the scope alone. Raises ApiError."""
    narrow = _narrows(ctx, row["url"])
    tokens = _of(ctx).tokens
    key = row["_id"], scope if narrow else ""
    token, ends = tokens.get(key, ("", -1.0))
    if token and narrow and ends > time.time() + _EARLY_SECONDS:
        return token, ends, narrow
    opened = await credentials.opened(ctx, row)
    if opened is None:
        raise BadRequest(f"the token for {row['url']} has ended")
    if not narrow:
        return opened["access_token"], opened["expiration"], False
    found = await issuers.exchange(issuers.issuer_of(ctx, row["url"]), opened["access_token"], scope)
    if len(tokens) >= MOST_KEPT:
        tokens.clear()
    tokens[key] = found.access_token, found.expiration
    return found.access_token, found.expiration, True


def _narrows(ctx: Context, url: str) -> bool:
    """Whether the issuer of a service's tokens exchanges them for ones of less."""
    try:
        return issuers.issuer_of(ctx, url).narrow
    except BadRequest:
        return False
