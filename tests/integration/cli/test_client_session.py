"""Datasets and scans as objects, with and without asyncio, against a real server and made-up pilots."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.main import main
from iceprod.client import Client, Refused, Unreachable, connect, connect_async
from iceprod.dataset_config import ConfigError
from iceprod.finding import NoServer
from iceprod.session import Session, WorkFailed
from tests.support.api import Api, running_server
from tests.support.scans import PixelPilot, made_up_map, simulated_event

CONFIG: dict[str, Any] = {"version": 3, "description": "of a file", "tasks": [{"name": "gen", "trays": []}]}
SETTINGS = {"SERVICES__REPAIR_SECONDS": 1, "SCANS__FIRST_BATCH_PIXELS": 50}
OFFER = {"cpu": 1, "memory": 8.0, "disk": 10.0, "time": 10.0}
NSIDES = "2:0,8:4"
PIXELS = sum(map(len, made_up_map(NSIDES).values()))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("session"), SETTINGS) as api:
        yield api


@pytest.fixture(scope="module")
def pilots(api: Api) -> Iterator[None]:
    """One that reconstructs pixels, and one that does all other tasks, until the end."""
    over = threading.Event()

    def work() -> None:
        pixels = PixelPilot(api.session()).register()
        session = api.session()
        while not over.wait(0.05):
            for task in pixels.claim(5):
                if "pixels" in (task.get("payload") or {}):
                    pixels.put(task)
                else:
                    report = {"task_id": task["task_id"], "instance_id": task["instance_id"],
                              "outcome": "complete", "time_used": 1, "resources": {}, "stats": {},
                              "logs": {"stdout": f"job {task['job_index']}\n"}}
                    session.post("/task_actions/report_many", json={"reports": [report]})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def ice(api: Api) -> Iterator[Session]:
    with connect(api.url, api.token()) as session:
        yield session


def test_a_scan(ice: Session, pilots: None, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps(simulated_event()))
    news: list[int] = []
    scan = ice.scan(tmp_path / "event.json", nsides=NSIDES, is_real=False)
    done = scan.wait(progress=lambda one: news.append(one.pixels_done))
    assert (done.is_final, done.pixels_done, done.pixels_total) == (True, PIXELS, PIXELS)
    assert news == sorted(news)
    assert scan.best_fit == done.best_fit
    assert str(done).startswith(f"{PIXELS}/{PIXELS} pixels, best fit RA ")
    assert set(scan.result()) >= {"nside-2", "nside-8"}
    assert "multiorder.wilks.fits" in scan.products()
    assert scan.save("result.json", tmp_path / "r.json").read_bytes().startswith(b"{")
    assert scan.save("multiorder.wilks.fits", tmp_path / "m.fits").read_bytes().startswith(b"SIMPLE")
    assert ice.scan_of(scan.scan_id).progress().is_final
    assert scan.url.endswith(f"/web/scans/{scan.scan_id}")


def test_scans_are_listed(ice: Session, api: Api, pilots: None, capsys: pytest.CaptureFixture[str]) -> None:
    scan = ice.scan(simulated_event(run_id=31), nsides=NSIDES, is_real=False)
    scan.wait()
    here = ("--server", api.url, "--token", api.token())
    assert main(["scans", "--json", *here]) == 0
    last = json.loads(capsys.readouterr().out)["scans"][-1]
    assert (last["scan_id"], last["run_id"], last["is_final"]) == (scan.scan_id, 31, True)
    assert (last["pixels"], last["ra_deg"]) == (PIXELS, scan.best_fit.ra_deg)
    assert main(["scans", "--limit", "1", *here]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1] == scan.scan_id
    assert main(["scans", "--days", "0", *here]) == 0
    assert "there is no scan" in capsys.readouterr().out


def test_an_aborted_scan_has_no_result(ice: Session) -> None:
    scan = ice.scan(simulated_event(run_id=8), nsides=NSIDES, is_real=False)
    scan.abort()
    with pytest.raises(WorkFailed, match="has no result"):
        scan.wait()


def test_a_dataset(ice: Session, pilots: None, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG))
    dataset = ice.submit(tmp_path / "config.yaml", jobs=2)
    done = dataset.wait(timeout=120)
    assert (done.is_complete, done.tasks, done.tasks_total) == (True, {"complete": 2}, 2)
    first, _ = sorted(dataset.tasks("complete"), key=lambda task: task["job_index"])
    assert dataset.logs(first["task_id"]) == {"stdout": "job 0\n"}
    assert ice.dataset_of(dataset.dataset_id).progress().is_complete


def test_waiting_ends_after_a_time(ice: Session) -> None:
    dataset = ice.submit({**CONFIG, "tasks": [{**CONFIG["tasks"][0], "requirements": {"memory": 999.0}}]})
    with pytest.raises(TimeoutError, match="not over after 0 s"):
        dataset.wait(timeout=0)
    dataset.suspend()
    with pytest.raises(WorkFailed, match="suspended"):
        dataset.wait()


def test_what_cannot_be_is_said(ice: Session, api: Api) -> None:
    with pytest.raises(ConfigError):
        ice.submit({"version": 3, "tasks": []})
    with pytest.raises(ValueError, match="not nside:extension"):
        ice.scan(simulated_event(), nsides="8")
    with pytest.raises(Refused, match="event_i3live_json"):
        ice.scan({"not": "an event"})
    with connect(api.url, "no token") as other, pytest.raises(Refused, match="authentication failed"):
        other.scan(simulated_event())


async def test_all_of_it_without_blocking(api: Api, pilots: None, tmp_path: Path) -> None:
    async with connect_async(api.url, api.token()) as ice:
        scans = [await ice.scan(simulated_event(run_id=20 + n), nsides=NSIDES, is_real=False)
                 for n in range(3)]
        dataset = await ice.submit(CONFIG, jobs=2)
        news: list[str] = []
        *maps, done = await asyncio.gather(
            *(scan.wait(progress=lambda one: news.append(one.state)) for scan in scans), dataset.wait())
        assert [one.pixels_done for one in maps] == [PIXELS] * 3
        assert done.tasks == {"complete": 2}
        assert len(news) >= 3
        assert (await scans[0].best_fit()).nside == 8
        assert "nside-8" in await scans[0].result()
        assert (await scans[0].save("result.npz", tmp_path / "r.npz")).stat().st_size
        assert "result.json" in await scans[0].products()
        task, _ = await dataset.tasks()
        assert await dataset.logs(task["task_id"])
        assert (await ice.request("GET", f"/datasets/{dataset.dataset_id}"))["jobs_submitted"] == 2


async def test_waiting_can_be_cancelled(api: Api) -> None:
    async with connect_async(api.url, api.token()) as ice:
        dataset = await ice.submit({**CONFIG, "tasks": [
            {**CONFIG["tasks"][0], "requirements": {"memory": 999.0}}]})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(dataset.wait(), 0.5)
        assert (await dataset.progress()).status == "processing"
        await dataset.suspend()
        with pytest.raises(WorkFailed):
            await dataset.wait()


def test_the_server_is_found(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("ICEPROD_SERVER", "ICEPROD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoServer, match="nothing runs in"):
        connect()
    monkeypatch.setenv("ICEPROD_SERVER", api.url)
    monkeypatch.setenv("ICEPROD_TOKEN", api.token())
    with connect() as ice:
        assert ice.client.get("/datasets") is not None
    with connect("http://127.0.0.1:1", "x") as ice, pytest.raises(Unreachable):
        ice.scan(simulated_event())
    assert isinstance(ice.client, Client)
