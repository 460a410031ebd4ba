"""``iceprod bench pilots`` (``python -m grid.bench_pilots``): what thousands of pilots cost one server.

An installation of its own (store, server, everything durable as in production) and pilots of one core that
speak the real protocol, each over a connection of its own, but run nothing. Three times it is looked at:

``rest``    all wait for tasks and there are none: processor time of server and store, as a share of one core
``beats``   all have a task and say no more than that they live: processor milliseconds of a heartbeat
``work``    tasks end and others are claimed, so many a second: how long claims take, and processor
            milliseconds of a report and the claim that follows it, without what the heartbeats cost

The pilots share the machine with the server; `pilots` is the share of a core that they take themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any
from urllib.parse import urlsplit

from grid.bench import Bench
from iceprod.client import ClientError, Refused

__all__ = ["Figures", "main", "run"]

_SITE, _WORK = "bench", "claims"  # tasks of the second site are taken in turn, when their time has come
_SPARE = 0.5  # more tasks than will be needed, as a part
_JOINING = 25  # pilots that register at the same time
_SETTLE_SECONDS = 5.0
_OFFER = {"cpu": 1, "gpu": 0, "memory": 1.0, "disk": 10.0, "kind": "script"}


@dataclass
class Counted:
    """What the pilots did since the last look, and how long claims took, in seconds."""

    beats: int = 0
    polls: int = 0
    claims: list[float] = field(default_factory=list)
    errors: int = 0


@dataclass(frozen=True)
class Figures:
    """What so many pilots cost; of a core: 1 is all of one."""

    pilots: int
    heartbeat_seconds: float  # as the server asked for
    rest_core: float
    beat_ms: float
    claims_per_second: float
    claim_p50_ms: float
    claim_p99_ms: float
    claim_report_ms: float
    work_core: float
    pilots_core: float
    errors: int


class Told(Exception):
    """The server refused a request."""


class Connection:
    """HTTP over one connection."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, token: str, body: Any) -> Any:
        """Send a request; the answer. Raises OSError, EOFError, Told."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        assert self._reader is not None
        data = json.dumps(body).encode()
        self._writer.write(f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
                           f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
                           .encode() + data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-le"))
        content = await self._reader.readexactly(length)
        if not lines[0].split()[1].startswith("2"):
            raise Told(content.decode())
        return json.loads(content)

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class SimulatedPilot:
    """Waits for tasks, holds them for as long as it is told, and says that it lives."""

    def __init__(self, number: int, crowd: Crowd) -> None:
        self.number, self.crowd = number, crowd
        self.connection = Connection(*crowd.address)
        self.period, self.token, self.pilot_id = 5.0, crowd.token, ""
        self.held: list[dict[str, str]] = []
        self.works = asyncio.Event()
        self.end_task = asyncio.Event()

    async def register(self) -> None:
        answer = await self.connection.post("/pilots", self.token, {
            "queue_host": f"host{self.number}", "queue_version": "1", "resources": {}, "version": "1",
            "host": f"host{self.number // 4}", "site": _SITE})
        self.pilot_id, self.token = answer["result"], answer.get("token", self.token)

    async def run(self) -> None:
        """Wait in vain until it is time to work; then hold one task after the other."""
        while True:
            try:
                await (self._hold() if self.held else self._claim() if self.works.is_set() else self._rest())
            except (OSError, EOFError, Told, asyncio.IncompleteReadError):
                self.crowd.counted.errors += 1
                await self.connection.close()
                await asyncio.sleep(random.uniform(0.5, 2.0))

    async def _say(self, **news: Any) -> Any:
        free = {"cpu": 0 if self.held else 1, "gpu": 0, "memory": 1.0, "disk": 10.0}
        body = {"tasks": self.held, "resources_available": free, "resources_claimed": {}, **news}
        answer = await self.connection.post(f"/pilots/{self.pilot_id}/exchange", self.token, body)
        self.period = max(5.0, float(answer["heartbeat_seconds"]))
        return answer

    def _wish(self, wait: float) -> dict[str, Any]:
        """A claim; time is different for every pilot, as for real ones."""
        offer = {**_OFFER, "time": 20 + self.number / 1000, "site": _WORK}
        return {"num": 1, "start": True, "wait": wait, "requirements": offer}

    async def _rest(self) -> None:
        """A long poll; one that is under way when work begins is broken off, as pilots do."""
        wish = self._wish(max(30.0, self.period))
        if not self.crowd.has_tasks:
            wish["requirements"]["site"] = _SITE
        asking = asyncio.create_task(self._say(claim=wish))
        told = asyncio.create_task(self.works.wait())
        try:
            await asyncio.wait((asking, told), return_when=asyncio.FIRST_COMPLETED)
            self.crowd.counted.polls += 1
            if asking.done():
                self._take(asking.result())
        finally:
            told.cancel()
            if not asking.done():
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await self.connection.close()

    def _take(self, answer: Any) -> None:
        self.held = [{"task_id": task["task_id"], "instance_id": task["instance_id"]}
                     for task in answer["tasks"]]
        self.end_task.clear()

    async def _claim(self) -> None:
        began = time.perf_counter()
        self._take(await self._say(claim=self._wish(30.0)))
        if self.held:
            self.crowd.counted.claims.append(time.perf_counter() - began)

    async def _hold(self) -> None:
        """Say now and then that we live; report when the task's time has come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.end_task.wait(), self.period * random.uniform(0.9, 1.1))
            [task] = self.held
            await self._say(reports=[{**task, "outcome": "complete", "time_used": 1.0, "site": _SITE}])
            self.held = []
            return
        await self._say()
        self.crowd.counted.beats += 1


