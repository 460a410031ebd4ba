"""A real Prometheus asks a real server: what ships for it loads, and every panel has data."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from iceprod.transport import Client, ClientError
from tests.support.api import free_port
from tests.support.installation import Installed, installation, wait_until
from tests.support.telemetry.dashboard import RULES, named, queries

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("prometheus") and shutil.which("promtool")),
                       reason="prometheus is not installed")]

CONFIG = {"version": 3.2, "description": "measured", "tasks": [
    {"name": "say", "requirements": {"cpu": 1, "memory": 1.0},
     "trays": [{"modules": [{"src": "/bin/true"}]}]}]}
QUIET = {
    "iceprod_scan_seconds_total": "no scan ended",
    "iceprod_refused_total": "nobody was told to come later",
    "iceprod_schedule_runs_total": "no run of the schedule ended yet",
    "iceprod_alerts_total": "no alert came", "iceprod_alert_seconds_bucket": "no alert came",
    "iceprod_alert_notices_total": "no alert came",
    "iceprod_notifications_total": "nobody wanted messages",
    "iceprod_spans_total": "telemetry.traces is false",
}
"""Series that there may be none of in a small installation, and why."""


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Client]:
    """A Prometheus with the configuration that ships, but for our address and more haste."""
    folder.mkdir()
    shutil.copy(RULES, folder)
    config = yaml.safe_load((RULES.parent / "prometheus.yaml").read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    place = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log, subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={place}"], stdout=log, stderr=log) as process, Client(place) as client:
        try:
            wait_until(lambda: _is_up(client, process))
            yield client
        finally:
            process.terminate()


def _is_up(client: Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it ended"
    try:
        return bool(client.get("/-/ready"))
    except ClientError:
        return False


def _ask(client: Client, text: str) -> list[Any]:
    answer = client.get("/api/v1/query", {"query": text})
    assert answer["status"] == "success"
    return list(answer["data"]["result"])


def _work(here: Installed) -> None:
    (here.root / "config.json").write_text(json.dumps(CONFIG))
    dataset = here.iceprod("submit", "config.json", "--data", here.data).strip()
    here.iceprod("wait", dataset, "--data", here.data)


def test_every_panel_has_data(tmp_path: Path) -> None:
    with installation(tmp_path / "here", pilots=1) as here:
        url = json.loads((here.data / "up.json").read_text())["url"]
        with prometheus(tmp_path / "prometheus", url.removeprefix("http://")) as client:
            _work(here)
            waiting = {query: query.of_all_jobs() for query in queries()
                       if not named(query.text)[0] <= QUIET.keys()}
            assert len(waiting) > 12

            def all_there() -> bool:
                for query, text in list(waiting.items()):
                    if _ask(client, text):
                        del waiting[query]
                return not waiting

            wait_until(all_there)
            for query in queries():  # the others are understood, too
                _ask(client, query.of_all_jobs())
            rules = client.get("/api/v1/rules")["data"]["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
            assert len(rules) == len(yaml.safe_load(RULES.read_text())["groups"][0]["rules"])


def test_an_alert_fires_when_it_should(tmp_path: Path) -> None:
    """Prometheus' own tool plays what was measured: tasks wait, and there is no pilot, then there is one."""
    series = [('iceprod_tasks{status="waiting"}', "5x60"), ("iceprod_pilots", "0x40 1x20"),
              ('up{job="iceprod"}', "1x60"),
              ('iceprod_service_last_success{service="expire leases"}', "0+60x60")]
    expected = {"alertname": "IceProdNobodyWorks", "exp_alerts": [
        {"exp_annotations": {"summary": "5 tasks wait, and there is no pilot"}}]}
    quiet = [{"alertname": name, "eval_time": "20m", "exp_alerts": []}
             for name in ("IceProdDown", "IceProdServiceStuck", "IceProdErrors")]
    case = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "alert_rule_test": [
            {"alertname": "IceProdNobodyWorks", "eval_time": "10m", "exp_alerts": []},
            {**expected, "eval_time": "20m"},
            {"alertname": "IceProdNobodyWorks", "eval_time": "50m", "exp_alerts": []}, *quiet]}]}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case))
    told = subprocess.run(["promtool", "test", "rules", tmp_path / "case.yaml"], capture_output=True,
                          text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
