"""Machines where pilots fail while they start well elsewhere: these are left out, and the site goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

__all__ = ["Excluded", "Hosts"]

_ENOUGH = 2  # faults in a row
_WITHIN_SECONDS = 3600.0
_MANY, _AT_ONCE_SECONDS = 3, 600.0  # hosts with faults at about one time are the site's fault
_FIRST_SECONDS, _LONGEST_SECONDS = 1800.0, 86400.0
_MOST = 100  # in a job's requirements
_REMEMBERED = 10_000


class Excluded(msgspec.Struct, frozen=True):
    """A host that gets no pilots for a while."""

    host: str
    seconds: int  # left
    reason: str


@dataclass
class _Host:
    faults: list[float] = field(default_factory=list)  # since a pilot last started well
    well: float = -math.inf  # when one did
    pause: float = 0.0
    until: float = -math.inf
    reason: str = ""


class Hosts:
    """What happened to pilots at each host. Times are seconds of one clock, whichever."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}
        self._well = -math.inf  # when a pilot last started well anywhere

    def start(self, host: str, now: float) -> None:
        """A pilot began to work there."""
        self._well = now
        if host:
            self._hosts[host] = _Host(well=now)

    def fail(self, host: str, reason: str, now: float) -> bool:
        """A pilot failed there; whether that says nothing about the rest of the site."""
        if not host:
            return False
        if len(self._hosts) > _REMEMBERED:
            self._hosts.clear()
        there = self._hosts.setdefault(host, _Host())
        there.faults = [when for when in there.faults if now - when < _WITHIN_SECONDS] + [now]
        there.reason = reason
        if not self._is_alone(host, now):
            return False
        if len(there.faults) >= _ENOUGH and now >= there.until:
            there.pause = min(max(2 * there.pause, _FIRST_SECONDS), _LONGEST_SECONDS)
            there.until = now + there.pause
        return True

    def excluded(self, now: float) -> list[Excluded]:
        """The hosts to leave out."""
        found = [Excluded(name, round(host.until - now), host.reason)
                 for name, host in sorted(self._hosts.items()) if now < host.until]
        return found[:_MOST]

    def _is_alone(self, host: str, now: float) -> bool:
        """Whether pilots start well at other hosts, and not many hosts fail at about the same time."""
        since = max(now - _AT_ONCE_SECONDS, self._well)
        failing = sum(bool(one.faults) and one.faults[-1] >= since for one in self._hosts.values())
        others = any(one.well > -math.inf for name, one in self._hosts.items() if name != host)
        return others and failing < _MANY
