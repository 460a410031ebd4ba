"""What people do through the pages' forms, and that it happens: as a browser without scripts sends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from scanner.maps import healpix
from tests.support.api import Api, running_server
from tests.support.scans import PixelPilot, scan_body, wait_for

SETTINGS = {"SERVICES__REPAIR_SECONDS": 1, "LEASES__SWEEP_SECONDS": 1}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("actions"), SETTINGS) as server:
        yield server


@pytest.fixture
def ada(api: Api) -> requests.Session:
    session = api.anonymous()
    session.cookies.set("iceprod_session", api.token("user", username="ada"))
    return session


def submit(ada: requests.Session, **fields: str) -> str:
    form = {"description": "three", "jobs": "3", "src": "/bin/true", "args": "$(job)", **fields}
    answer = ada.post("/web/submit", data=form)
    assert answer.status_code == 200, answer.text
    assert "Submitted." in answer.text
    dataset_id = answer.url.rsplit("/", 1)[1]
    wait_for(lambda: sum(counts(ada, dataset_id).values()) == 3, "tasks", 120)
    return dataset_id


def counts(ada: requests.Session, dataset_id: str) -> dict[str, int]:
    """As the API tells them to the same user."""
    headers = {"Authorization": f"Bearer {ada.cookies['iceprod_session']}"}
    return dict(ada.get(f"/datasets/{dataset_id}/task_counts/status", headers=headers).json())


def test_a_dry_run_submits_nothing(ada: requests.Session) -> None:
    form = {"description": "dry", "jobs": "3", "src": "/bin/true", "check": "yes"}
    answer = ada.post("/web/submit", data=form)
    assert "It is good: 3 jobs of 1 task" in answer.text
    assert "dry" not in ada.get("/web/datasets").text


def test_a_configuration_as_yaml(ada: requests.Session) -> None:
    text = "version: 3.2\ntasks:\n- name: a\n  trays: [{modules: [{src: /bin/true}]}]\n"
    dataset_id = submit(ada, how="config", config=text, src="")
    assert "/bin/true" in ada.get(f"/web/datasets/{dataset_id}/config").text
    assert "src: /bin/true" not in ada.get(f"/web/submit?like={dataset_id}").text  # JSON by now


def test_what_is_wrong_is_shown_beside_the_form_with_its_place(ada: requests.Session) -> None:
    config = json.dumps({"version": 3.2, "tasks": [{"name": "a"}]})
    form = {"description": "d", "jobs": "1", "how": "config", "config": config}
    for path in ("/web/submit", "/web/submit/check"):
        answer = ada.post(path, data=form)
        assert "<code>tasks[0]</code>" in answer.text
        assert "trays" in answer.text


def test_suspending_is_shown_first_and_can_be_undone(ada: requests.Session) -> None:
    dataset_id = submit(ada)
    root = f"/web/datasets/{dataset_id}"
    parts = ada.get(f"{root}/tasks").text.split('name="task" value="')[1:]
    chosen = [part.split('"')[0] for part in parts][:2]
    form = {"action": "suspend", "which": "ticked", "task": chosen}
    asked = ada.post(f"{root}/confirm", data=form)
    assert "Suspend 2 tasks" in asked.text
    assert counts(ada, dataset_id) == {"waiting": 3}
    ada.post(f"{root}/change", data=form)
    wait_for(lambda: counts(ada, dataset_id) == {"waiting": 1, "suspended": 2}, "the suspension")
    wait_for(lambda: ">Resume<" in ada.get(root).text, "the button")
    request_id = ada.get(root).text.split('name="request" value="')[1].split('"')[0]
    ada.post(f"{root}/undo", data={"request": request_id})
    wait_for(lambda: counts(ada, dataset_id) == {"waiting": 3}, "the undoing")


def test_all_that_a_filter_finds(ada: requests.Session) -> None:
    dataset_id = submit(ada)
    root = f"/web/datasets/{dataset_id}"
    form = {"action": "suspend", "which": "filter", "name": "task", "status": "waiting"}
    assert "Suspend 3 tasks" in ada.post(f"{root}/confirm", data=form).text
    ada.post(f"{root}/change", data=form)
    wait_for(lambda: counts(ada, dataset_id) == {"suspended": 3}, "the suspension")
    whole = {"action": "hard_reset", "which": "dataset", "sure": "yes"}
    ada.post(f"{root}/change", data=whole)
    wait_for(lambda: counts(ada, dataset_id) == {"waiting": 3}, "the new beginning")
    assert "The priority is 0.7 now" in ada.post(f"{root}/priority", data={"priority": "0.7"}).text
    assert "The priority" not in ada.get(root).text  # it was said once


def read_pixels(data: bytes) -> tuple[dict[str, Any], dict[int, dict[int, float]]]:
    size = int.from_bytes(data[:4], "little")
    header = json.loads(data[4:4 + size])
    place, levels = 4 + size, {}
    for level in header["levels"]:
        n = level["count"]
        pixels = np.frombuffer(data, "<u4", n, place)
        values = np.frombuffer(data, "<f4", n, place + 4 * n)
        levels[level["nside"]] = dict(zip(pixels.tolist(), values.tolist(), strict=True))
        place += 8 * n
    assert place == len(data)
    return header, levels


def test_the_pixels_for_the_viewer_are_those_of_the_result(api: Api, ada: requests.Session) -> None:
    user, pilot = api.session("user"), PixelPilot(api.session("pilot")).register()
    scan_id = user.post("/scan", json=scan_body()).json()["scan_id"]
    assert ada.get(f"/web/scans/{scan_id}/pixels").status_code == 404

    def over() -> bool:
        tasks = [task for task in pilot.claim(4) if "pixels" in task["payload"]]
        return any(pilot.put(task).status_code != 200 for task in tasks) or bool(
            user.get(f"/scan/{scan_id}/progress").json()["is_final"])

    wait_for(over, "the final map", 120)
    header, levels = read_pixels(ada.get(f"/web/scans/{scan_id}/pixels?levels=ic160427a").content)
    assert header["is_final"] is True
    product = user.get(f"/scan/{scan_id}/products/contours.ic160427a.json").json()
    names = ("level", "threshold", "rings")
    assert header["regions"] == [{name: one[name] for name in names} for one in product["regions"]]
    assert [one["level"] for one in header["regions"]] == [0.5, 0.9]
    assert all(one["rings"] for one in header["regions"])
    fine = {row[0]: row[1] for row in user.get(f"/scan/{scan_id}/result").json()[
        "skyscan_result"]["nside-8"]["data"] if isinstance(row[1], float)}
    nested = healpix.ring_to_nest(8, np.array(sorted(fine)))
    best = min(fine.values())
    for pixel, ring in zip(nested.tolist(), sorted(fine), strict=True):
        assert levels[8][pixel] == pytest.approx(2 * (fine[ring] - best), abs=1e-3)
