"""A month of production in seconds: the shipped rules with an injected clock, in a world that misbehaves.

Nothing of the policy is rebuilt here: verdicts, pauses, breakers and trust in hosts are the server's own pure
functions. The world around them is made up from a seed: storage, sites and the database are away for minutes
to most of a day, hosts eat tasks for days, some datasets cannot work, and memory and run time are log-normal,
as batch jobs' usually are (Feitelson, Workload Modeling, CUP 2015, ch. 3); the parameters are our own choice.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from config.settings import Failures
from iceprod.requirements import grow
from server.production.failures import breakers, failures
from server.production.failures.breakers import Breaker, Limits, Seen
from server.production.failures.failures import DEFAULT_RULES, Blame, Rule, Scene
from server.production.failures.trust import Failure, Trust

__all__ = ["NAIVE", "SHIPPED", "Outcome", "Policy", "simulate"]

HOUR, DAY = 3600.0, 86400.0
MONTH = 30 * DAY
SITES, HOSTS, SLOTS = 3, 8, 4  # hosts of a site, slots of a host
QUARANTINE = 1800.0
RUNS_SECONDS = 120.0
TICK = 60.0
LIFETIME = 24 * HOUR  # of a pilot; what is left of it when a task is done is left to chance
NEW_RULES = ("outside", "missing file", "missing program")


@dataclass(frozen=True)
class Policy:
    """Which of the rules are in force."""

    name: str
    waits: bool = True  # back-off and breakers
    trusts: bool = True  # hosts earn their share
    survives: bool = True  # payloads run on while the server is away
    keeps: bool = True  # outputs wait on the pilot's disk while storage is away
    rules: tuple[Rule, ...] = DEFAULT_RULES


SHIPPED = Policy("shipped")
_OLD_RULES = tuple(rule for rule in DEFAULT_RULES if rule.name not in NEW_RULES)
NAIVE = Policy("retry at once", waits=False, trusts=False, survives=False, keeps=False,
               rules=_OLD_RULES)


@dataclass(eq=False)
class Task:
    """A task and what it would do."""

    id: str
    dataset: str
    hours: float
    memory: float
    fault: str = ""  # what fails whenever it is tried, as a reason
    fault_after: float = 5.0
    doc: dict[str, Any] = field(default_factory=lambda: {"requirements": {"memory": 4.0}})
    starts: int = 0
    faults: int = 0  # attempts that met its own fault
    status: str = "waiting"


@dataclass
class Outcome:
    """What a month came to. Core hours; `finished` in hours."""

    useful: float = 0.0
    wasted: float = 0.0
    by_cause: Counter[str] = field(default_factory=Counter)
    finished: float = 0.0
    complete: int = 0
    lost: int = 0  # tasks that would have worked and failed
    hopeless_starts: int = 0  # the most of any task that lacks a file or program
    hopeless_ended: int = 0

    @property
    def waste(self) -> float:
        return self.wasted / (self.useful + self.wasted)


@dataclass(frozen=True)
class World:
    """When what is away, and which hosts eat tasks."""

    storage: dict[str, list[tuple[float, float]]]
    sites: dict[str, list[tuple[float, float]]]
    database: list[tuple[float, float]]
    holes: dict[str, tuple[float, float]]


def _within(moment: float, spans: list[tuple[float, float]]) -> float:
    """When what is away at a moment comes back; 0 when it is there."""
    return next((end for begin, end in spans if begin <= moment < end), 0.0)


def _spans(chance: random.Random, lengths: list[float]) -> list[tuple[float, float]]:
    begins = [chance.uniform(0.02, 0.7) * MONTH for _ in lengths]
    return [(begin, begin + length) for begin, length in zip(begins, lengths, strict=True)]


def make_world(chance: random.Random) -> World:
    """Outages of minutes to most of a day, and four black holes."""
    storage = {f"https://s{n}.example.org": _spans(chance, lengths) for n, lengths in enumerate(
        ([60.0, 1800.0, 6 * HOUR], [300.0, 20 * HOUR], [23 * HOUR, 60.0]))}
    sites = {f"site{n}": _spans(chance, [2 * HOUR]) for n in range(SITES - 1)}
    hosts = [f"site{n % SITES}-{chance.randrange(HOSTS)}" for n in range(4)]
    holes = {host: (begin := chance.uniform(0, 0.6) * MONTH, begin + chance.uniform(1, 3) * DAY)
             for host in hosts}
    return World(storage, sites, _spans(chance, [10.0, 90.0, 1200.0, 5400.0]), holes)


def make_tasks(chance: random.Random, world: World, datasets: int, jobs: int) -> list[Task]:
    """Datasets of tasks; of every twenty datasets three cannot work."""
    tasks = []
    addresses = list(world.storage)
    for number in range(datasets):
        address = addresses[number % len(addresses)]
        fault, after = {7: ("prog could not be started: not found", 2.0),
                        13: (f"transfer failure: {address}/sim/in.i3: HTTP 404", 5.0),
                        19: ("python ended with status 1: KeyError: 'x'", 600.0)}.get(number % 20, ("", 0.0))
        for job in range(jobs // 5 if fault else jobs):
            hours = min(24.0, 2.0 * math.exp(0.7 * chance.gauss(0, 1)))
            memory = min(60.0, 1.8 * math.exp(0.4 * chance.gauss(0, 1)))
            tasks.append(Task(f"{number}.{job}", f"{address}#{number}", hours, memory, fault, after))
    chance.shuffle(tasks)
    return tasks


class Month:
    """One run of the simulation."""

    def __init__(self, policy: Policy, seed: int, datasets: int, jobs: int) -> None:
        self.policy, self.chance = policy, random.Random(seed)
        self.world = make_world(random.Random(seed))
        self.tasks = make_tasks(random.Random(seed + 1), self.world, datasets, jobs)
        self.known = {task.id: task for task in self.tasks}
        self.limits = Failures() if policy.waits else Failures(backoff_seconds=0.0)
        self.now, self.outcome, self.trust = 0.0, Outcome(), Trust()
        self.ready: defaultdict[str, deque[Task]] = defaultdict(deque)
        self.parked: defaultdict[str, deque[Task]] = defaultdict(deque)  # by resource
        self.breakers: dict[str, Breaker] = {}
        self.running: dict[str, tuple[Task, str, float]] = {}
        self.storing: dict[str, tuple[Task, str, float, float]] = {}  # computed; with the hours that took
        self.free = {f"site{s}-{h}": SLOTS for s in range(SITES) for h in range(HOSTS)}
        self.quarantine: dict[str, tuple[float, int]] = {}
        self.good_hosts: set[str] = set()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.count = self.open = 0

    # -- time

    def at(self, moment: float, action: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (moment, self.count, action))

    def run(self) -> Outcome:
        self.open = len(self.tasks)
        for task in self.tasks:
            self.ready[task.dataset].append(task)
        for spans in self.world.sites.items():
            for begin, _ in spans[1]:
                self.at(begin, lambda site=spans[0]: self.lose(site, "site"))  # type: ignore[misc]
        for begin, end in self.world.database:
            if not self.policy.survives and end - begin > 60:
                self.at(begin + 60, lambda: self.lose("", "database"))
        self.at(0.0, self.tick)
        while self.events and self.open:
            self.now, _, action = heapq.heappop(self.events)
            action()
        hopeless = [task for task in self.tasks if task.fault]
        self.outcome.hopeless_starts = max(task.faults for task in hopeless if task.fault_after < 60)
        self.outcome.hopeless_ended = sum(task.status == "failed" for task in hopeless)
        self.outcome.lost = sum(task.status == "failed" for task in self.tasks if not task.fault)
        return self.outcome

    def tick(self) -> None:
        for key in list(self.breakers):
            self.probe(key)
        for host, slots in self.free.items():
            if slots:
                self.fill(host)
        self.at(self.now + TICK, self.tick)

    # -- claims

    def fill(self, host: str) -> None:
        """Give a host what it may have."""
        if _within(self.now, self.world.database) or _within(self.now, self.world.sites.get(host[:5], [])):
            return
        if self.now < self.quarantine.get(host, (0.0, 0))[0]:
            return
        self.trust.asked(host, self.now)
        most = self.trust.allowance(host, self.now) if self.policy.trusts else None
        for _ in range(self.free[host] if most is None else min(most, self.free[host])):
            barred = self.trust.paused(host, self.now) if self.policy.trusts else {}
            name = next((name for name, queue in self.ready.items() if queue and name not in barred), None)
            if name is None:
                return
            task = self.ready[name].popleft()
            self.ready[name] = self.ready.pop(name)  # the next of another dataset
            self.start(task, host)

    def start(self, task: Task, host: str) -> None:
        task.starts += 1
        task.status = "processing"
        self.free[host] -= 1
        self.trust.claimed(host, {task.id: task.dataset}, self.now)
        self.running[task.id] = task, host, self.now
        reason, seconds = self.fate(task, host)
        instance = task.starts
        self.at(self.now + seconds, lambda: self.end(task, instance, reason))

    def fate(self, task: Task, host: str) -> tuple[str, float]:
        """How an attempt that begins now ends, and after how many seconds."""
        address = task.dataset.partition("#")[0]
        begin, end = self.world.holes.get(host, (0.0, 0.0))
        if begin <= self.now < end:
            return "sh ended with status 1: /tmp: Input", 3.0
        if _within(self.now, self.world.storage[address]):
            return f"transfer failure: {address}/sim/in.i3: Connection refused", 20.0
        if task.fault:
            return task.fault, task.fault_after
        seconds, asked = task.hours * HOUR, task.doc["requirements"]["memory"]
        if task.memory > 1.1 * asked:
            reason = f"memory limit: used {1.1 * asked:.2f} GB of {asked} GB"
            return reason, seconds * self.chance.uniform(0.05, 0.8)
        away = _within(self.now + seconds, self.world.storage[address])
        if away and not (self.policy.keeps and away - self.now - seconds < self.chance.uniform(0, LIFETIME)):
            return f"transfer failure: {address}/sim/out.i3: Connection refused", seconds
        return "", seconds

    # -- ends

    def lose(self, site: str, cause: str) -> None:
        """What runs at a site is gone, or everywhere: nobody's failure."""
        for task, host, began in list(self.running.values()):
            if host.startswith(site):
                self.stop(task, cause, began)
                self.trust.dropped(host, task.id)
                self.release(task)
        for task, host, _, hours in list(self.storing.values()):
            if host.startswith(site):
                del self.storing[task.id]
                self.outcome.useful -= hours
                self.outcome.wasted += hours
                self.outcome.by_cause[cause] += hours
                self.release(task)

    def stop(self, task: Task, cause: str, began: float) -> None:
        _, host, _ = self.running.pop(task.id)
        self.free[host] += 1
        hours = (self.now - began) / HOUR
        if cause:
            self.outcome.wasted += hours
            self.outcome.by_cause[cause] += hours
        else:
            self.outcome.useful += hours

    def end(self, task: Task, instance: int, reason: str) -> None:
        if task.id not in self.running or task.starts != instance:
            return
        _, host, began = self.running[task.id]
        task.faults += bool(reason) and reason == task.fault
        if reason:
            self.fail(task, host, began, reason)
        else:
            self.stop(task, "", began)
            self.storing[task.id] = task, host, began, (self.now - began) / HOUR
            away = _within(self.now, self.world.storage[task.dataset.partition("#")[0]])
            if away:
                self.at(away, lambda: self.complete(task, instance))
            else:
                self.complete(task, instance)
        self.fill(host)

    def complete(self, task: Task, instance: int) -> None:
        """Its output is stored."""
        if task.id not in self.storing or task.starts != instance:
            return
        _, host, began, _ = self.storing.pop(task.id)
        task.status = "complete"
        self.open -= 1
        self.outcome.complete += 1
        self.outcome.finished = self.now / HOUR
        self.good_hosts.add(host)
        self.trust.succeeded(host, task.id, task.dataset, self.now)
        self.answered(task, began)

    def fail(self, task: Task, host: str, began: float, reason: str) -> None:
        scene = Scene(host, False, host in self.good_hosts, _text(self.now))
        verdict = failures.judge(task.doc, reason, self.limits, self.policy.rules, scene)
        rule = verdict.rule
        self.stop(task, rule.name, began)
        doc = task.doc
        doc["requirements"] = failures.grown_blindly(
            grow(doc["requirements"], {}, self.limits), doc["requirements"], rule, self.limits)
        doc.setdefault("failure_counts", Counter())[rule.name] += 1
        doc.setdefault("attempts", []).append({"host": host, "rule": rule.name, "blame": rule.blame.value})
        if rule.blame is Blame.OUTSIDE:
            doc["outside_since"] = doc.get("outside_since") or _text(self.now)
        else:
            doc.pop("outside_since", None)
            doc["failures"] = doc.get("failures", 0) + 1
            doc["infrastructure_failures"] = doc.get("infrastructure_failures", 0) + (
                rule.blame is Blame.INFRASTRUCTURE)
        away = self.is_away(task, host, reason) if rule.blame is Blame.OUTSIDE and self.policy.waits else ""
        if away:
            self.trust.dropped(host, task.id)
        else:
            self.trust.failed(host, Failure(self.now, task.id, task.dataset, self.now - began))
        if verdict.given_up:
            task.status, doc["why"] = "failed", f"{reason}: {verdict.given_up}"
            self.open -= 1
        elif away:
            task.status = "waiting"
            self.parked[away].append(task)
        else:
            task.status = "waiting"
            wait = failures.pause(rule, verdict.count, self.limits, self.chance.random())
            self.at(self.now + wait, lambda: self.release(task))
        if self.policy.trusts and self.trust.black_hole(host, self.now):
            self.bar(host)

    def bar(self, host: str) -> None:
        times = self.quarantine.get(host, (0.0, 0))[1]
        self.quarantine[host] = self.now + min(DAY, QUARANTINE * 2**times), times + 1
        for one in self.trust.blamed(host):
            self.give_back(self.known[one.task_id], host)
        self.trust.forget(host)

    def give_back(self, task: Task, host: str) -> None:
        doc = task.doc
        made_it_fail = task.status == "failed" and [one["host"] for one in doc["attempts"]][-1:] == [host]
        for one in [one for one in doc["attempts"] if one["host"] == host and one["blame"] != "outside"]:
            doc["attempts"].remove(one)
            doc["failures"] -= 1
            doc["failure_counts"][one["rule"]] -= 1
            doc["infrastructure_failures"] -= one["blame"] == "infrastructure"
        if made_it_fail:
            self.open += 1
            self.release(task)

    def release(self, task: Task) -> None:
        task.status = "waiting"
        key = next((key for key, one in self.breakers.items()
                    if one.is_open and (task.dataset, "t") in one.needs), "")
        (self.parked[key] if key else self.ready[task.dataset]).append(task)

    # -- breakers

    @property
    def settings(self) -> Limits:
        return Limits(self.limits.breaker_failures, self.limits.probe_seconds)

    def is_away(self, task: Task, host: str, reason: str) -> str:
        key = breakers.resources_of(reason)
        seen = Seen(self.now, task.id, host, (task.dataset, "t"))
        before = self.breakers.get(key, Breaker(key))
        self.breakers[key] = one = breakers.failed(before, seen, reason, self.settings)
        if one.is_open:
            for dataset, _ in one.needs:
                self.parked[key] += self.ready.pop(dataset, ())
        return key if one.is_open else ""

    def answered(self, task: Task, began: float) -> None:
        for key, one in self.breakers.items():
            if (one.is_open or one.seen) and (task.dataset, "t") in one.needs:
                self.set_breaker(key, breakers.succeeded(one, began))

    def set_breaker(self, key: str, one: Breaker) -> None:
        self.breakers[key] = one
        if not one.is_open and self.parked[key]:
            for task in self.parked.pop(key):
                self.ready[task.dataset].append(task)

    def probe(self, key: str) -> None:
        one = self.breakers[key]
        if not one.is_open or self.now < one.next_probe or not self.parked[key]:
            return
        began = [self.running[id][2] for id in one.probes if id in self.running]
        running = sum(self.now - moment >= RUNS_SECONDS for moment in began)
        waiting = len(began) - running
        count = breakers.most_released(one, self.now, running, waiting)
        chosen = [self.parked[key].popleft() for _ in range(min(count, len(self.parked[key])))]
        for task in chosen:
            self.ready[task.dataset].append(task)
        if chosen:
            ids = [task.id for task in chosen]
            self.set_breaker(key, breakers.probed(one, ids, self.now, self.settings))


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def simulate(policy: Policy, seed: int = 1, datasets: int = 40, jobs: int = 500) -> Outcome:
    """A month under a policy."""
    return Month(policy, seed, datasets, jobs).run()
