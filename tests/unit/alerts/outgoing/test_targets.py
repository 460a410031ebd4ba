"""Targets: a real mail server, HTTP, Kafka's real protocol, files; each gets one key for one notice."""

from __future__ import annotations

import contextlib
import email
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.alerts import AlertTarget
from server.alerts.common import alerts, revisions
from server.alerts.outgoing import notices, outbox
from server.alerts.outgoing.targets import chosen
from server.alerts.way import acts, advance, arriving
from server.common.errors import NotFound
from server.rest.context import Context
from tests.support.alerts import arrival, event_bytes, finish, finished_map, running_kafka, with_alerts
from tests.support.api import free_port


def with_target(ctx: Context, target: AlertTarget, **more: Any) -> Context:
    made = with_alerts(ctx)
    changed = msgspec.structs.replace(
        made.settings.alerts, targets={"one": target}, **{"retry_seconds": 0.0, **more})
    return replace(made, settings=msgspec.structs.replace(made.settings, alerts=changed))


async def publish(ctx: Context, seed: int = 1) -> alerts.Alert:
    """An alert whose map is told."""
    alert = await arriving.take_in(ctx, arrival(event_bytes(seed)))
    await advance.advance(ctx, alert.alert_id)
    revision, = await revisions.of_alert(ctx, alert.alert_id)
    await finish(ctx, revision.scan_id, finished_map())
    await advance.advance(ctx, alert.alert_id)
    await outbox.deliver(ctx)
    return await alerts.find(ctx, alert.alert_id)


class Receiver:
    """An HTTP server that keeps what it is sent; `status` is what it answers."""

    def __init__(self) -> None:
        self.status, self.got = 202, []  # type: int, list[tuple[str, dict[str, Any]]]
        self.url = ""


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.headers["Idempotency-Key"], json.loads(body)))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/notices"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


async def test_http(ctx: Context) -> None:
    with receiving() as receiver:
        ctx = with_target(ctx, AlertTarget(kind="http", address=receiver.url, headers={"X-Key": "secret"}))
        alert = await publish(ctx)
        (key, document), = receiver.got
        assert key == f"{alert.alert_id}.1.one"
        assert document["alert_tense"] == "test"
        assert document["event_name"] == [alert.event_name]
        assert document["healpix_file"]
        kept = await ctx.db.desk_transactions.find_one({})
        assert "secret" not in str(kept)


async def test_a_target_that_is_away_makes_a_dead_letter_which_can_be_tried_again(ctx: Context) -> None:
    with receiving() as receiver:
        receiver.status = 400
        ctx = with_target(ctx, AlertTarget(kind="http", address=receiver.url), tries=3)
        alert = await publish(ctx)
        for _ in range(4):
            await outbox.deliver(ctx)
        row, = await outbox.listed(ctx)
        assert (row["state"], row["tries"]) == ("dead", 3)
        assert "HTTP 400" in row["outcome"]
        receiver.status = 200
        await outbox.again(ctx, row["key"])
        await outbox.deliver(ctx)
        row, = await outbox.listed(ctx)
        assert row["state"] == "sent"
        assert {key for key, _ in receiver.got} == {row["key"]}, "one notice has one key"
        with pytest.raises(NotFound):
            await outbox.again(ctx, row["key"])
        await acts.retract(ctx, alert.alert_id, "a flasher run", "me")
        await outbox.deliver(ctx)
        assert [document["alert_type"] for _, document in receiver.got[-2:]] == ["initial", "retraction"]
        assert "flasher" in receiver.got[-1][1]["additional_info"]


async def test_a_later_notice_waits_for_the_earlier_one(ctx: Context) -> None:
    with receiving() as receiver:
        receiver.status = 400
        ctx = with_target(ctx, AlertTarget(kind="http", address=receiver.url), retry_seconds=60.0)
        alert = await publish(ctx)
        await acts.retract(ctx, alert.alert_id, "a flasher run", "me")
        await ctx.db.alert_outbox.update_many({"record_number": 1}, {"$set": {"due": 1e12}})
        await outbox.deliver(ctx)
        assert [document["alert_type"] for _, document in receiver.got] == ["initial"] * len(receiver.got)


