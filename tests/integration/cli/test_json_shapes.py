"""Every command that speaks to programs, run on a whole installation: one object, of the documented keys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iceprod.cli.common.shapes import SHAPES, SILENT
from server.reference.commands import spoken
from tests.support.alerts import event_bytes
from tests.support.installation import PATIENCE, Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONFIG = """
version: 3.2
description: says its number
tasks:
  - name: work
    requirements: {cpu: 1, memory: 1.0}
    trays:
      - modules: [{src: /bin/echo, args: "job $(job)"}]
"""
BROKEN = CONFIG.replace("/bin/echo", "/bin/false")
SMALL = ("--nsides", "4:0", "--reco-algo", "track_mpe")
SITE = {"host": "submit.north.example.org", "queues": {"schedd": "htcondor"}, "version": "1", "site": "north",
        "resources": {"cpu": 4, "memory": 8.0}, "pilots": {}, "statuses": {}}
ELSEWHERE = {
    **dict.fromkeys(("notify add", "notify remove", "notify test"),
                    "somebody has to be there who is told: tests/unit/notifications"),
    "grid": "a dry run needs an HTCondor pool; what it prints: tests/unit/condor/test_dry_run.py",
    "store bench": "measures other stores for minutes",
}
"""What is not run whole here, and why."""


class Programs:
    """Runs commands as programs do, and remembers which."""

    def __init__(self, here: Installed) -> None:
        self.here, self.ran = here, set[str]()

    def lines(self, *words: str, status: int = 0) -> list[dict[str, Any]]:
        """All objects that a command prints, a line each; each is of one of the command's shapes."""
        name = max((name for name in SHAPES if list(words[:len(name.split())]) == name.split()), key=len)
        process = self.here.start(*words, "--json")
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, (words, out, err, self.here.logs())
        found = [json.loads(line) for line in out.splitlines()]
        for told in found:
            assert isinstance(told, dict), words
            wrong = [fault for shape in SHAPES[name] if (fault := _fault(told, shape))]
            assert len(wrong) < len(SHAPES[name]), (words, wrong, told)
        self.ran.add(name)
        return found

    def __call__(self, *words: str, status: int = 0) -> dict[str, Any]:
        [told] = self.lines(*words, status=status)
        return told


def _fault(told: dict[str, Any], shape: Any) -> str:
    if isinstance(shape, str):  # as a route answers
        return "" if told and "error" not in told else "nothing"
    try:
        msgspec.convert(told, shape, strict=True)
    except msgspec.ValidationError as error:
        return f"{shape.__name__}: {error}"
    return ""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    root = tmp_path_factory.mktemp("json")
    with installation(root, pilots=None, SERVICES__REPAIR_SECONDS=1, FAILURES__MAX_FAILURES=0) as here:
        programs = Programs(here)
        (root / "config.yaml").write_text(CONFIG)
        (root / "broken.yaml").write_text(BROKEN)
        assert not programs("up", "--data", "data", "--port", "0", "--pilots", "1")["already_running"]
        assert programs("up", "--data", "data")["already_running"]
        yield programs


def test_files_and_this_machine(said: Programs) -> None:
    made = said("simulate", "--seed", "7", "--out", "event.json")
    assert made["file"] == "event.json"
    assert said("event", "event.json")["can_scan"]
    said("recos")
    said("systematics", "event.json")
    said("token", "--user", "ada", "--roles", "user")
    said("web")
    said("status")
    assert "reco" in said("bench")["benches"]
    measured = said("bench", "all", "event", "--quick", "--out", "figures.json")
    assert [run["bench"] for run in measured["runs"]] == ["event"]
    assert said("bench", "compare", "figures.json", "figures.json")["same"]
    assert {*said("bench", "figures", "figures.json")["tables"]} == {"event"}
    assert said("run", "config.yaml", "--print")["tasks"][0]["task"] == "work"
    told = said("run", "config.yaml")
    assert told["good"] is True
    assert (told["directory"], told["tasks"][0]["logs"]["stdout"]) == ("", "job 0\n")
    told = said("run", "broken.yaml", "--dir", "scratch", status=1)
    assert (told["good"], told["directory"], told["tasks"][0]["outcome"]) == (False, "scratch", "reset")


def test_scans(said: Programs) -> None:
    scan = said("scan", "event.json", *SMALL, "--out", "map")
    assert scan["address"].endswith(f"/web/scans/{scan['scan_id']}")
    assert said("watch", "1", "--out", "again")["best_fit"] == scan["best_fit"]
    assert said("rescan", scan["scan_id"][:20], "--out", "third")["scan_id"] != scan["scan_id"]
    rows = said("scans")["scans"]
    assert [(row["number"], row["pixels"], row["pixels_total"]) for row in rows] == [
        (1, 192, 192), (2, 192, 192)]
    assert said("skymap", "1", "--list")["products"]
    assert said("skymap", "1", "--format", "json")["is_final"]
    said("backlog")
    said("notify", "list")
    said("notify", "log")
    long = said.here.start("scan", "event.json", "--nsides", "64:0", "--reco-algo", "track_mpe", "--json")
    wait_until(lambda: any("PRESTARTUP" not in row["state"] for row in said("scans")["scans"][2:]))
    said("workers", "3", "local", "2")
    assert said("abort", "3")["aborted"]
    assert json.loads(long.communicate(timeout=PATIENCE)[0])["exit_status"] == 1


