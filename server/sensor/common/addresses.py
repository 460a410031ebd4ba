"""Where things of the sensor API are found: absolute addresses, as clients reach us."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["PREFIX", "Addresses"]

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Addresses:
    """Addresses of a server whose root is `origin`, such as ``https://grid.example.org``."""

    origin: str

    def of(self, path: str) -> str:
        """The address of a path below the API's root."""
        return f"{self.origin}{PREFIX}{path}"

    def entry(self, name: str) -> str:
        return self.of(f"/schedule/{quote(name)}/")

    def run(self, entry: str, task_id: int | None = None) -> str:
        """The address of an acquisition, or of all those of an entry."""
        return self.of(f"/acquisitions/{quote(entry)}/" + (f"{task_id}/" if task_id is not None else ""))

    def user(self, name: str) -> str:
        return self.of(f"/users/{quote(name, safe='')}")
