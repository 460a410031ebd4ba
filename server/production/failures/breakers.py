"""Whether a resource outside is away: storage by host and first folder, or the image of a container.

A breaker opens after a few failures on different hosts (of different tasks, where there is one host) in a
short time with no success between: what fails at one host alone is that host's fault, see `trust`.
While it is open, tasks that need the resource are parked (see `parking`) and a few probe it: one, and as long
as none of them fails twice as many each time, so that a probe which computes for hours keeps nobody waiting.
A probe's failure makes the pause longer; a success closes the breaker. All is pure here: times are seconds.

It is the circuit breaker of Nygard (Release It!, 2007, ch. 5), with a ramp instead of one trial.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

__all__ = ["Breaker", "Limits", "Seen", "failed", "most_released", "probed", "resources_of", "succeeded"]

WINDOW_SECONDS = 600.0
REMEMBERED = 50  # failures
LONGEST_FACTOR = 10  # of the first pause between probes
CLOSE_AT = 64  # probes at once none of which failed

_ADDRESS = re.compile(r"(?:transfer|image) failure: (?:(?:input|output) )?"
                      r"([a-z][a-z0-9+.-]*://[^\s'\"]+|/[^\s:'\"]+)", re.IGNORECASE)
_OF_HOST = re.compile(r"refused|unreachable|no route|name resolution|name or service|no address|handshake|"
                      r"timed? ?out", re.IGNORECASE)


class Limits(msgspec.Struct, frozen=True):
    """When a breaker opens, and how often it is probed."""

    failures: int = 3
    probe_seconds: float = 60.0


class Seen(msgspec.Struct, frozen=True):
    """A failure that names the resource."""

    time: float
    task_id: str
    host: str
    need: tuple[str, str]  # dataset and name of the task
    is_only_host: bool = False  # nobody else is there who could say whether it is the host


class Breaker(msgspec.Struct):
    """What is known of one resource."""

    key: str
    seen: list[Seen] = []
    needs: list[tuple[str, str]] = []  # the tasks that need it, by dataset and name
    is_open: bool = False
    since: float = 0.0  # of the first failure since it last answered
    next_probe: float = 0.0
    probes: list[str] = []  # tasks that were released to try
    width: int = 1  # of the next probe
    failed_probes: int = 0
    reason: str = ""
    by: str = ""  # who opened it by hand: only a person closes it then


def resources_of(reason: str) -> str:
    """The resource that a failure's text names: a host, or a host with its first folder; empty for none.

    Who does not answer at all is away as a host; who answers with an error may do so for one folder only.
    """
    found = _ADDRESS.search(reason)
    if found is None:
        return ""
    address = found[1].rstrip(".,;:")
    if address.startswith("/"):
        return "file:" + "/".join(address.split("/")[:3])
    parts = urlsplit(address)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    folders = [name for name in parts.path.split("/")[:-1] if name]
    if _OF_HOST.search(reason[found.end():]) or not folders:
        return host if parts.netloc else f"{parts.scheme}:/{'/'.join(folders[:2])}"
    return f"{host}/{folders[0]}"


def failed(breaker: Breaker, seen: Seen, reason: str, limits: Limits) -> Breaker:
    """The breaker after one more failure."""
    recent = [one for one in breaker.seen if seen.time - one.time < WINDOW_SECONDS]
    after = msgspec.structs.replace(
        breaker, seen=[*recent, seen][-REMEMBERED:], needs=sorted({*breaker.needs, seen.need}),
        since=breaker.since if recent or breaker.is_open else seen.time, reason=reason or breaker.reason)
    if not breaker.is_open:
        return _opened(after, seen.time, limits) if _is_down(after.seen, limits) else after
    if seen.task_id not in breaker.probes:
        return after
    count = breaker.failed_probes + 1
    wait = limits.probe_seconds * min(LONGEST_FACTOR, 2 ** min(count, 10))
    return msgspec.structs.replace(after, probes=[], width=1, failed_probes=count,
                                   next_probe=seen.time + wait)


def _is_down(seen: list[Seen], limits: Limits) -> bool:
    different = {(one.task_id, one.host) for one in seen}
    hosts = {one.host for one in seen}
    return len(different) >= limits.failures and (
        len(hosts) > 1 or (seen[-1].is_only_host and len({one.task_id for one in seen}) > 1))


def _opened(breaker: Breaker, now: float, limits: Limits) -> Breaker:
    return msgspec.structs.replace(breaker, is_open=True, next_probe=now + limits.probe_seconds, probes=[],
                                   width=1, failed_probes=0)


def succeeded(breaker: Breaker, began: float) -> Breaker:
    """The breaker after a task that needs the resource, and that began at that time, ended well."""
    if breaker.by or began < breaker.since:
        return breaker
    return msgspec.structs.replace(breaker, is_open=False, seen=[], probes=[], width=1, failed_probes=0)


def most_released(breaker: Breaker, now: float, running: int, waiting: int) -> int:
    """How many tasks shall probe now, when so many probes run for a while, and so many do not run yet."""
    if not breaker.is_open or breaker.by or now < breaker.next_probe or waiting:
        return 0
    return 2 * breaker.width if running else 1


def probed(breaker: Breaker, task_ids: list[str], now: float, limits: Limits) -> Breaker:
    """The breaker when tasks were released to probe; it closes when so many run that it must be back."""
    wait = limits.probe_seconds * min(LONGEST_FACTOR, 2 ** min(breaker.failed_probes, 10))
    after = msgspec.structs.replace(breaker, probes=[*breaker.probes, *task_ids][-1000:],
                                    width=max(1, len(task_ids)), next_probe=now + wait)
    return succeeded(after, now) if len(task_ids) >= CLOSE_AT else after
