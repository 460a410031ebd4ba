"""The pages that every page links to."""

from __future__ import annotations

from dataclasses import dataclass

from iceprod.tokens import Caller

__all__ = ["NAVIGATION", "READERS", "Entry", "entries"]

READERS = ("user", "admin", "system")


@dataclass(frozen=True)
class Entry:
    """A link in the navigation, for those who have one of the roles."""

    title: str
    path: str
    roles: tuple[str, ...] = READERS

    def leads_to(self, path: str) -> bool:
        """Whether a page belongs to this entry."""
        return path == self.path or (self.path != "/web/" and path.startswith(self.path + "/"))


NAVIGATION = [
    Entry("Home", "/web/"),
    Entry("Datasets", "/web/datasets"),
    Entry("Submit", "/web/submit", ("user", "admin")),
    Entry("Scans", "/web/scans"),
    Entry("Desk", "/web/desk"),
    Entry("Alerts", "/web/alerts"),
    Entry("Sites", "/web/sites"),
    Entry("Schedule", "/web/schedule"),
    Entry("Admin", "/web/admin", ("admin",)),
    Entry("Docs", "/web/docs"),
]


def entries(caller: Caller | None) -> list[Entry]:
    """What a caller may go to."""
    return [entry for entry in NAVIGATION if caller and caller.roles & set(entry.roles)]
