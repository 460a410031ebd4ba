"""Benchmarks as programs: what fails is named with its reason, the others go on, what is done stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.benching import running
from iceprod.cli.benching.plan import BENCHES, Planned
from iceprod.cli.benching.records import Missing, read_record
from iceprod.cli.benching.running import Collection, NotMeasuredError, collect, measure
from iceprod.cli.main import main
from tests.support.installation import wait_until
from tests.unit.cli.benching.making import EVENTS, STARTS

ROOT = Path(__file__).parents[4]
OBJECTS = {"event": EVENTS, "start": STARTS}
PLAN = [Planned("event"), Planned("store"), Planned("start")]


def told(bench: str, arguments: Sequence[str], seconds: float) -> dict[str, Any]:
    if bench == "store":
        raise NotMeasuredError("the store is on fire")
    return OBJECTS[bench]


def program(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, bench: str = "event") -> None:
    """Let a benchmark be this program."""
    (folder / f"fake_{bench}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setitem(BENCHES, bench, (f"fake_{bench}", []))


def prints(found: Any) -> str:
    return f"print({json.dumps(found)!r})"


def test_one_that_fails_is_named_and_the_others_go_on() -> None:
    found = Collection(quick=True, rounds=2)
    assert len([*collect(found, PLAN, None, told)]) == 5  # it is not tried again in the second round
    record = found.record()
    assert [(run.bench, run.round) for run in record.runs] == [
        ("event", 1), ("start", 1), ("event", 2), ("start", 2)]
    assert record.missing == [Missing("store", "the store is on fire")]
    assert record.figures[0].rounds == [4.0, 4.0]


def test_what_is_left_out_is_named_with_the_reason() -> None:
    found = Collection(quick=True, rounds=1)
    assert [*collect(found, [Planned("alert", reason="it needs events")], None, told)] == [
        Missing("alert", "it needs events")]


def test_a_later_round_that_fails_leaves_the_first() -> None:
    rounds = iter([EVENTS, {}])
    found = Collection(quick=True, rounds=2)
    list(collect(found, PLAN[:1], None, lambda *words: next(rounds)))
    assert found.record().figures[0].value == 4.0
    assert found.missing == [Missing("event", "round 2 of 2: there are no figures in its object")]


def test_an_object_of_another_kind_is_not_figures() -> None:
    found = Collection(quick=True, rounds=1)
    list(collect(found, PLAN[2:], None, lambda *words: {"ends": []}))
    assert found.missing == [Missing("start", "its object is not as expected: KeyError: 'starts'")]


def test_an_interruption_leaves_what_is_done() -> None:
    def interrupted(bench: str, arguments: Sequence[str], seconds: float) -> dict[str, Any]:
        if bench == "store":
            raise KeyboardInterrupt
        return OBJECTS[bench]

    found = Collection(quick=True, rounds=2)
    list(collect(found, PLAN, None, interrupted))
    assert found.interrupted
    assert [run.bench for run in found.runs] == ["event"]
    assert found.missing == [Missing("store", "interrupted"), Missing("start", "interrupted")]


def test_none_begins_when_the_time_is_over() -> None:
    found = Collection(quick=True, rounds=1)
    list(collect(found, PLAN, 1e-9, told))
    assert {one.reason for one in found.missing} == {"no time was left of 1e-09 s"}


@pytest.mark.parametrize(("text", "reason"), [
    ("import sys; sys.exit('error: no pool')", "no pool"), ("raise ValueError('deep')", "ValueError: deep"),
    ("import sys; sys.exit(3)", "exit status 3"), ("print('fast')", "it printed no JSON object"),
    ("print('[1]')", "it printed no JSON object"),
    ("import os; os.kill(os.getpid(), 9)", "ended by signal 9")])
def test_why_a_program_left_no_figures(text: str, reason: str, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, tmp_path, text)
    with pytest.raises(NotMeasuredError) as caught:
        measure("event", [], 600)
    assert str(caught.value) == reason


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BENCHES, "event", ("grid.no_such_bench", []))
    with pytest.raises(NotMeasuredError, match=r"No module named grid\.no_such_bench"):
        measure("event", [], 600)


def test_numbers_that_are_none_become_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, tmp_path, "print('{\"x\": {\"ms\": NaN}}')")
    assert measure("event", [], 600) == {"x": {"ms": None}}


def test_one_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "cleaned"
    program(monkeypatch, tmp_path, "import pathlib, time\n"
            f"try:\n    time.sleep(600)\nfinally:\n    pathlib.Path({str(mark)!r}).touch()\n")
    with pytest.raises(NotMeasuredError, match="not done after 5 s"):
        measure("event", [], 5)
    assert mark.exists()


def test_one_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GRACE_SECONDS", 0.2)
    program(monkeypatch, tmp_path, "import signal, time\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n")
    with pytest.raises(NotMeasuredError, match="not done"):
        measure("event", [], 2)


def test_the_whole_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                           capsys: pytest.CaptureFixture[str]) -> None:
    program(monkeypatch, tmp_path, prints(EVENTS))
    program(monkeypatch, tmp_path, "import sys; sys.exit('error: no disk')", "store")
    assert main(["bench", "all", "store", "event", "--quick", "--out", "o/a.json", "--trend", "t",
                 "--json"]) == 0
    said = capsys.readouterr()
    assert "store    not measured: no disk" in said.err
    document = json.loads(said.out)
    assert document["figures"][0]["name"] == "event/simulated 1e+03 GeV/ms"
    assert document["missing"] == [{"name": "store", "reason": "no disk"}]
    assert read_record(Path("o/a.json")).figures[0].value == 4.0
    assert len(Path("t/trend.jsonl").read_text().splitlines()) == 1


def test_nothing_measured_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    program(monkeypatch, tmp_path, "raise SystemExit(1)")
    assert main(["bench", "all", "event", "--trend", "t"]) == 1
    assert "nothing was measured" in capsys.readouterr().out
    assert not Path("t/trend.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_keeps_its_file(number: int, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    begun, out = tmp_path / "begun", tmp_path / "a.json"
    program(monkeypatch, tmp_path, prints(EVENTS))
    program(monkeypatch, tmp_path, f"import pathlib, os, time\npathlib.Path({str(begun)!r}).write_text("
            "str(os.getpid()))\ntime.sleep(600)\n", "start")
    code = ("import sys\nfrom iceprod.cli.benching.plan import BENCHES\nfrom iceprod.cli.main import main\n"
            "BENCHES['event'] = ('fake_event', [])\nBENCHES['start'] = ('fake_start', [])\n"
            f"sys.exit(main(['bench', 'all', 'event', 'start', '--out', {str(out)!r}, '--json']))")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: begun.exists() and begun.read_text() != "")
    child.send_signal(number)
    printed = child.communicate()[0]
    assert child.returncode == 130
    for document in (json.loads(printed), json.loads(out.read_text())):
        assert document["interrupted"]
        assert [run["bench"] for run in document["runs"]] == ["event"]
        assert document["missing"] == [{"name": "start", "reason": "interrupted"}]
    wait_until(lambda: not _lives(int(begun.read_text())))


def _lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_a_disk_that_is_full_takes_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    program(monkeypatch, tmp_path, prints(EVENTS))

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["bench", "all", "event", "--out", "a.json", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["figures"]
    assert "error: cannot write a.json: No space left on device" in said.err
    assert not [path for path in Path().iterdir() if "a.json" in path.name]


@pytest.mark.parametrize(("words", "said"), [
    (["patience"], "unknown benchmark 'patience'; known: event, reco"),
    (["coverage"], "measures the physics"),
    (["--rounds", "0"], "--rounds"), (["--within", "0"], "--within"), (["--events", "absent"], "--events"),
    (["event", "--out", "/dev/null/a.json"], "--out"), (["event", "--trend", "/dev/null/x"], "--trend")])
def test_wrong_usage_measures_nothing(words: list[str], said: str,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "all", *words]) == 2
    assert said in capsys.readouterr().err
