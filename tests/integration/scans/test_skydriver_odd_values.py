"""Values that nobody means, anywhere in SkyDriver's requests: refused or taken, never a server error."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from server.scans.manifests.bodies import SCAN
from tests.support.api import Api, running_server
from tests.support.skydriver import body, new

pytestmark = pytest.mark.slow


def nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"a": document}
    return document


ODD: list[Any] = [
    "\ud800", "\x00", "x" * 70_000, "", " ", "ä€😀", 0, -1, 1e300, 1 << 63, -(1 << 63) - 1, float("inf"),
    float("nan"), True, None, [], {}, [[]], {"": 1}, {"a.b": 1}, {"$x": 1}, {"\x00": 1}, ["a"] * 300,
    {"k" * 300: 1}, {"a": {"b": [1, {"c": None}]}}, nested(150)]
FILTERED = ["scan_id", "timestamp", "classifiers.a", "_id", "$or", "$nor", "$not", "$comment", "$text",
            "$jsonSchema"]
OPERATORS = ["$in", "$regex", "$gt", "$exists", "$type", "$size", "$elemMatch", "$mod", "$not", "$all",
             "$bitsAllSet", "$geoWithin", "$near", "$options"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("odd"), {"SCANS__BACKGROUND_SECONDS": 3600}) as server:
        yield server


@pytest.fixture(scope="module")
def session(api: Api) -> requests.Session:
    return api.session()


def send(session: requests.Session, method: str, path: str, document: Any) -> None:
    text = json.dumps(document)  # with NaN and Infinity, which are no JSON
    answer = session.request(method, path, data=text)
    assert answer.status_code < 500, (method, path, text[:300], answer.text)


@pytest.mark.parametrize("name", sorted(SCAN.schema["properties"]))
def test_in_new_scans(session: requests.Session, name: str) -> None:
    for value in ODD:
        send(session, "POST", "/scan", {**body(), name: value})


def test_in_levels_of_our_own_scanner(session: requests.Session) -> None:
    for value in ODD:
        levels = value if isinstance(value, dict) else {"8": value}
        send(session, "POST", "/scan?dry_run=true", body(reco_algo="track_mpe", nsides=levels))


def test_in_filters(session: requests.Session) -> None:
    for value in ODD:
        for name in ("filter", "include_deleted", "manifest_projection", "limit", "skip"):
            send(session, "POST", "/scans/find", {"filter": {}, name: value})
        for name in FILTERED:
            send(session, "POST", "/scans/find", {"filter": {name: value}})
        for name in OPERATORS:
            send(session, "POST", "/scans/find", {"filter": {"classifiers": {name: value}}})


def test_in_calls_for_a_scan(session: requests.Session) -> None:
    path = f"/scan/{new(session)['scan_id']}"
    for value in ODD:
        for name in ("progress", "event_metadata", "scan_metadata"):
            send(session, "PATCH", f"{path}/manifest", {name: value})
        for result in (value, {"nside-1": value}):
            send(session, "PUT", f"{path}/result", {"skyscan_result": result, "is_final": False})
        for name in ("multiorder.wilks.fits", "gcn.wilks.json", "result.npz"):
            answer = session.get(f"{path}/products/{name}")
            assert answer.status_code < 500, (value, name, answer.text)
        for name in ("abort_first", "replace_scan", "no_redirect", "manifest_projection"):
            send(session, "POST", f"{path}/actions/rescan", {name: value, "odd": 1})
        for sent in ({"n_workers": value, "cluster_location": "osg"},
                     {"n_workers": 1, "cluster_location": value}):
            send(session, "POST", f"{path}/actions/add-workers", sent)
        send(session, "POST", f"{path}/ewms/workflow-id", {"workflow_id": value, "ewms_address": "x"})
        send(session, "PUT", "/pixel_batches/x", {"instance_id": value, "rows": value, "slow": value})


@pytest.mark.parametrize("path", ["/scan/%00", "/scan/%ff/manifest", f"/scan/{'a' * 5000}", "/scan-request/é",
                                  "/i3-events/x"])
def test_in_paths(session: requests.Session, path: str) -> None:
    assert 400 <= session.get(path).status_code < 500


def test_in_queries(session: requests.Session) -> None:
    path = f"/scan/{new(session)['scan_id']}"
    queries = ("no_redirect=%ff", "include_deleted=%00", "projection=%ff", "projection=|||", "projection=a|*",
               "no_redirect=true&no_redirect=false", "wait=1e9", "since=x", "view=%00", "format=%00")
    for query, end in itertools.product(queries, ("", "/manifest", "/result", "/progress", "/products")):
        answer = session.get(f"{path}{end}?{query}")
        assert answer.status_code < 500, (end, query, answer.text)