async def test_mail(ctx: Context) -> None:
    controllers = pytest.importorskip("aiosmtpd.controller", reason="no aiosmtpd")

    class Sink:
        got: list[Any] = []  # noqa: RUF012 (of one test)

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            self.got.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
            return "250 OK"

    sink, port = Sink(), free_port()
    controller = controllers.Controller(sink, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        ctx = with_target(ctx, AlertTarget(
            kind="smtp", address=f"127.0.0.1:{port}", sender="alerts@example.org",
            recipients=["shift@example.org", "desk@example.org"]))
        alert = await publish(ctx)
    finally:
        controller.stop()
    (recipients, message), = sink.got
    assert recipients == ["shift@example.org", "desk@example.org"]
    assert message["Message-ID"] == f"<{alert.alert_id}.1.one@example.org>"
    assert message["Subject"] == f"TEST: {alert.event_name}: initial"
    text, attached = message.get_payload()
    assert "THIS IS A TEST" in text.get_payload(decode=True).decode()
    assert json.loads(attached.get_payload(decode=True))["record_number"] == 1


async def test_kafka(ctx: Context) -> None:
    with running_kafka() as kafka:
        ctx = with_target(ctx, AlertTarget(kind="kafka", address=kafka.address, topic="notices"))
        alert = await publish(ctx)
        row, = await outbox.listed(ctx)
        assert row["state"] == "sent", row
        message, = kafka.read("notices", 1)
        assert message.key() == alert.event_name.encode()
        assert message.headers() == [("idempotency-key", f"{alert.alert_id}.1.one".encode())]
        assert json.loads(message.value())["id"] == ["7_11"]


async def test_files(ctx: Context, tmp_path: Path) -> None:
    ctx = with_target(ctx, AlertTarget(kind="folder", address=str(tmp_path)), map_url="https://maps.example/")
    alert = await publish(ctx)
    document = json.loads((tmp_path / f"{alert.event_name}-01-initial.json").read_text())
    assert document["healpix_url"] == f"https://maps.example/{alert.event_name}-01-initial.fits.gz"
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".gz", ".txt"}


async def test_a_folder_that_cannot_be_written(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ctx = with_target(ctx, AlertTarget(kind="folder", address=str(tmp_path / "file")), tries=1)
    await publish(ctx)
    row, = await outbox.listed(ctx)
    assert row["state"] == "dead"
    assert "Error" in row["outcome"]


def test_public_targets_get_no_tests() -> None:
    known = {"inside": AlertTarget(kind="folder", address="a"),
             "world": AlertTarget(kind="folder", address="b", public=True)}
    assert chosen(known, ["*"], is_test=True) == ["inside"]
    assert chosen(known, ["*"], is_test=False) == ["inside", "world"]
    assert chosen(known, ["w*"], is_test=False) == ["world"]


@pytest.mark.parametrize("wrong", [
    {"kind": "folder", "address": "x", "public": True, "sends_held": True}, {"kind": "kafka", "address": "x"},
    {"kind": "smtp", "address": "x"}, {"kind": "http", "address": "ftp://x"},
])  # fmt: skip
def test_targets_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r":"):
        AlertTarget(**wrong)


async def test_a_target_that_is_configured_no_more(ctx: Context, tmp_path: Path) -> None:
    there = with_target(ctx, AlertTarget(kind="folder", address=str(tmp_path / "x")), retry_seconds=60.0)
    (tmp_path / "x").write_text("")
    await publish(there)
    await ctx.db.alert_outbox.update_many({}, {"$set": {"due": 0.0}})
    await outbox.deliver(with_alerts(ctx))
    row, = await outbox.listed(ctx)
    assert (row["state"], row["outcome"]) == ("dead", "this target is not configured any more")
    notice, = await notices.listed(ctx, "7_11", 0, 10)
    assert notice.is_test
