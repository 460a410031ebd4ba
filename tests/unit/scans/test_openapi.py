"""The OpenAPI document describes what is served."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from server.app import ROUTES
from server.scans.openapi import document

OPERATIONS = [
    ("get", "/"), ("get", "/openapi.json"), ("post", "/scans/find"), ("post", "/scan"),
    ("post", "/scan/{scan_id}/actions/rescan"), ("post", "/scan/{scan_id}/actions/add-workers"),
    ("get", "/scan/{scan_id}"), ("delete", "/scan/{scan_id}"), ("get", "/scan/{scan_id}/manifest"),
    ("patch", "/scan/{scan_id}/manifest"), ("get", "/scan/{scan_id}/i3-event"),
    ("get", "/scan/{scan_id}/result"), ("put", "/scan/{scan_id}/result"), ("get", "/scan/{scan_id}/status"),
    ("get", "/scan/{scan_id}/logs"), ("get", "/scan-request/{scan_id}"), ("get", "/scans/backlog"),
    ("get", "/scan/{scan_id}/ewms/workflow-id"),
    ("post", "/scan/{scan_id}/ewms/workflow-id"), ("get", "/scan/{scan_id}/ewms/workforce"),
    ("get", "/scan/{scan_id}/ewms/taskforces")]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_is_described(method: str, path: str) -> None:
    operation = document(ROUTES)["paths"][path][method]
    assert operation["summary"]
    assert operation["responses"]["200"]
    names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert names == ({"scan_id"} if "{scan_id}" in path else set())


def test_operation_ids_are_unique_and_schemas_valid() -> None:
    operations = [op for path in document(ROUTES)["paths"].values() for op in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for operation in operations:
        if "requestBody" in operation:
            Draft202012Validator.check_schema(operation["requestBody"]["content"]["application/json"]["schema"])
