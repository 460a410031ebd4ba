"""Which site can move which file of a task, and with which credential, in words; and what nobody can move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from iceprod.addresses import BUILT_IN
from iceprod.ids import now, timestamp
from server.production.common.documents import Document
from server.production.transfers import lending, s3
from server.production.transfers.needs import Need, needs_of, scope_of
from server.rest.context import Context

__all__ = ["files_of", "schemes_of_sites"]

LATELY = timedelta(days=1)
"""A site or pilot that was heard of so recently counts."""

Sites = Mapping[str, frozenset[str]]


async def schemes_of_sites(ctx: Context) -> dict[str, frozenset[str]]:
    """What each site says that its pilots can move, by schemes of addresses."""
    heard = {"last_update": {"$gt": timestamp(now() - LATELY)}, "schemes": {"$exists": True}}
    found: dict[str, set[str]] = {}
    for rows in (ctx.db.grids, ctx.db.pilots):
        async for row in rows.find(heard, {"site": 1, "schemes": 1}):
            known = row["schemes"] if isinstance(row["schemes"], list) else []
            found.setdefault(str(row.get("site") or ""), set()).update(map(str, known))
    return {site: frozenset(schemes) for site, schemes in sorted(found.items())}


async def files_of(ctx: Context, dataset: Document, payload: Mapping[str, Any],
                   sites: Sites | None = None) -> list[Document]:
    """For each file of a task: who can move it, with what; `problem` when nobody can."""
    needs = needs_of(payload)
    if not needs:
        return []
    sites = await schemes_of_sites(ctx) if sites is None else sites
    rows = await lending.stored_for(ctx, dataset, str(payload.get("name", "")))
    scopes = (payload.get("task") or {}).get("token_scopes") or {}
    return [_row(need, sites, lending.choose(rows, need), scopes) for need in needs]


def _row(need: Need, sites: Sites, credential: Document | None, scopes: Document) -> Document:
    able = [site for site, schemes in sites.items() if _can(need, schemes)]
    unable = [site for site in sites if site not in able]
    row: Document = {"movement": need.movement, "remote": need.remote, "local": need.local, "sites": able,
                     "not_at": unable, "credential": _credential(need, credential)}
    if credential is not None and credential["type"] == "oauth":
        own = next((str(text) for prefix, text in scopes.items() if need.remote.startswith(prefix)), "")
        base = lending.base_of(credential)
        row["scope"] = own or scope_of(need, base, credential.get("scope", ""))
    if problem := next(_problems(need, sites, able, credential), ""):
        row["problem"] = problem
    return row


def _can(need: Need, schemes: frozenset[str]) -> bool:
    return need.is_temporary or need.scheme in schemes or need.scheme in BUILT_IN


def _credential(need: Need, credential: Document | None) -> str:
    if need.is_temporary or need.scheme not in (*lending.WITH_TOKENS, "s3"):
        return "the site's own"
    if credential is None:
        return "none"
    whose = f"{credential['kind']} {credential['owner']}"
    whose += f", tasks {credential['task_name']!r}" if credential["task_name"] else ""
    what = "keys" if credential["type"] == "s3" else "token"
    return f"{what} of {whose} for {lending.base_of(credential)}"


def _problems(need: Need, sites: Sites, able: list[str], credential: Document | None) -> Iterator[str]:
    if sites and not able:
        known = sorted({*BUILT_IN, *(scheme for schemes in sites.values() for scheme in schemes)})
        yield f"no site can move {need.remote!r}; they know {', '.join(known)}"
    if need.scheme == "s3":
        bucket, key = s3.bucket_of(need.remote)
        if not bucket or not key:
            yield f"{need.remote!r} is no s3://bucket/key"
        elif credential is None:
            yield (f"no stored credential covers the bucket {bucket!r} of {need.remote!r}; keep one with "
                   "POST /users/{user}/credentials, or for the group or the dataset")
