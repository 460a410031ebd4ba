"""A night of alerts for pages to show: one in each state that a shifter meets, made through the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from tests.support.api import Api
from tests.support.scans import PixelPilot, simulated_event, wait_for

__all__ = ["HOSTILE_STREAM", "build", "calm_event", "settings", "work_until",
           "working"]

HOSTILE_STREAM = "<script>alert(1)</script>\"'&-stream"
CALM = {"reco": "track_mpe", "nsides": "8:0", "refine": False}
STRICT = {"reco": "track_mpe", "nsides": "8:0,32:24", "refine": False}
OPEN = {"max_failed_share": 0, "max_area_deg2": 0, "online_deg": 0, "compatible": 0}
NOTICE = {"$schema": "x", "mission": "Another Observatory", "trigger_time": "2026-01-02T03:04:05Z",
          "event_name": "X-260102A", "ra": 10.0, "dec": 5.0, "ra_dec_error": 1.0}


def settings(folder: Path) -> dict[str, Any]:
    """Rules with a gate that lets pass and one that holds; a target that works and one that is away."""
    rules = {"calm": {"streams": ["calm*"], "steps": [CALM], "gate": OPEN, "targets": ["archive"]},
             "lost": {"streams": ["lost*"], "steps": [CALM], "gate": OPEN, "targets": ["partner"]},
             "strict": {"streams": ["neutrino", "<script>*"], "steps": [STRICT, CALM]}}
    targets = {"archive": {"kind": "folder", "address": str(folder / "notices")},
               "partner": {"kind": "http", "address": "http://127.0.0.1:9/notices"}}
    return {"ALERTS__RULES": json.dumps(rules), "ALERTS__TARGETS": json.dumps(targets), "ALERTS__TRIES": 1}


def calm_event(run_id: int) -> bytes:
    """An event that tells where it was seen online."""
    return json.dumps(simulated_event(run_id=run_id, online=(113.2, 16.0))).encode()


def work_until(session: requests.Session, pilot: PixelPilot, alert_id: str, *states: str) -> None:
    """Reconstruct until an alert is in one of the states."""
    def there() -> bool:
        pilot.work(4)
        return session.get(f"/alerts/{alert_id}").json()["state"] in states

    wait_for(there, f"an alert that is {states}", 240.0)


def build(api: Api, pilot: PixelPilot) -> dict[str, str]:
    """Make them; the ids of alerts by their states."""
    manager = api.session("system", username="manager")

    def hand_in(stream: str, run_id: int) -> str:
        answer = manager.post("/alerts", params={"stream": stream}, data=calm_event(run_id))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["alert_id"])

    made = {"done": hand_in("calm", 300), "retracted": hand_in("calm", 301), "dead": hand_in("lost", 302)}
    for alert_id in made.values():
        work_until(manager, pilot, alert_id, "done")
    reason = {"reason": "a flasher run was on: this was no neutrino"}
    assert manager.post(f"/alerts/{made['retracted']}/actions/retract", json=reason).status_code == 200
    for name, stream in (("held", "neutrino"), ("dismissed", HOSTILE_STREAM)):
        made[name] = hand_in(stream, 303 + (name == "held"))
        work_until(manager, pilot, made[name], "held")
    reason = {"reason": "noise of one string"}
    assert manager.post(f"/alerts/{made['dismissed']}/actions/dismiss", json=reason).status_code == 200
    made["ignored"] = hand_in("elsewhere", 305)
    made["told"] = str(manager.post("/alerts", data=json.dumps(NOTICE)).json()["alert_id"])
    assert manager.post("/alerts", data=b'{"no": "event"}').status_code == 400
    return made


def working(api: Api, pilot: PixelPilot) -> str:
    """One that is scanned just now; no pilot may work after it."""
    answer = api.session("system").post("/alerts", params={"stream": "neutrino"}, data=calm_event(306))
    wait_for(lambda: bool(pilot.work(1)), "a first batch")
    return str(answer.json()["alert_id"])
