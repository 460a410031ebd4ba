"""The page of alerts, walked: its configuration runs, its commands are typed, its routes are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from config.settings import load
from tests.integration.cli.walking import DOCS, blocks, console, inline, shell, walked
from tests.support.alerts import event_bytes
from tests.support.installation import Installed, installation, wait_until
from tests.unit.alerts.outgoing.test_targets import receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE = DOCS / "alerts.md"
AWAY = {
    ("sources", "i3live"): "nobody publishes there; a publisher on this machine: tests/unit/alerts/incoming",
    ("sources", "gcn"): "GCN wants an account; a broker on this machine: tests/unit/alerts/incoming",
    ("targets", "inside"): "a mail server; one on this machine: tests/unit/alerts/outgoing",
    ("targets", "world"): "a broker of the world; one on this machine: tests/unit/alerts/outgoing",
}
"""What of the page's configuration is left out when it runs, and why. All of it is read."""


def written(tmp_path: Path) -> dict[str, Any]:
    """The configuration of the page's blocks, one after the other, as one."""
    whole: dict[str, Any] = {}
    for block in blocks(PAGE, "yaml"):
        path = tmp_path / "block.yaml"
        path.write_text(block)
        load(path)  # each by itself is good
        whole |= yaml.safe_load(block)["alerts"]
    return whole


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    root = tmp_path_factory.mktemp("alerts")
    alerts = written(root)
    for part, name in AWAY:
        del alerts[part][name]
    for folder in ("incoming", "night"):
        (root / folder).mkdir()
    alerts["sources"]["night"]["address"] = str(root / "incoming")
    alerts["targets"]["archive"]["address"] = str(root / "notices")
    alerts["rules"]["tracks"]["steps"] = alerts["rules"]["tracks"]["steps"][:1]  # the second takes minutes
    with receiving() as receiver:
        alerts["targets"]["partner"]["address"] = receiver.url
        (root / "alerts.yaml").write_text(yaml.safe_dump({"alerts": alerts}))
        (root / "event.json").write_bytes(event_bytes(5))
        (root / "night" / "event.json").write_bytes(event_bytes(6))
        with installation(root, pilots=None) as here:
            here.up("--config", "alerts.yaml", pilots=2)
            here.wait_for_pilots(2)
            yield here


def states(here: Installed) -> dict[str, str]:
    with here.client() as client:
        return {row["alert_id"]: row["state"] for row in client.get("/alerts")["alerts"]}


def test_what_comes_is_dealt_with(here: Installed) -> None:
    (here.root / "incoming" / "event.json").write_bytes(event_bytes(4))
    wait_until(lambda: states(here))
    [curl] = [one for one in inline(PAGE, "curl") if "--data-binary" in one]
    with here.client() as client:
        shell(here, f"TOKEN={client.token}\nSERVER={client.url}\n{curl.replace('curl ', 'curl -fsS ', 1)}")
    assert len(states(here)) == 2
    wait_until(lambda: all(state in ("done", "held", "ignored") for state in states(here).values()))


def test_the_commands(here: Installed) -> None:
    said = shell(here, walked(console(PAGE), DIR="night"))
    assert "published" in said
    assert "/web/alert_replays/rehearsal-" in said


def test_the_routes(here: Installed) -> None:
    with here.client() as client:
        [replay] = client.get("/alert_replays")["replays"]
        ids = {"alert_id": next(iter(states(here))), "name": replay["replay"]}
        for one in inline(PAGE, "GET"):
            path = re.sub(r"{(\w+)}", lambda found: ids[found[1]], one.removeprefix("GET "))
            assert client.get(path), one
        rules = {name: msgspec.to_builtins(rule) for name, rule in load(
            here.root / "alerts.yaml").alerts.rules.items()}
        client.put("/alert_rules/hese", rules["hese"])
        assert client.post("/alert_rule_trials", {"rules": {"tracks": rules["tracks"]}})
