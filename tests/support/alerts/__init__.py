"""Alerts for tests: messages, finished maps without pilots, a folder as target, crashes, a Kafka cluster."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from config.alerts import AlertGate, AlertRule, Alerts, AlertStep, AlertTarget
from scanner.maps import healpix
from scanner.maps.levels import Progression, first_pixels
from scanner.maps.result import Method, ScanMetadata, ScanResult, nan_rows
from server.alerts.common.alerts import Arrival, Origin
from server.rest.context import Context
from server.scans.results import results
from tests.support.scans import simulated_event

__all__ = ["Cluster", "Crash", "Dying", "arrival", "event_bytes", "finish", "finished_map", "running_kafka",
           "with_alerts"]

NSIDES = "8:0,64:12"


def event_bytes(seed: int = 1) -> bytes:
    """A made-up event as a message."""
    return json.dumps(simulated_event(seed)).encode()


def arrival(data: bytes, replay: str = "", source: str = "test", stream: str = "") -> Arrival:
    """A message that comes now."""
    return Arrival(stream, data, Origin(source, time.time()), replay)


def with_alerts(ctx: Context, folder: Path | None = None, steps: int = 1, gate: AlertGate | None = None,
                **target: Any) -> Context:
    """The same server with a rule of so many steps and, with a folder, a target."""
    recos = ("track_mpe", "track")[:steps]
    rule = AlertRule(steps=[AlertStep(reco=reco, nsides=NSIDES) for reco in recos],
                     gate=gate or AlertGate(online_deg=0))
    targets = {} if folder is None else {"folder": AlertTarget(kind="folder", address=str(folder), **target)}
    settings = msgspec.structs.replace(ctx.settings, alerts=Alerts(rules={"one": rule}, targets=targets))
    return replace(ctx, settings=settings)


def finished_map(ra: float = 120.0, dec: float = 20.0, reco: str = "track_mpe", run_id: int = 7,
                 width: float = 4.0) -> ScanResult:
    """A complete map with one round region."""
    nside, fine = 8, 64
    tables = {nside: _rows(nside, first_pixels(Progression.parse(f"{nside}:0")), ra, dec, width),
              fine: _rows(fine, np.sort(healpix.disc(fine, ra, dec, 15.0)), ra, dec, width)}
    return ScanResult(tables, ScanMetadata(run_id, 11, "neutrino", 60000.0), True, Method(reco, reco))


def _rows(nside: int, pixels: np.ndarray, ra: float, dec: float, width: float) -> np.ndarray:
    table = nan_rows(pixels)
    there = healpix.unit_vectors(*healpix.centres(nside, pixels))
    apart = np.degrees(np.arccos(np.clip(there @ healpix.unit_vectors(ra, dec), -1, 1)))
    table["llh"] = 500 + (apart / width) ** 2 / 2
    return table


async def finish(ctx: Context, scan_id: str, result: ScanResult) -> None:
    """Give a scan its final map, as a scanner outside would."""
    await results.put(ctx, scan_id, msgspec.json.encode(result.to_json()), True)


class Crash(BaseException):
    """The process dies here: nothing after it is done, and nobody catches it."""


class Dying:
    """A database that lets a process die after so many of its writes."""

    def __init__(self, db: Any, left: int) -> None:
        self._db, self.left, self.writes = db, left, 0

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __getitem__(self, name: str) -> Any:
        return _DyingCollection(self, self._db[name])


class _DyingCollection:
    def __init__(self, db: Dying, collection: Any) -> None:
        self._dying, self._collection = db, collection

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if not name.startswith(("insert", "update", "replace", "delete", "find_one_and")):
            return method

        async def write(*arguments: Any, **options: Any) -> Any:
            done = await method(*arguments, **options)
            self._dying.writes += 1
            if self._dying.writes == self._dying.left:
                raise Crash
            return done

        return write


@dataclass
class Cluster:
    """Its address, and a producer for it."""

    producer: Any
    address: str

    def send(self, topic: str, value: bytes) -> None:
        self.producer.produce(topic, value=value)
        assert self.producer.flush(20) == 0

    def read(self, topic: str, count: int, group: str = "reader") -> list[Any]:
        """So many messages from the beginning of a topic."""
        import confluent_kafka

        reader = confluent_kafka.Consumer({"bootstrap.servers": self.address, "group.id": group,
                                           "auto.offset.reset": "earliest"})
        reader.subscribe([topic])
        found: list[Any] = []
        try:
            for _ in range(60):
                message = reader.poll(0.5) if len(found) < count else None
                if message is not None and message.error() is None:
                    found.append(message)
            return found
        finally:
            reader.close()


@contextlib.contextmanager
def running_kafka(brokers: int = 1) -> Iterator[Cluster]:
    """librdkafka's mock brokers, which speak the real protocol over TCP, as long as the block lasts."""
    confluent_kafka = pytest.importorskip("confluent_kafka", reason="no confluent-kafka")
    producer = confluent_kafka.Producer({"test.mock.num.brokers": brokers, "bootstrap.servers": "mock"})
    known = producer.list_topics(timeout=20).brokers.values()
    yield Cluster(producer, ",".join(f"{one.host}:{one.port}" for one in known))
    producer.flush(5)
