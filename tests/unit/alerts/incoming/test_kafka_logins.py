"""Logging in at Kafka: what is configured reaches the broker or the issuer, no secret anybody else."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from config.alerts import Alerts, AlertSource, AlertTarget
from server.alerts.common import kafka
from server.alerts.incoming import sources
from server.alerts.incoming.kafka_source import KafkaSource
from server.alerts.outgoing import targets
from server.alerts.outgoing.targets import Parcel
from server.rest.context import Context
from server.sending.outbox import SendError
from tests.support.alerts.kafka_sasl import broker, issuer

pytest.importorskip("confluent_kafka", reason="no confluent-kafka")

SECRET = "a-very-long-secret"
PATIENCE = 30.0
NOWHERE = "127.0.0.1:9"


def source(ctx: Context, address: str, options: dict[str, str]) -> KafkaSource:
    return KafkaSource(ctx, "gcn", AlertSource(kind="kafka", address=address, topics=["a"], options=options))


async def polled_until(here: KafkaSource, holds: Callable[[], Any]) -> list[str]:
    """Listen until something holds; what the source says meanwhile."""
    said, end = [], time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, said
        said += await told(here)
    return said


async def told(here: KafkaSource) -> list[str]:
    """What the source says is wrong, if it says so now."""
    try:
        await here.poll(0.2)
    except OSError as error:
        return [str(error)]
    return []


@pytest.mark.parametrize(("mechanism", "begins"), [
    ("PLAIN", f"\0somebody\0{SECRET}".encode()), ("SCRAM-SHA-256", b"n,,n=somebody,r="),
    ("SCRAM-SHA-512", b"n,,n=somebody,r="),
])  # fmt: skip
async def test_user_and_password_reach_the_broker(ctx: Context, mechanism: str, begins: bytes) -> None:
    with broker() as there:
        here = source(ctx, there.address, {
            "security.protocol": "sasl_plaintext", "sasl.mechanism": mechanism, "sasl.username": "somebody",
            "sasl.password": SECRET})
        try:
            said = await polled_until(here, lambda: there.said)
            assert there.mechanisms[0] == mechanism
            assert there.said[0].startswith(begins)
            said += await polled_until(here, lambda: len(there.said) > 1)
            assert SECRET not in str(said)
        finally:
            await here.close()


async def test_a_token_is_asked_for_with_the_clients_credentials(ctx: Context) -> None:
    with issuer() as there:
        there.status = 401
        here = source(ctx, NOWHERE, {
            "security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.id": "me",
            "sasl.oauthbearer.client.secret": SECRET, "sasl.oauthbearer.scope": "gcn.nasa.gov/kafka",
            "sasl.oauthbearer.token.endpoint.url": there.url})
        said: list[str] = []
        try:
            end = time.monotonic() + PATIENCE
            while not (there.asked and any("oken" in text for text in said)):
                assert time.monotonic() < end, said
                said += await told(here)
        finally:
            await here.close()
    headers, form = there.asked[0]
    assert parse_qs(form) == {"grant_type": ["client_credentials"], "scope": ["gcn.nasa.gov/kafka"]}
    assert headers["Authorization"] == "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert SECRET not in str(said)


WRONG = [
    ({"sasl.passwrd": SECRET}, "sasl.passwrd"), ({"security.protocol": "sasl_plain"}, "security.protocol"),
    ({"session.timeout.ms": "soon"}, "session.timeout.ms"),
    ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "MAGIC"}, "sasl.mechanism: .*MAGIC"),
    ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER",
      "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.secret": SECRET}, "token.endpoint.url"),
    ({"bootstrap.servers": "x"}, "bootstrap.servers: this one is set by the program"),
    ({"error_cb": "x"}, "error_cb"), ({"security.protocol": "ssl", "ssl.key.pem": SECRET}, "ssl.key.pem"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "says"), WRONG)
async def test_a_wrong_option_is_named(ctx: Context, options: dict[str, str], says: str) -> None:
    with pytest.raises(OSError, match=rf"alerts\.sources\.gcn\.options: .*{says}") as error:
        source(ctx, NOWHERE, options)
    assert SECRET not in str(error.value)


async def test_a_wrong_option_of_a_target_is_named(ctx: Context) -> None:
    target = AlertTarget(kind="kafka", address=NOWHERE, topic="a", options={"sasl.passwrd": SECRET})
    with pytest.raises(SendError, match=r"alerts\.targets\.out\.options: .*sasl\.passwrd") as error:
        await targets.send(ctx, "out", target, Parcel("k", "e", "f", "t", b"{}", None, ""))
    assert SECRET not in str(error.value)


async def test_standings_have_no_secrets(ctx: Context, caplog: pytest.LogCaptureFixture,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """What pages and the API show of sources, and what the log says of one that is set wrongly."""
    wrong = AlertSource(kind="kafka", address=NOWHERE, topics=["a"], options={
        "sasl.password": SECRET, "sasl.oauthbearer.client.secret": SECRET, "ssl.key.password": SECRET,
        "security.protocol": f"x{SECRET}"})
    bucket = AlertSource(kind="s3", address="s3://b", endpoint=f"http://{NOWHERE}", access_key="AK",
                         secret_key=SECRET)
    settings = msgspec.structs.replace(ctx.settings, alerts=Alerts(sources={"gcn": wrong, "cloud": bucket}))
    ctx = replace(ctx, settings=settings)
    monkeypatch.setattr(sources, "ROUND", 0.5)
    await sources.listen(ctx)
    found = await sources.standings(ctx)
    assert ["security.protocol" in one["error"] for one in found] == [True, False]
    assert NOWHERE in found[1]["error"]
    assert SECRET not in str(found) + caplog.text + str([vars(one) for one in caplog.records])


def test_which_options_are_secret() -> None:
    secret = ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret",
              "sasl.oauthbearer.config", "ssl.keystore.password",
              "sasl.oauthbearer.assertion.private.key.pem",
              "sasl.oauthbearer.assertion.private.key.passphrase"]
    for name in secret:
        assert kafka.without_secrets({name: SECRET}, f"say {SECRET}") == "say ***", name
    for name in ("sasl.username", "sasl.oauthbearer.token.endpoint.url", "group.id"):
        assert kafka.without_secrets({name: "word"}, "word") == "word", name
