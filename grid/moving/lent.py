"""What the server lends for a task's files: tokens by the beginning of addresses, and signed addresses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from grid.moving.errors import TransferFailed

__all__ = ["Lent"]

_EARLY_SECONDS = 120.0  # before its end nothing is used any more

Ask = Callable[[], "dict[str, Any]"]


@dataclass
class Lent:
    """What was lent, as the server says it, and how to ask for it anew.

    {"tokens": [{"prefix", "token", "expires"}], "signed": {address: {"get", "put", "head", "expires"}},
    "missing": {address: why}}; `expires` in seconds since 1970, 0 for never.
    """

    told: dict[str, Any] = field(default_factory=dict)
    ask: Ask | None = None

    def token(self, address: str) -> str:
        """The token for an address; empty when there is none."""
        return str(self._token_row(address).get("token") or "")

    def signed(self, address: str, method: str) -> str:
        """The signed address by which one goes there. Raises TransferFailed when there is none."""
        self._keep_fresh(float(self._signed_row(address).get("expires") or 0))
        row = self._signed_row(address)
        if not row.get(method):
            self.check(address)
            raise TransferFailed(f"transfer failure: {address}: HTTP 403: no stored credential covers it",
                                 again=False)
        return str(row[method])

    def is_lent(self, address: str) -> bool:
        """Whether the address needs a credential of its user's."""
        return bool(self._signed_row(address) or self._token_row(address))

    def check(self, address: str) -> None:
        """Raise TransferFailed when the server could not lend what the address needs."""
        why = (self.told.get("missing") or {}).get(address)
        if why:
            raise TransferFailed(f"transfer failure: {address}: {why}")

    def renew(self) -> bool:
        """Ask the server anew; whether it answered."""
        told = self.ask() if self.ask is not None else {}
        if told:
            self.told = told
        return bool(told)

    def _signed_row(self, address: str) -> dict[str, Any]:
        row = (self.told.get("signed") or {}).get(address)
        return row if isinstance(row, dict) else {}

    def _token_row(self, address: str) -> dict[str, Any]:
        row = self._find(address)
        if row:
            self._keep_fresh(float(row.get("expires") or 0))
            row = self._find(address)
        return row

    def _find(self, address: str) -> dict[str, Any]:
        rows = [row for row in self.told.get("tokens") or [] if _lies_below(address, str(row["prefix"]))]
        return max(rows, key=lambda row: len(str(row["prefix"])), default={})

    def _keep_fresh(self, ends: float) -> None:
        if ends and time.time() > ends - _EARLY_SECONDS:
            self.renew()


def _lies_below(address: str, prefix: str) -> bool:
    """Whether an address begins so, at the border of a folder."""
    return address.startswith(prefix) and (
        prefix.endswith("/") or len(address) == len(prefix) or address[len(prefix)] in "/?")
