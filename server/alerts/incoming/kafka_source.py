"""Kafka topics, such as GCN's and those of SCiMMA; needs the extra `kafka` (confluent-kafka).

Offsets are committed only when the messages before them are stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from config.alerts import AlertSource
from server.alerts.common import kafka
from server.alerts.common.alerts import Arrival, Origin
from server.rest.context import Context

__all__ = ["KafkaSource"]

AT_ONCE = 20
_OURS: dict[str, Any] = {"enable.auto.commit": False, "enable.auto.offset.store": False}
_USUAL: dict[str, Any] = {
    "auto.offset.reset": "latest", "socket.timeout.ms": 10_000, "reconnect.backoff.ms": 500,
    "log_level": 2}  # what goes wrong we are told; librdkafka's own words would fill the log


class KafkaSource:
    """A consumer of a group. What is polled and not `done` comes again after the next start."""

    trouble = ""

    def __init__(self, ctx: Context, name: str, settings: AlertSource) -> None:
        try:
            from confluent_kafka import Consumer
        except ImportError:
            raise OSError("Kafka needs the package confluent-kafka (extra `kafka`)") from None
        if not settings.topics:
            raise OSError(f"alerts.sources.{name}.topics: Kafka needs at least one")
        self._name, self._stream, self._options = name, settings.stream, settings.options
        self._taken: list[Any] = []
        self._trouble = ""
        self._consumer = kafka.client(
            Consumer, f"alerts.sources.{name}.options", settings.options, _USUAL,
            {**_OURS, "bootstrap.servers": settings.address, "group.id": settings.group,
             "error_cb": self._fault})
        self._thread = ThreadPoolExecutor(1, f"kafka {name}")  # a consumer is used by one thread at a time
        self._consumer.subscribe(settings.topics)

    def _fault(self, error: Any) -> None:
        """What librdkafka says of brokers that are away; it goes on trying by itself."""
        self._trouble = kafka.without_secrets(self._options, str(error.str()))

    async def poll(self, seconds: float) -> Sequence[Arrival]:
        found = await self._run(self._consume, seconds)
        if not found and self._trouble:
            trouble, self._trouble = self._trouble, ""
            raise OSError(trouble)
        return found

    def _consume(self, seconds: float) -> list[Arrival]:
        first = self._consumer.poll(seconds)
        self._taken = [] if first is None else [first, *self._consumer.consume(AT_ONCE - 1, 0.0)]
        for message in self._taken:
            if message.error() is not None:
                raise OSError(message.error().str())
        return [self._arrival(message) for message in self._taken]

    def _arrival(self, message: Any) -> Arrival:
        place = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        return Arrival(self._stream or message.topic(), message.value() or b"",
                       Origin(self._name, time.time(), place))

    async def done(self, taken: Sequence[Arrival]) -> None:
        await self._run(self._commit)

    def _commit(self) -> None:
        for message in self._taken:
            self._consumer.store_offsets(message)
        if self._taken:
            self._consumer.commit(asynchronous=False)
        self._taken = []

    async def close(self) -> None:
        await self._run(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def _run(self, act: Any, *arguments: Any) -> Any:
        from confluent_kafka import KafkaException

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, act, *arguments)
        except KafkaException as error:
            raise OSError(str(error)) from None