def test_datasets(said: Programs) -> None:
    assert said("submit", "config.yaml", "--jobs", "3", "--dry-run")["valid"]
    made = said("submit", "config.yaml", "--jobs", "3")
    number = str(made["number"])
    assert said("wait", number)["tasks"] == {"complete": 3}
    rows = {row["dataset"]: row["jobs_complete"] for row in said("list")["datasets"]}
    assert rows[made["number"]] == 3
    assert said("show", number)["dataset"]["dataset_id"] == made["dataset_id"]
    tasks = said("tasks", f"{number}.0-1")["tasks"]
    assert [task["task"] for task in tasks] == [f"{number}.0.0", f"{number}.1.0"]
    assert said("logs", tasks[0]["task_id"][:12])["task_id"] == tasks[0]["task_id"]
    assert said("why", f"{number}.1.0")["status"] == "complete"
    news = said.lines("logs", f"{number}.0.0", "--follow")
    assert [one.get("status", one.get("log", {}).get("data")) for one in news] == ["complete", "job 0\n"]
    assert said("reset", number, "--job", "2", "--hard")["after"]
    said("suspend", number)
    said("resume", number)
    failed = said("submit", "broken.yaml")
    assert said("wait", failed["dataset_id"][:16], status=1)["status"] == "errors"
    said("sites")
    assert said("pilots")["pilots"]


def test_credentials_and_the_schedule(said: Programs) -> None:
    (said.here.root / "secret").write_text("hush")
    said("credentials", "add", "https://data.example.org", "--secret-file", "secret")
    assert [row["url"] for row in said("credentials", "list")["credentials"]] == ["https://data.example.org"]
    said("credentials", "remove", "https://data.example.org")
    assert said("schedule", "actions")["actions"]
    said("schedule", "create", "samples", "mock_acquire", "--every", "1d", "--start", "2035-01-01")
    assert [row["name"] for row in said("schedule", "list")["entries"]] == ["samples"]
    said("schedule", "run", "samples")
    with said.here.client() as client:
        client.pause(0)
    said("schedule", "pause", "samples")
    said("schedule", "resume", "samples")
    said("schedule", "show", "samples")
    assert isinstance(said("schedule", "history", "samples")["runs"], list)
    assert said("schedule", "delete", "samples", "--history")["deleted"] == "samples"


def test_alerts_and_sites(said: Programs) -> None:
    night = said.here.root / "night"
    night.mkdir()
    (night / "event.json").write_bytes(event_bytes(4))
    assert said("replay", "night", "--name", "night")["replay"] == "night"
    with said.here.client() as client:
        client.post("/grids", SITE)
    assert "north" in [grid.get("site") for grid in said("grid", "list")["grids"]]
    said("grid", "pause", "north")
    said("grid", "drain", "north")
    said("grid", "maintenance", "north", "--starts", "2035-02-01T06:00", "--ends", "2035-02-01T18:00")
    said("grid", "limit", "north", "3")
    said("grid", "resume", "north")


def test_a_pilot_tells_what_it_did(said: Programs) -> None:
    token = said.here.iceprod("token", "--data", "data", "--user", "p", "--roles", "pilot")
    (said.here.root / "token").write_text(token)
    server = said("status")["server"]
    told = said("pilot", "--server", server, "--token-file", "token", "--cores", "1", "--idle", "0.1",
                "--site", "far", "--no-pixels", "--isolation", "off")
    assert (told["site"], told["tasks"], told["faults"]) == ("far", 0, 0)


def test_the_store_and_backups(said: Programs) -> None:
    root = said.here.root
    made = said("backup", "--data", "data", "--out", "kept")
    assert said("restore", "--data", "second", "--from", "kept")["documents"] == made["documents"]
    assert said("store", "size", "--data", "second")["documents"]
    copied = said("store", "dump", "--data", "second", "--out", "dump")
    assert said("store", "restore", "--data", str(root / "third"), "--from", "dump") == copied
    assert said("store", "check", "--data", "second") == {"sound": True, "problems": [], "repairs": []}


def test_archives(said: Programs) -> None:
    made = said("submit", "config.yaml", "--jobs", "2")
    assert said("wait", made["dataset_id"])["status"] == "complete"
    number = str(made["number"])
    assert said("archive", "datasets", number, "--dry-run", "--data", "data")["chosen"]
    [done] = said("archive", "datasets", number, "--data", "data")["archived"]
    assert said("show", number)["dataset"]["archived"] is True
    [row] = said("archive", "list", "--data", "data")["archives"]
    assert (row["file"], row["state"]) == (done["file"], "archived")
    assert said("archive", "restore", number, "--data", "data")["documents"] == done["documents"]
    assert [task["status"] for task in said("tasks", number)["tasks"]] == ["complete"] * 2


def test_the_demo(said: Programs) -> None:
    told = said("demo", "--dir", "demo")
    assert not told["running"]
    assert (said.here.root / told["skymap"]).read_bytes().startswith(b"\x89PNG")


def test_at_the_end_all_commands_ran(said: Programs) -> None:
    assert said("doctor", "--data", "data")["wrong"] == 0
    assert said("down", "--data", "data")["stopped"]
    assert not said("down", "--data", "data")["stopped"]
    names = {name for name, _ in spoken()}
    assert names - said.ran <= {*SILENT, *ELSEWHERE}
    assert {*ELSEWHERE} <= names


def test_an_interrupted_command_says_so(tmp_path: Path) -> None:
    code = ("import sys; from iceprod.cli.main import main, iceprod\n"
            "def cut(*a, **k): raise KeyboardInterrupt\n"
            "iceprod.main = cut; sys.exit(main(['status', '--json']))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          cwd=tmp_path)
    assert done.returncode == 130
    assert json.loads(done.stdout) == {"error": "interrupted", "exit_status": 130}
    assert "Traceback" not in done.stderr
