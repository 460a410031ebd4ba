"""The arguments of POST /scan."""

from __future__ import annotations

from typing import Any

import pytest

from config.settings import Scans
from server.common.errors import BadRequest
from server.scans.manifests.requests import ScanRequest, read_request

MINIMAL: dict[str, Any] = {
    "docker_tag": "latest", "reco_algo": "dummy", "nsides": {"1": 0, "2": 12},
    "real_or_simulated_event": "sim",
    "max_pixel_reco_time": 60, "request_clusters": {"osg": 1}, "event_i3live_json": {"a": 1}}


def read(**changes: Any) -> ScanRequest:
    body = {k: v for k, v in {**MINIMAL, **changes}.items() if v is not ...}
    return read_request(body, Scans(), "id")


def refused(**changes: Any) -> str:
    with pytest.raises(BadRequest) as caught:
        read(**changes)
    return caught.value.reason


def test_defaults() -> None:
    request = read()
    assert (request.docker_tag, request.priority, request.debug_mode) == ("v4.0.0", 0, [])
    assert request.scanner_server_memory_bytes == 1_024_000_000
    assert request.worker_memory_bytes == 8 * 10**9
    assert request.worker_disk_bytes == 10**9
    assert request.predictive_scanning_threshold == 1.0
    assert request.classifiers == request.scanner_server_env_from_user == {}


@pytest.mark.parametrize(("name", "alias", "values"), [
    ("request_clusters", "cluster", ({"osg": 1}, {"local": 2})),
    ("worker_memory_bytes", "worker_memory", ("1 GB", "2 GB")),
    ("worker_disk_bytes", "worker_disk", ("1 GB", "2 GB")),
    ("scanner_server_memory_bytes", "scanner_server_memory", ("1 GB", "2 GB")),
    ("scanner_server_env_from_user", "scanner_server_env", ({"A": 1}, {"B": 2})),
])
def test_an_alias_counts_unless_the_name_is_given(name: str, alias: str, values: tuple[Any, Any]) -> None:
    first, second = values
    assert getattr(read(**{name: ..., alias: first}), name) == getattr(read(**{name: first}), name)
    assert getattr(read(**{name: first, alias: second}), name) == getattr(read(**{name: first}), name)


def test_clusters_as_pairs_keep_their_order_and_repeats() -> None:
    assert read(request_clusters=[["osg", 1], ["local", 2], ["osg", 3]]).request_clusters == [
        ("osg", 1), ("local", 2), ("osg", 3)]


def test_unknown_cluster_names_the_known_ones() -> None:
    assert refused(request_clusters={"foo": 1}).startswith("requested unknown cluster: foo (available: ")


def test_missing_clusters() -> None:
    assert refused(request_clusters=...) == "'request_clusters' is a required property"


@pytest.mark.parametrize("clusters", [{"local": 6}, [["local", 3], ["local", 3]]])
def test_debug_mode_caps_the_workers_of_a_cluster(clusters: Any) -> None:
    assert refused(debug_mode="client-logs", request_clusters=clusters) == (
        "Too many workers: Cluster 'local' can only have 5 workers when 'debug_mode' includes 'client-logs'")
    assert read(debug_mode=["client-logs"], request_clusters={"local": 5}).debug_mode == ["client-logs"]


def test_memory_is_deprecated_unless_it_says_nothing() -> None:
    assert refused(memory="8G") == "argument 'memory' is deprecated -- use 'worker_memory_bytes'"
    for nothing in (None, 0, ""):
        assert read(memory=nothing)


@pytest.mark.parametrize("name", ["rescan", "origin_scan_id"])
def test_reserved_classifiers(name: str) -> None:
    assert f"classifier cannot contain '{name}' sub-field" in refused(classifiers={name: True})


@pytest.mark.parametrize(("tag", "text"), [
    ("nope", "argument docker_tag: image not found"),
    ("3.1", "argument docker_tag: Image tag is older than the minimum supported tag 'v4.0.0'")])
def test_tags(tag: str, text: str) -> None:
    assert refused(docker_tag=tag) == text


def test_a_size_of_zero_means_the_default() -> None:
    assert read(worker_disk_bytes=0).worker_disk_bytes == 10**9


def test_whole_floats_become_integers() -> None:
    request = read(max_pixel_reco_time=60.0, request_clusters={"osg": 2.0}, priority=3.0)
    assert (request.max_pixel_reco_time, request.request_clusters, request.priority) == (60, [("osg", 2)], 3)


def test_the_command_line_says_what_is_scanned() -> None:
    line = read(predictive_scanning_threshold=0.5).command_line()
    assert "--reco-algo dummy" in line
    assert "--nsides 1:0 2:12 --simulated-event --predictive-scanning-threshold 0.5" in line
