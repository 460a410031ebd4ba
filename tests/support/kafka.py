"""A Kafka cluster inside this process: librdkafka's mock brokers, which speak the real protocol over TCP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

__all__ = ["Cluster", "running_kafka"]


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
    """The cluster, as long as the block lasts."""
    confluent_kafka = pytest.importorskip("confluent_kafka", reason="no confluent-kafka")
    producer = confluent_kafka.Producer({"test.mock.num.brokers": brokers, "bootstrap.servers": "mock"})
    known = producer.list_topics(timeout=20).brokers.values()
    yield Cluster(producer, ",".join(f"{one.host}:{one.port}" for one in known))
    producer.flush(5)
