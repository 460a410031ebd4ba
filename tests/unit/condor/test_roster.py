"""The server's pilots joined with HTCondor's jobs, and the rest that a site keeps account of."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.base import PilotClass
from grid.condor import ends, report
from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING
from grid.condor.decide import Control
from grid.condor.ends import End
from grid.condor.outputs import Outputs
from grid.condor.pace import History, learn
from grid.condor.roster import Roster, read_time
from grid.condor.site import Pace, Pilot, Site
from grid.condor.tracker import LOST, RUNNING, Job
from iceprod.client import Refused

SITE = Site(site="here", server="http://x", pilot=Pilot(heartbeat_seconds=1.0))
SHAPE = PilotClass(1, 2.0, 2.0, 0, 2.0, "here")
NOW = time.time()


class Server:
    """Answers for /pilots from a dictionary, and records what is asked."""

    def __init__(self, **pilots: dict[str, Any]) -> None:
        self.pilots = pilots
        self.asked: list[tuple[str, str, Any]] = []

    def get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        assert (path, query["site"]) == ("/pilots", "here")
        return {id: {"queue_host": "q", **row} for id, row in self.pilots.items()}

    def delete(self, path: str) -> None:
        self.asked.append(("DELETE", path, None))
        if self.pilots.pop(path.rpartition("/")[2], None) is None:
            raise Refused(404, "Pilot not found")

    def patch(self, path: str, body: Any) -> None:
        self.asked.append(("PATCH", path, body))


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def row(job: str, *tasks: str, registered: float = NOW, **fields: Any) -> dict[str, Any]:
    return {"grid_queue_id": job, "tasks": list(tasks), "submit_date": stamp(registered),
            "last_update": stamp(NOW), **fields}


def job(id: str, state: str = RUNNING, started: float = NOW - 60) -> Job:
    return Job(id, SHAPE, NOW - 100, state, 0.0 if state == "queued" else started, 1)


def roster(server: Server) -> Roster:
    made = Roster(server, SITE, "q")  # type: ignore[arg-type]
    made.read()
    return made


def test_states_of_pilots() -> None:
    server = Server(a=row("1.0", "t"), b=row("1.1"), c=row("1.2", drain=True),
                    other=row("9.9", queue_host="z"))
    jobs = {id: job(id) for id in ("1.0", "1.1", "1.2", "1.3")}
    jobs |= {"1.4": job("1.4", "queued"), "1.5": job("1.5", LOST)}
    states = {pilot.id: pilot.state for pilot in roster(server).pilots(jobs, NOW)}
    assert states == {"1.0": BUSY, "1.1": IDLE, "1.2": DRAINING, "1.3": STARTING, "1.4": QUEUED,
                      "1.5": DRAINING}


def test_a_pilot_that_prepares_for_pixels_is_not_idle() -> None:
    made = roster(Server(a=row("1.0", resources_available={"cpu": 1, "slots": 0})))
    assert [pilot.state for pilot in made.pilots({"1.0": job("1.0")}, NOW)] == [STARTING]


def test_a_site_lacks_the_scanner_when_most_pilots_do() -> None:
    without = {"resources_available": {"cpu": 1, "slots": 1, "kind": "script"}}
    server = Server(a=row("1.0", **without), b=row("1.1"))
    assert not roster(server).lacks_scanner
    server.pilots["c"] = row("1.2", **without)
    assert roster(server).lacks_scanner
    assert not roster(Server()).lacks_scanner


def test_how_long_a_pilot_was_idle() -> None:
    made = roster(Server(a=row("1.0")))
    jobs = {"1.0": job("1.0")}
    assert [pilot.seconds for now in (NOW, NOW + 5) for pilot in made.pilots(jobs, now)] == [0.0, 5.0]
    made.pilots({}, NOW)
    assert [pilot.seconds for pilot in made.pilots(jobs, NOW + 9)] == [0.0]


def test_a_pilot_without_a_job_goes() -> None:
    server = Server(a=row("1.0", "t"), b=row("1.1"))
    gone = roster(server).clean({"1.1": job("1.1")}, set())
    assert [(entry.pilot_id, entry.tasks) for entry in gone] == [("a", 1)]
    assert set(server.pilots) == {"b"}


def test_one_that_went_by_itself_is_no_error() -> None:
    server = Server(a=row("1.0"))
    made = roster(server)
    server.pilots.clear()
    assert len(made.clean({}, set())) == 1


def test_a_pilot_of_an_earlier_queue_goes() -> None:
    known = replace(job("1.0"), batch="new")
    server = Server(a=row("1.0", batch="old"))
    roster(server).clean({"1.0": known}, set())
    assert server.pilots == {}


@pytest.mark.parametrize("apart", [-7200, -600, 600])
def test_clocks_that_differ_do_no_harm(apart: float) -> None:
    """The server's times are none of ours."""
    known = replace(job("1.0"), batch="b")
    server = Server(a=row("1.0", registered=NOW + apart, batch="b"), b=row("1.1", registered=NOW + apart))
    roster(server).clean({"1.0": known, "1.1": job("1.1")}, set())
    assert set(server.pilots) == {"a", "b"}


