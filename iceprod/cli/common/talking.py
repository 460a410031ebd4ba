"""The client of commands: it tells when the server is away, and why a token is refused."""

from __future__ import annotations

import base64
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from iceprod.transport import Client, Refused

__all__ = ["TalkingClient", "claims", "expiry"]

_QUIET_SECONDS = 10.0  # so long nobody needs to hear of it

_WORDS = {  # what the API says to programs, and what a person can do about it
    "manifest not found": "there is no such scan; `iceprod scans` lists those there are",
    "Scan request not found": "there is no such scan; `iceprod scans` lists those there are",
    "Attempted to delete a completed scan (must use `delete_completed_scan=True`)":
        "the scan has its final result already; `iceprod abort --completed` deletes it all the same",
}
_GET_TOKEN = "give a valid token with --token or ICEPROD_TOKEN; `iceprod token` makes one"


class TalkingClient(Client):
    """Tells on the terminal what a person who waits would like to know."""

    _away_since = 0.0
    _told = False

    def request(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        try:
            answer = super().request(method, path, body, **how)
        except Refused as error:
            raise Refused(error.status, self._explained(error), error.retry_after, error.trace_id) from None
        self._back()
        return answer

    def away(self, reason: str, seconds: float) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        if not self._told and now - self._away_since >= _QUIET_SECONDS:
            self._told = True
            print(f"the server does not answer ({reason}); it is tried again for {seconds:.0f} s more",
                  file=sys.stderr, flush=True)

    def _back(self) -> None:
        if self._told:
            away = time.monotonic() - self._away_since
            print(f"after {away:.0f} s without the server", file=sys.stderr, flush=True)
        self._away_since, self._told = 0.0, False

    def _explained(self, error: Refused) -> str:
        if error.reason in _WORDS:
            return _WORDS[error.reason]
        if error.status == 403 and error.reason == "authorization failed":
            return f"{error.reason}: the token is good, but its roles and groups do not allow this"
        if error.status != 401 and error.reason != "authentication failed":
            return error.reason
        if not self._token:
            return f"{error.reason}: this server wants a token; {_GET_TOKEN}"
        ended = expiry(self._token)
        if ended is not None and ended < time.time():
            moment = datetime.fromtimestamp(ended, UTC)
            return f"{error.reason}: the token expired at {moment:%Y-%m-%d %H:%M:%S} UTC; {_GET_TOKEN}"
        return f"{error.reason}: the server does not know the token; {_GET_TOKEN}"


def expiry(token: str) -> float | None:
    """When a token ends, seconds since 1970, as it says itself; None when it does not."""
    try:
        return float(claims(token)["exp"])
    except (KeyError, TypeError, ValueError):
        return None


def claims(token: str) -> dict[str, Any]:
    """What a token says of itself, unproven; empty when it says nothing."""
    try:
        part = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, TypeError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
