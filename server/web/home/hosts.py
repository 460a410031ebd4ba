"""Failures by host and hour, and which hosts eat tasks: by what chance allows, not by raw counts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from server.production.activity import host_hours, slots
from server.production.activity.host_hours import HOURS, Host
from server.production.failures import quarantine
from server.production.failures.quarantine import Record
from server.rest.context import Context
from server.web.common import counters, heat
from server.web.common.heat import Cell, Row

__all__ = ["HostRow", "Hosts", "hosts_of_the_day", "judged"]

MOST_READ = 100  # hosts that are judged
MOST_SHOWN = 24
HOUR = 3600


@dataclass(frozen=True)
class HostRow:
    """A host's last day: how many failures its tasks had, and would have had elsewhere."""

    host: Host
    expected: float
    chance: float  # that a host like all others has as many failures, or more

    @property
    def stands_out(self) -> bool:
        """Whether chance does not explain it: the bound that quarantine has, too."""
        return self.chance <= quarantine.CHANCE

    @property
    def words(self) -> str:
        """What is said of it."""
        good, bad = self.host.ends
        return (f"{bad} of {good + bad} failed; such tasks elsewhere: {self.expected:.3g} "
                f"(chance {_chance(self.chance)})")

    @property
    def chance_words(self) -> str:
        return _chance(self.chance)


def _chance(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.01 else f"{value:.0e}" if value > 1e-99 else "0"


@dataclass(frozen=True)
class Hosts:
    """What the page shows of hosts."""

    rows: Sequence[HostRow]
    drawing: str


def judged(hosts: Sequence[Host], everywhere: Mapping[str, tuple[int, int]]) -> list[HostRow]:
    """Hosts with what chance says of each, the least likely first."""
    rows = [_judge(host, everywhere) for host in hosts]
    return sorted(rows, key=lambda row: (row.chance, -row.host.ends[1], row.host.name))


def _judge(host: Host, everywhere: Mapping[str, tuple[int, int]]) -> HostRow:
    records = [Record(good, bad, *everywhere.get(group, (good, bad)))
               for group, (good, bad) in host.groups.items()]
    expected = sum(record.here * record.rate_elsewhere for record in records if record.elsewhere)
    return HostRow(host, expected, quarantine.chance(records))


async def hosts_of_the_day(ctx: Context) -> Hosts:
    """The hosts that failed most in the last day."""
    return await counters.kept(ctx, "hosts", lambda: _read(ctx))


async def _read(ctx: Context) -> Hosts:
    hosts, everywhere = await host_hours.worst(ctx, MOST_READ)
    rows = judged(hosts, everywhere)[:MOST_SHOWN]
    last = slots.begin_of(time.time(), HOUR)
    begins = [last - HOUR * back for back in reversed(range(HOURS))]
    columns = [datetime.fromtimestamp(begin, UTC).strftime("%H:%M") for begin in begins]
    grid = [Row(row.host.name, row.stands_out, row.words, [_cell(row.host, begin) for begin in begins])
            for row in rows]
    return Hosts(rows, heat.draw("Share of failed attempts by host and hour (UTC)", grid, columns))


def _cell(host: Host, begin: int) -> Cell | None:
    return Cell(*host.hours[begin]) if begin in host.hours else None
