"""``iceprod up``, ``down``, ``status``, ``submit``: the whole installation as its user sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest
import requests

from tests.support.installation import PATIENCE, installation, wait_until

pytestmark = pytest.mark.slow


def test_up_twice_then_down_twice(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        before = here.processes("iceprod.supervisor")
        assert "already running at http://127.0.0.1:" in here.up()
        assert here.processes("iceprod.supervisor") == before
        assert "ok" in here.iceprod("status")
        document = json.loads(here.iceprod("status", "--json", "--data", here.data))
        assert document["health"]["status"] == "ok"
        here.down()
        assert "nothing runs" in here.down()
        assert "nothing runs" in here.iceprod("status", status=3)


def test_two_at_the_same_time_start_one(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=None) as here:
        words = ["up", "--data", str(here.data), "--port", "0", "--no-pilots"]
        both = [here.start(*words) for _ in range(2)]
        said = [process.communicate(timeout=PATIENCE) for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        assert len(here.processes("iceprod.supervisor")) == 1
        assert sorted(out.split()[0] for out, _ in said) == ["already", "running"]


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        modes = {path.name: stat.S_IMODE(mode) for path, mode in here.files().items()}
        assert modes["secret"] == modes["up.json"] == modes["pilot"] == 0o600
        assert all(mode & 0o077 == 0 for mode in modes.values()), modes


def test_another_secret_signs_all_tokens(tmp_path: Path) -> None:
    """Also the first ones of grid and pilots, which are made before anything answers."""
    (tmp_path / "elsewhere").mkdir()
    with installation(tmp_path, pilots=None, TOKENS__SECRET_FILE=str(tmp_path / "elsewhere" / "key")) as here:
        here.up(pilots=1)
        here.wait_for_pilots(1)
        assert not (here.data / "secret").exists()


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=None) as here, socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = here.iceprod("up", "--data", here.data, "--port", port, status=1)
        assert said.startswith(f"error: cannot listen on 127.0.0.1:{port}: Address already in use")
        assert said.count("\n") == 1
        assert not here.processes()


def test_another_installation_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=0) as here:
        port = json.loads((here.data / "up.json").read_text())["url"].rpartition(":")[2]
        said = here.iceprod("up", "--data", tmp_path / "second", "--port", port, "--no-pilots", status=1)
        assert said.startswith(f"error: cannot listen on 127.0.0.1:{port}")
        assert "running at" not in said
        assert "nothing runs" in here.iceprod("down", "--data", tmp_path / "second")


def test_the_usual_port_gives_way_to_the_next_free_one(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=None) as here:
        urls = []
        for name in ("one", "two"):
            said = json.loads(here.iceprod("up", "--data", tmp_path / name, "--no-pilots", "--json"))
            urls.append(said["url"])
        assert urls[0] != urls[1]
        assert all(int(url.rpartition(":")[2]) in range(8080, 8180) for url in urls)
        for name in ("one", "two"):
            here.iceprod("down", "--data", tmp_path / name)


def test_a_data_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with installation(tmp_path, pilots=None) as here:
        for words in ([], ["--foreground"]):
            said = here.iceprod("up", "--data", tmp_path / "file" / "data", *words, status=2)
            assert said.startswith("error: --data: cannot use ")
            assert "Not a directory" in said
            assert said.count("\n") == 1


def test_the_browser_is_logged_in_by_what_up_and_web_print(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=None) as here:
        said = here.up(pilots=0)
        address = next(word for word in said.split() if "/web/login/once?" in word)
        assert "You are logged in" in requests.get(address, timeout=30).text
        assert requests.get(address, timeout=30).status_code == 403
        again = json.loads(here.iceprod("web", "--data", here.data, "--user", "carol", "--roles", "user",
                                        "--page", "/web/scans", "--json"))
        assert "url=/web/scans" in requests.get(again["address"], timeout=30).text
        assert "unknown role" in here.iceprod("web", "--data", here.data, "--roles", "god", status=2)


def test_a_scan_asks_first_whether_its_files_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with installation(tmp_path, pilots=0) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        said = here.iceprod("scan", "event.json", "--out", tmp_path / "file" / "maps", status=2)
        assert "--out: cannot make" in said
        assert "there is no scan" in here.iceprod("scans")


def test_wrong_settings_are_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("pilots: {cuont: 3}")
    with installation(tmp_path, pilots=None) as here:
        said = here.iceprod("up", "--data", here.data, "--config", "wrong.yaml", status=2)
        assert "did you mean 'count'" in said


def test_ctrl_c_in_the_foreground_leaves_nothing(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=None) as here:
        words = ["up", "--data", str(here.data), "--port", "0", "--pilots", "1", "--foreground"]
        process = here.start(*words, start_new_session=True)
        wait_until(lambda: here.processes("scanner.worker"))
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        wait_until(lambda: not here.processes())


def test_what_is_killed_comes_back(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        here.wait_for_pilots()
        for words in (["-m server.embedded"], ["-m server --data"], ["-m grid --server"], ["-m grid.pilot"]):
            killed = wait_until(lambda words=words: here.kill(*words))
            wait_until(lambda words=words, killed=killed: set(here.processes(*words)) - set(killed))
        here.wait_for_pilots()
        with here.client() as client:
            assert client.get("/healthz", patience=60)["status"] == "ok"


def test_everything_dies_with_the_supervisor_and_the_next_goes_on(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        with here.client() as client:
            dataset = {"description": "kept", "group": "users", "jobs_submitted": 0, "tasks_submitted": 0,
                       "tasks_per_job": 1}
            dataset_id = client.post("/datasets", dataset)["result"]
        here.wait_for_pilots()
        here.kill("iceprod.supervisor")
        wait_until(lambda: not here.processes())
        assert "nothing runs" in here.iceprod("status", status=3)
        here.up()
        with here.client() as client:
            assert client.get(f"/datasets/{dataset_id}")["description"] == "kept"


def test_a_dataset_of_programs(tmp_path: Path) -> None:
    """Two tasks in a row; the second fails in the second job only."""
    first = {"src": "/bin/sh", "args": ["-c", "echo job $(job) > out; cat out"]}
    second = {"src": "/bin/sh", "args": ["-c", "test $(job) = 0"]}
    needs = {"memory": 0.2}
    config = {"version": 3.2, "description": "two steps", "tasks": [
        {"name": "one", "requirements": needs, "trays": [{"modules": [first]}]},
        {"name": "two", "requirements": needs, "trays": [{"modules": [second]}], "depends": ["one"]}]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with installation(tmp_path, FAILURES__BACKOFF_SECONDS=0) as here, here.client() as client:
        dataset_id = here.iceprod("submit", "config.json", "--jobs", "2").strip()
        wait_until(lambda: client.get(f"/datasets/{dataset_id}")["status"] == "errors")
        counts = client.get(f"/datasets/{dataset_id}/task_counts/name_status")
        assert counts == {"one": {"complete": 2}, "two": {"complete": 1, "failed": 1}}
        tasks = client.get(f"/datasets/{dataset_id}/tasks", {"status": "complete", "job_index": 1})
        [log] = client.get(f"/datasets/{dataset_id}/tasks/{next(iter(tasks))}/logs")["logs"]
        assert (log["name"], log["data"]) == ("stdout", "job 1\n")
