"""Targets: what carries a notice away, one function per kind behind one interface.

Each is given the same key for the same notice however often it is tried, and passes it on in the way of its
protocol: a file's name, the header Idempotency-Key, a mail's Message-ID, the header of a Kafka message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.alerts import AlertTarget
from server.alerts.common import kafka
from server.desk.outside import calls
from server.desk.outside.calls import Call
from server.rest.context import Context
from server.rules.conditions import fits
from server.sending import mail
from server.sending.mail import Attachment, Letter, MailServer
from server.sending.outbox import SendError

__all__ = ["Parcel", "chosen", "send"]

SECONDS = 15.0
_THREADS = ThreadPoolExecutor(4, "targets")  # a target that hangs must not stop what others compute


@dataclass(frozen=True)
class Parcel:
    """What a target gets."""

    key: str  # the same for the same notice and target
    event: str  # notices of one event have the same
    file_name: str  # without an ending
    title: str
    document: bytes  # JSON
    skymap: bytes | None  # FITS, gzip
    text: str  # for people


def chosen(targets: Mapping[str, AlertTarget], patterns: list[str], is_test: bool) -> list[str]:
    """The targets that a rule names, but for public ones when it is only a test."""
    return [name for name, target in targets.items()
            if fits(patterns, name) and not (is_test and target.public)]


async def send(ctx: Context, name: str, target: AlertTarget, parcel: Parcel) -> str:
    """Give a target a notice; what it says to that. Raises SendError."""
    try:
        async with asyncio.timeout(2 * SECONDS):
            return await _SENDERS[target.kind](ctx, name, target, parcel)
    except TimeoutError:
        raise SendError("no answer in time") from None
    except OSError as error:
        raise SendError(f"{type(error).__name__}: {error}"[:500]) from None
    except calls.ServiceError as error:
        raise SendError(error.reason) from None


async def _to_folder(ctx: Context, name: str, target: AlertTarget, parcel: Parcel) -> str:
    return await _in_thread(_write, Path(target.address), parcel)


def _write(folder: Path, parcel: Parcel) -> str:
    """The map first: whoever watches for the notice finds both."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {".fits.gz": parcel.skymap, ".txt": parcel.text.encode(), ".json": parcel.document}
    for ending, content in files.items():
        if content is not None:
            unfinished = folder / f".{parcel.file_name}{ending}.part"
            unfinished.write_bytes(content)
            unfinished.replace(folder / f"{parcel.file_name}{ending}")
    return f"{parcel.file_name}.json"


async def _to_http(ctx: Context, name: str, target: AlertTarget, parcel: Parcel) -> str:
    headers = {**target.headers, "Idempotency-Key": parcel.key}
    call = Call(f"alert target {name}", target.address, body=parcel.document, headers=headers)
    await calls.fetch(ctx, call)
    return "taken"


async def _to_smtp(ctx: Context, name: str, target: AlertTarget, parcel: Parcel) -> str:
    options = target.options
    server = MailServer(target.address, starttls=options.get("starttls", "no") == "yes",
                        username=options.get("username", ""), password=options.get("password", ""))
    attached = Attachment(f"{parcel.file_name}.json", "application/json", parcel.document)
    letter = Letter(parcel.key, parcel.event, target.sender, target.recipients, parcel.title, parcel.text,
                    [attached])
    return await mail.send(server, letter, _THREADS)


_producers: dict[str, Any] = {}


async def _to_kafka(ctx: Context, name: str, target: AlertTarget, parcel: Parcel) -> str:
    return await _in_thread(_produce, name, target, parcel)


def _produce(name: str, target: AlertTarget, parcel: Parcel) -> str:
    try:
        from confluent_kafka import KafkaException, Producer
    except ImportError:
        raise SendError("Kafka needs the package confluent-kafka (extra `kafka`)") from None
    answers: list[Any] = []
    try:
        if name not in _producers:
            _producers[name] = kafka.client(
                Producer, f"alerts.targets.{name}.options", target.options,
                {"message.timeout.ms": round(SECONDS * 1000), "reconnect.backoff.ms": 500, "log_level": 2},
                {"enable.idempotence": True, "bootstrap.servers": target.address})
        producer = _producers[name]
        producer.produce(target.topic, value=parcel.document, key=parcel.event,
                         headers={"idempotency-key": parcel.key},
                         on_delivery=lambda error, message: answers.append((error, message)))
        producer.flush(SECONDS + 1)
    except (KafkaException, BufferError) as error:
        raise SendError(kafka.without_secrets(target.options, str(error))) from None
    if not answers:
        producer.purge()
        raise SendError("no broker took it in time")
    fault, message = answers[0]
    if fault is not None:
        raise SendError(fault.str())
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"


async def _in_thread(act: Callable[..., str], *arguments: Any) -> str:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, act, *arguments)


_SENDERS: dict[str, Callable[[Context, str, AlertTarget, Parcel], Awaitable[str]]] = {
    "folder": _to_folder, "http": _to_http, "smtp": _to_smtp, "kafka": _to_kafka}
