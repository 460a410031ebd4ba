"""The leader of the schedule is killed again and again: every due run is made once, and the clock goes on."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, Session, start_server
from tests.support.installation import wait_until
from tests.support.store import embedded_store

KILLS = 5
ENTRIES = [f"every-{number}" for number in range(4)]
SETTINGS = {"SERVICES__LEADER_SECONDS": 2}


def runs_of(session: Session, name: str) -> list[dict[str, Any]]:
    answer = session.get(f"/api/v1/acquisitions/{name}/")
    return list(answer.json()) if answer.status_code == 200 else []


def lines_of(log: Path) -> Counter[str]:
    """How often each run wrote its line, by all servers together."""
    found: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        if '"action": "logger"' in line:
            told = json.loads(line)
            found[f"{told['entry']}/{told['task_id']}"] += 1
    return found


@pytest.mark.slow
def test_killed_leaders(tmp_path: Path) -> None:
    chance = random.Random(7)
    with embedded_store(tmp_path) as url:
        servers: list[Api] = []
        try:
            _kill_again_and_again(tmp_path, url, servers, chance)
        finally:
            for server in servers:
                server.close()
                if server.process.poll() is None:
                    server.kill()


def _kill_again_and_again(tmp_path: Path, url: str, servers: list[Api], chance: random.Random) -> None:
    def start() -> Api:
        return start_server(tmp_path / "server", url, "chaos", SETTINGS)

    servers += [start(), start()]
    once: list[str] = []
    for name in ENTRIES:
        body = {"name": name, "action": "logger", "interval": 1}
        assert servers[0].session("user").post("/api/v1/schedule/", json=body).status_code == 201
    for number in range(KILLS):
        session = servers[number % 2].session("user")
        once.append(f"once-{number}")
        body = {"name": once[-1], "action": "logger", "start": int(time.time()) + 1}
        assert session.post("/api/v1/schedule/", json=body).status_code == 201
        time.sleep(1 + chance.random())  # whatever the leader does just then
        victim = servers.pop(chance.randrange(2))
        victim.close()
        victim.kill()
        killed = time.time()
        servers.append(start())
        session = servers[0].session("user")
        _wait_for_runs_after(session, killed)
    session = servers[0].session("user")
    for name in ENTRIES:
        assert session.patch(f"/api/v1/schedule/{name}/", json={"is_active": False}).status_code == 200
    wait_until(lambda: all(runs_of(session, name) and runs_of(session, name)[-1]["status"] != "in-progress"
                           for name in [*ENTRIES, *once]))
    _check(session, lines_of(tmp_path / "server" / "log"), once)


def _wait_for_runs_after(session: Session, moment: float) -> None:
    def has_run(name: str) -> bool:
        return any(run["time"] > moment and run["status"] == "success" for run in runs_of(session, name))

    wait_until(lambda: all(has_run(name) for name in ENTRIES))


def _check(session: Session, lines: Counter[str], once: list[str]) -> None:
    assert set(lines.values()) == {1}, "a run happened twice"
    for name in [*ENTRIES, *once]:
        runs = runs_of(session, name)
        times = [run["time"] for run in runs]
        assert times == sorted(set(times)), "a time ran twice"
        assert [run["task_id"] for run in runs] == list(range(1, len(runs) + 1)), "a run was lost"
        for run in runs:
            ended_well = run["status"] == "success"
            assert ended_well or "interrupted" in run["detail"] or "stopped by" in run["detail"], run
            assert lines[f"{name}/{run['task_id']}"] == 1 or not ended_well
    assert all(len(runs_of(session, name)) == 1 for name in once), "a single run is neither lost nor repeated"
