"""What a facility's adaptor is: how a request's payload is checked, sent, changed, taken back and asked for.

An instrument names its adaptor in `api_classname`. An adaptor says what came of a call as an `Outcome`; it
writes nothing of a request itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.common.errors import BadRequest
from server.desk.common.access import Document
from server.desk.followup.states import DELETED, Phase
from server.rest.context import Context

__all__ = ["Adaptor", "Order", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a request is after a call: status for people, phase, further fields of its row, and the reason."""

    status: str
    phase: Phase
    fields: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""  # why, where the status is one of SkyPortal's words and cannot say it


@dataclass(frozen=True)
class Order:
    """A request as an adaptor sees it."""

    row: Mapping[str, Any]
    obj: Mapping[str, Any]
    instrument: Mapping[str, Any]
    username: str  # of whoever asked
    secret: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the allocation's credentials

    @property
    def number(self) -> int:
        return int(self.row["_id"])

    @property
    def payload(self) -> Mapping[str, Any]:
        payload: Mapping[str, Any] = self.row["payload"]
        return payload


class Adaptor:
    """One kind of facility. Calls raise ApiError when nothing came of them."""

    can_update = False  # whether a request that the facility has can be changed
    can_fetch = False  # whether results can be asked for
    listener: str | None = None  # whose token reports, when the instrument names none

    async def check(self, ctx: Context, payload: Mapping[str, Any], instrument: Mapping[str, Any],
                    username: str) -> Document:
        """The payload as it is kept. Raises BadRequest, which names the field."""
        raise NotImplementedError

    def hours(self, payload: Mapping[str, Any]) -> float:
        """Hours that a checked payload will take; 0 when only the work itself can tell."""
        return 0.0

    def begin(self, hours_spent: float = 0.0) -> Document:
        """Fields that a request's row has before it is submitted, such as a number that is to be used;
        `hours_spent` of earlier submissions."""
        return {}

    async def submit(self, ctx: Context, order: Order) -> Outcome:
        """Send a request; the same one again must not be done twice."""
        raise NotImplementedError

    async def update(self, ctx: Context, order: Order) -> Outcome:
        """Tell of a changed payload."""
        raise BadRequest("this instrument's facility cannot change a request that it has")

    async def delete(self, ctx: Context, order: Order) -> Outcome:
        """Take a request back."""
        return Outcome(DELETED, Phase.DELETED)

    async def fetch(self, ctx: Context, order: Order) -> Outcome:
        """Ask for results now."""
        raise BadRequest("this instrument's facility cannot be asked for results: it sends them")
