"""From a real event's message to published maps with a local pilot, while the server is killed on the way."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from iceprod.client import ClientError
from tests.support.alerts import event_bytes
from tests.support.data import real
from tests.support.installation import Installed, installation, wait_until
from tests.unit.alerts.outgoing.test_targets import receiving

EVENT = "138632_31747601"
RULES = {"two": {"steps": [{"reco": "track_mpe", "nsides": "8:0,64:12", "refine": False},
                           {"reco": "track_mpe", "nsides": "8:0,64:12", "refine": False}]}}


def ended(here: Installed, title: str) -> dict | None:  # type: ignore[type-arg]
    """The alert once it is told in full; None while it is not, or while the server is away."""
    try:
        with here.client() as client:
            for one in client.get("/alerts", {"text": title}, timeout=10)["alerts"]:
                found = client.get(f"/alerts/{one['alert_id']}", timeout=10)
                if found["state"] in ("done", "held") and "published" in found["times"]:
                    sent = [row["state"] for row in found["deliveries"]]
                    return found if set(sent) == {"sent"} else None
    except (ClientError, AssertionError):
        return None
    return None


@pytest.mark.slow
def test_a_killed_server_tells_nothing_twice(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with receiving() as receiver:
        settings = {"ALERTS__SOURCES": json.dumps({"inbox": {"kind": "folder", "address": str(inbox)}}),
                    "ALERTS__TARGETS": json.dumps({"world": {"kind": "http", "address": receiver.url}}),
                    "ALERTS__RULES": json.dumps(RULES)}
        with installation(tmp_path / "here", pilots=1, **settings) as here:
            here.wait_for_pilots(1)
            (inbox / "event.json").write_bytes(event_bytes(3))
            for pause in (0.4, 1.5, 3.0, 3.0):  # while it is stored, scanned, judged and told
                time.sleep(pause)
                here.kill("-m server --")
            found = wait_until(lambda: ended(here, "run 7"))
        assert [one["alert_type"] for one in found["notices"]] == ["initial", "update"]
        assert [one["state"] for one in found["revisions"]] == ["published", "published"]
        by_key: dict[str, set[str]] = {}
        for key, document in receiver.got:
            by_key.setdefault(key, set()).add(json.dumps(document, sort_keys=True))
        assert len(by_key) == 2, "each map is told under one key"
        assert all(len(documents) == 1 for documents in by_key.values()), "and in the same words"


@pytest.mark.slow
def test_a_real_event_and_its_rehearsal(tmp_path: Path) -> None:
    event, night, out = real(f"{EVENT}.json"), tmp_path / "night", tmp_path / "out"
    night.mkdir()
    shutil.copy(event, night)
    target = {"kind": "folder", "address": str(out)}
    public = {"kind": "folder", "address": str(tmp_path / "public"), "public": True}
    settings = {"ALERTS__TARGETS": json.dumps({"out": target, "public": public}),
                "ALERTS__RULES": json.dumps({"one": {"steps": [{"reco": "track_mpe"}]}})}
    with installation(tmp_path / "here", pilots=2, **settings) as here:
        here.wait_for_pilots(2)
        report = json.loads(here.iceprod("replay", night, "--name", "night", "--json", "--data", here.data))
        row, = report["events"]
        assert row["state"] == "done"
        assert row["revisions"][0]["to_online_deg"] < 1
        assert not (tmp_path / "public").exists(), "a rehearsal never goes to a public target"
        with here.client() as client:
            client.post("/alerts", event.read_bytes())
        found = wait_until(lambda: ended(here, EVENT))
        assert found["event_name"] == "IceCube-231202A"
        assert set(found["seconds"]) == {"stored", "first_pixel", "first_map", "final_map", "published"}
        document = json.loads((tmp_path / "public" / "IceCube-231202A-01-initial.json").read_text())
        assert document["alert_tense"] == "archival"
        assert document["ra_dec_error"] < 1
