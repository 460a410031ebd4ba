"""The pilots' token: short-lived, good for one site, and kept fresh in a file that HTCondor takes along."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from grid.condor.site import Site
from iceprod.client import Client, Refused
from iceprod.installation import write_private

__all__ = ["PilotToken"]

_OVERTIME_HOURS = 2.0
_QUEUED_HOURS = 7 * 24.0  # a token that went to another machine with its job is not renewed there
_RENEW_SECONDS = 900.0

log = logging.getLogger("grid.condor")


class PilotToken:
    """A file with a token for pilots that start now; it lasts as long as the longest of them may."""

    def __init__(self, client: Client, site: Site, path: Path, is_spooled: bool = False) -> None:
        self._client, self._site = client, site
        self.path = Path(site.pilot_token_file).expanduser().absolute() if site.pilot_token_file else path
        self._hours = site.largest.hours + _OVERTIME_HOURS + (_QUEUED_HOURS if is_spooled else 0.0)
        self._renewed = float("-inf")

    def renew(self) -> None:
        """Write a fresh token if the present one is a quarter of an hour old. Raises ClientError."""
        if self._site.pilot_token_file or time.monotonic() - self._renewed < _RENEW_SECONDS:
            return
        write_private(self.path, self._ask().encode("ascii"))
        self._renewed = time.monotonic()

    def _ask(self) -> str:
        body = {"type": "system", "role": "pilot", "site": self._site.site}
        seconds = int(self._hours * 3600)
        try:
            return str(self._client.post("/create_token", {**body, "exp": seconds}, repeat=True)["result"])
        except Refused as error:
            if error.status != 400 or "expiration" not in error.reason:
                raise
        log.warning("our own token ends before the longest pilot would: pilots end with it")
        return str(self._client.post("/create_token", body, repeat=True)["result"])
