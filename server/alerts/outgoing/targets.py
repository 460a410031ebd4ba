"""Targets: what carries a notice away, one function per kind behind one interface.

Each is given the same key for the same notice however often it is tried, and passes it on in the way of its
protocol: a file's name, the header Idempotency-Key, a mail's Message-ID, the header of a Kafka message.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from config.alerts import AlertTarget
from server.alerts.common import kafka
from server.desk.outside import calls
from server.desk.outside.calls import Call
from server.rest.context import Context
from server.rules.conditions import fits

__all__ = ["Parcel", "TargetError", "chosen", "send"]

SECONDS = 15.0
_THREADS = ThreadPoolExecutor(4, "targets")  # a target that hangs must not stop what others compute


class TargetError(Exception):
    """A target did not take a notice; the text says why."""


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
    """Give a target a notice; what it says to that. Raises TargetError."""
    try:
        async with asyncio.timeout(2 * SECONDS):
            return await _SENDERS[target.kind](ctx, name, target, parcel)
    except TimeoutError:
        raise TargetError("no answer in time") from None
    except (OSError, smtplib.SMTPException) as error:
        raise TargetError(f"{type(error).__name__}: {error}"[:500]) from None
    except calls.ServiceError as error:
        raise TargetError(error.reason) from None


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
    return await _in_thread(_mail, target, parcel)


def _mail(target: AlertTarget, parcel: Parcel) -> str:
    message = EmailMessage()
    message["From"], message["To"] = target.sender, ", ".join(target.recipients)
    message["Subject"] = parcel.title
    place = target.sender.rpartition("@")[2] or "iceprod"
    message["Message-ID"], message["References"] = f"<{parcel.key}@{place}>", f"<{parcel.event}@{place}>"
    message.set_content(parcel.text)
    message.add_attachment(parcel.document, maintype="application", subtype="json",
                           filename=f"{parcel.file_name}.json")
    host, _, port = target.address.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=SECONDS) as server:
        if target.options.get("starttls", "no") == "yes":
            server.starttls()
        if "username" in target.options:
            server.login(target.options["username"], target.options.get("password", ""))
        server.send_message(message)
    return f"mailed to {len(target.recipients)}"


_producers: dict[str, Any] = {}


async def _to_kafka(ctx: Context, name: str, target: AlertTarget, parcel: Parcel) -> str:
    return await _in_thread(_produce, name, target, parcel)


def _produce(name: str, target: AlertTarget, parcel: Parcel) -> str:
    try:
        from confluent_kafka import KafkaException, Producer
    except ImportError:
        raise TargetError("Kafka needs the package confluent-kafka (extra `kafka`)") from None
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
        raise TargetError(kafka.without_secrets(target.options, str(error))) from None
    if not answers:
        producer.purge()
        raise TargetError("no broker took it in time")
    fault, message = answers[0]
    if fault is not None:
        raise TargetError(fault.str())
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"


async def _in_thread(act: Callable[..., str], *arguments: Any) -> str:
    return await asyncio.get_running_loop().run_in_executor(_THREADS, act, *arguments)


_SENDERS: dict[str, Callable[[Context, str, AlertTarget, Parcel], Awaitable[str]]] = {
    "folder": _to_folder, "http": _to_http, "smtp": _to_smtp, "kafka": _to_kafka}
