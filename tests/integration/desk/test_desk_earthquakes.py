"""Notices of earthquakes, asked of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import Api, running_server
from tests.unit.desk.maps.test_quakeml import TEXT

FIELDS = {"event_id": "q1", "date": "2023-03-14T05:00:00", "latitude": -65.0, "longitude": 10.0,
          "depth": 10.0, "magnitude": 6.1}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("desk")) as server:
        yield server


def test_later_notices_stand_first(api: Api) -> None:
    admin, reader = api.session("admin", groups=()), api.session("nobody", username="vera", groups=())
    ids = {admin.post("/api/earthquake", json={**FIELDS, "magnitude": size}).json()["data"]["id"]
           for size in (6.1, 6.3)}
    assert len(ids) == 1
    data = reader.get("/api/earthquake/q1").json()["data"]
    assert [notice["magnitude"] for notice in data["notices"]] == [6.3, 6.1]
    assert data["id"] in ids
    assert (data["predictions"], data["comments"]) == ([], [])
    assert data["sent_by"]["id"] == data["sent_by_id"]
    assert data["sent_by"]["username"] == "tester"


def test_quakeml_is_a_notice_too(api: Api) -> None:
    admin = api.session("admin", groups=())
    assert admin.post("/api/earthquake", json={"xml": TEXT % ""}).status_code == 200
    [notice] = admin.get("/api/earthquake/us7000abcd").json()["data"]["notices"]
    assert (notice["depth"], notice["latitude"], notice["longitude"]) == (10.0, -65.5, 0.0)


@pytest.mark.parametrize(("change", "why"), [
    ({"latitude": -91}, "latitude"), ({"date": "yesterday"}, "date"), ({"event_id": None}, "event_id"),
    ({"colour": 1}, "colour"), ({"xml": "<a>"}, "xml"), ({"magnitude": "big"}, "magnitude")])
def test_bad_notices_are_refused(api: Api, change: dict[str, object], why: str) -> None:
    admin = api.session("admin", groups=())
    answer = admin.post("/api/earthquake", json={**FIELDS, "event_id": "bad", **change})
    assert answer.status_code == 400
    assert why in answer.json()["message"]
    assert admin.get("/api/earthquake/bad").status_code == 404