def test_of_a_job_that_started_twice_the_older_pilot_goes() -> None:
    server = Server(old=row("1.0", registered=NOW - 50), new=row("1.0", registered=NOW))
    made = roster(server)
    assert made.clean({"1.0": job("1.0")}, set()) == []
    made.clean({"1.0": job("1.0")}, {"1.0"})
    assert set(server.pilots) == {"new"}


def test_a_lost_pilot_goes_when_the_server_hears_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(a=row("1.0", "t"))
    made = roster(server)
    lost = {"1.0": job("1.0", LOST)}
    assert made.clean(lost, set()) == []
    later = time.monotonic() + 60
    monkeypatch.setattr("grid.condor.roster.time.monotonic", lambda: later)
    server.pilots["a"]["last_update"] = stamp(NOW + 1)
    made.read()
    assert made.clean(lost, set()) == [], "it was heard of just now"
    monkeypatch.setattr("grid.condor.roster.time.monotonic", lambda: later + 60)
    made.read()
    assert len(made.clean(lost, set())) == 1


def test_draining() -> None:
    server = Server(a=row("1.0"), b=row("1.1"))
    roster(server).drain(["1.1"])
    assert server.asked == [("PATCH", "/pilots/b", {"drain": True})]


@given(st.floats(0, 4e9))
def test_times_are_read(seconds: float) -> None:
    assert read_time(stamp(seconds)) == pytest.approx(seconds, abs=1e-5)
    assert read_time("") == read_time(None) == read_time("yesterday") == 0.0


# -- pace

faults = st.lists(st.sampled_from(["held: x", "failed: y"]), max_size=5)


@given(st.lists(st.tuples(st.integers(0, 5), faults, st.floats(0, 100)), max_size=30))
def test_steps_and_pauses_stay_within_bounds(rounds: list[tuple[int, list[str], float]]) -> None:
    pace, history, now = Pace(), History(), 0.0
    for started, reasons, seconds in rounds:
        now += seconds
        before, history = history, learn(history, pace, started, reasons, now)
        assert 0 <= history.step <= pace.largest_step
        assert 0 <= history.pause <= pace.longest_backoff_seconds
        assert history.until <= max(before.until, now + pace.longest_backoff_seconds)
        if started and not reasons:
            assert (history.pause, history.until) == (0.0, 0.0)
        if reasons and not started:
            assert history.until > now
            assert history.why == reasons[-1]


def test_pauses_double_until_pilots_start() -> None:
    pace, history, pauses = Pace(backoff_seconds=10, longest_backoff_seconds=60), History(), []
    for _ in range(5):
        history = learn(history, pace, 0, ["x"], history.until)
        pauses.append(history.pause)
    assert pauses == [10, 20, 40, 60, 60]
    assert learn(history, pace, 1, [], 0.0).pause == 0


# -- ends and outputs

TOKEN = "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl"


def end(kind: str, reason: str = "why") -> End:
    return End("1.0", kind, reason, NOW, "node", 5.0, SHAPE)


def test_tokens_are_taken_out_of_reasons() -> None:
    _, reason = ends.of_hold(1, 0, f"said\n{TOKEN} twice")
    assert reason == "held (1/0): said … twice"


def test_outputs_are_kept_of_those_that_died(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, 1.0)
    for kind, kept in (("finished", ""), ("killed", "last words")):
        (tmp_path / "1.0.err").write_text("last words\n")
        assert outputs.collect(end(kind)) == kept
        assert (tmp_path / "1.0.err").exists() == bool(kept)


def test_what_a_site_reports() -> None:
    log = report.Log()
    log.add(end("held", "bad"))
    log.add(end("held", "bad"), "text")
    log.add(end("finished"))
    server = Server(a=row("1.0", "t"))
    pilots = roster(server).pilots({"1.0": job("1.0"), "1.1": job("1.1", "queued")}, NOW)
    body = report.body(SITE, pilots, log, None, "nobody there", ("q", "v"))
    assert body["pilots"] == {"busy": 1, "queued": 1}
    assert body["statuses"] == {"RUNNING": {"Tasking": 1}, "IDLE": {"Queued": 1}}
    assert body["resources"] == {"cpu": 1, "gpu": 0, "memory": 2.0, "disk": 2.0}
    assert body["top_errors"] == {"bad": 2}
    assert [one["kind"] for one in body["ends"]] == ["held", "held", "finished"]
    assert (body["trouble"], body["queues"]) == ("nobody there", {"q": "htcondor"})


def test_ends_are_known_when_the_grid_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "ends.json"
    before = report.Log(path)
    before.add(end("held", "bad"), "x" * 600)
    before.add(end("finished"))
    before.save()
    again = report.Log(path)
    assert again.latest() == before.latest()
    assert again.counts == {"held": 1, "finished": 1}
    assert again.top_errors() == before.top_errors() == {"bad": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    again.add(end("held", "bad"))
    again.save()
    assert report.Log(path).counts == {"held": 2, "finished": 1}
    path.write_text("{")
    assert report.Log(path).latest() == []


def test_what_it_is_told() -> None:
    assert report.read_control({}) == Control()
    wish = {"state": "paused", "limit": 3, "reason": "x", "username": "root", "time": "now"}
    assert report.read_control({"control": wish}) == Control("paused", 3, "x")