class Crowd:
    """All pilots, in one thread."""

    def __init__(self, url: str, token: str, number: int) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname or "", parts.port or 80
        self.token, self.counted, self.has_tasks = token, Counted(), False
        self.pilots = [SimulatedPilot(index, self) for index in range(number)]
        self._running: list[asyncio.Task[None]] = []

    async def join(self) -> None:
        """Register all, and let them wait for tasks."""
        some = asyncio.Semaphore(_JOINING)

        async def one(pilot: SimulatedPilot) -> None:
            async with some:
                await pilot.register()
            self._running.append(asyncio.create_task(pilot.run()))

        await asyncio.gather(*(one(pilot) for pilot in self.pilots))

    async def begin(self, per_second: float) -> None:
        """Let all claim, so many a second."""
        self.has_tasks = True
        for pilot in self.pilots:
            pilot.works.set()
            await asyncio.sleep(1 / per_second)

    async def turn_over(self, per_second: float, seconds: float) -> None:
        """Let tasks end, so many a second, of one pilot after the other."""
        end, number = time.monotonic() + seconds, 0
        began = time.monotonic()
        while time.monotonic() < end:
            self.pilots[number % len(self.pilots)].end_task.set()
            number += 1
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))

    def fresh(self) -> Counted:
        """Count anew."""
        before, self.counted = self.counted, Counted()
        return before

    async def leave(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*(pilot.connection.close() for pilot in self.pilots))


class Look:
    """Processor time of server and store, and of ourselves, between two moments."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.spent, self.own = bench, sum(bench.processor_ms(()).values()), time.process_time()
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def ms(self) -> float:
        return sum(self.bench.processor_ms(()).values()) - self.spent

    def core(self) -> float:
        return self.ms() / 1000 / self.seconds

    def own_core(self) -> float:
        return (time.process_time() - self.own) / self.seconds


async def _measure(bench: Bench, crowd: Crowd, seconds: float, per_second: float) -> Figures:
    await crowd.join()
    await asyncio.sleep(_SETTLE_SECONDS)
    period = max(pilot.period for pilot in crowd.pilots)
    crowd.fresh()
    rest = await _watch(bench, seconds)
    needed = int(len(crowd.pilots) + (1 + _SPARE) * seconds * per_second)
    await asyncio.to_thread(_make, bench, needed)
    await crowd.begin(per_second)
    await asyncio.sleep(_SETTLE_SECONDS)
    crowd.fresh()
    look = await _watch(bench, seconds)
    beats, beat_core = crowd.fresh().beats, look[0]
    turning = asyncio.create_task(crowd.turn_over(per_second, seconds))
    work = await _watch(bench, seconds)
    await turning
    done = crowd.fresh()
    took = sorted(done.claims) or [0.0]
    more = max(0.0, work[0] - beat_core) * seconds * 1000
    return Figures(
        len(crowd.pilots), period, round(rest[0], 3), round(beat_core * seconds * 1000 / max(beats, 1), 3),
        round(len(done.claims) / seconds, 1), round(1000 * took[len(took) // 2], 1),
        round(1000 * took[int(0.99 * (len(took) - 1))], 1), round(more / max(1, len(done.claims)), 3),
        round(work[0], 3), round(work[1], 3), done.errors)


def _make(bench: Bench, number: int) -> None:
    bench.make("empty", number, _WORK)
    bench.client.close()  # this thread's connection


async def _watch(bench: Bench, seconds: float) -> tuple[float, float]:
    """Share of a core that server and store take meanwhile, and that we take."""
    look = Look(bench)
    await asyncio.sleep(seconds)
    return look.core(), look.own_core()


def run(pilots: int, seconds: float, per_second: float) -> dict[str, Any]:
    """Measure; a document with the figures and what the machine is. Raises ClientError, OSError."""
    _raise_limit(pilots)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(),
               "load": [round(load, 2) for load in os.getloadavg()]}
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        bench = Bench(Path(root))
        try:
            crowd = Crowd(bench.client.url, bench.token_of("pilot"), pilots)
            figures = asyncio.run(_run(bench, crowd, seconds, per_second))
        finally:
            bench.close()
    machine["load_after"] = [round(load, 2) for load in os.getloadavg()]
    return {"machine": machine, **asdict(figures)}


async def _run(bench: Bench, crowd: Crowd, seconds: float, per_second: float) -> Figures:
    try:
        return await _measure(bench, crowd, seconds, per_second)
    finally:
        await crowd.leave()


def _raise_limit(pilots: int) -> None:
    """Have a file for each connection. Raises OSError when the system has too few."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < pilots + 100:
        raise OSError(f"{pilots} pilots need as many open files; the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _text(result: dict[str, Any]) -> str:
    return (f"{result['pilots']} pilots, a heartbeat every {result['heartbeat_seconds']:g} s\n"
            f"rest    {100 * result['rest_core']:.1f} % of a core\n"
            f"beats   {result['beat_ms']:.2f} ms of CPU each\n"
            f"work    {result['claims_per_second']:.1f} claims/s  median {result['claim_p50_ms']:.0f} ms  "
            f"99 % {result['claim_p99_ms']:.0f} ms  "
            f"claim and report {result['claim_report_ms']:.2f} ms of CPU  "
            f"in all {100 * result['work_core']:.0f} % of a core\n"
            f"pilots  {100 * result['pilots_core']:.0f} % of a core; {result['errors']} requests failed")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="iceprod bench pilots", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pilots", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the three looks")
    parser.add_argument("--rate", type=float, default=50.0, help="tasks that end a second")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if given.pilots < 1 or given.seconds <= 0 or given.rate <= 0:
        parser.error("--pilots, --seconds and --rate have to be more than 0")
    try:
        result = run(given.pilots, given.seconds, given.rate)
    except (ClientError, Refused, OSError, TimeoutError, CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1) if given.json else _text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
