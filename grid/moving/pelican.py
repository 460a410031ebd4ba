"""Addresses of a Pelican federation, such as the OSDF: its director says which cache or origin has a file.

A federation's host tells its director at ``/.well-known/pelican-configuration``. The director answers
``GET /api/v1.0/director/object/…`` for reading and ``PUT …/origin/…`` for writing with a redirect; the header
``Link`` names further places (``rel="duplicate"; pri=…``). The token goes to the place, not to the director.
``osdf:///path`` is ``pelican://osg-htc.org/path``.
"""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import quote, unquote, urljoin, urlsplit

from grid.moving.errors import TransferFailed
from grid.moving.items import Means
from grid.moving.web import Line, failure, refusal

__all__ = ["places"]

_OSDF = "osg-htc.org"
_SCHEME = "https"  # of hosts that name their director
_WELL_KNOWN = "/.well-known/pelican-configuration"
_MOST_PLACES = 4
_MOST_BYTES = 1 << 20
_LINK = re.compile(r"<([^>]*)>([^<]*)")
_PRIORITY = re.compile(r'pri=\s*"?(\d+)')

_known: dict[str, str] = {}  # directors that federations told, by host


def places(remote: str, line: Line, means: Means, *, writing: bool = False) -> list[str]:
    """Web addresses where the file may be read or written, the best first. Raises TransferFailed, Stopped."""
    host, path = _parts(remote)
    director = means.directors.get(host) or _known.get(host) or _ask_federation(host, remote, line)
    kind, method = ("origin", "PUT") if writing else ("object", "GET")
    address = f"{director.rstrip('/')}/api/v1.0/director/{kind}{path}"
    try:
        with line.ask(method, address, {}, follow=False) as answer:
            if not 300 <= answer.status < 400:
                raise refusal(remote, answer)
            first = urljoin(address, str(answer.headers.get("Location") or ""))
            others = _duplicates(answer.headers.get("Link") or "")
    except (OSError, http.client.HTTPException) as error:
        raise failure(remote, error) from None
    found = dict.fromkeys([first] if writing else [first, *others])
    return [place for place in found if place.startswith(("http://", "https://"))][:_MOST_PLACES]


def _parts(remote: str) -> tuple[str, str]:
    """Host of the federation and path in it."""
    parts = urlsplit(remote)
    if parts.scheme == "osdf":  # the OSDF's own addresses have no host: osdf://a/b is osdf:///a/b
        return _OSDF, quote(unquote("/" + (parts.netloc + parts.path).strip("/")))
    return parts.netloc, quote(unquote(parts.path)) or "/"


def _ask_federation(host: str, remote: str, line: Line) -> str:
    try:
        with line.ask("GET", f"{_SCHEME}://{host}{_WELL_KNOWN}", {}) as answer:
            if answer.status != 200:
                raise refusal(remote, answer)
            told = json.loads(answer.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise failure(remote, error) from None
    except ValueError:
        told = None
    director = told.get("director_endpoint") if isinstance(told, dict) else None
    if not isinstance(director, str) or not director.startswith(("http://", "https://")):
        raise TransferFailed(f"transfer failure: {remote}: {host} names no director of a federation")
    _known[host] = director
    return director


def _duplicates(link: str) -> list[str]:
    """The addresses of a Link header that have the same file, by their priority."""
    found = []
    for address, rest in _LINK.findall(link):
        if "duplicate" in rest:
            priority = _PRIORITY.search(rest)
            found.append((int(priority[1]) if priority else 99, address))
    return [address for _, address in sorted(found)]
