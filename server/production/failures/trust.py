"""How many tasks a host may be given, from what became of the last ones: a host earns its share.

A host that nobody knows gets a few tasks first. It has proven itself when one of them ended well, or has run
for a while; black holes fail at once. After a failure without proof it gets one task at a time, after some
in a row only now and then. A dataset that fails several times in a row at a host pauses at that host,
whatever else runs there, so that broken work costs little and takes nobody else's places. A host alone is
never kept short: there is nothing to compare it with, and nobody else to do the work.

Everything here is pure: times are seconds of one clock. Each server process keeps its own, and hears what the
others see; what is lost with it is learned again from a handful of tasks.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

__all__ = ["MOST_HOSTS", "MOST_KEPT", "Failure", "Trust"]

FIRST_TASKS = 4  # at once, for a host that nobody knows
PROVEN_SECONDS = 30.0  # a task that ran so long shows that tasks can run there
LEAST_FAILURES = 3  # in a row, before a host or a dataset at a host has to pause
ONCE_GOOD_FAILURES = 6  # for a host where tasks did end well
LEAST_SURVIVORS = 3  # tasks of the same datasets that fare well elsewhere
MOST_FAILING_ELSEWHERE = 0.1  # of these
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
FRESH_SECONDS = 600.0  # a host that asked or ended a task so recently is there
WINDOW_SECONDS = 3600.0
MOST_HOSTS, MOST_KEPT = 20_000, 1000


@dataclass(frozen=True)
class Failure:
    """One failed attempt."""

    time: float
    task_id: str
    dataset_id: str
    seconds: float  # that it ran


@dataclass
class _Row:
    """Failures in a row, and until when the next try has to wait."""

    count: int = 0
    until: float = 0.0

    def fail(self, now: float) -> None:
        self.count += 1
        if self.count >= LEAST_FAILURES:
            doubled = FIRST_PAUSE * 2.0 ** min(self.count - LEAST_FAILURES, 10)
            self.until = now + min(LONGEST_PAUSE, doubled)


@dataclass
class _Host:
    seen: float = 0.0
    good: int = 0
    goods: dict[str, tuple[int, float]] = field(default_factory=dict)  # good ends and the latest, by dataset
    row: _Row = field(default_factory=_Row)
    rows: dict[str, _Row] = field(default_factory=dict)  # by dataset
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))  # since a good end
    held: dict[str, tuple[str, float]] = field(default_factory=dict)  # dataset and beginning, by task

    def is_proven(self, now: float) -> bool:
        if self.good and self.row.count < LEAST_FAILURES:
            return True
        return any(now - began > PROVEN_SECONDS for _, began in self.held.values())

    def survivors(self, datasets: set[str], longer: float, now: float) -> int:
        """Tasks of some datasets that ended well in the last hour, or that have run for longer."""
        ended = sum(count for name, (count, when) in self.goods.items()
                    if name in datasets and now - when < WINDOW_SECONDS)
        return ended + sum(name in datasets and now - began > longer for name, began in self.held.values())


class Trust:
    """What one server process knows of hosts."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def _host(self, name: str, now: float) -> _Host:
        host = self._hosts.setdefault(name, _Host())
        host.seen = now
        self._hosts.move_to_end(name)
        while len(self._hosts) > MOST_HOSTS:
            self._hosts.popitem(last=False)
        return host

    def is_alone(self, name: str, now: float) -> bool:
        """Whether no other host was there just now: the latest comes last."""
        others = (host for key, host in reversed(self._hosts.items()) if key != name)
        latest = next(others, None)
        return latest is None or now - latest.seen > FRESH_SECONDS

    # -- what happens

    def asked(self, name: str, now: float) -> None:
        """A host asked for work."""
        self._host(name, now)

    def claimed(self, name: str, tasks: dict[str, str], now: float) -> None:
        """A host was given tasks (id → dataset)."""
        held = self._host(name, now).held
        held.update({task_id: (dataset_id, now) for task_id, dataset_id in tasks.items()})
        while len(held) > MOST_KEPT:
            del held[next(iter(held))]

    def dropped(self, name: str, task_id: str) -> None:
        """A host gave a task back, which proves nothing."""
        if name in self._hosts:
            self._hosts[name].held.pop(task_id, None)

    def succeeded(self, name: str, task_id: str, dataset_id: str, now: float) -> None:
        """A task ended well."""
        host = self._host(name, now)
        host.held.pop(task_id, None)
        host.good += 1
        host.goods[dataset_id] = host.goods.get(dataset_id, (0, now))[0] + 1, now
        host.row = _Row()
        host.rows.pop(dataset_id, None)
        host.failures.clear()

    def failed(self, name: str, failure: Failure) -> None:
        """A task failed."""
        host = self._host(name, failure.time)
        host.held.pop(failure.task_id, None)
        host.row.fail(failure.time)
        host.rows.setdefault(failure.dataset_id, _Row()).fail(failure.time)
        host.failures.append(failure)

    def forget(self, name: str) -> None:
        """What was held against a host is dealt with."""
        self._hosts.pop(name, None)

    # -- what follows

    def allowance(self, name: str, now: float) -> int | None:
        """How many more tasks a host may be given; None: as many as it wants."""
        host = self._hosts.get(name)
        if self.is_alone(name, now) or (host is not None and host.is_proven(now)):
            return None
        if host is None or not host.row.count:
            return max(0, FIRST_TASKS - (len(host.held) if host else 0))
        return 0 if host.held or now < host.row.until else 1

    def paused(self, name: str, now: float) -> dict[str, float]:
        """The datasets that a host gets no task of now, and until when; those it tries just now, too."""
        host = self._hosts.get(name)
        if host is None or not host.rows or self.is_alone(name, now):
            return {}
        tried = {dataset_id for dataset_id, _ in host.held.values()}
        return {dataset_id: row.until for dataset_id, row in host.rows.items()
                if row.count >= LEAST_FAILURES and (now < row.until or dataset_id in tried)}

    def black_hole(self, name: str, now: float) -> str:
        """Why a host is one that eats tasks; empty when it is not, or nobody can tell yet."""
        host = self._hosts.get(name)
        if host is None:
            return ""
        fails = [one for one in host.failures if now - one.time < WINDOW_SECONDS]
        if len(fails) < (ONCE_GOOD_FAILURES if host.good else LEAST_FAILURES):
            return ""
        datasets = {one.dataset_id for one in fails}
        longer = max(PROVEN_SECONDS, 3 * max(one.seconds for one in fails))
        others = [other for key, other in self._hosts.items() if key != name]
        well = sum(other.survivors(datasets, longer, now) for other in others)
        badly = sum(one.dataset_id in datasets for other in others for one in other.failures)
        if well < LEAST_SURVIVORS or badly > MOST_FAILING_ELSEWHERE * well:
            return ""
        latest = max(one.seconds for one in fails)
        return (f"{len(fails)} tasks in a row failed here, none later than {latest:.0f} s after its start; "
                f"of the same datasets {well} fare well elsewhere")

    def blamed(self, name: str) -> list[Failure]:
        """The failures in a row that a host is blamed for."""
        host = self._hosts.get(name)
        return list(host.failures) if host else []
