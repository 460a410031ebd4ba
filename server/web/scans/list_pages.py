"""The list of scans: events with their scans, sorted and filtered by what stands in the address."""

from __future__ import annotations

from urllib.parse import urlencode

from scanner.recos.recos import RECOS
from server.common.errors import BadRequest
from server.rest.routing import Route, allow
from server.scans.run import clusters
from server.web.common import position
from server.web.common.handler import READERS, PageHandler
from server.web.scans.event_rows import SORTS, Wanted, found_rows
from server.web.scans.scan_lines import STATES

__all__ = ["ROUTES"]

SHOWN = 6  # scans of an event, beside the first
_MOST_TEXT = 200


class Scans(PageHandler):
    """All events that were scanned; and a form that starts a scan."""

    @allow(*READERS)
    async def get(self) -> None:
        wanted = self._wanted()
        found = await found_rows(self.ctx, wanted)
        self.page("scans.html", found=found, wanted=wanted, link=self._link, sorts=SORTS, states=STATES,
                  position=position, shown=SHOWN, may_start=bool(self.user.roles & {"user", "admin"}),
                  recos=RECOS, clusters=list(await clusters.known(self.ctx)))

    def _wanted(self) -> Wanted:
        """What is asked for. Raises BadRequest."""
        text, stream, reco, after = (self._text(name) for name in ("text", "stream", "reco", "after"))
        sort, state = self.query("sort") or "newest", self.query("state") or ""
        for name, value, known in (("sort", sort, SORTS), ("state", state, {"": "", **STATES})):
            if value not in known:
                raise BadRequest(f"{name}: must be one of {', '.join(filter(None, known))}")
        return Wanted(sort, text, stream, reco, state, self.query_bool("deleted"), after)

    def _text(self, name: str) -> str:
        found = (self.query(name) or "").strip()
        if len(found) > _MOST_TEXT or "\0" in found:
            raise BadRequest(f"{name}: at most {_MOST_TEXT} characters, and no NUL")
        return found

    def _link(self, **changes: str) -> str:
        """This page with other words in its query; always from its beginning unless told otherwise."""
        names = ("sort", "text", "stream", "reco", "state", "deleted")
        given = {name: self.query(name) or "" for name in names} | changes
        return f"?{urlencode({name: value for name, value in given.items() if value})}"


ROUTES = [Route("/web/scans", Scans, "web")]
