"""A small world for pages to show: datasets in every state, sites, pilots and scans, made through the API.

What pages show is what clients and pilots did. Only the past that charts show is written by hand, through the
functions that write it: nobody could wait for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.browser import corners, night
from tests.browser.desk_world import Desk, build_desk
from tests.browser.past import build_past
from tests.support.api import Api, running_server
from tests.support.outside import running_services
from tests.support.scans import PixelPilot, scan_body, simulated_event, wait_for

__all__ = ["HOSTILE", "OBJECT", "World", "build", "build_object", "keep_alive", "serving", "submit"]

SETTINGS = {"SCANS__FIRST_BATCH_PIXELS": 64, "SCANS__MAX_BATCH_PIXELS": 128, "SERVICES__REPAIR_SECONDS": 0.5,
            "LEASES__SWEEP_SECONDS": 0.5, "LEASES__MAX_WAIT_SECONDS": 1, "SCANS__RUNNING_PER_USER": 3}
OFFER = {"cpu": 8, "gpu": 1, "memory": 32.0, "disk": 200.0, "time": 24.0}
LARGEST = {"cores": 8, "memory": 32.0, "disk": 200.0, "hours": 24.0, "gpus": 1}  # as grids call it
CONFIG = {"version": 3.2, "description": "NuMu, low energy, spice 3.2", "tasks": [
    {"name": "generate", "requirements": {"cpu": 1, "memory": 2.0, "disk": 4.0, "time": 1.0},
     "trays": [{"modules": [{"src": "/sim/generate.py", "args": "--seed $(job) --nevents 2000"}]}]},
    {"name": "propagate", "depends": ["generate"], "requirements": {"gpu": 1, "memory": 6.0, "time": 2.0},
     "trays": [{"modules": [{"src": "/sim/clsim.py", "args": "--in gen_$(job).i3.zst"}]}]}]}
LOG = """Loading libraries
Reading geometry GeoCalibDetectorStatus_2020.i3.gz
Propagating 2000 frames
FATAL (clsim): OpenCL device 0 ran out of memory while building kernels (job {job})
RuntimeError: propagation failed after 1312 of 2000 frames
"""


HOSTILE = "<b>M 1</b> onmouseover=alert(1)"
OBJECT = "ZTF21abcdefgh-with-a-name-that-is-long"
LONG = ("NuTau with a description that is so long that it has to be broken into several lines even on a wide "
        "screen, as real ones sometimes are")
WHY = "12 of 12 tasks failed here within an hour; of the same datasets 3 of 120 failed elsewhere"


@dataclass
class World:
    """What was made, by name."""

    datasets: dict[str, str]
    failed_task: str
    waiting_task: str
    running_task: str
    job: str
    scans: dict[str, str]
    grid_id: str
    alerts: dict[str, str]
    desk: Desk
    more: dict[str, str] = field(default_factory=dict)  # paths of pages about rarer things, by name


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Api]:
    """A server for such a world; the services that it asks are on this machine."""
    with running_services() as outside:
        settings = SETTINGS | night.settings(folder) | outside.settings() | {"CATALOGS__SKY_PICTURES": True}
        with running_server(folder, settings) as api:
            yield api


def submit(session: requests.Session, jobs: int, description: str, **changes: Any) -> str:
    """A dataset as a user submits it; its id, once its tasks are there."""
    config = {**CONFIG, "description": description, **changes}
    body = {"config": config, "description": description, "jobs_submitted": jobs, "group": "users"}
    answer = session.post("/actions/submit", json=body)
    assert answer.status_code == 201, answer.text
    dataset_id = str(answer.json()["result"])
    wait_for(lambda: session.get(f"/datasets/{dataset_id}/task_counts/status").status_code == 200
             and bool(session.get(f"/datasets/{dataset_id}/task_counts/status").json()), "tasks", 120.0)
    return dataset_id


def keep_alive(api: Api) -> None:
    """Pilots and grids say something: who was silent for minutes counts for nothing."""
    system = api.session("system")
    for kind in ("pilots", "grids"):
        for name, one in api.session("admin").get(f"/{kind}").json().items():
            answer = system.patch(f"/{kind}/{name}", json={"version": one["version"]})
            assert answer.status_code == 200, answer.text


def _pilot(session: requests.Session, site: str, host: str, grid_id: str) -> str:
    body = {"queue_host": "schedd", "queue_version": "25", "version": "1", "host": host, "site": site,
            "resources": OFFER, "resources_available": {**OFFER, "cpu": 5, "memory": 20.0},
            "grid_id": grid_id}
    return str(session.post("/pilots", json=body).json()["result"])


def claim(session: requests.Session, pilot_id: str) -> dict[str, Any] | None:
    """A task for a pilot, one that needs a GPU first; None when there is none."""
    for gpu in (1, 0):
        offer = {**OFFER, "gpu": gpu, "kind": "script"}
        body = {"num": 1, "requirements": offer, "start": True, "pilot_id": pilot_id}
        answer = session.post("/task_actions/queue_many", json=body)
        if answer.status_code == 200:
            return dict(answer.json()[0])
    return None


def report(session: requests.Session, task: dict[str, Any], outcome: str, job: int = 0) -> None:
    """The end of a task, with what it printed and used."""
    row = {"task_id": task["task_id"], "instance_id": task["instance_id"], "outcome": outcome,
           "site": "north", "time_used": 1500.0 + 40 * job,
           "resources": {"cpu": 0.97, "memory": 1.4 + 0.02 * job, "disk": 1.1, "time": 0.43}}
    if outcome == "failed":
        row |= {"reason": f"clsim.py ended with status 1: RuntimeError: propagation failed after {900 + job} "
                          "of 2000 frames",
                "logs": {"stderr": LOG.format(job=job), "stdout": f"seed {job}\nstarted\n"}}
    answer = session.post("/task_actions/report_many", json={"reports": [row]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["status"] == 200, answer.text


def _work(session: requests.Session, pilot_id: str, rounds: int, fail_every: int) -> None:
    for number in range(rounds):
        if task := claim(session, pilot_id):
            bad = fail_every and number % fail_every == fail_every - 1
            report(session, task, "failed" if bad else "complete", number)


def _print(api: Api, pilot_id: str, task: dict[str, Any]) -> None:
    """A task prints something while somebody looks at it."""
    user, pilot = api.session("admin"), api.session("system")
    body: dict[str, Any] = {"tasks": [{name: task[name] for name in ("task_id", "instance_id")}]}
    text = "".join(LOG.splitlines(keepends=True)[:3])

    def is_watched() -> bool:
        user.get(f"/datasets/{task['dataset_id']}/tasks/{task['task_id']}/log_tail")
        answer = pilot.post(f"/pilots/{pilot_id}/exchange", json=body).json()
        return task["task_id"] in answer.get("watch", ())

    wait_for(is_watched, "that somebody looks", 60.0)
    body["tails"] = {task["task_id"]: {"stdout": {"size": 90_000, "text": text}}}
    answer = pilot.post(f"/pilots/{pilot_id}/exchange", json=body)
    assert answer.status_code == 200, answer.text


def _grid(session: requests.Session, site: str, **fields: Any) -> str:
    body = {"host": f"submit.{site}.example.org", "queues": {"schedd": "htcondor"}, "version": "1",
            "site": site, "pilots": {"running": 3, "queued": 2},
            "statuses": {"RUNNING": {"Tasking": 3}, "IDLE": {"Pending": 2}},
            "resources": {"cpu": 24, "gpu": 3, "memory": 96.0}, "limits": {"pilots": 50}, "largest": LARGEST,
            "end_counts": {"good": 40, "fault": 2},
            "top_errors": {"held: disk use above the request": 2}, "trouble": "", "state": "active"}
    return str(session.post("/grids", json={**body, **fields}).json()["result"])


def build(api: Api) -> World:
    """Make everything."""
    alice, system, admin = (api.session("user", username="alice"), api.session("system"),
                            api.session())
    scanner = PixelPilot(api.session("pilot")).register()
    alerts = night.build(api, scanner)
    scans = _scans(api)  # first, for their pilot takes whatever there is
    many = {"tasks": [{**CONFIG["tasks"][0], "requirements": {"cpu": 64, "memory": 512.0}}]}
    # while no site has told what it offers: later it would be refused
    datasets = {"waiting": submit(alice, 2, "A task that is too large for every pilot", **many)}
    grid_id = _grid(system, "north")
    _grid(system, "south", pilots={"queued": 4}, statuses={"IDLE": {"Pending": 4}},
          trouble="the schedd refuses: no valid token", resources={})
    pilots = [_pilot(system, "north", f"node{n:02}.north.example.org", grid_id) for n in range(3)]
    datasets["complete"] = submit(alice, 4, "Corsika, proton, 1 to 10 TeV")
    _work(system, pilots[0], 8, 0)
    datasets["running"] = submit(alice, 20, "NuMu, low energy, spice 3.2")
    _work(system, pilots[0], 18, 4)
    taken = [claim(system, pilot) or {} for pilot in pilots]
    _print(api, pilots[0], taken[0])
    datasets["suspended"] = submit(alice, 5, LONG)
    admin.put(f"/datasets/{datasets['suspended']}/status", json={"status": "suspended"})
    admin.put("/quarantine/host/node13.north.example.org", json={"reason": WHY})
    failed = alice.get(f"/datasets/{datasets['running']}/tasks", params={"status": "failed"}).json()
    waiting = alice.get(f"/datasets/{datasets['waiting']}/tasks").json()
    build_object(admin)
    build_galaxies(admin)
    desk = build_desk(admin)
    alerts["working"] = night.working(api, scanner)
    build_past(api)
    jobs = alice.get(f"/datasets/{datasets['running']}/jobs").json()
    more = corners.build(api, datasets["running"], next(iter(failed)))
    return World(datasets, next(iter(failed)), next(iter(waiting)), taken[0]["task_id"], next(iter(jobs)),
                 scans, grid_id, alerts, desk, more)


def build_galaxies(admin: requests.Session) -> None:
    """A catalogue: some galaxies in the final map's region, one of a hostile name, and one outside."""
    rows = ("NGC 1,111.0,19.0", "NGC 2,114.5,22.0", f"{HOSTILE},109.0,14.5", "far away,300.0,-40.0")
    table = "\n".join(["name,ra,dec", *rows])
    body = {"catalogName": "world", "catalogData": table}
    answer = admin.post("/api/galaxy_catalog/ascii", json=body)
    assert answer.status_code == 200, answer.text
    wait_for(lambda: bool(admin.get("/api/galaxy_catalog").json()["data"]["totalMatches"]), "galaxies")


