"""Which fields of a manifest are shown."""

from __future__ import annotations

import pytest

from server.common.errors import BadRequest
from server.scans.api.projections import light_names, names_of, project
from server.scans.manifests.manifests import FIELDS, HEAVY_FIELDS


@pytest.mark.parametrize("argument", [None, "*", [], ["*"], ["scan_id", "*"], ["nope", "*"]])
def test_everything(argument: object) -> None:
    assert names_of(argument) == list(FIELDS)
    assert set(light_names(argument)) == set(FIELDS) - set(HEAVY_FIELDS)


def test_names_keep_the_manifests_order_and_unknown_ones_are_ignored() -> None:
    assert names_of(["priority", "nope", "scan_id"]) == ["scan_id", "priority"]
    assert light_names(["priority", "nope", "scan_id"]) == ["scan_id", "priority"]
    assert names_of(["nope"]) == []


@pytest.mark.parametrize("name", HEAVY_FIELDS)
def test_heavy_fields_are_refused_in_lists(name: str) -> None:
    assert names_of([name]) == [name]
    with pytest.raises(BadRequest, match=name):
        light_names(["scan_id", name])


def test_project() -> None:
    assert project({"a": 1, "b": 2}, ["b", "c"]) == {"b": 2}
