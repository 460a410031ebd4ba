"""What the desk knows of itself: vocabularies, counts, versions."""

from __future__ import annotations

from server.desk.common import vocabulary
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.people import statistics
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Healpix(DeskHandler):
    """The pixel index of objects, without which no region search finds them."""

    @needs(SYSTEM_ADMIN)
    async def get(self) -> None:
        """How many objects have a pixel index, and how many do not."""
        self.success(await statistics.healpix_counts(self.ctx))

    @needs(SYSTEM_ADMIN)
    async def post(self) -> None:
        """Fill missing pixel indices, one page of objects at a time."""
        self.success(await statistics.fill_healpix(self.ctx))


class EnumTypes(DeskHandler):
    """Vocabularies."""

    @allow("any")
    async def get(self) -> None:
        """The values that enumerated fields may have."""
        self.success(vocabulary.ENUM_TYPES)


class DbStats(DeskHandler):
    """Statistics."""

    @needs(SYSTEM_ADMIN)
    async def get(self) -> None:
        """How many rows of each kind there are."""
        self.success(await statistics.counts(self.ctx))


class SysInfo(DeskHandler):
    """The server's version."""

    @allow("everybody")
    def get(self) -> None:
        """Recent commits of the program; answers without a token, too."""
        self.success({"gitlog": statistics.gitlog(), "schema_version": statistics.SCHEMA_VERSION})


ROUTES = [
    Route("/api/healpix", Healpix, "desk"),
    Route("/api/enum_types", EnumTypes, "desk"),
    Route("/api/db_stats", DbStats, "desk"),
    Route("/api/sysinfo", SysInfo, "desk"),
]
