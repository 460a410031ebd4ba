"""``iceprod notify``: rules by which you are told what happened, and the log of what you were told."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import FAILED, USAGE, CommandError
from iceprod.cli.common.tables import print_table
from iceprod.client import Client

__all__ = ["notify"]

_KINDS = ("email", "webhook", "slack")
_OPEN = ("waiting", "sending")
_PATIENCE = 60.0  # seconds that a test is waited for


@click.group()
def notify() -> None:
    """Be told by mail, webhook or Slack what happened: your rules, and what they sent."""


@notify.command("list")
@click.option("--all", "everybody", is_flag=True, help="Everybody's, for administrators.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def show(everybody: bool, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """List rules; their secrets are not shown."""
    with connect(server, token, data) as client:
        found = client.get("/notification_rules", {"all": "true"} if everybody else None)
    if as_json:
        print(json.dumps(found))
        return 0
    rows = [(rule["rule_id"][:8], rule["username"], rule["name"], rule["event"], rule["kind"],
             rule["address"], _filters(rule["filters"]), "on" if rule["is_active"] else "off",
             rule["waiting"])
            for rule in found["rules"]]
    print_table(("rule", "owner", "name", "event", "by", "to", "filters", "state", "waiting"), rows,
                "no rule; make one with `iceprod notify add`")
    return 0


@notify.command("add")
@click.argument("event")
@click.option("--email", metavar="ADDRESS", help="Mail it: your own verified address, or an allowed one.")
@click.option("--webhook", metavar="URL",
              help="Post it as signed JSON; - reads the address from standard input.")
@click.option("--slack", metavar="URL",
              help="Post it as Slack takes it; - likewise, for the address is a secret.")
@click.option("--secret-file", type=click.File("r"), metavar="FILE",
              help="What posts to a webhook are signed with; - is standard input. Without it one is made.")
@click.option("--name", default="", help="Of the rule.")
@click.option("--others", is_flag=True, help="Also what belongs to others, as far as you may see it.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Datasets of a group, with * and ?.")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Alerts of a stream, likewise.")
@click.option("--reco", "recos", multiple=True, metavar="NAME", help="Scans with a reconstruction, likewise.")
@click.option("--site", "sites", multiple=True, metavar="NAME", help="A site, likewise.")
@click.option("--entry", "entries", multiple=True, metavar="NAME", help="An entry of the schedule, likewise.")
@click.option("--area-below", type=click.FloatRange(0, min_open=True), metavar="DEG2",
              help="Scans whose 90 % region is smaller.")
@click.option("--text", default="", help="Only when the title has this.")
@click.option("--pause", type=click.FloatRange(0, 1440), metavar="MINUTES",
              help="Between two messages; what happens meanwhile is told together.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def add(event: str, email: str | None, webhook: str | None, slack: str | None, secret_file: Any,
        name: str, others: bool, area_below: float | None, text: str, pause: float | None, as_json: bool,
        server: str | None, token: str | None, data: str | None, **words: tuple[str, ...]) -> int:
    """Make a rule for EVENT, such as scan_final or dataset_errors; a wrong one is answered with all of them.

    What posts to a webhook are signed with is printed this once.
    """
    kind, address = _recipient({"email": email, "webhook": webhook, "slack": slack})
    filters: dict[str, Any] = {given: list(value) for given, value in words.items() if value}
    filters |= {"own": False} if others else {}
    filters |= {"area_below_deg2": area_below} if area_below else {}
    body = {"event": event, "kind": kind, "address": address, "name": name,
            "filters": {**filters, **({"text": text} if text else {})},
            **({} if pause is None else {"pause_minutes": pause}),
            **({"secret": secret_file.read(1000).strip()} if secret_file else {})}
    with connect(server, token, data) as client:
        made = client.post("/notification_rules", body)
    if as_json:
        print(json.dumps(made))
        return 0
    print(f"rule {made['rule_id']}: {made['event']} → {made['kind']} {made['address']}")
    if "secret" in made and not secret_file:
        print(f"posts are signed with {made['secret']}\nKeep it: it is not shown again.")
    return 0


@notify.command("remove")
@click.argument("rule")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def remove(rule: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Remove a RULE, named by the beginning of its id; what it has not told yet it will not."""
    with connect(server, token, data) as client:
        rule_id = _rule(client, rule)
        client.delete(f"/notification_rules/{rule_id}")
    print(json.dumps({"rule_id": rule_id}) if as_json else f"removed {rule_id}")
    return 0


@notify.command("test")
@click.argument("rule")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def test(rule: str, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Send a test by a RULE of yours, and tell what came of the first try."""
    with connect(server, token, data) as client:
        key = client.post(f"/notification_rules/{_rule(client, rule)}/actions/test", {})["key"]
        message = _tried(client, key)
    if as_json:
        print(json.dumps(message))
        return 0 if message["state"] == "sent" else FAILED
    if message["state"] == "sent":
        print(f"sent to {message['address']}: {message['outcome']}")
    if message["state"] != "sent":
        raise CommandError(f"not sent to {message['address']}: {message['outcome'] or 'it still waits'}")
    return 0


@notify.command("log")
@click.option("--state", type=click.Choice([*_OPEN, "sent", "dead"]), help="Only messages in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--all", "everybody", is_flag=True, help="Everybody's, for administrators.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@server_options
def log(state: str | None, limit: int, everybody: bool, as_json: bool, server: str | None, token: str | None,
        data: str | None) -> int:
    """List messages, the latest first: what was told, and what became of it."""
    query = {"limit": str(limit), **({"state": state} if state else {}),
             **({"all": "true"} if everybody else {})}
    with connect(server, token, data) as client:
        found = client.get("/notifications", query)
    if as_json:
        print(json.dumps(found))
        return 0
    rows = [(_time(one["created"]), one["rule"], one["address"], one["subject"], one["state"], one["tries"],
             one["outcome"]) for one in found["notifications"]]
    print_table(("when (UTC)", "rule", "to", "what", "state", "tries", "said"), rows, "nothing was told yet")
    return 0


def _recipient(given: dict[str, str | None]) -> tuple[str, str]:
    named = [(kind, address) for kind, address in given.items() if address]
    if len(named) != 1:
        raise CommandError(f"name one of {', '.join(f'--{kind}' for kind in _KINDS)}", USAGE)
    kind, address = named[0]
    return kind, sys.stdin.readline(2100).strip() if address == "-" else address


def _rule(client: Client, name: str) -> str:
    """The id of the rule that begins so. Raises CommandError."""
    known = {rule["rule_id"] for rule in client.get("/notification_rules")["rules"]}
    found = [rule_id for rule_id in sorted(known) if name and rule_id.startswith(name)]
    if len(found) > 1:
        raise CommandError(f"{len(found)} rules begin with {name!r}; give more of the id: "
                           f"{', '.join(found[:4])}", USAGE)
    return found[0] if found else quote(name, safe="")  # an administrator may name another's in full


def _tried(client: Client, key: str) -> dict[str, Any]:
    """A message once something came of a try."""
    until = time.monotonic() + _PATIENCE
    while True:
        message: dict[str, Any] = client.get(f"/notifications/{key}")
        if message["state"] not in _OPEN or message["outcome"] or time.monotonic() > until:
            return message
        time.sleep(0.3)


def _filters(filters: dict[str, Any]) -> str:
    return " ".join(f"{name}={','.join(value) if isinstance(value, list) else value}"
                    for name, value in filters.items())


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
