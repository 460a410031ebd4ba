"""The few files that pages load: read once, served with a long life under a name that holds their hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from server.common.errors import NotFound
from server.rest.handler import Handler
from server.rest.routing import Route, allow

__all__ = ["ROUTES", "static_path"]

_FOLDER = Path(__file__).parents[1] / "static"
_TYPES = {".txt": "text/plain; charset=utf-8", ".css": "text/css; charset=utf-8",
          ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class _File:
    data: bytes
    type: str
    tag: str


def _read() -> dict[str, _File]:
    files = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            data = path.read_bytes()
            files[path.name] = _File(data, _TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:12])
    return files


_FILES = _read()


def static_path(name: str) -> str:
    """Where a page finds a file."""
    return f"/web/static/{name}?v={_FILES[name].tag}"


class Static(Handler):
    """A file that pages load."""

    @allow("everybody")
    def get(self, name: str) -> None:
        file = _FILES.get(name)
        if file is None:
            raise NotFound("no such file")
        self.set_header("Content-Type", file.type)
        is_named = self.query("v") == file.tag  # scripts import each other by their plain names
        self.set_header("Cache-Control", "public, max-age=31536000, immutable" if is_named else "no-cache")
        self.finish(file.data)


ROUTES = [Route("/web/static/{name:any}", Static, "web")]