def build_object(admin: requests.Session) -> None:
    """An object with a class, an annotation and a long name, where pages about objects look."""
    body = {"id": OBJECT, "ra": 150.1163, "dec": 2.2058, "redshift": 0.42, "summary": LONG}
    assert admin.post("/api/sources", json=body).status_code == 200
    admin.post(f"/api/sources/{OBJECT}/annotations", json={
        "origin": "a catalogue with a rather long name", "data": {"mag": 17.25, "class": "QSO" * 20}})
    groups = admin.get("/api/groups").json()["data"]["user_groups"]
    tree = {"name": "ours", "version": "1", "hierarchy": {"class": "Blazar"},
            "group_ids": [group["id"] for group in groups]}
    taxonomy = admin.post("/api/taxonomy", json=tree).json()["data"]["taxonomy_id"]
    admin.post("/api/classification", json={"obj_id": OBJECT, "classification": "Blazar",
                                            "taxonomy_id": taxonomy})


def _scans(api: Api) -> dict[str, str]:
    """A scan that is final, one that runs, one that waits for an outside scanner, one deleted."""
    user, pilot = api.session("user", username="shifter"), PixelPilot(api.session("pilot"))
    pilot.register()
    scans = {}
    wanted: dict[str, dict[str, Any]] = {
        "earlier": {"nsides": {"8": 0, "16": 24}}, "final": {"nsides": {"8": 0, "32": 24}},
        "running": {"nsides": {"8": 0, "64": 12}},
        "outside": {"reco_algo": "elsewhere"}, "deleted": {"reco_algo": "elsewhere"}}
    for name, changes in wanted.items():
        event = simulated_event(run_id=99 + max(len(scans), 1), online=(113.2, 16.0))  # two of one event
        event["truth"] = {"ra_deg": 108.0, "dec_deg": 21.5}
        answer = user.post("/scan", json=scan_body(event_i3live_json=event, **changes))
        assert answer.status_code == 200, answer.text
        scans[name] = str(answer.json()["scan_id"])
        if name in ("earlier", "final"):
            wait_for(lambda scan_id=scans[name]: _worked(user, pilot, scan_id), "the final map", 240.0)
    for _ in range(4):
        pilot.work(2)
    user.delete(f"/scan/{scans['deleted']}")
    return scans


def _worked(user: requests.Session, pilot: PixelPilot, scan_id: str) -> bool:
    pilot.work(4)
    return bool(user.get(f"/scan/{scan_id}/progress").json()["is_final"])
