"""Which site can move which file of a task, and with which credential, in words; and what nobody can move."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from iceprod.addresses import BUILT_IN
from iceprod.ids import now, timestamp
from server.production.common.documents import Document
from server.production.transfers import lending, s3
from server.production.transfers.needs import Need, needs_of, scope_of
from server.rest.context import Context

__all__ = ["Able", "files_of", "sites_that_say"]

LATELY = timedelta(days=1)
"""A site or pilot that was heard of so recently counts."""


@dataclass(frozen=True)
class Able:
    """What the pilots of a site can move; `readable` and `writable` paths, None: all that there are."""

    schemes: frozenset[str] = frozenset()
    readable: frozenset[str] | None = None
    writable: frozenset[str] | None = None

    def can(self, need: Need) -> bool:
        """Whether it moves a file."""
        if need.is_temporary:
            return True
        if need.scheme not in self.schemes and need.scheme not in BUILT_IN:
            return False
        return need.scheme != "file" or self._shows(need)

    def _shows(self, need: Need) -> bool:
        if self.writable is None or self.readable is None:
            return True
        path = posixpath.normpath("/" + urlsplit(need.remote).path.lstrip("/"))
        places = self.writable if need.writes else self.readable | self.writable
        return any(path == place or path.startswith(place + "/") for place in places)


Sites = Mapping[str, Able]


async def sites_that_say(ctx: Context) -> dict[str, Able]:
    """What each site, or its pilots, say that they can move."""
    heard = {"last_update": {"$gt": timestamp(now() - LATELY)}, "schemes": {"$exists": True}}
    found: dict[str, list[Document]] = {}
    for rows in (ctx.db.pilots, ctx.db.grids):
        async for row in rows.find(heard, {"site": 1, "schemes": 1, "shown": 1, "pilot_id": 1}):
            found.setdefault(str(row.get("site") or ""), []).append(row)
    return {site: _able(rows) for site, rows in sorted(found.items())}


def _able(rows: Sequence[Document]) -> Able:
    """All that some pilot of a site can do; what their tasks see is known of pilots alone."""
    schemes = {str(scheme) for row in rows if isinstance(row["schemes"], list) for scheme in row["schemes"]}
    shown = [row.get("shown") for row in rows if "pilot_id" in row]
    if not shown or not all(isinstance(one, dict) for one in shown):
        return Able(frozenset(schemes))
    return Able(frozenset(schemes), _paths(shown, "readable"), _paths(shown, "writable"))


def _paths(shown: Sequence[Any], name: str) -> frozenset[str]:
    return frozenset(str(path) for one in shown for path in _list(one.get(name)))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


async def files_of(ctx: Context, dataset: Document, payload: Mapping[str, Any],
                   sites: Sites | None = None) -> list[Document]:
    """For each file of a task: who can move it, with what; `problem` when nobody can."""
    needs = needs_of(payload)
    if not needs:
        return []
    sites = await sites_that_say(ctx) if sites is None else sites
    rows = await lending.stored_for(ctx, dataset, str(payload.get("name", "")))
    scopes = (payload.get("task") or {}).get("token_scopes") or {}
    return [_row(need, sites, lending.choose(rows, need), scopes) for need in needs]


def _row(need: Need, sites: Sites, credential: Document | None, scopes: Document) -> Document:
    able = [name for name, site in sites.items() if site.can(need)]
    unable = [name for name in sites if name not in able]
    row: Document = {"movement": need.movement, "remote": need.remote, "local": need.local, "sites": able,
                     "not_at": unable, "credential": _credential(need, credential)}
    if credential is not None and credential["type"] == "oauth":
        own = next((str(text) for prefix, text in scopes.items() if need.remote.startswith(prefix)), "")
        base = lending.base_of(credential)
        row["scope"] = own or scope_of(need, base, credential.get("scope", ""))
    if problem := next(_problems(need, sites, able, credential), ""):
        row["problem"] = problem
    return row


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
        yield _unable(need, sites)
    if need.scheme == "s3":
        bucket, key = s3.bucket_of(need.remote)
        if not bucket or not key:
            yield f"{need.remote!r} is no s3://bucket/key"
        elif credential is None:
            yield (f"no stored credential covers the bucket {bucket!r} of {need.remote!r}; keep one with "
                   "POST /users/{user}/credentials, or for the group or the dataset")


def _unable(need: Need, sites: Sites) -> str:
    if need.scheme == "file":
        verb = "write" if need.writes else "read"
        return (f"tasks may not {verb} {need.remote!r} on any site; it, or a folder above it, has to stand "
                "in the settings pilots.visible or pilots.writable")
    known = sorted({*BUILT_IN, *(scheme for site in sites.values() for scheme in site.schemes)})
    return f"no site can move {need.remote!r}; they know {', '.join(known)}"
